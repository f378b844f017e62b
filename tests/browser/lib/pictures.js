// Pictures of pages, small and comparable. Chromium itself packs them as WebP and compares them, so no other program is
// needed.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Visitor } from "./visitor.js";
import { word } from "./words.js";

/**
 * The largest part of a picture that may differ. Fonts are drawn a little differently by each version of Chromium, and a
 * time of another length moves the words beside it.
 */
const DIFFERENT_MAX = 0.08;
/** The quality of the pictures, from 0 to 1. Text stays sharp at this one. */
const QUALITY = 0.5;
/** A difference of a colour that counts, of 255. WebP moves colours by less. */
const COLOUR_STEP = 64;
/** The longest part of a page that a picture shows, in pixels. */
const HEIGHT_MAX = 1_200;

/** The parts of a page that are different each time: times, ids, and counts of milliseconds. */
const VOLATILE = "time, code, .id, .receipt, .detail, dd bdi, .spark, [data-volatile]";

const IS_WRITING = process.env.WRITE_SCREENSHOTS === "1";

/** Packs and compares pictures on a page of its own. */
export class Darkroom {
  static async open() {
    const darkroom = new Darkroom();
    darkroom.visitor = await Visitor.open();
    return darkroom;
  }

  async close() {
    await this.visitor.close();
  }

  /** Keeps a picture of a page, or compares it with the one that was kept, but for what is different each time. */
  async keep(page, name, changing = "") {
    const file = join(process.env.IMAGES, name);
    await page.evaluate(freezeTimes, word("frame-time-now", await page.locator("html").getAttribute("lang")));
    const volatile = await page.locator([VOLATILE, changing].filter(Boolean).join()).evaluateAll(findBoxes);
    const [width, height] = await page.evaluate(() => [innerWidth, document.documentElement.scrollHeight]);
    const clip = { x: 0, y: 0, width, height: Math.min(height, HEIGHT_MAX) };
    const taken = await page.screenshot({ animations: "disabled", caret: "hide", fullPage: true, clip });
    const picture = taken.toString("base64");
    if (IS_WRITING) {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, name.endsWith(".png") ? taken : await this.pack(picture));
      return;
    }
    assert.ok(existsSync(file), `${name} is missing: run \`cargo xtask screenshots\``);
    const kept = readFileSync(file).toString("base64");
    const different = await this.visitor.page.evaluate(compare, { picture, kept, volatile, step: COLOUR_STEP });
    const percent = (different * 100).toFixed(2);
    if (different > DIFFERENT_MAX && process.env.SCRATCH) {
      writeFileSync(join(process.env.SCRATCH, name.replaceAll("/", "-").replace(/\.webp$/, ".png")), taken);
    }
    assert.ok(different <= DIFFERENT_MAX, `${name} differs in ${percent} %: look, and run \`cargo xtask screenshots\``);
  }

  async pack(picture) {
    const packed = await this.visitor.page.evaluate(pack, { picture, quality: QUALITY });
    return Buffer.from(packed, "base64");
  }
}

// These run in the browser.

/** Everything has just happened, however long the test took. */
function freezeTimes(now) {
  for (const time of document.querySelectorAll("main time[title]")) time.textContent = now;
}

function findBoxes(elements) {
  return elements.map((element) => {
    const { x, y, width, height } = element.getBoundingClientRect();
    return [x + scrollX, y + scrollY, width, height].map(Math.round);
  });
}

async function pack({ picture, quality }) {
  const image = await createImageBitmap(new Blob([Uint8Array.from(atob(picture), (c) => c.charCodeAt(0))]));
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").drawImage(image, 0, 0);
  const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: "image/webp", quality })).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

async function compare({ picture, kept, volatile, step }) {
  const pixels = async (text) => {
    const image = await createImageBitmap(new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]));
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
    context.drawImage(image, 0, 0);
    for (const [x, y, width, height] of volatile) context.fillRect(x - 2, y - 2, width + 4, height + 4);
    return context.getImageData(0, 0, image.width, image.height);
  };
  const [now, before] = [await pixels(picture), await pixels(kept)];
  if (now.width !== before.width) return 1;
  const [shorter, longer] = [now.height, before.height].sort((one, other) => one - other);
  // What only one of them has is different.
  let different = (longer - shorter) * now.width;
  for (let at = 0; at < shorter * now.width * 4; at += 4) {
    const steps = [0, 1, 2].map((colour) => Math.abs(now.data[at + colour] - before.data[at + colour]));
    if (Math.max(...steps) > step) different += 1;
  }
  return different / (now.width * longer);
}
