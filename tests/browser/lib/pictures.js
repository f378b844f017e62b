// Pictures of pages, small and comparable. Chromium itself packs them as WebP and compares them, so no other program is
// needed.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Visitor } from "./visitor.js";

/** The largest part of a picture that may differ. Fonts are drawn a little differently by each version of Chromium. */
const DIFFERENT_MAX = 0.02;
/** The quality of the pictures, from 0 to 1. Text stays sharp at this one. */
const QUALITY = 0.72;
/** A difference of a colour that counts, of 255. WebP moves colours by less. */
const COLOUR_STEP = 56;

/** The parts of a page that are different each time: times, ids, and counts of milliseconds. */
const VOLATILE = "time, code, [data-volatile], .receipt, .detail, dd bdi";

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

  /** Keeps a picture of a page, or compares it with the one that was kept. */
  async keep(page, name) {
    const file = join(process.env.IMAGES, name);
    const volatile = await page.locator(VOLATILE).evaluateAll((elements) =>
      elements.map((element) => {
        const { x, y, width, height } = element.getBoundingClientRect();
        return [x, y, width, height].map(Math.round);
      }),
    );
    const picture = (await page.screenshot({ animations: "disabled", caret: "hide" })).toString("base64");
    if (IS_WRITING) {
      const packed = await this.visitor.page.evaluate(pack, { picture, quality: QUALITY });
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, Buffer.from(packed, "base64"));
      return;
    }
    assert.ok(existsSync(file), `${name} is missing: run \`cargo xtask screenshots\``);
    const kept = readFileSync(file).toString("base64");
    const different = await this.visitor.page.evaluate(compare, { picture, kept, volatile, step: COLOUR_STEP });
    const percent = (different * 100).toFixed(2);
    assert.ok(different <= DIFFERENT_MAX, `${name} differs in ${percent} %: look, and run \`cargo xtask screenshots\``);
  }
}

// These two run in the browser.

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
  if (now.width !== before.width || now.height !== before.height) return 1;
  let different = 0;
  for (let at = 0; at < now.data.length; at += 4) {
    const steps = [0, 1, 2].map((colour) => Math.abs(now.data[at + colour] - before.data[at + colour]));
    if (Math.max(...steps) > step) different += 1;
  }
  return different / (now.width * now.height);
}
