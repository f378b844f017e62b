// The authority is away, and gates are away: pages that say so, and that go on by themselves.

import assert from "node:assert/strict";
import { test } from "node:test";
import { judge } from "./lib/judge.js";
import { eventually } from "./lib/wait.js";
import { visit } from "./lib/visitor.js";
import { word } from "./lib/words.js";

/** Asks the test for a fault, or for its end. */
async function ask(fault) {
  const answer = await fetch(`${process.env.CONTROL}${fault}`, { method: "POST" });
  assert.ok(answer.ok, `${fault}: ${answer.status}`);
}

/** Signs a person in. Cookies know no ports, so the console gets this one too. */
async function signIn(visitor, person) {
  const answer = await visitor.context.request.post(`${process.env.CONTROL}/sign-in/${person}`);
  assert.equal(answer.status(), 204);
}

/** Waits until the console's gate knows the session. */
async function arrive(visitor, path) {
  visitor.allow(/status of 503/);
  await eventually(`${path} opens`, async () => (await visitor.page.goto(path)).status() === 200);
}

/** Waits until operators see both gates fresh. */
async function gatesAreBack(script) {
  await visit({ script }, async (visitor) => {
    await signIn(visitor, "ada");
    await arrive(visitor, "/gates");
    await eventually("both gates are fresh", async () => {
      await visitor.goto("/gates");
      return (await visitor.page.getByText(word("gates-fresh"), { exact: true }).count()) >= 2;
    });
  });
}

for (const script of [true, false]) {
  const how = script ? "with scripts" : "without scripts";

  test(`an authority that is away is told in every room, and the page tries again, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await signIn(visitor, "ada");
      await arrive(visitor, "/sign-out-others");
      await ask("/authority/stop");

      for (const path of ["/", "/ended", "/sign-out-everywhere", "/team", "/team/sessions", "/team/users/ada", "/settings", "/api-sessions", "/api-sessions/new", "/audit", "/gates"]) {
        // A tab of its own, because the page before tries again by itself after 5 seconds.
        const tab = await visitor.context.newPage();
        visitor.allow(/status of 503/);
        const answer = await tab.goto(path);
        assert.equal(answer.status(), 503, path);
        const headers = await answer.allHeaders();
        assert.equal(headers["retry-after"], "5", path);
        assert.equal(headers.refresh, "5", path);
        await tab.getByRole("heading", { level: 1, name: word("frame-problem-away"), exact: true }).waitFor();
        await tab.getByText(word("frame-problem-away-advice"), { exact: true }).waitFor();
        await tab.close();
      }

      // The page that is open comes back without a hand.
      await visitor.goto("/settings", 503);
      await ask("/authority/start");
      await page.getByRole("heading", { level: 1, name: word("settings-title"), exact: true }).waitFor();
      assert.equal(new URL(page.url()).pathname, "/settings");
    });
  });

  test(`a form that is sent while the authority is away says what is not known, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await signIn(visitor, `bob-${script}`);
      await signIn(visitor, `bob-${script}`);
      await arrive(visitor, "/sign-out-others");
      await ask("/authority/stop");
      await page.getByRole("button", { name: word("mine-sign-out-others"), exact: true }).click();
      await page.getByText(word("frame-problem-away-form-advice"), { exact: true }).waitFor();
      assert.equal((await visitor.document.allHeaders()).refresh, undefined, "a form is not sent again by itself");
      if (script) await judge(visitor, "a form whose authority is away");
      await ask("/authority/start");
      await eventually("the form is there again, with what would end", async () => {
        await page.getByRole("link", { name: word("frame-problem-again-link"), exact: true }).click();
        await page.getByRole("heading", { level: 1 }).waitFor();
        return (await page.locator("ul.sessions > li").count()) === 1;
      });
      await page.getByRole("button", { name: word("mine-sign-out-others"), exact: true }).click();
      await page.locator(".done").waitFor();
    });
  });

  test(`a receipt counts a gate that is away until it can accept nothing any more, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await signIn(visitor, `eve-${script}`);
      await signIn(visitor, `eve-${script}`);
      await arrive(visitor, "/sign-out-others");
      await gatesAreBack(script);
      await ask("/gate/away");
      await page.getByRole("button", { name: word("mine-sign-out-others"), exact: true }).click();
      const receipt = page.locator(".receipt");
      await receipt.waitFor();
      assert.match(await receipt.innerText(), /^1 of 2 gates have dropped it/);
      if (script) {
        // Live: nobody touches the page.
        await page.getByText(/^All 2 gates have dropped it/).waitFor();
      } else {
        assert.match(await receipt.innerText(), /^1 of 2 gates have dropped it/);
      }
      await ask("/gate/back");
    });
  });

  test(`operators see which gate is away, and that it is back, ${how}`, async () => {
    await visit({ script }, async (visitor) => {
      const { page } = visitor;
      await signIn(visitor, "ada");
      await arrive(visitor, "/gates");
      const row = page.locator("tbody tr", { has: page.getByRole("rowheader", { name: "shop front" }) });
      // A gate that has come back may stand beside its connection of before for a while.
      const shows = (state) => async () => {
        await visitor.goto("/gates");
        return (await row.getByText(word(state), { exact: true }).count()) > 0;
      };
      await eventually("the gate is fresh", shows("gates-fresh"));
      await ask("/gate/away");
      await eventually("the gate is stale", shows("gates-stale"));
      if (script) await judge(visitor, "a gate that is away");
      await ask("/gate/back");
      await eventually("the gate is fresh again", shows("gates-fresh"));
    });
  });
}
