// A person with a browser. Whatever their browser complains about fails the test: an error of a script, a violation of
// the content security policy, a resource from elsewhere.

import assert from "node:assert/strict";
import { after } from "node:test";
import { chromium } from "./packages.js";

const STAGE = new URL(process.env.STAGE);

/** The address of the console. */
export const CONSOLE = STAGE.origin;

// Chromium has no sandbox as root, and without the other flags it looks for services that a test machine cannot reach.
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--font-render-hinting=none",
  "--disable-lcd-text",
];

// Headless Chromium calls itself a program.
const USER_AGENT =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

const WIDE = { width: 1024, height: 768 };

let browser;

/** The browser, which all visitors of a script share. Each has cookies of their own. */
async function start() {
  browser ??= chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  return browser;
}

after(async () => {
  if (browser) await (await browser).close();
});

/** A person with a browser. */
export class Visitor {
  constructor(context, page) {
    this.context = context;
    this.page = page;
    this.complaints = [];
    this.allowed = [];
    /** The answer that the page was made of. */
    this.document = null;
  }

  /** Opens a browser: `{ locale, script, dark, width, forcedColors, reducedMotion }`. */
  static async open(options = {}) {
    const viewport = { ...WIDE, width: options.width ?? WIDE.width };
    const context = await (await start()).newContext({
      baseURL: CONSOLE,
      userAgent: USER_AGENT,
      viewport,
      locale: options.locale ?? "en-GB",
      timezoneId: "Europe/Tallinn",
      javaScriptEnabled: options.script ?? true,
      colorScheme: options.dark ? "dark" : "light",
      forcedColors: options.forcedColors ? "active" : "none",
      reducedMotion: options.reducedMotion ? "reduce" : "no-preference",
    });
    context.setDefaultTimeout(20_000);
    const visitor = new Visitor(context, await context.newPage());
    visitor.listen();
    return visitor;
  }

  listen() {
    this.page.on("response", (response) => {
      const isDocument = response.request().isNavigationRequest() && response.frame() === this.page.mainFrame();
      if (isDocument) this.document = response;
    });
    this.context.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.complain(message.text());
    });
    this.context.on("weberror", (error) => this.complain(error.error().message));
    this.context.on("request", (request) => {
      const address = new URL(request.url());
      if (address.origin !== CONSOLE && address.protocol !== "data:" && address.protocol !== "about:") {
        this.complain(`a request to ${address.origin}`);
      }
    });
  }

  complain(text) {
    if (!this.allowed.some((pattern) => pattern.test(text))) this.complaints.push(text);
  }

  /** What the browser may complain about: the status of an error page is an error of its console. */
  allow(pattern) {
    this.allowed.push(pattern);
  }

  /** Signs in as a person of the demonstration, on these devices too, as the form of its sign-in page does. */
  async signIn(person, devices = []) {
    const form = new URLSearchParams([["person", person], ...devices.map((device) => ["device", device])]);
    const answer = await this.context.request.post("/demo/sign-in", {
      headers: { "content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin" },
      data: form.toString(),
      maxRedirects: 0,
    });
    assert.equal(answer.headers().location, "/demo", `${person} cannot sign in: ${answer.status()}`);
  }

  /** Opens a page of the console. */
  async goto(path, status = 200) {
    if (status >= 400) this.allow(new RegExp(`status of ${status}`));
    const answer = await this.page.goto(path);
    assert.equal(answer.status(), status, `${path} answered ${answer.status()}`);
  }

  /** Presses something that leads to another page of this address, or of a pattern of addresses. */
  async press(control, address) {
    await Promise.all([this.page.waitForURL(address), control.click()]);
  }

  /** The browser forgets the cookie of the session, as when it expires. */
  async expire() {
    await this.context.clearCookies({ name: "__Host-session" });
  }

  /** Closes the browser. Fails if it has complained. */
  async close() {
    await this.context.close();
    assert.deepEqual(this.complaints, [], "the browser complains");
  }
}

/** Runs a test with a browser of its own. */
export async function visit(options, steps) {
  const visitor = await Visitor.open(options);
  await steps(visitor);
  await visitor.close();
}
