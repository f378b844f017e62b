// Every page for everybody: assistive technology, small windows, forced colours, no motion, both schemes; and what a first
// visit costs.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { axe, fits, judge, valid, validText } from "./lib/judge.js";
import { ADMINISTRATOR, Cast, PAGES } from "./lib/pages.js";
import { Visitor, visit } from "./lib/visitor.js";

/** The most bytes of a first visit, as they cross the network. */
const FIRST_VISIT_BYTES_MAX = 60_000;

const WIDE = { width: 1024, height: 768 };
const NARROW = { width: 320, height: 640 };

const cast = new Cast();
after(() => cast.close());

for (const described of PAGES) {
  test(`${described.name} is for everybody`, async () => {
    const visitor = await cast.open(described);
    const { page } = visitor;
    await judge(visitor, `${described.name} in light`);

    await page.emulateMedia({ colorScheme: "dark" });
    await axe(page, `${described.name} in dark`);
    await page.emulateMedia({ colorScheme: "light", forcedColors: "active" });
    assert.deepEqual(await page.evaluate(findBare), [], "with forced colours every button has a border and every state a text");
    await page.emulateMedia({ forcedColors: "none", reducedMotion: "reduce" });
    assert.deepEqual(await page.evaluate(findMoving), [], "with reduced motion nothing moves");
    await page.emulateMedia({ reducedMotion: "no-preference" });

    await page.setViewportSize(NARROW);
    await fits(page, described.name);
    await page.setViewportSize(WIDE);
  });
}

// The next two run in the browser.

function findBare() {
  const shown = (element) => element.getClientRects().length > 0;
  const buttons = [...document.querySelectorAll("button, .button")].filter(shown);
  const without = buttons.filter((button) => getComputedStyle(button).borderTopStyle === "none");
  const states = [...document.querySelectorAll(".state, .mark, .finding, .badge")].filter(shown);
  return [...without, ...states.filter((state) => !state.textContent.trim())].map((element) => element.outerHTML);
}

function findMoving() {
  const styles = [...document.querySelectorAll("*")].map((element) => [element, getComputedStyle(element)]);
  const takesTime = (times) => times.split(",").some((time) => Number.parseFloat(time) > 0.01);
  const moves = ([, style]) => takesTime(style.transitionDuration) || takesTime(style.animationDuration);
  return styles.filter(moves).map(([element]) => element.outerHTML.slice(0, 200));
}

test("a first visit transfers at most 60 kB, with all files and headers", async () => {
  for (const path of ["/", "/team", "/settings"]) {
    const visitor = await Visitor.open();
    // Not on the laptop in Sydney, which would make the next sign-in at home an impossible journey.
    await visitor.signIn(ADMINISTRATOR, ["phone", "tablet"]);
    const devtools = await visitor.context.newCDPSession(visitor.page);
    await devtools.send("Network.enable");
    let bytes = 0;
    let files = 0;
    devtools.on("Network.loadingFinished", ({ encodedDataLength }) => {
      bytes += encodedDataLength;
      files += 1;
    });
    await visitor.page.goto(path, { waitUntil: "networkidle" });
    // The page, the style and three scripts at least; a browser may leave the icon for later.
    assert.ok(files >= 5, `${path}: only ${files} files were counted`);
    assert.ok(bytes <= FIRST_VISIT_BYTES_MAX, `a first visit of ${path} transfers ${bytes} bytes`);
    console.log(`a first visit of ${path}: ${bytes} bytes in ${files} files`);
    await visitor.close();
  }
});

test("without scripts every page has the same headings, buttons and fields", async () => {
  const seen = [];
  for (const script of [true, false]) {
    const others = new Cast({ script });
    const parts = {};
    for (const described of PAGES) {
      const { page } = await others.open(described);
      const texts = async (selector) => {
        const all = await page.locator(selector).allTextContents();
        return all.map((text) => text.trim().replaceAll(/\d+/g, "N"));
      };
      const names = (fields) => [...new Set(fields.map((field) => field.name))];
      parts[described.name] = {
        headings: await texts("main h1, main h2"),
        buttons: await texts("main button, main .actions .button, main .row .button"),
        fields: await page.locator("main input, main select, main textarea").evaluateAll(names),
      };
    }
    seen.push(parts);
    await others.close();
  }
  assert.deepEqual(seen[1], seen[0]);
});

test("the judges find what they are there for", async () => {
  const visitor = await Visitor.open();
  const { page } = visitor;
  await visitor.signIn(ADMINISTRATOR);
  await visitor.goto("/audit");
  await page.locator('input[name="user"]').evaluate((field) => field.parentElement.replaceWith(field));
  await assert.rejects(axe(page, "a field without a label"), /label/);
  await page.locator("main h1").evaluate((heading) => (heading.style.minInlineSize = "200vw"));
  await assert.rejects(fits(page, "a page that is too wide"), /pixels wide/);
  const text = await visitor.document.text();
  await validText(text, "the page itself");
  await assert.rejects(validText(text.replace("<h1>", '<h1 style="color: red">'), "an inline style"), /no-inline-style/);
  await assert.rejects(validText(text.replace("</main>", ""), "an element that is not closed"), /close-order/);
  await valid(visitor, "the page itself");

  // The browser complains about what the content security policy forbids.
  assert.deepEqual(visitor.complaints, []);
  await page.evaluate(() => {
    const script = document.createElement("div");
    script.setAttribute("style", "color: red");
    document.body.append(script);
  });
  await page.evaluate(() => fetch("https://elsewhere.example/").catch(() => {}));
  assert.ok(
    visitor.complaints.some((text) => /Content Security Policy/.test(text)),
    `no complaint in ${JSON.stringify(visitor.complaints)}`,
  );
  await visitor.context.close();
});

test("no page has anything from elsewhere, and each forbids it", async () => {
  await visit({}, async (visitor) => {
    await visitor.signIn(ADMINISTRATOR);
    for (const described of PAGES.filter(({ person }) => !person)) {
      if (described.name === "signed-out") continue;
      await described.open(visitor);
      const policy = (await visitor.document.allHeaders())["content-security-policy"];
      assert.match(policy, /^default-src 'none'; script-src 'self' 'nonce-[\w-]+';/, described.name);
      assert.match(policy, /require-trusted-types-for 'script'/, described.name);
      assert.doesNotMatch(policy, /unsafe|\*|https?:\/\/(?!127\.0\.0\.1|localhost)/, described.name);
      const inline = await visitor.page.evaluate(
        () => document.querySelectorAll("[style], style, script:not([src]), [onclick], [onload], [onerror]").length,
      );
      assert.equal(inline, 0, `${described.name} has inline styles or scripts`);
    }
  });
});
