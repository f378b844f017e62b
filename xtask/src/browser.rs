//! The browser tests: Debian's Chromium, and the pinned npm packages that drive it and judge the pages.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    install,
    shell::{self, command},
    tools,
};

/// The scripts, with the pins of their packages.
const SOURCE: &str = "tests/browser";

/// The files that decide which packages are installed.
const PINS: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// Where the packages are. The tests read them from here (`tests/harness/chromium.rs`).
const HOME: &str = "target/tools/browser";

/// The tests that take pictures: of every page, and of the first minute for the README.
const PICTURE_TESTS: [&str; 2] = ["browser::pictures", "browser::the_first_minute"];

/// Installs Chromium, its fonts, and the packages.
pub(crate) fn ensure() -> Result<()> {
    install::ensure(&[tools::NPM, tools::CHROMIUM, tools::FONTS])?;
    let pins = read_pins()?;
    let mark = format!("{HOME}/installed");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == pins) {
        return Ok(());
    }

    fs::create_dir_all(HOME).with_context(|| format!("creating {HOME}"))?;
    for name in PINS {
        let (from, to) = (format!("{SOURCE}/{name}"), format!("{HOME}/{name}"));
        fs::copy(&from, &to).with_context(|| format!("copying {from}"))?;
    }
    // `.npmrc` forbids scripts: one of them would download a browser.
    let mut npm = command("npm", ["ci", "--loglevel=error"]);
    npm.current_dir(HOME);
    shell::run(npm).context("the packages of the browser tests are missing")?;
    // Last, so that an installation that was interrupted does not count as one.
    fs::write(&mark, pins).with_context(|| format!("writing {mark}"))
}

fn read_pins() -> Result<String> {
    let mut pins = String::new();
    for name in PINS {
        let path = Path::new(SOURCE).join(name);
        let text = fs::read_to_string(&path);
        pins.push_str(&text.with_context(|| format!("reading {}", path.display()))?);
    }
    Ok(pins)
}

/// Runs the tests that take pictures, which then write them instead of comparing.
pub(crate) fn take_screenshots() -> Result<()> {
    ensure()?;
    let package = "portcullis-cli";
    shell::run(command("cargo", ["build", "--locked", "-p", package]))?;
    let mut tests = command("cargo", ["test", "--locked", "-p", "portcullis-tests"]);
    tests.args(["--test", "e2e", "--", "--include-ignored"]);
    tests.args(PICTURE_TESTS);
    tests.env("WRITE_SCREENSHOTS", "1");
    shell::run(tests)
}
