// The first minute: one chooses a person, presses "Sign out" in the console, and sees the gateway refuse beside it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { axe, fits, validText } from "./lib/judge.js";
import { signOut } from "./lib/mine.js";
import { Darkroom } from "./lib/pictures.js";
import { eventually } from "./lib/wait.js";
import { Visitor, visit } from "./lib/visitor.js";
import { word } from "./lib/words.js";

/** A line of the panel: the newest one of a person's device. */
function line(page, device, person = "Joan Walker") {
  return page.locator("#answers > li", { hasText: device }).filter({ hasText: person }).first();
}

// It comes first: the panel has only the devices of the picture then.
test("the picture of the README is the stage after a click", async () => {
  await visit({ width: 1280 }, async (visitor) => {
    const { page } = visitor;
    await visitor.signIn("n-100", ["phone", "tablet", "laptop"]);
    await page.goto("/demo");
    await line(page, "Firefox on Windows").getByText("200 OK").waitFor();
    const console = page.frameLocator("main iframe");
    await signOut(console, /Firefox/);
    await line(page, "Firefox on Windows").getByText("401 revoked").waitFor();
    await console.getByRole("heading", { level: 1, name: word("mine-title") }).waitFor();
    const darkroom = await Darkroom.open();
    await darkroom.keep(page, "first-minute.png", "#answers > li, .panel p");
    await darkroom.close();
  });
});

test("the address that dev prints leads to the sign-in and then to the stage", async () => {
  await visit({}, async ({ page }) => {
    await page.goto(process.env.STAGE);
    await page.getByRole("heading", { name: "Sign in as somebody" }).waitFor();
    await page.getByRole("button", { name: /Joan Walker/ }).click();
    await page.getByRole("heading", { name: "What the gateway answers" }).waitFor();
    for (const device of ["This browser", "Safari on an iPhone", "Chrome on an Android tablet", "Firefox on Windows"]) {
      await line(page, device).getByText("200 OK").waitFor();
    }
    const console = page.frameLocator("main iframe");
    await console.getByRole("heading", { level: 1 }).waitFor();
  });
});

test("a click on Sign out is a refusal at the gateway, with its time", async () => {
  await visit({}, async (visitor) => {
    const { page } = visitor;
    await visitor.signIn("n-102", ["phone"]);
    await page.goto("/demo");
    await line(page, "Safari on an iPhone", "Mari Tamm").getByText("200 OK").waitFor();
    await signOut(page.frameLocator("main iframe"), /iPhone/);
    await line(page, "Safari on an iPhone", "Mari Tamm").getByText("401 revoked").waitFor();
    const detail = await line(page, "Safari on an iPhone", "Mari Tamm").locator(".detail").textContent();
    assert.match(detail, /^\d+\.\d ms after the click$/);
    // The other device goes on.
    assert.equal(await line(page, "This browser", "Mari Tamm").getAttribute("data-state"), "admitted");
  });
});

test("the panel works without scripts", async () => {
  await visit({ script: false }, async (visitor) => {
    const { page } = visitor;
    await visitor.signIn("n-102", ["phone"]);
    await page.goto("/demo");
    const panel = page.frameLocator("aside iframe");
    await eventually("the phone is admitted", async () => {
      await panel.getByRole("link", { name: "Look again" }).click();
      const phone = panel.locator("li", { hasText: "Safari on an iPhone" });
      return (await phone.first().textContent()).includes("200 OK");
    });
  });
});

test("one signs in again as somebody else, and the tokens are theirs", async () => {
  await visit({}, async (visitor) => {
    const { page } = visitor;
    await visitor.signIn("h-202");
    await page.goto("/demo");
    await page.getByRole("link", { name: /Be somebody else/ }).click();
    await page.getByRole("button", { name: /Priya Nair/ }).click();
    await page.getByRole("heading", { name: "Priya Nair" }).waitFor();
    // The console's own address brings a signed-in browser back to where it wanted to go.
    await page.context().clearCookies({ name: "__Host-session" });
    await visitor.goto("/");
    assert.equal(new URL(page.url()).pathname, "/");
  });
});

test("another site can neither read nor press", async () => {
  const visitor = await Visitor.open();
  const { request } = visitor.context;
  const forged = await request.post("/demo/sign-in", {
    headers: { "sec-fetch-site": "cross-site" },
    form: { person: "n-100" },
  });
  assert.equal(forged.status(), 403);
  const rebound = await request.get("/demo/sign-in", { headers: { host: "evil.example" } });
  assert.equal(rebound.status(), 403);
  await visitor.close();
});

test("the pages of the demonstration are accessible in both schemes, and narrow", async () => {
  for (const dark of [false, true]) {
    await visit({ dark }, async (visitor) => {
      const { page } = visitor;
      await page.goto("/demo/sign-in?choose=1");
      await axe(page, "the sign-in");
      await visitor.signIn("n-100", ["phone"]);
      await page.goto("/demo");
      await line(page, "Safari on an iPhone").first().getByText("200 OK").waitFor();
      await axe(page, "the stage");
      for (const path of ["/demo/sign-in?choose=1", "/demo", "/demo/panel", "/demo/account"]) {
        const answer = await visitor.context.request.get(path);
        await validText(await answer.text(), path);
      }
    });
  }
  await visit({ width: 320 }, async (visitor) => {
    await visitor.page.goto("/demo/sign-in?choose=1");
    await fits(visitor.page, "the sign-in");
    await visitor.signIn("n-100");
    await visitor.page.goto("/demo");
    await fits(visitor.page, "the stage");
  });
});
