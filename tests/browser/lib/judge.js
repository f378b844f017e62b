// Two judges of a page: axe for people with assistive technology, html-validate for the text of the answer.

import assert from "node:assert/strict";
import { AxeBuilder, HtmlValidate } from "./packages.js";

const AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

const html = new HtmlValidate({
  root: true,
  extends: ["html-validate:recommended", "html-validate:document", "html-validate:a11y"],
  rules: {
    // A template leaves spaces at the ends of lines, which no reader sees.
    "no-trailing-whitespace": "off",
    // Either case is HTML.
    "doctype-style": "off",
    // All files are of the page's own origin: the content security policy allows no other.
    "require-sri": "off",
    // A table that scrolls is a region with a focus of its own, by the advice of axe.
    "prefer-native-element": ["error", { exclude: ["region"] }],
    // Checkboxes of one group share a name, and so do the hidden fields that repeat them: the rule cannot be told of those.
    "form-dup-name": "off",
    // It is a limit of search engines, which these pages never meet, and a person's name may be long.
    "long-title": "off",
    // Both spellings of void elements are HTML.
    "void-style": "off",
  },
});

/** Waits until no colour is on its way to another. A scheme that changes starts transitions, which take longer under load. */
async function settle(page) {
  await page.evaluate(() => Promise.allSettled(document.getAnimations().map((animation) => animation.finished)));
}

/** Fails with every finding of axe about the page. Colours need not be looked at in every language. */
export async function axe(page, what, { colours = true } = {}) {
  await settle(page);
  const builder = new AxeBuilder({ page }).withTags(AXE_TAGS);
  const { violations } = await (colours ? builder : builder.disableRules(["color-contrast"])).analyze();
  const findings = violations.flatMap((violation) =>
    violation.nodes.map((node) => `${violation.id}: ${node.html} (${node.failureSummary})`),
  );
  assert.deepEqual(findings, [], `axe about ${what}`);
}

/** Fails with every finding of html-validate about the page, as the server sent it. */
export async function valid(visitor, what) {
  await validText(await visitor.document.text(), what);
}

/** Fails with every finding of html-validate about a text. */
export async function validText(text, what) {
  const report = await html.validateString(text);
  const findings = report.results.flatMap((result) =>
    result.messages.map((message) => `${message.line}:${message.column} ${message.ruleId}: ${message.message}`),
  );
  assert.deepEqual(findings, [], `html-validate about ${what}`);
}

/** Both judges about the page of a visitor. */
export async function judge(visitor, what) {
  await axe(visitor.page, what);
  await valid(visitor, what);
}

/** Fails if the page is wider than the window. */
export async function fits(page, what) {
  const [content, window] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ]);
  assert.ok(content <= window, `${what} is ${content} pixels wide in a window of ${window}`);
}
