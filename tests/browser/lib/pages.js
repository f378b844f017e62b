// The pages of the console, and the way of a person to each.

import { Visitor } from "./visitor.js";
import { word } from "./words.js";

/** The administrator of the school, whose administrators also operate the installation. */
export const ADMINISTRATOR = "n-100";
/** A person of the school's help desk, who may look and change nothing. */
export const SUPPORT = "n-101";
/** A teacher without a role. */
export const TEACHER = "n-102";
/** The administrator of the company, who does not operate the installation. */
export const OTHER_ADMINISTRATOR = "h-200";

const at = (path, status) => (visitor) => visitor.goto(path, status);

/** Opens a page, and there the first link that matches. */
const through = (path, link) => async (visitor) => {
  await visitor.goto(path);
  await visitor.goto(await visitor.page.locator(link).first().getAttribute("href"));
};

/** Opens a page, sends a form of it, and waits for what the answer has. */
const sending = (path, fill, button, shown, status = 200) => async (visitor) => {
  const { page } = visitor;
  if (status >= 400) visitor.allow(new RegExp(`status of ${status}`));
  await visitor.goto(path);
  await fill(page);
  await page.locator(button).first().click();
  await page.locator(shown).first().waitFor();
};

const fillSessionsMax = (page) => page.locator('[name="sessions_max"]').fill("37");

/** A form of settings that somebody else has changed meanwhile: its version is another one. */
async function fillOldSettings(page) {
  await fillSessionsMax(page);
  await page.locator('main form.stack [name="etag"]').evaluate((field) => (field.value = "an-older-version"));
}

async function tickTwo(page) {
  for (const id of ["n-104", "n-105"]) await page.locator(`input[name="user"][value="${id}"]`).check();
}

/**
 * Every page: its name, the way to it, and the person who goes there. The addresses that only follow a change are not
 * here: the scripts of their rooms look at them.
 */
export const PAGES = [
  { name: "sessions", open: at("/") },
  { name: "session", open: through("/", 'main a[href^="/sessions/"]') },
  { name: "sign-out", open: through("/", 'main a[href^="/sessions/"][href$="/sign-out"]') },
  { name: "sign-out-others", open: at("/sign-out-others") },
  { name: "sign-out-everywhere", open: at("/sign-out-everywhere") },
  { name: "ended", open: at("/ended") },
  { name: "signed-in", open: at("/signed-out") },
  { name: "team-users", open: at("/team") },
  { name: "team-user", open: at("/team/users/n-105") },
  { name: "team-sessions", open: at("/team/sessions") },
  { name: "team-session", open: through("/team/users/n-105", 'tbody th a[href^="/sessions/"]') },
  { name: "team-session-sign-out", open: endTeamSession },
  { name: "team-end-sessions", open: sending("/team/users/n-105", tickFirst, 'main button[form="selected"]', "#field-reason") },
  { name: "force-sign-out", open: at("/team/users/n-105/force-sign-out") },
  { name: "force-sign-out-ids", open: at("/team/force-sign-out") },
  { name: "force-sign-out-two", open: sending("/team", tickTwo, 'main button[form="selected"]', "#field-reason") },
  { name: "disable", open: at("/team/users/n-105/disable") },
  { name: "enable", open: at("/team/users/h-209/enable"), person: OTHER_ADMINISTRATOR },
  { name: "enable-not", open: at("/team/users/n-105/enable") },
  { name: "team-sign-out", open: at("/team/sign-out") },
  { name: "search-gone", open: at("/team?q=AAAA", 410) },
  { name: "team-read-only", open: at("/team"), person: SUPPORT },
  { name: "settings", open: at("/settings") },
  { name: "settings-check", open: sending("/settings", fillSessionsMax, 'form.stack button[type="submit"]', 'form[action="/settings/save"]') },
  { name: "settings-conflict", open: sending("/settings", fillOldSettings, 'form.stack button[type="submit"]', '[role="alert"]', 409) },
  { name: "settings-read-only", open: at("/settings"), person: SUPPORT },
  { name: "api-sessions", open: at("/api-sessions"), changing: "tbody td" },
  { name: "api-session", open: through("/api-sessions", 'main a[href^="/api-sessions/key_"]'), changing: "dd, main section" },
  { name: "api-session-new", open: at("/api-sessions/new") },
  { name: "api-session-revoke", open: revokeKey },
  { name: "audit", open: at("/audit"), changing: "tbody th, tbody td:last-child" },
  { name: "audit-own", open: at("/audit"), person: TEACHER },
  { name: "audit-verified", changing: '[role="status"]', open: sending("/audit", () => {}, 'form[action="/audit/verify"] button', '[role="status"]') },
  { name: "gates", open: at("/gates"), changing: "main .muted, tbody td, tbody th, main section" },
  { name: "gates-denied", open: at("/gates", 403), person: OTHER_ADMINISTRATOR },
  { name: "not-found", open: at("/nothing", 404) },
  { name: "denied", open: at("/team", 403), person: TEACHER },
  { name: "signed-out", open: openSignedOut },
];

async function tickFirst(page) {
  await page.locator('input[name="session"]').first().check();
}

async function endTeamSession(visitor) {
  await through("/team/users/n-105", 'tbody th a[href^="/sessions/"]')(visitor);
  await visitor.goto(await visitor.page.locator('main a[href$="/sign-out"]').first().getAttribute("href"));
}

async function revokeKey(visitor) {
  await through("/api-sessions", 'main a[href^="/api-sessions/key_"]')(visitor);
  await visitor.goto(await visitor.page.locator('main a[href$="/revoke"]').getAttribute("href"));
}

/** A pupil whom the administrator has signed out reads why. */
async function openSignedOut(visitor) {
  await visitor.signIn("n-106");
  const administrator = await Visitor.open();
  await administrator.signIn(ADMINISTRATOR);
  await administrator.goto("/team/users/n-106/force-sign-out");
  await administrator.page.getByLabel(word("team-reason"), { exact: true }).fill("a tablet was found");
  await administrator.page.getByLabel(word("team-message"), { exact: true }).fill("Your tablet is at the front desk.");
  await administrator.press(administrator.page.locator("main button.danger"), "**/team/done**");
  await administrator.close();
  visitor.allow(/status of 401/);
  await visitor.goto("/signed-out");
}

/** The people of a script, each with a browser. */
export class Cast {
  constructor(options = {}) {
    this.options = options;
    this.visitors = new Map();
  }

  /** The visitor who goes to a page. Whoever reads why they were signed out has a browser of their own. */
  async of({ person = ADMINISTRATOR, open }) {
    const key = open === openSignedOut ? "signed-out" : person;
    if (!this.visitors.has(key)) {
      const visitor = await Visitor.open(this.options);
      await visitor.signIn(person, key === ADMINISTRATOR ? ["phone"] : []);
      this.visitors.set(key, visitor);
    }
    return this.visitors.get(key);
  }

  /** Opens a page. Returns the visitor who is there. */
  async open(page) {
    const visitor = await this.of(page);
    await page.open(visitor);
    return visitor;
  }

  /** Closes all browsers. Fails if one has complained. */
  async close() {
    for (const visitor of this.visitors.values()) await visitor.close();
  }
}
