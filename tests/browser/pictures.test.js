// Pictures of every page in every language. `cargo xtask screenshots` makes them anew.

import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Cast, PAGES } from "./lib/pages.js";
import { Darkroom } from "./lib/pictures.js";
import { LOCALES } from "./lib/words.js";

const TAGS = { en: "en-GB", es: "es-ES", et: "et-EE", ar: "ar-AE" };

/** The largest picture, in bytes. */
const BYTES_MAX = 60_000;

/** Pages that look like another one that has a picture. */
const WITHOUT_PICTURE = new Set([
  "signed-in",
  "team-session",
  "team-session-sign-out",
  "force-sign-out-ids",
  "disable",
  "enable-not",
  "search-gone",
  "team-read-only",
  "settings-read-only",
  "api-session-revoke",
  "audit-own",
  "gates-denied",
  "denied",
]);

let darkroom;
before(async () => (darkroom = await Darkroom.open()));
after(async () => darkroom.close());

async function keep(page, name, changing) {
  await darkroom.keep(page, name, changing);
  const { size } = statSync(join(process.env.IMAGES, name));
  assert.ok(size <= BYTES_MAX, `${name} has ${size} bytes`);
}

for (const locale of LOCALES) {
  test(`every page in ${locale}`, async () => {
    const cast = new Cast({ locale: TAGS[locale], width: 900 });
    for (const described of PAGES.filter(({ name }) => !WITHOUT_PICTURE.has(name))) {
      const { page } = await cast.open(described);
      await keep(page, `console/${locale}/${described.name}.webp`, described.changing);
    }
    await cast.close();
  });
}

test("every picture that there is belongs to a page", () => {
  const pictures = new Set(PAGES.map(({ name }) => `${name}.webp`));
  for (const locale of LOCALES) {
    const kept = readdirSync(join(process.env.IMAGES, "console", locale));
    const expected = [...pictures].filter((name) => !WITHOUT_PICTURE.has(name.replace(".webp", "")));
    assert.deepEqual(kept.sort(), expected.sort(), locale);
  }
});
