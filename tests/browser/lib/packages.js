// The packages that `cargo xtask test` installs outside of the sources.

import { createRequire } from "node:module";

const require = createRequire(`${process.env.PACKAGES}/package.json`);

export const { chromium } = require("playwright-core");
export const { AxeBuilder } = require("@axe-core/playwright");
export const { HtmlValidate } = require("html-validate");
