// What goes wrong between people and pages: each time a readable page, and nothing half done.

import assert from "node:assert/strict";
import { test } from "node:test";
import { statusOf, tokenOf } from "./lib/gateway.js";
import { fits, judge } from "./lib/judge.js";
import { session } from "./lib/mine.js";
import { ADMINISTRATOR, OTHER_ADMINISTRATOR } from "./lib/pages.js";
import { differences, look, settingsForm } from "./lib/staff.js";
import { REASON, confirm, search } from "./lib/team.js";
import { eventually } from "./lib/wait.js";
import { Visitor, visit } from "./lib/visitor.js";
import { word } from "./lib/words.js";

/** Opens two browsers of administrators of the same team. */
async function visitTwo(script, steps) {
  const [one, other] = [await Visitor.open({ script }), await Visitor.open({ script })];
  await one.signIn(ADMINISTRATOR);
  await other.signIn(ADMINISTRATOR);
  await steps(one, other);
  await one.close();
  await other.close();
}

for (const script of [true, false]) {
  const how = script ? "with scripts" : "without scripts";

  test(`a cookie that expires in the middle of a form leads to the sign-in and back, ${how}`, async () => {
    const pupil = await Visitor.open({ script });
    await pupil.signIn("n-104");
    const token = await tokenOf(pupil);
    await pupil.close();
    await eventually("the gateway admits", async () => (await statusOf(token)) === 200);

    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      for (const [path, fill, back] of [
        ["/team/users/n-104/force-sign-out", () => page.locator("#field-reason").fill(REASON), "**/team/force-sign-out"],
        ["/sign-out-everywhere", () => {}, "**/sign-out-everywhere"],
        ["/api-sessions/new", fillKey(page), "**/api-sessions/new"],
        ["/settings", () => {}, "**/settings"],
        ["/audit", () => {}, "**/audit"],
      ]) {
        await visitor.goto(path);
        const send = page.locator('main form:not([role="search"]) button[type="submit"]').last();
        await fill();
        await visitor.expire();
        visitor.allow(/status of 401/);
        await send.click();
        await page.getByRole("heading", { name: word("frame-problem-sign-in"), exact: true }).waitFor();
        await page.getByText(word("frame-problem-sign-in-advice"), { exact: true }).waitFor();
        if (script) await judge(visitor, `an expired cookie at ${path}`);
        // The browser is still known to the sign-in page, which gives it a new cookie and sends it back.
        await page.getByRole("link", { name: word("frame-problem-sign-in-link"), exact: true }).click();
        await page.waitForURL(back);
        assert.equal(visitor.document.status(), 200, path);
        assert.equal(await statusOf(token), 200, "nothing was half done");
      }
      await visitor.goto("/api-sessions");
      assert.equal(await page.getByText("Half a key").count(), 0);
    });
  });

  test(`a page that was opened before the cookie expired comes back after the sign-in, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      for (const path of ["/team/sessions", "/audit?user=n-107", "/settings"]) {
        await visitor.expire();
        await page.goto(path);
        assert.equal(page.url(), new URL(path, page.url()).href, "the sign-in page leads back");
      }
    });
  });

  test(`two administrators who end the same user both read what happened, ${how}`, async () => {
    await visitTwo(script, async (one, other) => {
      const pupil = await Visitor.open({ script });
      await pupil.signIn("n-102");
      const token = await tokenOf(pupil);
      await pupil.close();
      for (const visitor of [one, other]) await visitor.goto("/team/users/n-102/force-sign-out");
      await confirm(one);
      await one.page.getByText(/sessions? (was|were) ended\.$/).waitFor();
      await eventually("the gateway refuses", async () => (await statusOf(token)) === 401);
      await confirm(other);
      await other.page.getByText("Nothing was left to end: no session was active.", { exact: true }).waitFor();
      if (script) await judge(other, "what was ended by somebody else");
    });
  });

  test(`two administrators who change the same roles do not undo each other, ${how}`, async () => {
    await visitTwo(script, async (one, other) => {
      for (const visitor of [one, other]) {
        await visitor.goto("/team/users/n-103");
        await visitor.page.getByLabel(word("team-role-1"), { exact: true }).check();
        await visitor.page.getByLabel(word("team-reason"), { exact: true }).fill(REASON);
      }
      const save = (visitor) => visitor.page.getByRole("button", { name: word("team-roles-save"), exact: true }).click();
      await save(one);
      await one.page.getByText("The roles are in force: Support.", { exact: true }).waitFor();
      other.allow(/status of 4\d\d/);
      await save(other);
      await other.page.getByText(word("team-roles-changed"), { exact: true }).waitFor();
      assert.ok(await other.page.getByLabel(word("team-role-1"), { exact: true }).isChecked(), "the roles of now");
      // As they were, for the next round.
      await one.goto("/team/users/n-103");
      await one.page.getByLabel(word("team-role-1"), { exact: true }).uncheck();
      await one.page.getByLabel(word("team-reason"), { exact: true }).fill(REASON);
      await save(one);
      await one.page.getByText("The roles are in force: None.", { exact: true }).waitFor();
    });
  });

  test(`settings that somebody else has changed show both versions, ${how}`, async () => {
    await visitTwo(script, async (one, other) => {
      const [theirs, yours] = script ? ["51", "52"] : ["61", "62"];
      for (const [visitor, most] of [[one, theirs], [other, yours]]) {
        await visitor.goto("/settings");
        await settingsForm(visitor.page).locator('[name="sessions_max"]').fill(most);
        await look(visitor);
        await visitor.page.getByLabel(word("settings-reason"), { exact: true }).fill(`most are ${most}`);
      }
      const save = (visitor) => visitor.page.getByRole("button", { name: word("settings-save"), exact: true }).click();
      await save(one);
      await one.page.getByText(word("settings-saved"), { exact: true }).waitFor();
      other.allow(/status of 409/);
      await save(other);
      const { page } = other;
      await page.getByRole("heading", { level: 1, name: word("settings-conflict-title"), exact: true }).waitFor();
      await page.getByText(`most are ${theirs}`).waitFor();
      const changed = await differences(page);
      assert.deepEqual(changed.get(word("settings-sessions-max")), [theirs, yours]);
      assert.equal(changed.size, 1, "only where they differ");
      if (script) await judge(other, "both versions of the settings");

      // Theirs stay, or yours go on to the page before saving, and are in force then.
      await one.goto("/settings");
      assert.equal(await one.page.locator('[name="sessions_max"]').inputValue(), theirs);
      await page.getByRole("button", { name: word("settings-conflict-use-yours"), exact: true }).click();
      await page.getByLabel(word("settings-reason"), { exact: true }).fill(REASON);
      await save(other);
      await page.getByText(word("settings-saved"), { exact: true }).waitFor();
      assert.equal(await page.locator('[name="sessions_max"]').inputValue(), yours);

      await settingsForm(one.page).locator('[name="sessions_max"]').fill("70");
      one.allow(/status of 409/);
      await settingsForm(one.page).locator('button[type="submit"]').click();
      await one.page.getByRole("link", { name: word("settings-conflict-use-theirs"), exact: true }).click();
      await one.page.waitForURL("**/settings");
      assert.equal(await one.page.locator('[name="sessions_max"]').inputValue(), yours);
    });
  });

  test(`a form that is sent twice does its work once, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      const pupil = await Visitor.open();
      await pupil.signIn("n-109", ["phone"]);
      await pupil.close();
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/team/users/n-109/force-sign-out");
      await page.getByLabel(word("team-reason"), { exact: true }).fill(REASON);
      const sent = [];
      page.on("request", (request) => request.method() === "POST" && sent.push(request));
      await page.locator("main form button.danger").dblclick();
      await page.waitForURL("**/team/done**");
      await page.locator(".done").waitFor();
      if (script) assert.equal(sent.length, 1, "the button sends once");
      // And a browser that sends it again all the same is told that nothing was left.
      const again = await visitor.context.request.post(sent[0].url(), {
        headers: { "content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin" },
        data: sent[0].postData(),
      });
      assert.equal(again.status(), 200);
      assert.match(await again.text(), /Nothing was left to end/);
    });
  });

  test(`the back button leads to a question that has its answer, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      const pupil = await Visitor.open();
      await pupil.signIn("n-109", ["phone"]);
      await pupil.close();
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/team/users/n-109");
      await page.getByRole("link", { name: word("team-end-all-of-user"), exact: true }).click();
      await page.getByText(/sessions will end\.$/).waitFor();
      await confirm(visitor);
      await page.goBack();
      await page.getByText("No session is active now.", { exact: true }).waitFor();
      await page.getByRole("link", { name: word("frame-cancel"), exact: true }).click();
      await page.waitForURL("**/team/users/n-109");

      // Also behind a question that came by a form.
      await pupilAgain(script);
      await visitor.goto("/team");
      await page.locator('input[name="user"][value="n-109"]').check();
      await page.getByRole("button", { name: word("team-end-users"), exact: true }).click();
      await page.locator("#field-reason").waitFor();
      await confirm(visitor);
      await page.goBack();
      await page.getByText("No session is active now.", { exact: true }).waitFor();
      await visitor.goto("/settings");
      await settingsForm(page).locator('[name="sessions_max"]').fill(script ? "81" : "82");
      await look(visitor);
      await page.getByLabel(word("settings-reason"), { exact: true }).fill(REASON);
      await page.getByRole("button", { name: word("settings-save"), exact: true }).click();
      await page.getByText(word("settings-saved"), { exact: true }).waitFor();
      // What was saved is another version than the one that the question was about.
      visitor.allow(/status of 409/);
      await page.goBack();
      await page.getByText(word("settings-conflict-same"), { exact: true }).waitFor();
    });
  });

  test(`names and devices that are an attack are texts, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/team");
      // Their sessions end below, so the second time they are among those who are signed out.
      await search(visitor, { shown: word("team-shown-all") });
      const link = page.locator('tbody a[href^="/team/users/x"]');
      const address = await link.getAttribute("href");
      // Two dots are part of a name, and no step up.
      assert.doesNotMatch(address, /[<>]|\/\.\.?(\/|$)/);
      visitor.allow(/status of 400/);
      await page.setViewportSize({ width: 320, height: 640 });
      for (const path of ["/team", address, `${address}/force-sign-out`, "/team/sessions", "/audit", "/audit?user=x%2F%3Cb%3E%26%3F%23..%252F"]) {
        await visitor.goto(path);
        assert.equal(await page.locator("main img, main b, main script").count(), 0, path);
        await fits(page, path);
        if (script) await judge(visitor, `hostile names at ${path}`);
      }
      await visitor.goto(address);
      await page.getByText("<img src=x onerror=canary()>").first().waitFor();
      await page.getByText("=HYPERLINK(").first().waitFor();
      const end = `<script>canary()</script> ${REASON}`;
      await visitor.goto(`${address}/force-sign-out`);
      await page.getByLabel(word("team-reason"), { exact: true }).fill(end);
      await page.getByLabel(word("team-message"), { exact: true }).fill(end);
      await page.locator("main form button.danger").click();
      await page.locator(".done").waitFor();
      await visitor.goto("/audit");
      await page.getByText(end).first().waitFor();
    });
  });

  test(`addresses of yesterday and of somebody else are readable pages, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(OTHER_ADMINISTRATOR);
      await visitor.goto("/team/sessions");
      await page.locator('form[role="search"] [name="user_name"]').fill("ruiz");
      await visitor.press(page.locator('form[role="search"] button'), /\?q=/);
      const theirs = new URL(page.url());
      const own = `${theirs.pathname}${theirs.search}`;
      await visitTwo(script, async (one) => {
        // A sealed search opens for nobody else.
        await one.goto(own, 410);
        await one.page.getByRole("heading", { name: word("team-search-gone"), exact: true }).waitFor();
        await one.page.getByRole("link", { name: word("team-search-again"), exact: true }).click();
        await one.page.waitForURL("**/team/sessions");
      });
      await visitor.goto("/api-sessions?page=yesterday");
      await page.getByText(word("api-sessions-page-gone"), { exact: true }).waitFor();
      await visitor.goto("/audit?page=yesterday");
      await page.getByText(word("audit-page-gone"), { exact: true }).waitFor();
      for (const path of ["/sessions/ses_nothing", "/api-sessions/key_nothing", "/team/users/nobody"]) {
        visitor.allow(/status of 40/);
        await page.goto(path);
        await page.getByRole("heading", { level: 1 }).waitFor();
        assert.ok([400, 404].includes(visitor.document.status()), `${path}: ${visitor.document.status()}`);
        if (script) await judge(visitor, path);
      }
    });
  });
}

/** Fills the form of a new key. */
function fillKey(page) {
  return async () => {
    await page.getByLabel(word("api-sessions-new-owner"), { exact: true }).fill("n-102");
    await page.getByLabel(word("api-sessions-new-name"), { exact: true }).fill("Half a key");
    await page.getByLabel(word("api-sessions-expires-30"), { exact: true }).check();
  };
}

async function pupilAgain(script) {
  await visit({ script }, async (visitor) => {
    await visitor.signIn("n-109", ["phone"]);
    await visitor.goto("/");
    await session(visitor.page, /iPhone/).waitFor();
  });
}
