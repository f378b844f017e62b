//! `cargo xtask lint`: the checks that need no run of the product. It stops at the first finding, so the quick checks
//! come first.

use std::{path::Path, time::Instant};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    deploy, envoy, generate, proofs,
    shell::{self, command},
    tools,
};

/// Options of `lint`.
#[derive(Args)]
pub(crate) struct Options {
    /// Also check dependencies against the published security advisories. Their database comes from the network,
    /// which CI does not reach, so CI leaves this out: run it by hand, and before a release.
    #[arg(long)]
    advisories: bool,
}

/// Runs every check in turn.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    step("format", || {
        shell::run(command("cargo", ["fmt", "--all", "--check"]))?;
        envoy::check_format()?;
        proofs::check_format()
    })?;
    step("generated code", || generate::check(root))?;
    step("contract style", || shell::run(tools::buf(&["lint"])?))?;
    step("contract compatibility", contract_compatibility)?;
    step(
        "unused dependencies",
        || shell::run(tools::cargo_machete()?),
    )?;
    step("dependencies", || {
        deny(&["bans", "licenses", "sources"])?;
        envoy::deny(&["bans", "licenses", "sources"])?;
        proofs::deny(&["bans", "licenses", "sources"])
    })?;
    step("dependencies of the module", envoy::check_versions)?;
    step("alerts", deploy::check_alerts)?;
    step("units", deploy::check_units)?;
    if options.advisories {
        step("advisories", || {
            deny(&["advisories"])?;
            envoy::deny(&["advisories"])?;
            proofs::deny(&["advisories"])
        })?;
    }
    step("clippy", clippy)?;
    step("documentation", documentation)
}

/// Runs one check, and prints its name and time.
fn step(name: &str, check: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("== {name}");
    let started = Instant::now();
    check().with_context(|| format!("lint: {name}"))?;
    println!("== {name}: ok in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn contract_compatibility() -> Result<()> {
    let Some(older) = older_contract() else {
        println!(
            "skipped: git knows no older commit with a contract (a first commit, a shallow clone)"
        );
        return Ok(());
    };
    let against = format!(".git#ref={older}");
    shell::run(tools::buf(&["breaking", "--against", &against])?)
}

/// Returns the commit whose clients this tree must still serve: the last release's tag.
///
/// The search begins at the parent, because a tag on this very commit would compare the tree with itself. Before the
/// first release the parent commit is enough: a break then shows once, in the commit that makes it, and an intended one
/// is listed under `breaking` in buf.yaml for the reviewer.
fn older_contract() -> Option<String> {
    let parent = "HEAD~1";
    let tag = shell::answer(command("git", ["describe", "--tags", "--abbrev=0", parent]));
    [tag, Some(parent.to_owned())]
        .into_iter()
        .flatten()
        .find(|commit| has_contract(commit))
}

fn has_contract(commit: &str) -> bool {
    ["buf.yaml", "proto"].iter().all(|path| {
        let object = format!("{commit}:{path}");
        shell::answer(command("git", ["cat-file", "-e", &object])).is_some()
    })
}

fn deny(checks: &[&str]) -> Result<()> {
    let check = ["check", "--hide-inclusion-graph"];
    shell::run(tools::cargo_deny(&[&check, checks].concat())?)
}

fn clippy() -> Result<()> {
    let mut clippy = command(
        "cargo",
        ["clippy", "--workspace", "--all-targets", "--locked"],
    );
    clippy.args(["--", "-D", "warnings"]);
    shell::run(clippy)?;
    envoy::clippy()?;
    proofs::clippy()
}

fn documentation() -> Result<()> {
    let mut doc = command("cargo", ["doc", "--workspace", "--no-deps", "--locked"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    shell::run(doc)
}
