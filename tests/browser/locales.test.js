// Every page in every language: its direction, its dates, and no word of another language.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ADMINISTRATOR, Cast, PAGES } from "./lib/pages.js";
import { axe, fits, valid } from "./lib/judge.js";
import { visit } from "./lib/visitor.js";
import { LOCALES, word } from "./lib/words.js";

const TAGS = { en: "en-GB", es: "es-ES", et: "et-EE", ar: "ar-AE" };

for (const locale of LOCALES) {
  test(`the pages speak ${locale}`, async () => {
    const cast = new Cast({ locale: TAGS[locale], width: 320 });
    for (const described of PAGES) {
      const visitor = await cast.open(described);
      const { page } = visitor;
      const root = page.locator("html");
      assert.equal((await root.getAttribute("lang")).split("-")[0], locale, described.name);
      assert.equal((await root.getAttribute("dir")) ?? "ltr", locale === "ar" ? "rtl" : "ltr", described.name);
      // Fluent shows a word that is missing by its name.
      const text = await page.locator("body").innerText();
      assert.doesNotMatch(text, /\b(frame|mine|team|settings|api|audit|gates)-[a-z-]+\b(?!\.)/, described.name);
      await fits(page, `${described.name} in ${locale}`);
      await axe(page, `${described.name} in ${locale}`, { colours: false });
      await valid(visitor, `${described.name} in ${locale}`);
    }
    const visitor = await cast.of({});
    await visitor.goto("/");
    await visitor.page.getByRole("heading", { name: word("mine-title", locale), exact: true }).waitFor();
    await visitor.page.getByRole("button", { name: word("frame-apply", locale), exact: true }).waitFor();
    await cast.close();
  });
}

test("times are of the reader's language and zone", async () => {
  const titles = [];
  for (const locale of LOCALES) {
    await visit({ locale: TAGS[locale] }, async (visitor) => {
      await visitor.signIn(ADMINISTRATOR);
      // The first page tells the browser's zone, the second one shows it.
      await visitor.goto("/");
      await visitor.goto("/");
      const time = visitor.page.locator("main time[datetime]").first();
      titles.push(await time.getAttribute("title"));
      assert.match(await time.getAttribute("datetime"), /^\d{4}-\d{2}-\d{2}T[\d:.]+Z?/);
    });
  }
  assert.equal(new Set(titles).size, LOCALES.length, `languages share a date: ${titles}`);
});
