//! The Envoy module: a workspace of its own, because its FFI needs `unsafe`. It shares the target directory, so that the
//! crates of both are built once.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result, ensure};

use crate::{
    shell::{self, command},
    tools,
};

const MANIFEST: &str = "envoy/Cargo.toml";
/// The file that Envoy loads.
pub(crate) const FILE: &str = "libportcullis_envoy.so";

/// Builds the module.
pub(crate) fn build(options: &[&str]) -> Result<()> {
    shell::run(cargo("build", options))
}

/// Runs the tests of its seam, without Envoy.
pub(crate) fn test() -> Result<()> {
    shell::run(cargo("test", &["--locked"]))
}

/// Checks its format.
pub(crate) fn check_format() -> Result<()> {
    shell::run(command(
        "cargo",
        ["fmt", "--manifest-path", MANIFEST, "--check"],
    ))
}

/// Checks its code.
pub(crate) fn clippy() -> Result<()> {
    let lints = ["--all-targets", "--locked", "--", "-D", "warnings"];
    shell::run(cargo("clippy", &lints))
}

/// Checks its dependencies by the rules of the workspace.
pub(crate) fn deny(checks: &[&str]) -> Result<()> {
    let options = [
        "--manifest-path",
        MANIFEST,
        "check",
        "--hide-inclusion-graph",
    ];
    // The module needs fewer licences and has fewer duplicates than the rules know.
    let allow = [
        "--allow",
        "license-not-encountered",
        "--allow",
        "unmatched-skip",
    ];
    shell::run(tools::cargo_deny(&[&options, &allow[..], checks].concat())?)
}

/// Checks that every crate of the module has a version that the workspace has too: what is reviewed and built once.
pub(crate) fn check_versions() -> Result<()> {
    let ours = locked("Cargo.lock")?;
    let modules = locked("envoy/Cargo.lock")?;
    let own = ["portcullis-envoy"];
    let mut others = Vec::new();
    for (name, version) in modules.difference(&ours) {
        if !own.contains(&name.as_str()) {
            others.push(format!("{name} {version}"));
        }
    }
    ensure!(
        others.is_empty(),
        "envoy/Cargo.lock has what Cargo.lock has not: {}. Run `cargo update --manifest-path {MANIFEST} -p NAME --precise VERSION`",
        others.join(", ")
    );
    Ok(())
}

/// Reads the names and versions of a lock file.
fn locked(file: &str) -> Result<BTreeSet<(String, String)>> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
    let mut crates = BTreeSet::new();
    let mut name = None;
    for line in text.lines() {
        if let Some(value) = line.strip_prefix("name = ") {
            name = Some(value.trim_matches('"').to_owned());
        } else if let Some(value) = line.strip_prefix("version = ")
            && let Some(name) = name.take()
        {
            crates.insert((name, value.trim_matches('"').to_owned()));
        }
    }
    Ok(crates)
}

fn cargo(chore: &str, options: &[&str]) -> std::process::Command {
    let mut cargo = command("cargo", [chore, "--manifest-path", MANIFEST]);
    cargo.args(["--target-dir", "target"]).args(options);
    cargo
}
