// The pages of a person's own sessions, as a person goes through them.

import { word } from "./words.js";

/** The entry of a device in the list of sessions. */
export function session(page, device) {
  return page.locator("ul.sessions > li", { hasText: device }).first();
}

/** Signs a device out: the link in the list, then the button of the confirmation. */
export async function signOut(page, device) {
  await session(page, device).locator(".session-action a").click();
  await page.getByRole("heading", { level: 1, name: word("mine-confirm-title") }).waitFor();
  await page.getByRole("button", { name: word("mine-sign-out"), exact: true }).click();
  await page.locator(".done").first().waitFor();
}
