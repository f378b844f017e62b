// Every page for everybody: assistive technology, small windows, forced colours, no motion, both schemes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { axe, fits, valid } from "./lib/judge.js";
import { ADMINISTRATOR, PAGES, open } from "./lib/pages.js";
import { visit } from "./lib/visitor.js";

for (const dark of [false, true]) {
  test(`axe has no finding in ${dark ? "dark" : "light"}`, async () => {
    await visit({ dark }, async (visitor) => {
      await visitor.signIn(ADMINISTRATOR, ["phone"]);
      for (const page of PAGES) {
        await open(visitor, page);
        await axe(visitor.page, page.name);
      }
    });
  });
}

test("html-validate has no finding", async () => {
  await visit({}, async (visitor) => {
    await visitor.signIn(ADMINISTRATOR, ["phone"]);
    for (const page of PAGES) await valid(visitor, await open(visitor, page));
  });
});

test("no page is wider than a window of 320 pixels", async () => {
  await visit({ width: 320 }, async (visitor) => {
    await visitor.signIn(ADMINISTRATOR, ["phone"]);
    for (const page of PAGES) {
      await open(visitor, page);
      await fits(visitor.page, page.name);
    }
  });
});

test("with forced colours every button has a border and every state a text", async () => {
  await visit({ forcedColors: true }, async (visitor) => {
    await visitor.signIn(ADMINISTRATOR, ["phone"]);
    for (const page of PAGES) {
      await open(visitor, page);
      const bare = await visitor.page.evaluate(() => {
        const shown = (element) => element.getClientRects().length > 0;
        const buttons = [...document.querySelectorAll("button, .button")].filter(shown);
        const without = buttons.filter((button) => getComputedStyle(button).borderTopStyle === "none");
        const states = [...document.querySelectorAll(".state, .mark, .finding, .badge")].filter(shown);
        return [...without, ...states.filter((state) => !state.textContent.trim())].map((element) => element.outerHTML);
      });
      assert.deepEqual(bare, [], page.name);
    }
  });
});

test("with reduced motion nothing moves", async () => {
  await visit({ reducedMotion: true }, async (visitor) => {
    await visitor.signIn(ADMINISTRATOR, ["phone"]);
    for (const page of PAGES) {
      await open(visitor, page);
      const moving = await visitor.page.evaluate(() => {
        const styles = [...document.querySelectorAll("*")].map((element) => [element, getComputedStyle(element)]);
        const takesTime = (times) => times.split(",").some((time) => Number.parseFloat(time) > 0.01);
        const moves = ([, style]) => takesTime(style.transitionDuration) || takesTime(style.animationDuration);
        return styles.filter(moves).map(([element]) => element.outerHTML.slice(0, 200));
      });
      assert.deepEqual(moving, [], page.name);
    }
  });
});

test("without scripts every page has the same headings, buttons and links", async () => {
  const seen = [];
  for (const script of [true, false]) {
    await visit({ script }, async (visitor) => {
      await visitor.signIn("h-200", []);
      const parts = {};
      for (const { name, path, link } of PAGES) {
        if (link) continue;
        await visitor.goto(path.replace("n-105", "h-206"));
        const page = visitor.page;
        const texts = async (selector) => (await page.locator(selector).allTextContents()).map((text) => text.trim().replaceAll(/\d+/g, "N"));
        parts[name] = {
          headings: await texts("main h1, main h2"),
          buttons: await texts("main button"),
        };
      }
      seen.push(parts);
    });
  }
  assert.deepEqual(seen[1], seen[0]);
});
