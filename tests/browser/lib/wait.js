// Waiting for a condition, never for a time.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

const DEADLINE = 20_000;

/** Asks until the answer is true. */
export async function eventually(what, condition) {
  const giveUp = Date.now() + DEADLINE;
  while (!(await condition())) {
    assert.ok(Date.now() < giveUp, `${what}: not within ${DEADLINE} ms`);
    await pause(20);
  }
}
