// An administrator finds people, ends their sessions, disables, enables, and signs out everybody; with and without scripts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { statusOf, tokenOf } from "./lib/gateway.js";
import { judge } from "./lib/judge.js";
import { ADMINISTRATOR, OTHER_ADMINISTRATOR, SUPPORT } from "./lib/pages.js";
import { REASON, assertSealed, column, confirm, search, sortBy } from "./lib/team.js";
import { eventually } from "./lib/wait.js";
import { Visitor, visit } from "./lib/visitor.js";
import { word } from "./lib/words.js";

const DAY = 86_400_000;
const day = (days) => new Date(Date.now() + days * DAY).toISOString().slice(0, 10);
const time = (days) => `${day(days)}T12:00`;

const USER_NAME = word("team-column-user-name");
const USER = word("team-column-user");
const EVERYBODY = word("team-shown-all");

/** A search for users, and what the list then has: all of these users, or none at all. */
const USER_SEARCHES = [
  [{ user_name: "garcia" }, ["jose.garcia"]],
  [{ user_name: "GARCÍA" }, ["jose.garcia"]],
  [{ person_name: "walker joan" }, ["joan.walker"]],
  [{ person_name: "Петрова" }, ["nina.petrova"]],
  [{ signed_in_after: time(-1), user_name: "tamm" }, ["mari.tamm"]],
  [{ signed_in_after: time(2) }, []],
  [{ signed_in_before: time(2), user_name: "lind" }, ["oskar.lind"]],
  [{ signed_in_before: time(-2) }, []],
  [{ active_addresses_min: "100" }, []],
  [{ user_name: "li.wei" }, []],
  [{ user_name: "li.wei", shown: EVERYBODY }, ["li.wei"]],
];

/** The same for sessions: the users that the rows have. */
const SESSION_SEARCHES = [
  [{ user_name: "garcia" }, ["jose.garcia"]],
  [{ person_name: "oskar lind" }, ["oskar.lind"]],
  [{ email: "mari.tamm@northfield-school.example" }, ["mari.tamm"]],
  [{ network: "192.0.2.0/24" }, ["aoife.byrne", "joan.walker"]],
  [{ network: "198.51.100.0/24", person_name: "tamm" }, ["mari.tamm"]],
  [{ country_code: "ES" }, ["jose.garcia"]],
  [{ country_code: "FR" }, []],
  [{ device_type: word("mine-type-tablet") }, ["joan.walker", "nina.petrova", "oskar.lind"]],
  [{ state: word("team-session-revoked"), user_name: "li.wei" }, ["li.wei"]],
  [{ state: word("team-session-signed-out"), user_name: "garcia" }, ["jose.garcia"]],
  [{ state: word("team-session-any"), end_cause: word("mine-end-password-changed") }, ["layla.haddad"]],
  [{ started_after: time(-1), user_name: "tamm" }, ["mari.tamm"]],
  [{ started_after: time(2) }, []],
  [{ started_before: time(2), user_name: "tamm" }, ["mari.tamm"]],
  [{ started_before: time(-2) }, []],
  [{ last_active_after: day(-1), user_name: "tamm" }, ["mari.tamm"]],
  [{ last_active_after: day(2) }, []],
  [{ last_active_before: day(2), user_name: "tamm" }, ["mari.tamm"]],
  [{ last_active_before: day(-2) }, []],
];

/** Signs a person in and returns their token, which the gateway admits. */
async function admitted(person, script) {
  const visitor = await Visitor.open({ script });
  await visitor.signIn(person);
  const token = await tokenOf(visitor);
  await visitor.close();
  await eventually("the gateway admits", async () => (await statusOf(token)) === 200);
  return token;
}

async function refused(token) {
  await eventually("the gateway refuses", async () => (await statusOf(token)) === 401);
}

for (const script of [true, false]) {
  const how = script ? "with scripts" : "without scripts";

  test(`users are found by every field, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      for (const [fields, expected] of USER_SEARCHES) {
        await visitor.goto("/team");
        await search(visitor, fields);
        const what = JSON.stringify(fields);
        if (expected.length === 0) await page.getByText(word("team-none-users"), { exact: true }).waitFor();
        assert.deepEqual(await column(page, USER_NAME), expected, what);
        assertSealed(page, fields);
        // A searched value stays in its field.
        for (const [name, value] of Object.entries(fields)) {
          const field = page.locator(`form[role="search"] [name="${name}"]`);
          const shown = await field.evaluate((element) => element.selectedOptions?.[0].label ?? element.value);
          assert.equal(shown, value, what);
        }
      }
      await page.getByRole("link", { name: word("team-find-clear"), exact: true }).click();
      await page.waitForURL("**/team");
      assert.ok((await column(page, USER_NAME)).includes("mari.tamm"));
    });
  });

  test(`sessions are found by every field, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      for (const [fields, expected] of SESSION_SEARCHES) {
        await visitor.goto("/team/sessions");
        await search(visitor, fields);
        const what = JSON.stringify(fields);
        if (expected.length === 0) await page.getByText(word("team-none-sessions"), { exact: true }).waitFor();
        const users = new Set(await sessionUsers(page));
        assert.deepEqual([...users].sort(), expected, what);
        assertSealed(page, fields);
      }
      await sortBy(visitor, USER);
      await sortBy(visitor, word("team-column-signed-in"));
    });
  });

  test(`a field without a valid value is marked, and nothing is searched, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      visitor.allow(/status of 400/);
      for (const [name, value] of [["network", "somewhere"], ["country_code", "Estonia"]]) {
        await visitor.goto("/team/sessions");
        await search(visitor, { [name]: value });
        const field = page.locator(`[name="${name}"][aria-invalid="true"]`);
        await field.waitFor();
        assert.equal(await field.inputValue(), value);
        await page.getByText(word("team-wrong"), { exact: true }).waitFor();
        assert.equal(await page.locator("table").count(), 0);
      }
      if (script) await judge(visitor, "a search with a wrong field");
    });
  });

  test(`a list of many users has pages, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(OTHER_ADMINISTRATOR);
      await visitor.goto("/team");
      await sortBy(visitor, USER_NAME);
      const seen = [await column(page, USER_NAME)];
      const pages = page.getByRole("navigation", { name: word("team-pages"), exact: true });
      const go = async (name, number) => {
        await pages.getByRole("link", { name, exact: true }).click();
        await pages.getByText(`Page ${number}`, { exact: true }).waitFor();
      };
      while (await pages.getByRole("link", { name: word("frame-next-page"), exact: true }).count()) {
        await go(word("frame-next-page"), seen.length + 1);
        seen.push(await column(page, USER_NAME));
      }
      const all = seen.flat();
      assert.ok(seen.length >= 3, `${seen.length} pages`);
      assert.equal(new Set(all).size, all.length, "each user once");
      assert.deepEqual(all, [...all].sort());
      for (let number = 0; number < 120; number += 1) assert.ok(all.includes(`crew.${String(number).padStart(3, "0")}`));
      await go(word("team-page-previous"), seen.length - 1);
      assert.deepEqual(await column(page, USER_NAME), seen.at(-2));
      await go(word("frame-first-page"), 1);
      assert.deepEqual(await column(page, USER_NAME), seen[0]);

      // All boxes of a page, and none.
      const boxes = page.locator('tbody input[name="user"]');
      const ticked = async () => (await boxes.evaluateAll((all) => all.filter((box) => box.checked))).length;
      await page.getByRole("link", { name: word("team-select-all"), exact: true }).click();
      await page.getByRole("link", { name: word("team-select-none"), exact: true }).waitFor();
      assert.equal(await ticked(), await boxes.count());
      await page.getByRole("link", { name: word("team-select-none"), exact: true }).click();
      await page.getByRole("link", { name: word("team-select-all"), exact: true }).waitFor();
      assert.equal(await ticked(), 0);
    });
  });
}

// What changes something comes after everything that expects the demonstration as it was.
for (const script of [true, false]) {
  const how = script ? "with scripts" : "without scripts";

  test(`users are sorted by every column, and read again, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/team");
      for (const id of ["user-name", "person-name", "sessions", "last-active", "sign-in"]) {
        await sortBy(visitor, word(`team-column-${id}`));
      }
      await sortBy(visitor, USER_NAME);
      // Names that begin with no letter come last.
      const names = (await column(page, USER_NAME)).filter((name) => /^[a-z]/.test(name));
      assert.ok(names.length > 3, names.join());
      assert.deepEqual(names, [...names].sort(), "by user name");
      await sortBy(visitor, word("team-column-sessions"));
      const counts = (await column(page, word("team-column-sessions"))).map(Number);
      assert.deepEqual(counts, [...counts].sort((one, other) => other - one), "most sessions first");
      const before = await page.locator(".lead").first().innerText();
      assert.match(before, /^\d+ active sessions in northfield-school$/);
      await admitted("n-103", script);
      await page.getByRole("link", { name: word("frame-refresh"), exact: true }).click();
      await eventually("the total counts the new session", async () => {
        const now = await page.locator(".lead").first().innerText();
        return Number.parseInt(now, 10) === Number.parseInt(before, 10) + 1;
      });
    });
  });

  test(`a user is signed out with a reason and a text, and the gateway refuses, ${how}`, async () => {
    const pupil = await Visitor.open({ script });
    await pupil.signIn("n-104", ["phone"]);
    const token = await tokenOf(pupil);
    await eventually("the gateway admits", async () => (await statusOf(token)) === 200);

    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/team");
      await page.getByRole("link", { name: "oskar.lind", exact: true }).click();
      await page.getByRole("heading", { level: 1, name: /Oskar Lind/ }).waitFor();
      await page.getByRole("link", { name: word("team-end-all-of-user"), exact: true }).click();
      // The preview says what will end, and the way back changes nothing.
      await page.getByText(/^\d+ sessions will end\.$/).waitFor();
      await page.getByRole("link", { name: word("frame-cancel"), exact: true }).click();
      await page.waitForURL("**/team/users/n-104");
      assert.equal(await statusOf(token), 200);
      await page.getByRole("link", { name: word("team-end-all-of-user"), exact: true }).click();
      const count = Number.parseInt(await page.getByText(/^\d+ sessions will end\.$/).innerText(), 10);
      await confirm(visitor, "Your device is at the front desk.");
      await page.getByText(`${count} sessions were ended.`, { exact: true }).waitFor();
      await refused(token);
      await page.getByText(/All 2 gates have dropped it/).waitFor();
      if (script) await judge(visitor, "what a sign-out has done");
      await page.getByRole("link", { name: word("team-back-user"), exact: true }).click();
      await page.getByText(word("team-none-sessions"), { exact: true }).waitFor();
      await page.getByRole("link", { name: word("team-user-show-ended"), exact: true }).click();
      await page.getByText(REASON).first().waitFor();
      await page.getByRole("link", { name: word("team-user-hide-ended"), exact: true }).click();
      await page.getByText(word("team-none-sessions"), { exact: true }).waitFor();
    });

    // The pupil reads the text, and not the reason.
    pupil.allow(/status of 40/);
    await pupil.page.goto("/");
    await pupil.page.goto("/signed-out");
    await pupil.page.getByText("Your device is at the front desk.").waitFor();
    assert.equal(await pupil.page.getByText(REASON).count(), 0);
    await pupil.close();
    await admitted("n-104", script);
  });

  test(`chosen users are signed out, and others stay, ${how}`, async () => {
    const [one, two, other] = [await admitted("n-106", script), await admitted("n-108", script), await admitted("n-109", script)];
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/team");
      for (const name of ["tomas.novak", "nina.petrova"]) {
        await page.getByRole("checkbox", { name: `Select ${name}`, exact: true }).check();
      }
      await page.getByRole("button", { name: word("team-end-users"), exact: true }).click();
      await page.getByRole("heading", { level: 1, name: "Sign out 2 users" }).waitFor();
      assert.ok(!(await page.getByLabel(word("team-force-disable")).isChecked()));
      await confirm(visitor);
      for (const token of [one, two]) await refused(token);
      assert.equal(await statusOf(other), 200);
      await page.getByRole("link", { name: word("team-back"), exact: true }).click();
      await page.waitForURL("**/team");
      const names = await column(page, USER_NAME);
      assert.ok(!names.includes("tomas.novak") && names.includes("samir.khan"), names.join());
    });
    for (const id of ["n-106", "n-108"]) await admitted(id, script);
  });

  test(`users are ended and disabled, and enabled again, ${how}`, async () => {
    const tokens = [await admitted("n-106", script), await admitted("n-108", script)];
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/team");
      for (const id of ["n-106", "n-108"]) await page.locator(`input[name="user"][value="${id}"]`).check();
      await page.getByRole("button", { name: word("team-end-disable"), exact: true }).click();
      await page.locator("#field-reason").waitFor();
      assert.ok(await page.getByLabel(word("team-force-disable")).isChecked());
      await confirm(visitor);
      await page.getByText("2 users are disabled.", { exact: true }).waitFor();
      for (const token of tokens) await refused(token);
      await assert.rejects(admitted("n-106", script), /cannot sign in/);

      for (const id of ["n-106", "n-108"]) {
        await visitor.goto(`/team/users/${id}`);
        await page.getByText(/^Disabled /).waitFor();
        await page.getByRole("link", { name: word("team-enable"), exact: true }).click();
        await page.locator("#field-reason").waitFor();
        await confirm(visitor);
        await page.getByText(word("team-done-enabled"), { exact: true }).waitFor();
        await admitted(id, script);
      }
      // One user, from their own page.
      await visitor.goto("/team/users/n-108");
      await page.getByRole("link", { name: word("team-end-disable"), exact: true }).click();
      await page.getByLabel(word("team-force-disable")).waitFor();
      assert.ok(await page.getByLabel(word("team-force-disable")).isChecked());
      await confirm(visitor);
      await page.getByText("The user is disabled.", { exact: true }).waitFor();
      await visitor.goto("/team/users/n-108/enable");
      await confirm(visitor);
      await admitted("n-108", script);
    });
  });

  test(`ids are signed out, also of somebody unknown, ${how}`, async () => {
    const token = await admitted("n-103", script);
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      await visitor.goto("/team");
      await page.getByRole("link", { name: word("team-force"), exact: true }).click();
      await page.getByLabel(word("team-force-ids"), { exact: true }).fill(`n-103\nnobody-${script}`);
      await page.getByRole("button", { name: word("team-force-look"), exact: true }).click();
      await page.getByText(word("team-force-unknown"), { exact: true }).waitFor();
      await confirm(visitor);
      await page.getByText(word("team-done-unknown"), { exact: true }).waitFor();
      await refused(token);
    });
  });

  test(`chosen sessions end, and all that match, ${how}`, async () => {
    const [token, kept] = [await admitted("n-109", script), await admitted("n-106", script)];
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      visitor.allow(/status of 400/);
      await visitor.goto("/team/sessions");
      await page.getByRole("button", { name: word("team-end-selected"), exact: true }).click();
      await page.getByText(word("team-wrong-sessions"), { exact: true }).waitFor();

      await visitor.goto("/team/sessions");
      await search(visitor, { user_name: "khan" });
      const before = (await sessionUsers(page)).length;
      await page.locator('input[name="session"]').first().check();
      await page.getByRole("button", { name: word("team-end-selected"), exact: true }).click();
      await page.getByText("One session will end.", { exact: true }).waitFor();
      await confirm(visitor);
      await page.getByText("One session was ended.", { exact: true }).waitFor();
      await page.getByRole("link", { name: word("team-back"), exact: true }).click();
      await page.waitForURL("**/team/sessions");
      await search(visitor, { user_name: "khan" });
      assert.equal((await sessionUsers(page)).length, before - 1);

      await admitted("n-109", script);
      await page.getByRole("link", { name: word("team-end-matching"), exact: true }).click();
      await page.getByText(`${word("team-field-user-name")}: khan`).waitFor();
      await confirm(visitor);
      await refused(token);
      assert.equal(await statusOf(kept), 200);
    });
    await admitted("n-109", script);
  });

  test(`roles are given and taken, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(ADMINISTRATOR);
      const pupil = await Visitor.open({ script });
      await pupil.signIn("n-109");
      const rooms = pupil.page.getByRole("navigation", { name: word("frame-navigation"), exact: true });
      for (const [isGiven, sentence, links] of [
        [true, "The roles are in force: Support.", 5],
        [false, "The roles are in force: None.", 1],
      ]) {
        await visitor.goto("/team/users/n-109");
        await page.getByLabel(word("team-role-1"), { exact: true }).setChecked(isGiven);
        await page.getByLabel(word("team-reason"), { exact: true }).fill(REASON);
        await page.getByRole("button", { name: word("team-roles-save"), exact: true }).click();
        await page.getByText(sentence, { exact: true }).waitFor();
        await pupil.goto("/");
        assert.equal(await rooms.getByRole("link").count(), links);
      }
      await pupil.close();
    });
  });

  test(`support looks and changes nothing, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(SUPPORT);
      for (const path of ["/team", "/team/sessions"]) {
        await visitor.goto(path);
        await page.getByText(word("team-reading-only")).waitFor();
        assert.equal(await page.locator('main input[type="checkbox"]').count(), 0);
        assert.equal(await page.locator("main button.danger").count(), 0);
      }
      await visitor.goto("/team/users/n-102");
      assert.equal(await page.locator('a[href$="/force-sign-out"], a[href$="/disable"]').count(), 0);
      assert.equal(await page.getByRole("button", { name: word("team-roles-save") }).count(), 0);
      for (const path of ["/team/users/n-102/force-sign-out", "/team/users/n-102/disable", "/team/sign-out", "/team/force-sign-out"]) {
        await visitor.goto(path, 403);
        await page.getByRole("heading", { name: word("frame-problem-denied"), exact: true }).waitFor();
      }
    });
  });

  test(`the whole team is signed out only with its name typed, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn(OTHER_ADMINISTRATOR);
      const [own, other] = [await tokenOf(visitor), await admitted("h-202", script)];
      await visitor.goto("/team");
      await page.getByRole("link", { name: word("team-everyone"), exact: true }).click();
      await page.getByText(/sessions will end\.$/).waitFor();
      const name = page.getByLabel("Type harbour-freight to confirm", { exact: true });
      await name.fill("Harbour Freight");
      await page.getByLabel(word("team-reason"), { exact: true }).fill(REASON);
      visitor.allow(/status of 4\d\d/);
      await page.getByRole("button", { name: word("team-everyone-confirm"), exact: true }).click();
      await page.locator('#field-confirmation[aria-invalid="true"]').waitFor();
      if (script) await judge(visitor, "a name that was mistyped");
      // Nothing has ended, and what was entered is still there.
      assert.equal(await statusOf(other), 200);
      assert.equal(await page.locator("#field-reason").inputValue(), REASON);
      await name.fill("harbour-freight");
      await page.getByRole("button", { name: word("team-everyone-confirm"), exact: true }).click();
      await page.getByText(word("team-done-own"), { exact: true }).waitFor();
      for (const token of [own, other]) await refused(token);
    });
  });
}

/** The users of the sessions in the list. */
async function sessionUsers(page) {
  return (await column(page, USER)).map((text) => text.split("\n")[0]);
}
