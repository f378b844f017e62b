// Pictures of every page in every language. `cargo xtask screenshots` makes them anew.

import { statSync } from "node:fs";
import { join } from "node:path";
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ADMINISTRATOR, PAGES, open } from "./lib/pages.js";
import { Darkroom } from "./lib/pictures.js";
import { visit } from "./lib/visitor.js";
import { LOCALES } from "./lib/words.js";

const TAGS = { en: "en-GB", es: "es-ES", et: "et-EE", ar: "ar-AE" };

/** The largest picture, in bytes. */
const BYTES_MAX = 60_000;

let darkroom;
before(async () => (darkroom = await Darkroom.open()));
after(async () => darkroom.close());

async function keep(page, name) {
  await darkroom.keep(page, name);
  const { size } = statSync(join(process.env.IMAGES, name));
  assert.ok(size <= BYTES_MAX, `${name} has ${size} bytes`);
}

for (const locale of LOCALES) {
  test(`every page in ${locale}`, async () => {
    await visit({ locale: TAGS[locale], width: 900 }, async (visitor) => {
      await visitor.signIn(ADMINISTRATOR, ["phone"]);
      for (const page of PAGES) {
        await open(visitor, page);
        await keep(visitor.page, `console/${locale}/${page.name}.webp`);
      }
    });
  });
}
