// The words of the pages, from the files that the console itself reads: a test names a word and not its spelling.

import { readdirSync, readFileSync } from "node:fs";

const FILES = new URL("../../../crates/console/words/", import.meta.url);

/** The locales of the console. */
export const LOCALES = ["en", "es", "et", "ar"];

function load(locale) {
  const directory = new URL(`${locale}/`, FILES);
  const words = new Map();
  for (const name of readdirSync(directory)) {
    const text = readFileSync(new URL(name, directory), "utf8");
    // Only words of one line without a variable: the others are sentences, which tests find by their place.
    for (const [, id, word] of text.matchAll(/^([a-z][\w-]*) = ([^{\n]+)$/gm)) words.set(id, word.trim());
  }
  return words;
}

const loaded = new Map();

/** A word in a language. Fails if there is none. */
export function word(id, locale = "en") {
  if (!loaded.has(locale)) loaded.set(locale, load(locale));
  const found = loaded.get(locale).get(id);
  if (found === undefined) throw new Error(`${locale} has no word ${id}`);
  return found;
}
