//! `cargo xtask dist`: the binary to ship, stripped, with its debug information in a file of its own.
//!
//! Cargo's `split-debuginfo` leaves the line tables in the binary on Linux, and they are most of its size. So the
//! binary is built whole and split by objcopy. A debugger finds the other file by its name and checksum.

use std::fs;

use anyhow::{Context, Result};

use crate::{
    envoy, install,
    shell::{self, command},
    tools,
};

const BUILT: &str = "target/dist";
/// Output: the stripped files and their debug information.
const DIRECTORY: &str = "target/ship";

/// Builds the files with debug information, and splits the two.
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
    envoy::build(&["--profile", "dist", "--locked"])?;
    fs::create_dir_all(DIRECTORY).with_context(|| format!("creating {DIRECTORY}"))?;
    ship("portcullis")?;
    ship(envoy::FILE)
}

/// Splits a file into what is shipped and its debug information.
fn ship(file: &str) -> Result<()> {
    let built = format!("{BUILT}/{file}");
    let shipped = format!("{DIRECTORY}/{file}");
    let debug = format!("{shipped}.debug");
    shell::run(command("objcopy", ["--only-keep-debug", &built, &debug]))?;
    // The link contains the name and the checksum of the file, which therefore must be there first.
    let link = format!("--add-gnu-debuglink={debug}");
    shell::run(command("objcopy", ["--strip-all", &link, &built, &shipped]))?;
    print_size(&shipped)?;
    print_size(&debug)
}

fn print_size(file: &str) -> Result<()> {
    let bytes = fs::metadata(file)
        .with_context(|| format!("reading {file}"))?
        .len();
    println!("{file}: {} MB", bytes / 1_000_000);
    Ok(())
}
