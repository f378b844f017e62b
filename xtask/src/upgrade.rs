//! `cargo xtask upgrade`: the newest released version and this one, side by side over one database under load.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    install,
    shell::{self, command},
    tools,
};

/// The released versions and their commits, for a clone without tags.
const RELEASES: &str = "xtask/releases.txt";
/// The trees of released versions, each with its own target directory.
const HOME: &str = "target/upgrade";

/// Options of `upgrade`.
#[derive(Args)]
pub(crate) struct Options {
    /// How long each stage is watched, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// The older version: a tag, or a commit. Unset: the last line of xtask/releases.txt.
    #[arg(long)]
    from: Option<String>,
}

/// Builds both versions from git, upgrades and rolls back; the report goes to target/upgrade.
pub(crate) fn run(options: &Options) -> Result<()> {
    install::ensure(&[tools::C_COMPILER, tools::POSTGRES_SERVER])?;
    let (name, commit) = match &options.from {
        Some(from) => (from.clone(), commit_of(from)?),
        None => newest_release()?,
    };
    let tree = format!("{HOME}/{name}");
    check_out(&tree, &commit)?;

    build(&tree, &["-p", "portcullis-cli", "-p", "portcullis-sidecar"])?;
    let packages = [
        "-p",
        "portcullis-cli",
        "-p",
        "portcullis-sidecar",
        "-p",
        "portcullis-ha",
    ];
    build(".", &packages)?;
    let old = format!("{tree}/target/debug");
    let new = "target/debug";

    println!("upgrade: from {name} ({commit}) to this tree");
    let mut drive = command("target/debug/portcullis-ha", ["upgrade"]);
    drive.args(["--old", &old, "--new", new]);
    drive.args(["--seconds", &options.seconds.to_string()]);
    shell::run(drive)
}

/// The name and the commit of the newest release. Its tag counts; the file is for a clone without tags.
fn newest_release() -> Result<(String, String)> {
    let releases = fs::read_to_string(RELEASES).with_context(|| format!("reading {RELEASES}"))?;
    let last = releases
        .lines()
        .rfind(|line| !line.starts_with('#'))
        .with_context(|| format!("{RELEASES} has no release"))?;
    let (name, commit) = last
        .split_once(' ')
        .with_context(|| format!("{RELEASES}: a line is a tag and a commit"))?;
    let commit = commit_of(name).or_else(|_| commit_of(commit))?;
    Ok((name.to_owned(), commit))
}

/// The commit that a tag or a commit's name stands for.
fn commit_of(name: &str) -> Result<String> {
    let wanted = format!("{name}^{{commit}}");
    shell::answer(command(
        "git",
        ["rev-parse", "--verify", "--quiet", &wanted],
    ))
    .with_context(|| format!("this clone does not have {name}: run `git fetch --tags --unshallow`"))
}

fn check_out(tree: &str, commit: &str) -> Result<()> {
    if Path::new(tree).exists() {
        return shell::run(command(
            "git",
            ["-C", tree, "checkout", "--quiet", "--detach", commit],
        ));
    }
    shell::run(command(
        "git",
        ["worktree", "add", "--force", "--detach", tree, commit],
    ))
}

/// Builds packages of a tree into its own target directory. Cargo names what it builds by paths within a workspace, so two
/// trees in one directory would take each other's artifacts for their own.
fn build(tree: &str, packages: &[&str]) -> Result<()> {
    let target = std::env::current_dir()?.join(tree).join("target");
    let mut build = command("cargo", ["build", "--locked"]);
    build.args(packages);
    build.current_dir(tree);
    build.env("CARGO_TARGET_DIR", target);
    shell::run(build)
}
