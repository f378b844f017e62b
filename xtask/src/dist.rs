//! `cargo xtask dist`: the binaries to ship, stripped, with their debug information in files of their own.
//!
//! Cargo's `split-debuginfo` leaves the line tables in the binary on Linux, and they are most of its size. So each
//! binary is built whole and split by objcopy. A debugger finds the other file by its name and checksum.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{
    envoy, install,
    shell::{self, command},
    tools,
};

const BUILT: &str = "target/dist";
/// Output: the stripped files and their debug information.
const DIRECTORY: &str = "target/ship";
/// The program with the authority, the console and the command line.
pub(crate) const AUTHORITY: &str = "portcullis";
pub(crate) const SIDECAR: &str = "portcullis-sidecar";
/// The largest sidecar, stripped. It is copied to every machine that has a gateway.
const SIDECAR_MEGABYTES_MAX: u64 = 15;

/// Builds the files with debug information, and splits the two.
pub(crate) fn run() -> Result<()> {
    programs()?;
    envoy::build(&["--profile", "dist", "--locked"])?;
    ship(envoy::FILE)?;
    Ok(())
}

/// Builds and splits the two programs. Returns their directory.
pub(crate) fn programs() -> Result<&'static str> {
    install::ensure(&[tools::C_COMPILER, tools::OBJCOPY])?;
    // One at a time: built together, each would get the features that the other needs.
    build("portcullis-cli")?;
    build(SIDECAR)?;
    fs::create_dir_all(DIRECTORY).with_context(|| format!("creating {DIRECTORY}"))?;
    ship(AUTHORITY)?;
    let megabytes = ship(SIDECAR)?;
    if megabytes > SIDECAR_MEGABYTES_MAX {
        bail!("{SIDECAR} must be at most {SIDECAR_MEGABYTES_MAX} MB");
    }
    Ok(DIRECTORY)
}

/// Builds a program with the list of its libraries in a section of its own (`cargo audit bin` reads it).
fn build(package: &str) -> Result<()> {
    let mut build = tools::cargo_auditable()?;
    build.args(["build", "--profile", "dist", "--locked", "-p", package]);
    shell::run(build)
}

/// Splits a file into what is shipped and its debug information. Returns the size of what is shipped, in megabytes.
fn ship(file: &str) -> Result<u64> {
    let built = format!("{BUILT}/{file}");
    let shipped = format!("{DIRECTORY}/{file}");
    let debug = format!("{shipped}.debug");
    shell::run(command("objcopy", ["--only-keep-debug", &built, &debug]))?;
    // The link contains the name and the checksum of the file, which therefore must be there first.
    let link = format!("--add-gnu-debuglink={debug}");
    shell::run(command("objcopy", ["--strip-all", &link, &built, &shipped]))?;
    let megabytes = print_size(&shipped)?;
    print_size(&debug)?;
    Ok(megabytes)
}

/// Prints the size of a file, and returns it in megabytes, rounded up.
fn print_size(file: &str) -> Result<u64> {
    let bytes = fs::metadata(file)
        .with_context(|| format!("reading {file}"))?
        .len();
    let megabytes = bytes.div_ceil(1_000_000);
    println!("{file}: {megabytes} MB");
    Ok(megabytes)
}
