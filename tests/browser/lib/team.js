// The rooms of administrators, as one of them goes through them.

import assert from "node:assert/strict";
import { word } from "./words.js";

/** A reason, for the audit log. */
export const REASON = "seen in a test";

/** Fills the fields of a search and sends it. A field that is a choice takes the words of the choice. */
export async function search(visitor, fields) {
  const { page } = visitor;
  const form = page.locator('form[role="search"]');
  for (const [name, value] of Object.entries(fields)) {
    const field = form.locator(`[name="${name}"]`);
    const isChoice = await field.evaluate((element) => element.matches("select"));
    if (isChoice) await field.selectOption({ label: value });
    else await field.fill(value);
  }
  await visitor.press(form.getByRole("button"), /\?q=/);
}

/** Fails if a search can be read in the address of its list. A short value stands in random text by chance. */
export function assertSealed(page, fields) {
  const address = new URL(page.url());
  const query = address.searchParams.get("q");
  const readable = decodeURIComponent(address.href) + Buffer.from(query, "base64url").toString();
  for (const value of Object.values(fields)) {
    if (value.length >= 6) assert.ok(!readable.includes(value), `${value}: ${address.href}`);
  }
}

/** The texts of a column, by its heading. */
export async function column(page, heading) {
  const headings = await page.locator("thead th").allInnerTexts();
  const place = headings.findIndex((text) => text.trim() === heading);
  if (place < 0) throw new Error(`no column ${heading} in ${headings}`);
  const rows = page.locator("tbody tr", { has: page.locator("th") });
  // A mark beside a name is no part of it.
  return rows.evaluateAll((all, nth) => all.map((row) => (row.children[nth].querySelector("bdi, a") ?? row.children[nth]).innerText.trim()), place);
}

/** Sorts a list by a column. */
export async function sortBy(visitor, heading) {
  const head = visitor.page.getByRole("columnheader", { name: heading, exact: true });
  await head.getByRole("link").click();
  await visitor.page.locator(`th[aria-sort]:not([aria-sort="none"])`, { hasText: heading }).waitFor();
}

/** Answers the question of a page that ends something. */
export async function confirm(visitor, message = "") {
  const { page } = visitor;
  await page.getByLabel(word("team-reason"), { exact: true }).fill(REASON);
  if (message) await page.getByLabel(word("team-message"), { exact: true }).fill(message);
  await page.locator('main form button[type="submit"]').last().click();
  await page.locator(".done").waitFor();
}
