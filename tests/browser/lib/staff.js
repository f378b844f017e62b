// The settings, as an administrator changes them.

import { REASON } from "./team.js";
import { word } from "./words.js";

/** The form of the settings. */
export function settingsForm(page) {
  return page.locator('main form[action="/settings/check"].stack');
}

/** Looks at what a change of the settings would do. */
export async function look(visitor) {
  await settingsForm(visitor.page).locator('button[type="submit"]').click();
  await visitor.page.getByRole("heading", { level: 1, name: word("settings-confirm-title"), exact: true }).waitFor();
}

/** Saves what was looked at. */
export async function save(visitor) {
  const { page } = visitor;
  await page.getByLabel(word("settings-reason"), { exact: true }).fill(REASON);
  await page.getByRole("button", { name: word("settings-save"), exact: true }).click();
  await page.getByText(word("settings-saved"), { exact: true }).waitFor();
}

/** What a page says about two versions: the name of each setting with its two values. */
export async function differences(page) {
  const rows = page.locator("table").first().locator("tbody tr");
  const cells = await rows.evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.innerText.trim())));
  return new Map(cells.map(([name, ...values]) => [name, values]));
}
