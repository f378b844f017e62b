// <portcullis-sessions> on a page of an application of another origin, under a strict content security policy.

import assert from "node:assert/strict";
import { test } from "node:test";
import { statusOf, tokenOf } from "./lib/gateway.js";
import { axe, fits } from "./lib/judge.js";
import { eventually } from "./lib/wait.js";
import { Visitor } from "./lib/visitor.js";
import { LOCALES, word } from "./lib/words.js";

const { APPLICATION, HOSTILE, HOSTILE_TOKEN, ENDED_TOKEN } = process.env;
// The page's own violations fail a test. The authority is another origin, and has to be.
const OWN_REQUESTS = /^a request to http:\/\/127\.0\.0\.1:/;

/** Opens the application's page with a token, or a function that returns one. Runs the steps. */
async function embed({ token, lang = "en", query = "", ...options }, steps) {
  const visitor = await Visitor.open(options);
  visitor.allow(OWN_REQUESTS);
  const give = typeof token === "function" ? token : () => token;
  await visitor.page.exposeFunction("tokenOfUser", give);
  await visitor.page.goto(`${APPLICATION}/?lang=${lang}${query}`);
  await steps(visitor.page.locator("portcullis-sessions"), visitor.page, visitor);
  await visitor.close();
}

/** The tokens of a person's devices, of a browser each. Their browsers are of use only for that. */
async function signIn(person, devices = []) {
  const visitor = await Visitor.open();
  await visitor.signIn(person, devices);
  const token = await tokenOf(visitor);
  await visitor.close();
  return token;
}

const items = (component) => component.locator("section > .body > ul > li");
const button = (component, id, locale) => component.getByRole("button", { name: word(id, locale), exact: true });

/** The button of a session, which names the session. */
const signOutButton = (item) => item.getByRole("button");

test("the current session is first and marked, and each has its device, its place and its last use", async () => {
  const token = await signIn("n-101", ["phone", "laptop"]);
  await embed({ token }, async (component) => {
    await items(component).nth(2).waitFor();
    const current = items(component).first();
    await current.getByText(word("mine-current"), { exact: true }).waitFor();
    assert.equal(await component.getByText(word("mine-current"), { exact: true }).count(), 1);
    const phone = items(component).filter({ hasText: /iPhone/ }).first();
    assert.match(await phone.innerText(), /Safari \d+ on iPhone/);
    assert.match(await phone.innerText(), /, /, "a city and a country");
    assert.match(await phone.innerText(), new RegExp(`${word("mine-status-active")}|${word("mine-last-active")}`));
    // A sign-in from Sydney in the same minute is impossible.
    const laptop = items(component).filter({ hasText: /Firefox/ }).first();
    await laptop.getByText(word("mine-suspicious"), { exact: true }).waitFor();
    await component.getByText("An introduction.").waitFor();
  });
});

test("a session that is signed out is refused at the gateway", async () => {
  const other = await signIn("n-104");
  const token = await signIn("n-104");
  await eventually("the gateway admits", async () => (await statusOf(other)) === 200);
  await embed({ token }, async (component, page) => {
    await items(component).nth(1).waitFor();
    const ids = await items(component).count();
    await signOutButton(items(component).nth(1)).click();
    const dialog = component.getByRole("dialog", { name: word("mine-confirm-title") });
    await dialog.waitFor();
    // The confirmation says which: device, place, last use.
    assert.match(await dialog.getByRole("listitem").innerText(), /, /);
    await axe(page, "the confirmation");
    // Whoever cancels has ended nothing.
    await dialog.getByRole("button", { name: word("frame-cancel") }).click();
    await dialog.waitFor({ state: "detached" });
    assert.equal(await statusOf(other), 200);

    await signOutButton(items(component).nth(1)).click();
    await dialog.getByRole("button", { name: word("mine-sign-out"), exact: true }).click();
    await component.getByText(word("mine-done-one")).waitFor();
    await eventually("the gateway refuses", async () => (await statusOf(other)) === 401);
    assert.equal(await statusOf(token), 200, "the session of the page lives");
    // Two gates are connected: the example gateway and the console's own.
    await component.getByText(/: 2 of 2 \(\d+ ms\)/).waitFor();
    await eventually("the list is shorter", async () => (await items(component).count()) === ids - 1);
  });
});

test("all others end, and the one of the page lives", async () => {
  const other = await signIn("n-106", ["phone", "tablet"]);
  const token = await signIn("n-106");
  await embed({ token }, async (component) => {
    await button(component, "mine-sign-out-others").click();
    const dialog = component.getByRole("dialog");
    assert.ok((await dialog.getByRole("listitem").count()) >= 3, "it lists what will end");
    await dialog.getByText(word("mine-others-lead")).waitFor();
    await dialog.getByRole("button", { name: word("mine-sign-out-others") }).click();
    await component.getByText(word("mine-done-others")).waitFor();
    await component.getByText(word("mine-no-others")).waitFor();
    await eventually("the gateway refuses", async () => (await statusOf(other)) === 401);
    assert.equal(await statusOf(token), 200);
  });
});

test("whoever ends the session of the page is told so, and so is the application", async () => {
  const token = await signIn("n-108");
  await embed({ token }, async (component, page) => {
    await page.evaluate(() => addEventListener("portcullis-signed-out", () => (document.title = "Signed out")));
    await signOutButton(items(component).first()).click();
    await component.getByText(word("mine-confirm-current")).waitFor();
    await component.getByRole("dialog").getByRole("button", { name: word("mine-sign-out"), exact: true }).click();
    await component.getByText(word("mine-done-one")).waitFor();
    assert.equal(await page.title(), "Signed out");
    const link = component.getByRole("link", { name: word("frame-problem-sign-in-link") });
    assert.equal(await link.getAttribute("href"), `${APPLICATION}/sign-in`);
    await eventually("the gateway refuses", async () => (await statusOf(token)) === 401);
    assert.equal(await items(component).count(), 0);
  });
});

for (const locale of LOCALES) {
  test(`it speaks the language of the page: ${locale}`, async () => {
    const token = await signIn("n-102", ["phone"]);
    await embed({ token, lang: locale }, async (component, page) => {
      await component.getByRole("heading", { name: word("mine-title", locale) }).waitFor();
      await items(component).nth(1).waitFor();
      await component.getByText(word("mine-current", locale), { exact: true }).waitFor();
      assert.ok((await button(component, "mine-sign-out-others", locale).count()) === 1);
      const direction = await component.locator("section").evaluate((section) => getComputedStyle(section).direction);
      assert.equal(direction, locale === "ar" ? "rtl" : "ltr");
      await axe(page, `the component in ${locale}`);

      await button(component, "mine-sign-out-others", locale).click();
      await component.getByText(word("mine-others-lead", locale)).waitFor();
      await component.getByRole("button", { name: word("frame-cancel", locale) }).click();
      // Every word is there: a missing one would be shown as such.
      assert.ok(!(await component.locator("section").innerText()).includes("undefined"));
    });
  });
}

test("a language that it does not know is English", async () => {
  const token = await signIn("n-102");
  await embed({ token, lang: "fi-FI" }, async (component) => {
    await component.getByRole("heading", { name: word("mine-title") }).waitFor();
  });
});

test("it fits a small window, dark and with forced colours", async () => {
  const token = await signIn("n-101", ["phone", "laptop"]);
  for (const options of [{ width: 320 }, { dark: true }, { forcedColors: true }]) {
    await embed({ token, ...options }, async (component, page) => {
      await items(component).nth(1).waitFor();
      await fits(page, "the application's page");
      await axe(page, `the component with ${JSON.stringify(options)}`);
    });
  }
});

test("the keyboard is enough", async () => {
  const other = await signIn("n-103", ["phone"]);
  const token = await signIn("n-103");
  await embed({ token }, async (component, page) => {
    await items(component).nth(1).waitFor();
    const focused = () => component.evaluate((element) => element.shadowRoot.activeElement?.textContent);
    const second = signOutButton(items(component).nth(1));
    await second.focus();
    await page.keyboard.press("Enter");
    await component.getByRole("dialog").waitFor();
    // Nobody ends a session by pressing a key twice.
    assert.equal(await focused(), word("frame-cancel"));
    await page.keyboard.press("Escape");
    await component.getByRole("dialog").waitFor({ state: "detached" });
    assert.equal(await focused(), word("mine-sign-out"), "the focus is back");

    await page.keyboard.press("Enter");
    await page.keyboard.press("Shift+Tab");
    assert.equal(await focused(), word("mine-sign-out"));
    await page.keyboard.press("Enter");
    await component.getByText(word("mine-done-one")).waitFor();
    assert.match(await focused(), new RegExp(word("mine-done-one")), "the answer is read out");
    assert.equal(typeof other, "string");
  });
});

test("hostile names are texts", async () => {
  await embed({ token: HOSTILE_TOKEN }, async (component, page) => {
    const item = items(component).first();
    await item.waitFor();
    assert.ok((await item.innerText()).includes(HOSTILE), await item.innerText());
    await signOutButton(item).click();
    const dialog = component.getByRole("dialog");
    assert.ok((await dialog.innerText()).includes(HOSTILE));
    const made = await component.evaluate((element) => element.shadowRoot.querySelectorAll("img, script").length);
    assert.equal(made, 0);
    await axe(page, "hostile names");
  });
});

test("a token that is not good any more leads to the sign-in", async () => {
  await embed({ token: ENDED_TOKEN }, async (component, page) => {
    await component.getByText(word("mine-next-sign-in")).waitFor();
    const link = component.getByRole("link", { name: word("frame-problem-sign-in-link") });
    assert.equal(await link.getAttribute("href"), `${APPLICATION}/sign-in`);
    await axe(page, "a token that is not good");
  });
});

test("the application is asked for a fresh token once, and the list comes", async () => {
  const good = await signIn("n-102");
  const asked = [];
  const token = ({ fresh }) => {
    asked.push(fresh);
    return fresh ? good : ENDED_TOKEN;
  };
  await embed({ token }, async (component) => {
    await items(component).first().waitFor();
    assert.deepEqual(asked, [false, true]);
  });
});

test("an application that has no token, or an authority that does not answer, can be tried again", async () => {
  const good = await signIn("n-102");
  let isBroken = true;
  const token = () => {
    if (isBroken) throw new Error("no token today");
    return good;
  };
  await embed({ token }, async (component, page, visitor) => {
    await component.getByText(word("frame-problem-away")).waitFor();
    isBroken = false;
    await button(component, "frame-problem-again-link").click();
    await items(component).first().waitFor();

    visitor.allow(/ERR_INTERNET_DISCONNECTED/);
    await page.context().setOffline(true);
    await page.locator("portcullis-sessions").evaluate((element) => element.refresh());
    await component.getByText(word("frame-problem-away")).waitFor();
    await page.context().setOffline(false);
    await button(component, "frame-problem-again-link").click();
    await items(component).first().waitFor();
    assert.equal(await component.getByText(word("frame-problem-away")).count(), 0);
  });
});

test("the authority answers no page of an origin that it does not know", async () => {
  const token = await signIn("n-102");
  const visitor = await Visitor.open();
  visitor.allow(/a request to/);
  visitor.allow(/blocked by CORS policy/);
  visitor.allow(/ERR_FAILED|status of 403/);
  await visitor.page.exposeFunction("tokenOfUser", () => token);
  // The same page under another name of this machine is of another origin.
  await visitor.page.goto(APPLICATION.replace("127.0.0.1", "localhost"));
  const component = visitor.page.locator("portcullis-sessions");
  await component.getByText(word("frame-problem-away")).waitFor();
  assert.equal(await items(component).count(), 0);
  await visitor.close();
});

test("it comes from the console just as well, and takes the colours of the page", async () => {
  const token = await signIn("n-102");
  await embed({ token, query: "&from_console=true" }, async (component) => {
    const badge = component.getByText(word("mine-current"), { exact: true });
    await badge.waitFor();
    const colour = await badge.evaluate((element) => getComputedStyle(element).color);
    assert.equal(colour, "rgb(70, 20, 120)");
  });
});

test("the token is in no address and in no markup", async () => {
  const token = await signIn("n-102");
  const addresses = [];
  await embed({ token }, async (component, page) => {
    page.on("request", (request) => addresses.push(request.url()));
    await page.reload();
    await items(component).first().waitFor();
    const markup = await page.content();
    const shadow = await component.evaluate((element) => element.shadowRoot.innerHTML);
    for (const text of [...addresses, markup, shadow]) assert.ok(!text.includes(token));
    assert.ok(addresses.some((address) => address.endsWith("/ListSessions")));
  });
});
