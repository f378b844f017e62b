// The keyboard alone: everything is reached, the focus is seen, and every room is used without a mouse.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { tabTo, type } from "./lib/keyboard.js";
import { session } from "./lib/mine.js";
import { ADMINISTRATOR, Cast, OTHER_ADMINISTRATOR, PAGES } from "./lib/pages.js";
import { visit } from "./lib/visitor.js";
import { word } from "./lib/words.js";

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
    // A field of a date has several stops.
    if (stop && stops.at(-1)?.index === stop.index) continue;
    if (!stop || stops.some((earlier) => earlier.index === stop.index)) return stops;
    stops.push(stop);
  }
  return assert.fail("the focus never comes back");
}

const cast = new Cast();
after(() => cast.close());

for (const described of PAGES) {
  test(`Tab reaches every control of ${described.name}, and the focus is seen`, async () => {
    const { page } = await cast.open(described);
    const stops = await tabThrough(page);
    const unseen = stops.filter((stop) => !stop.isSeen).map((stop) => stop.html);
    assert.deepEqual(unseen, [], "the focus is not seen");
    const missed = await page.evaluate(findMissed, stops.map((stop) => stop.index));
    assert.deepEqual(missed, [], "Tab does not reach them");
    await leadsPastNavigation(page);
  });
}

/** Runs in the browser: the controls that are not among the elements with these numbers. */
function findMissed(reached) {
  const all = [...document.querySelectorAll("*")];
  const controls = document.querySelectorAll("a[href], button, input, select, textarea, summary");
  return [...controls]
    .filter((control) => control.checkVisibility({ visibilityProperty: true }) && !control.disabled)
    .filter((control) => control.type !== "hidden" && control.tabIndex >= 0)
    // Arrow keys go through the buttons of one question.
    .filter((control) => control.type !== "radio" || control.checked)
    .filter((control) => !reached.includes(all.indexOf(control)))
    .map((control) => control.outerHTML.slice(0, 160));
}

/** Fails unless the first stop of the page leads past its navigation. */
async function leadsPastNavigation(page) {
  const isFirst = await page.evaluate(() => document.querySelector("a[href], button, input").matches("a.skip"));
  assert.ok(isFirst, "the first stop is not the link past the navigation");
  await page.locator("a.skip").focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  const isInside = await page.evaluate(() => document.querySelector("main").contains(document.activeElement));
  const stops = page.locator("main").locator('a[href], button, input:not([type="hidden"]), select, textarea, [tabindex="0"]');
  assert.ok(isInside || (await stops.count()) === 0, "the first link does not lead into the content");
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

for (const script of [true, false]) {
  const how = script ? "with scripts" : "without scripts";

  test(`a user is found and signed out with the keyboard alone, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/team");
      await type(page, '[name="person_name"]', "samir");
      await page.keyboard.press("Enter");
      await page.waitForURL("**/team?q=**");
      await tabTo(page, 'tbody input[value="n-109"]');
      await page.keyboard.press("Space");
      await tabTo(page, 'button[form="selected"]:not([name])');
      await page.keyboard.press("Enter");
      await page.locator("#field-reason").waitFor();
      await type(page, "#field-reason", "seen in a test");
      await type(page, "#field-user_message", "Please sign in again.");
      await tabTo(page, "main button.danger");
      await page.keyboard.press("Enter");
      await page.waitForURL("**/team/done**");
      await page.getByRole("status").first().waitFor();
    });
    // The next round finds the pupil among those who are signed in.
    await visit({}, async (visitor) => visitor.signIn("n-109"));
  });

  test(`settings are changed with the keyboard alone, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(OTHER_ADMINISTRATOR);
      await visitor.goto("/settings");
      await tabTo(page, '[name="idle"]:checked');
      await page.keyboard.press("ArrowUp");
      await type(page, '[name="sessions_max"]', script ? "31" : "32");
      await page.keyboard.press("Enter");
      await page.locator('form[action="/settings/save"]').waitFor();
      await type(page, "#reason", "seen in a test");
      await page.keyboard.press("Enter");
      await page.waitForURL("**/settings?done=**");
    });
  });

  test(`a key is made and revoked with the keyboard alone, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/api-sessions/new");
      await type(page, "#owner", "n-102");
      await type(page, "#name", "By keyboard");
      await tabTo(page, '[name="expires"]');
      await page.keyboard.press("Space");
      await tabTo(page, "main button[type=submit]");
      await page.keyboard.press("Enter");
      await page.locator("#secret").waitFor();
      await tabTo(page, "main .actions a");
      await page.keyboard.press("Enter");
      await page.waitForURL("**/api-sessions/key_*");
      await tabTo(page, 'main a[href$="/revoke"]');
      await page.keyboard.press("Enter");
      await page.waitForURL("**/revoke");
      await type(page, "#reason", "seen in a test");
      await page.keyboard.press("Enter");
      await page.waitForURL(/\/api-sessions\/key_[^/]*done=/);
    });
  });

  test(`the trail is searched and verified with the keyboard alone, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/audit");
      await type(page, '[name="user"]', "n-109");
      await page.keyboard.press("Enter");
      await page.waitForURL("**/audit?**user=n-109**");
      await tabTo(page, 'form[action="/audit/verify"] button');
      await page.keyboard.press("Enter");
      await page.waitForURL("**/audit/verify");
      await page.getByRole("status").waitFor();
    });
  });

  test(`the whole team is signed out with the keyboard alone, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(OTHER_ADMINISTRATOR);
      await visitor.goto("/team/sign-out");
      await type(page, "#field-confirmation", "harbour-freight");
      await type(page, "#field-reason", "seen in a test");
      await page.keyboard.press("Enter");
      await page.getByText(word("team-done-own"), { exact: true }).waitFor();
    });
  });
}
