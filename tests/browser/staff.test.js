// The rooms Settings, API sessions, Audit log and Gates: every button, with and without scripts.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { judge } from "./lib/judge.js";
import { ADMINISTRATOR, OTHER_ADMINISTRATOR, SUPPORT, TEACHER } from "./lib/pages.js";
import { differences, look, save, settingsForm } from "./lib/staff.js";
import { REASON, column } from "./lib/team.js";
import { eventually } from "./lib/wait.js";
import { visit } from "./lib/visitor.js";
import { word } from "./lib/words.js";

const DAY = 86_400_000;
const day = (days) => new Date(Date.now() + days * DAY).toISOString().slice(0, 10);

/** Everything that the form of the settings asks for, and the name of the setting that then differs. */
const SETTINGS = [
  [{ idle: "1d" }, "settings-idle", "1 day"],
  [{ idle: "7d" }, "settings-idle", "7 days"],
  [{ idle: "30d" }, "settings-idle", "30 days"],
  [{ idle: "never" }, "settings-idle", word("settings-value-never")],
  [{ idle: "own", idle_value: "90", idle_unit: "minutes" }, "settings-idle", "90 minutes"],
  [{ remember: false }, "settings-remember", word("settings-value-no")],
  [{ remember_value: "13" }, "settings-remember-lifetime", "13 days"],
  [{ lifetime_value: "5", lifetime_unit: "hours" }, "settings-lifetime", "5 hours"],
  [{ longest_value: "400" }, "settings-longest", "400 days"],
  [{ token_value: "4", token_unit: "minutes" }, "settings-token", "4 minutes"],
  [{ sessions_max: "41" }, "settings-sessions-max", "41"],
  [{ at_limit: "refuse" }, "settings-at-limit", word("settings-at-limit-refuse")],
  [{ users_see: false }, "settings-users-see", word("settings-value-no")],
  [{ last_page: false }, "settings-last-page", word("settings-value-no")],
  [{ recent_value: "20", recent_unit: "minutes" }, "settings-recent", "20 minutes"],
  [{ acr: "urn:two-factors" }, "settings-acr", "urn:two-factors"],
  [{ shared: true }, "settings-shared", word("settings-value-yes")],
];

/** Fills the form of the settings. */
async function fill(page, fields) {
  const form = settingsForm(page);
  for (const [name, value] of Object.entries(fields)) {
    const field = form.locator(`[name="${name}"]`);
    const kind = await field.first().evaluate((element) => element.type);
    if (kind === "radio") await form.locator(`[name="${name}"][value="${value}"]`).check();
    else if (kind === "checkbox") await field.setChecked(value);
    else if (kind.startsWith("select")) await field.selectOption(value);
    else await field.fill(value);
  }
}

for (const script of [true, false]) {
  const how = script ? "with scripts" : "without scripts";

  test(`every setting is looked at before it is saved, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(OTHER_ADMINISTRATOR);
      for (const [fields, setting, value] of SETTINGS) {
        await visitor.goto("/settings");
        // What is in force already is no change.
        if (fields.idle === (await settingsForm(page).locator('[name="idle"]:checked').getAttribute("value"))) continue;
        await fill(page, fields);
        const what = JSON.stringify(fields);
        await settingsForm(page).locator('button[type="submit"]').click();
        await page.locator('form[action="/settings/save"]').waitFor();
        const changed = await differences(page);
        const found = [...changed].find(([name]) => name === word(setting));
        assert.ok(found, `${what}: ${[...changed.keys()]}`);
        assert.equal(found[1][1], value, what);
        assert.notEqual(found[1][0], value, what);
        await page.getByRole("link", { name: word("settings-back"), exact: true }).click();
        await page.waitForURL("**/settings");
      }
    });
  });

  test(`a setting is saved, with a reason, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/settings");
      const most = script ? "40" : "42";
      await fill(page, { sessions_max: most });
      await look(visitor);
      await page.getByText("No session will end by this.", { exact: true }).waitFor();
      await save(visitor);
      assert.equal(await page.locator('[name="sessions_max"]').inputValue(), most);
      // The same again changes nothing, and says so.
      await settingsForm(page).locator('button[type="submit"]').click();
      await page.getByText(word("settings-same"), { exact: true }).waitFor();
      await visitor.goto("/audit");
      await page.getByText(REASON).first().waitFor();
    });
  });

  test(`changes that were not sent are undone by a button, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(OTHER_ADMINISTRATOR);
      await visitor.goto("/settings");
      const before = await page.locator('[name="remember_value"]').inputValue();
      await fill(page, { remember_value: "3", idle: "own" });
      await page.getByRole("button", { name: word("settings-reset"), exact: true }).click();
      assert.equal(await page.locator('[name="remember_value"]').inputValue(), before);
      assert.ok(!(await page.locator('[name="idle"][value="own"]').isChecked()));
    });
  });

  test(`what a tightening would end is shown before it is saved, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(OTHER_ADMINISTRATOR);
      await visitor.goto("/settings");
      await fill(page, { acr: "urn:two-factors" });
      await look(visitor);
      await page.getByText(/^(At least )?\d+ sessions will end by this\.$/).waitFor();
      const preview = page.getByRole("region", { name: word("settings-preview-sample"), exact: true });
      assert.ok((await preview.locator("tbody tr").count()) > 0, "the newest of them are listed");
      if (script) await judge(visitor, "what a tightening would end");
      await page.getByRole("link", { name: word("settings-back"), exact: true }).click();
      await page.waitForURL("**/settings");
      assert.equal(await page.locator('[name="acr"]').inputValue(), "");
    });
  });

  test(`each standard can be looked at, and one is saved, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/settings");
      const standards = page.locator('tbody form[action="/settings/check"] button');
      const count = await standards.count();
      assert.ok(count >= 3, `${count} standards`);
      for (let number = 0; number < count; number += 1) {
        await standards.nth(number).click();
        await page.locator('form[action="/settings/save"], .done').first().waitFor();
        await visitor.goto("/settings");
      }
    });
  });

  test(`a value that no policy can have is named, and nothing is changed, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(OTHER_ADMINISTRATOR);
      visitor.allow(/status of 422/);
      await visitor.goto("/settings");
      await fill(page, { remember_value: "", lifetime_value: "4000" });
      await settingsForm(page).locator('button[type="submit"]').click();
      await page.getByRole("alert").waitFor();
      for (const id of ["settings-wrong", "settings-wrong-remember", "settings-wrong-lifetime"]) {
        await page.getByText(word(id), { exact: true }).waitFor();
      }
      assert.equal(await page.locator('[name="lifetime_value"]').inputValue(), "4000", "what was entered stays");
      if (script) await judge(visitor, "settings with faults");
    });
  });

  test(`support reads the settings and the keys, and changes nothing, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(SUPPORT);
      await visitor.goto("/settings");
      await page.getByText(word("settings-read-only"), { exact: true }).waitFor();
      assert.equal(await page.locator("main form").count(), 0);
      await visitor.goto("/api-sessions");
      await page.getByText(word("api-sessions-read-only"), { exact: true }).waitFor();
      assert.equal(await page.getByRole("link", { name: word("api-sessions-new"), exact: true }).count(), 0);
      await page.getByRole("link", { name: "Timetable sync", exact: true }).click();
      await page.getByRole("heading", { level: 1, name: "API key Timetable sync" }).waitFor();
      assert.equal(await page.getByRole("link", { name: word("api-sessions-revoke"), exact: true }).count(), 0);
    });
  });

  test(`a key is made, shown once and revoked, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/api-sessions");
      await page.getByRole("link", { name: word("api-sessions-new"), exact: true }).click();
      await page.getByRole("link", { name: word("api-sessions-cancel"), exact: true }).click();
      await page.getByRole("link", { name: word("api-sessions-new"), exact: true }).click();
      const name = `Key of a test ${how}`;
      await page.getByLabel(word("api-sessions-new-owner"), { exact: true }).fill(TEACHER);
      await page.getByLabel(word("api-sessions-new-name"), { exact: true }).fill(name);
      await page.getByLabel(word("api-sessions-new-scopes"), { exact: true }).fill("grades:read\ngrades:write");
      await page.getByLabel(word("api-sessions-expires-30"), { exact: true }).check();
      await page.getByLabel(word("api-sessions-new-reason"), { exact: true }).fill(REASON);
      const [sent] = await Promise.all([
        page.waitForRequest((request) => request.method() === "POST"),
        page.getByRole("button", { name: word("api-sessions-new-create"), exact: true }).click(),
      ]);
      const secret = await page.locator("#secret").inputValue();
      assert.equal(secret.split(".").length, 3, "a secret is a signed token");
      await page.getByText(word("api-sessions-created-once"), { exact: true }).waitFor();
      if (script) await judge(visitor, "a new key");

      // The same form again shows no second secret.
      const again = await visitor.context.request.post(sent.url(), {
        headers: { "content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin" },
        data: sent.postData(),
      });
      const text = await again.text();
      assert.ok(text.includes(word("api-sessions-again-title")) && !text.includes("secret\""), text);

      await page.getByRole("link", { name: word("api-sessions-created-done"), exact: true }).click();
      await page.getByRole("heading", { level: 1, name: `API key ${name}` }).waitFor();
      assert.ok(!(await page.content()).includes(secret), "it is shown once");
      for (const scope of ["grades:read", "grades:write"]) await page.getByText(scope, { exact: true }).waitFor();
      await page.getByText(word("api-sessions-hours-none"), { exact: true }).waitFor();
      await page.getByRole("link", { name: word("api-sessions-revoke"), exact: true }).click();
      await page.getByRole("link", { name: word("api-sessions-cancel"), exact: true }).click();
      await page.getByRole("link", { name: word("api-sessions-revoke"), exact: true }).click();
      await page.getByLabel(word("api-sessions-revoke-reason"), { exact: true }).fill(REASON);
      await page.getByRole("button", { name: word("api-sessions-revoke-confirm"), exact: true }).click();
      await page.getByText(word("api-sessions-revoked"), { exact: true }).waitFor();
      await page.getByText(/All 2 gates have dropped it/).waitFor();
      assert.equal(await page.getByRole("link", { name: word("api-sessions-revoke"), exact: true }).count(), 0);
      if (script) await judge(visitor, "a revoked key");
      await page.getByRole("link", { name: word("api-sessions-back"), exact: true }).click();
      await page.waitForURL("**/api-sessions");
      assert.ok(!(await column(page, word("api-sessions-column-key"))).includes(name));
    });
  });

  test(`keys are listed with their use, of an owner, and with those that ended, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/api-sessions");
      const keys = async () => column(page, word("api-sessions-column-key"));
      assert.ok(!(await keys()).includes("Old timetable sync"));
      await page.getByLabel(word("api-sessions-show-ended"), { exact: true }).check();
      await page.getByRole("button", { name: word("api-sessions-filter"), exact: true }).click();
      await page.getByRole("link", { name: "Old timetable sync", exact: true }).waitFor();
      await page.getByRole("textbox", { name: word("api-sessions-owner-filter"), exact: true }).fill("n-101");
      await page.getByRole("button", { name: word("api-sessions-filter"), exact: true }).click();
      await page.waitForURL("**/api-sessions?**owner=n-101**");
      assert.deepEqual(await keys(), ["Help desk bot"]);
      await page.getByRole("link", { name: word("api-sessions-filter-clear"), exact: true }).click();
      await page.waitForURL("**/api-sessions");

      // The gate reports what it has counted, and the line and the hours show it.
      const row = page.locator("tbody tr", { hasText: "Timetable sync" });
      await eventually("the requests of the key", async () => {
        await visitor.goto("/api-sessions");
        return (await row.getByRole("img").getAttribute("aria-label")).startsWith("96 requests");
      });
      assert.match(await row.locator("svg.spark path").getAttribute("d"), /^M\d+ 24v-24h3v24z/);
      await page.getByRole("link", { name: "Timetable sync", exact: true }).click();
      const hours = page.locator("section tbody tr");
      await hours.first().waitFor();
      const counts = await hours.locator("td").allInnerTexts();
      assert.equal(counts.map(Number).reduce((sum, count) => sum + count, 0), 96);
    });
  });

  test(`fields of a key that no key can have are named, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      visitor.allow(/status of 422/);
      await visitor.goto("/api-sessions/new");
      await page.getByLabel(word("api-sessions-new-owner"), { exact: true }).fill(TEACHER);
      await page.getByLabel(word("api-sessions-new-name"), { exact: true }).fill(" ");
      await page.getByLabel(word("api-sessions-new-scopes"), { exact: true }).fill('a"b');
      await page.getByLabel(word("api-sessions-expires-90"), { exact: true }).check();
      await page.getByRole("button", { name: word("api-sessions-new-create"), exact: true }).click();
      for (const id of ["api-sessions-wrong", "api-sessions-wrong-name", "api-sessions-wrong-scopes"]) {
        await page.getByText(word(id), { exact: true }).waitFor();
      }
      assert.equal(await page.locator("#owner").inputValue(), TEACHER, "what was entered stays");
      if (script) await judge(visitor, "a key with faults");
    });
  });

  test(`the trail is searched by every field, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      const lost = "a tablet was lost on the bus";
      const helps = "helps at the help desk this week";
      for (const [fields, there, missing] of [
        [{ action: "user.sign_out" }, lost, helps],
        [{ action: "user.set_roles" }, helps, lost],
        [{ kind: "user", actor: "n-100" }, helps, null],
        [{ kind: "service", actor: "nobody" }, null, lost],
        [{ kind: "authority" }, null, lost],
        [{ user: "n-109" }, helps, lost],
        [{ user: "n-107" }, lost, helps],
        [{ after: day(-1), user: "n-107" }, lost, helps],
        [{ after: day(2) }, null, lost],
        [{ before: day(1), user: "n-107" }, lost, helps],
        [{ before: day(-2) }, null, lost],
      ]) {
        await visitor.goto("/audit");
        for (const [name, value] of Object.entries(fields)) {
          const field = page.locator(`form.filters [name="${name}"]`);
          if (await field.evaluate((element) => element.matches("select"))) await field.selectOption(value);
          else await field.fill(value);
        }
        const what = JSON.stringify(fields);
        await visitor.press(page.getByRole("button", { name: word("audit-filter"), exact: true }), /\/audit\?/);
        if (there) await page.getByText(there).first().waitFor();
        if (missing) assert.equal(await page.getByText(missing).count(), 0, what);
      }
      await page.getByRole("link", { name: word("audit-filter-clear"), exact: true }).click();
      await page.waitForURL("**/audit");
      await page.getByText(lost).first().waitFor();

      visitor.allow(/status of 422/);
      await page.locator('form.filters [name="actor"]').fill("n-100");
      await page.getByRole("button", { name: word("audit-filter"), exact: true }).click();
      await page.getByText(word("audit-wrong-actor"), { exact: true }).waitFor();
      if (script) await judge(visitor, "a filter with a fault");
    });
  });

  test(`the trail has pages, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(OTHER_ADMINISTRATOR);
      await visitor.goto("/audit");
      const first = await page.locator("tbody tr").count();
      assert.equal(first, 50);
      await page.getByRole("link", { name: word("audit-page-next"), exact: true }).click();
      await page.getByRole("link", { name: word("audit-page-first"), exact: true }).click();
      await page.getByRole("link", { name: word("audit-page-next"), exact: true }).waitFor();
      // A page of another list, or of yesterday, is the first page with a word about it.
      await visitor.goto("/audit?page=yesterday");
      await page.getByText(word("audit-page-gone"), { exact: true }).waitFor();
    });
  });

  test(`the trail is exported as JSON lines and as CSV, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/audit?user=n-107");
      const files = {};
      for (const kind of ["jsonl", "csv"]) {
        const [download] = await Promise.all([
          page.waitForEvent("download"),
          page.getByRole("link", { name: word(`audit-export-${kind}`), exact: true }).click(),
        ]);
        assert.match(download.suggestedFilename(), new RegExp(`^[\\w.-]*northfield-school[\\w.-]*\\.${kind}$`));
        files[kind] = readFileSync(await download.path(), "utf8").trim().split(/\r?\n/);
      }
      const events = files.jsonl.map((line) => JSON.parse(line));
      assert.ok(events.some((event) => event.reason === "a tablet was lost on the bus" && event.actor === "user:n-100"));
      assert.ok(events.every((event) => event.user_id === "n-107"), "the filter holds");
      assert.match(files.csv[0], /^"?time"?,"?id"?,/);
      assert.equal(files.csv.length - 1, events.length);
      assert.ok(files.csv.some((line) => line.includes("a tablet was lost on the bus")));
    });
  });

  test(`the trail is verified, by those who may, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/audit");
      await page.getByRole("button", { name: word("audit-verify"), exact: true }).click();
      await page.getByText(word("audit-verify-good"), { exact: true }).waitFor();
      await page.getByText(/^All [\d,]+ revisions match their chain/).waitFor();
      await page.getByRole("link", { name: word("audit-back"), exact: true }).click();
      await page.waitForURL("**/audit");
    });
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(OTHER_ADMINISTRATOR);
      visitor.allow(/status of 403/);
      await visitor.goto("/audit");
      await page.getByRole("button", { name: word("audit-verify"), exact: true }).click();
      await page.getByText(word("audit-verify-denied"), { exact: true }).waitFor();
      if (script) await judge(visitor, "a verification that is for operators");
    });
  });

  test(`the gates are listed with their freshness and their delays, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/settings");
      await page.getByRole("link", { name: word("settings-gates"), exact: true }).click();
      await page.waitForURL("**/gates");
      for (const gate of ["dev gateway", "dev console"]) {
        const row = page.locator("tbody tr", { has: page.getByRole("rowheader", { name: gate }) });
        await row.getByText(word("gates-fresh"), { exact: true }).waitFor();
        await row.getByText(word("gates-mode-1")).waitFor();
        await row.getByText("5,000 ms").waitFor();
      }
      await eventually("a measurement", async () => {
        await visitor.press(page.getByRole("link", { name: word("gates-refresh"), exact: true }), "**/gates");
        return (await page.getByText(word("gates-delays-none"), { exact: true }).count()) === 0;
      });
      await page.getByText(word("gates-delays-caption"), { exact: true }).waitFor();
      await page.getByRole("img", { name: /measurements: median/ }).waitFor();
      if (script) await judge(visitor, "gates with measurements");
    });
  });
}
