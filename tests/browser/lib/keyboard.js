// A person without a mouse.

import { eventually } from "./wait.js";

/** Presses Tab until the focus is on an element that matches. */
export async function tabTo(page, selector) {
  await eventually(`the focus is on ${selector}`, async () => {
    await page.keyboard.press("Tab");
    return page.evaluate((wanted) => document.activeElement?.matches(wanted) ?? false, selector);
  });
}

/** Goes to a field by Tab, and types a text in place of what is there. */
export async function type(page, selector, text) {
  await tabTo(page, selector);
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type(text);
}
