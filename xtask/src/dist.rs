//! `cargo xtask dist`: the binary to ship, stripped, with its debug information in a file of its own.
//!
//! Cargo's `split-debuginfo` leaves the line tables in the binary on Linux, and they are most of its size. So the
//! binary is built whole and split by objcopy. A debugger finds the other file by its name and checksum.

use std::fs;

use anyhow::{Context, Result};

use crate::{
    install,
    shell::{self, command},
    tools,
};

const BUILT: &str = "target/dist/portcullis";
/// Output: the stripped binary and its debug information.
const DIRECTORY: &str = "target/ship";

/// Builds the binary with debug information, and splits the two.
pub(crate) fn run() -> Result<()> {
    install::ensure(&[tools::C_COMPILER, tools::OBJCOPY])?;
    shell::run(command(
        "cargo",
        [
            "build",
            "--profile",
            "dist",
            "--locked",
            "-p",
            "portcullis-cli",
        ],
    ))?;
    fs::create_dir_all(DIRECTORY).with_context(|| format!("creating {DIRECTORY}"))?;
    let binary = format!("{DIRECTORY}/portcullis");
    let debug = format!("{binary}.debug");
    shell::run(command("objcopy", ["--only-keep-debug", BUILT, &debug]))?;
    // The link contains the name and the checksum of the file, which therefore must be there first.
    let link = format!("--add-gnu-debuglink={debug}");
    shell::run(command("objcopy", ["--strip-all", &link, BUILT, &binary]))?;

    print_size(&binary)?;
    print_size(&debug)
}

fn print_size(file: &str) -> Result<()> {
    let bytes = fs::metadata(file)
        .with_context(|| format!("reading {file}"))?
        .len();
    println!("{file}: {} MB", bytes / 1_000_000);
    Ok(())
}
