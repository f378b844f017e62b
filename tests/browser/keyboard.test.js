// The keyboard alone: everything is reached, the focus is seen, and a session is ended without a mouse.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ADMINISTRATOR, PAGES, open } from "./lib/pages.js";
import { session } from "./lib/mine.js";
import { eventually } from "./lib/wait.js";
import { visit } from "./lib/visitor.js";

/** The most presses of Tab on a page: more than any page has stops. */
const STOPS_MAX = 400;

/** Presses Tab through the page. Returns the stops, each as the element's own words. */
async function tabThrough(page) {
  const stops = [];
  for (let press = 0; press < STOPS_MAX; press += 1) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return null;
      const style = getComputedStyle(element);
      const box = element.getBoundingClientRect();
      return {
        index: [...document.querySelectorAll("*")].indexOf(element),
        html: element.outerHTML.slice(0, 160),
        isSeen: style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) >= 2 && box.width > 0,
      };
    });
    if (!stop || stops.some((earlier) => earlier.index === stop.index)) return stops;
    stops.push(stop);
  }
  return assert.fail("the focus never comes back");
}

test("Tab reaches every control of every page, and the focus is seen", async () => {
  await visit({}, async (visitor) => {
    await visitor.signIn(ADMINISTRATOR, ["phone"]);
    for (const page of PAGES) {
      await open(visitor, page);
      const stops = await tabThrough(visitor.page);
      const unseen = stops.filter((stop) => !stop.isSeen).map((stop) => stop.html);
      assert.deepEqual(unseen, [], `${page.name}: the focus is not seen`);
      const missed = await visitor.page.evaluate((reached) => {
        const all = [...document.querySelectorAll("*")];
        const controls = document.querySelectorAll("a[href], button, input, select, textarea, summary");
        return [...controls]
          .filter((control) => control.checkVisibility({ visibilityProperty: true }) && !control.disabled)
          .filter((control) => control.type !== "hidden" && control.tabIndex >= 0)
          // Arrow keys go through the buttons of one question.
          .filter((control) => control.type !== "radio" || control.checked)
          .filter((control) => !reached.includes(all.indexOf(control)))
          .map((control) => control.outerHTML.slice(0, 160));
      }, stops.map((stop) => stop.index));
      assert.deepEqual(missed, [], `${page.name}: Tab does not reach them`);
    }
  });
});

test("the first stop leads past the navigation to the content", async () => {
  await visit({}, async (visitor) => {
    const { page } = visitor;
    await visitor.signIn(ADMINISTRATOR);
    for (const described of PAGES) {
      await open(visitor, described);
      await page.keyboard.press("Tab");
      await page.keyboard.press("Enter");
      await page.keyboard.press("Tab");
      const isInside = await page.evaluate(() => document.querySelector("main").contains(document.activeElement));
      assert.ok(isInside, `${described.name}: the first link does not lead into the content`);
    }
  });
});

/** Presses Tab until the focus is on an element that matches. */
async function tabTo(page, selector) {
  await eventually(`the focus is on ${selector}`, async () => {
    await page.keyboard.press("Tab");
    return page.evaluate((wanted) => document.activeElement?.matches(wanted) ?? false, selector);
  });
}

test("a session is signed out with the keyboard alone", async () => {
  for (const script of [true, false]) {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn("n-102", ["phone"]);
      await visitor.goto("/");
      const link = session(page, /iPhone/).locator('a[href$="/sign-out"]');
      const address = await link.getAttribute("href");
      await tabTo(page, `a[href="${address}"]`);
      await page.keyboard.press("Enter");
      await page.waitForURL(`**${address}`);
      await tabTo(page, "main button[type=submit]");
      await page.keyboard.press("Enter");
      await page.getByRole("status").first().waitFor();
    });
  }
});
