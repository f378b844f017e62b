// A person's own sessions: the list, one session, signing out one, the others, all; with and without scripts.

import assert from "node:assert/strict";
import { test } from "node:test";
import { statusOf, tokenOf } from "./lib/gateway.js";
import { axe, valid } from "./lib/judge.js";
import { session, signOut } from "./lib/mine.js";
import { eventually } from "./lib/wait.js";
import { Visitor, visit } from "./lib/visitor.js";
import { word } from "./lib/words.js";

const PHONE = /Safari.*iPhone|iPhone/;

for (const script of [true, false]) {
  const how = script ? "with scripts" : "without scripts";

  test(`the list marks this session and the suspicious one, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn("n-101", ["phone", "laptop"]);
      await visitor.goto("/");
      const current = page.locator("ul.sessions.current > li");
      await current.getByText(word("mine-current"), { exact: true }).waitFor();
      assert.equal(await current.count(), 1);
      // The current one comes first.
      assert.equal(await page.locator("ul.sessions > li").first().evaluate((li) => li.parentElement.className), "sessions current");
      // A sign-in from Sydney in the same minute is impossible.
      const laptop = session(page, /Firefox/);
      await laptop.getByText(word("mine-suspicious"), { exact: true }).waitFor();
      await laptop.getByText(word("mine-findings")).waitFor();
      for (const heading of ["mine-type-phone", "mine-type-desktop"]) {
        await page.getByRole("heading", { name: word(heading), exact: true }).waitFor();
      }
    });
  });

  test(`one session has all its facts, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn("n-101", ["laptop"]);
      await visitor.goto("/");
      await session(page, /Firefox/).locator('a[href^="/sessions/"]').first().click();
      const facts = page.locator("dl.facts");
      for (const fact of ["device", "place", "operator", "address", "created", "last-active", "actions", "sign-ins", "methods", "id"]) {
        await facts.getByText(word(`mine-fact-${fact}`), { exact: true }).waitFor();
      }
      await facts.getByText("Harbour Wireless").waitFor();
    });
  });

  test(`a session that is signed out is refused at the gateway, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const other = await Visitor.open({ script });
      await other.signIn("n-104");
      const token = await tokenOf(other);
      await eventually("the gateway admits", async () => (await statusOf(token)) === 200);

      const { page } = visitor;
      await visitor.signIn("n-104");
      await visitor.goto("/");
      const id = await sessionOf(other);
      await page.locator(`a[href="/sessions/${id}/sign-out"]`).click();
      await page.getByRole("button", { name: word("mine-sign-out"), exact: true }).click();
      await page.locator(".done .receipt").waitFor();
      await eventually("the gateway refuses", async () => (await statusOf(token)) === 401);
      // Pressing the browser's back button and the button again ends nothing twice, and is no error.
      await page.goBack();
      await visitor.goto(`/sessions/${id}/sign-out`);
      await page.getByText(word("mine-confirm-ended")).waitFor();

      // The other browser reads why.
      other.allow(/status of 40/);
      await other.page.goto("/");
      await other.page.goto("/signed-out");
      await other.page.getByRole("heading", { name: word("mine-signed-out-title") }).waitFor();
      await axeWithScripts(other, script, "signed out");
      await valid(other, "/signed-out");
      await other.close();
    });
  });

  test(`all others end, and then this one too, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn("n-106", ["phone", "tablet"]);
      await visitor.goto("/");
      await page.getByRole("link", { name: word("mine-sign-out-others") }).click();
      await page.getByRole("link", { name: word("frame-cancel") }).click();
      await page.getByRole("link", { name: word("mine-sign-out-others") }).click();
      assert.ok((await page.locator("ul.sessions > li").count()) >= 2, "it lists what will end");
      await page.getByRole("button", { name: word("mine-sign-out-others") }).click();
      await page.locator(".done").waitFor();
      await page.getByText(word("mine-no-others")).waitFor();

      await visitor.signIn("n-106", ["phone"]);
      await visitor.goto("/sign-out-others");
      await page.getByLabel(word("mine-include-current")).check();
      visitor.allow(/status of 401/);
      await page.getByRole("button", { name: word("mine-sign-out-others") }).click();
      await page.getByRole("heading", { name: word("mine-signed-out-title") }).waitFor();
    });
  });

  test(`everything ends at once, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn("n-108", ["phone"]);
      const token = await tokenOf(visitor);
      await visitor.goto("/");
      await page.getByRole("link", { name: word("mine-sign-out-everywhere") }).click();
      visitor.allow(/status of 401/);
      await page.getByRole("button", { name: word("mine-sign-out-everywhere") }).click();
      await page.getByRole("heading", { name: word("mine-signed-out-title") }).waitFor();
      await eventually("the gateway refuses", async () => (await statusOf(token)) === 401);
    });
  });

  test(`ended sessions say why, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn("n-100");
      await visitor.goto("/");
      await page.getByRole("link", { name: word("mine-ended-link") }).click();
      await page.getByText("We ended a program that used your account.").waitFor();
    });
  });

  test(`language and theme are chosen, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await visitor.signIn("n-102");
      await visitor.goto("/");
      await page.locator("#language").selectOption("et");
      if (!script) await page.getByRole("button", { name: word("frame-apply") }).click();
      await page.locator('html[lang="et"]').waitFor();
      await page.locator("#theme").selectOption("dark");
      if (!script) await page.getByRole("button", { name: word("frame-apply", "et") }).click();
      await page.locator('html[data-theme="dark"]').waitFor();
    });
  });
}

/** The id of a visitor's own session. */
async function sessionOf(visitor) {
  const payload = (await tokenOf(visitor)).split(".")[1];
  return JSON.parse(Buffer.from(payload, "base64url")).sid;
}

async function axeWithScripts(visitor, script, what) {
  if (script) await axe(visitor.page, what);
}

test("the receipt counts the gates that have dropped", async () => {
  await visit({}, async (visitor) => {
    const { page } = visitor;
    await visitor.signIn("n-102", ["phone"]);
    await visitor.goto("/");
    await signOut(page, PHONE);
    // Two gates are connected: the example gateway and the console's own.
    const receipt = page.locator(".receipt:not([data-receipt])");
    await receipt.waitFor();
    assert.match(await receipt.textContent(), /2/);
  });
});

test("a form that another site sends changes nothing", async () => {
  await visit({}, async (visitor) => {
    await visitor.signIn("n-102", ["phone"]);
    await visitor.goto("/");
    const link = await session(visitor.page, PHONE).locator('a[href$="/sign-out"]').getAttribute("href");
    const forged = await visitor.context.request.post(link, {
      headers: { "sec-fetch-site": "cross-site" },
      form: { csrf: "" },
      maxRedirects: 0,
    });
    assert.equal(forged.status(), 403);
    await visitor.goto("/");
    await session(visitor.page, PHONE).waitFor();
  });
});

test("a session that ends in the middle of a form leads to the reason, with nothing half done", async () => {
  await visit({}, async (visitor) => {
    const other = await Visitor.open();
    await other.signIn("n-105");
    await other.goto("/sign-out-others");
    await visitor.signIn("n-105");
    await visitor.goto("/");
    await visitor.page.locator(`a[href="/sessions/${await sessionOf(other)}/sign-out"]`).click();
    await visitor.page.getByRole("button", { name: word("mine-sign-out"), exact: true }).click();
    await visitor.page.locator(".done").waitFor();

    other.allow(/status of 401/);
    await other.page.getByRole("button", { name: word("mine-sign-out-others") }).click();
    await other.page.getByRole("heading", { name: word("frame-problem-ended") }).waitFor();
    await visitor.goto("/");
    await visitor.page.locator("ul.sessions.current > li").waitFor();
    await other.close();
  });
});
