//! `cargo xtask ha`: the files of deploy/ha on five machines, and failovers under load.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    install,
    shell::{self, command},
    tools,
};

/// Patroni and what it needs, with hashes.
const REQUIREMENTS: &str = "ha/requirements.txt";

/// The Python that the rig runs Patroni with: others may lie where the user `postgres` cannot go.
const PYTHON: &str = "/usr/bin/python3";
/// An environment with a pip for it.
const PIP_HOME: &str = "target/tools/system-pip";

/// Options of `ha`.
#[derive(Args)]
pub(crate) struct Options {
    /// The scenarios, in their order: quiet, promote, kill, machine, partition, isolation, standby, authority. None: all.
    scenarios: Vec<String>,
    /// Runs Patroni without its synchronous mode. The run then loses what was acknowledged, and fails.
    #[arg(long)]
    asynchronous: bool,
    /// Runs the machine's own Patroni and not the pinned one.
    #[arg(long)]
    system_patroni: bool,
}

/// Builds a release, and runs the scenarios; the report goes to target/ha. Takes root, for network namespaces.
pub(crate) fn run(options: &Options) -> Result<()> {
    install::ensure(&[
        tools::C_COMPILER,
        tools::POSTGRES_SERVER,
        tools::ETCD,
        tools::NFTABLES,
        tools::IPROUTE,
    ])?;
    let mut build = command("cargo", ["build", "--release", "--locked"]);
    build.args(["-p", "portcullis-cli"]);
    build.args(["-p", "portcullis-sidecar"]);
    build.args(["-p", "portcullis-ha"]);
    shell::run(build)?;

    let program = "target/release/portcullis-ha";
    let is_root = shell::answer(command("id", ["-u"])).as_deref() == Some("0");
    let mut ha = match is_root {
        true => command(program, [] as [&str; 0]),
        false => command("sudo", ["-n", program]),
    };
    if options.system_patroni {
        install::ensure(&[tools::PATRONI])?;
    } else {
        ha.args(["--patroni", &ensure_patroni()?]);
    }
    if options.asynchronous {
        ha.arg("--asynchronous");
    }
    ha.args(&options.scenarios);
    shell::run(ha)
}

/// Installs Patroni into `target/tools/patroni-<version>`, and returns that directory.
fn ensure_patroni() -> Result<String> {
    let requirements =
        fs::read_to_string(REQUIREMENTS).with_context(|| format!("reading {REQUIREMENTS}"))?;
    let version = requirements
        .lines()
        .find_map(|line| line.strip_prefix("patroni=="))
        .and_then(|line| line.split(' ').next())
        .with_context(|| format!("{REQUIREMENTS} has no Patroni"))?;
    let home = format!("target/tools/patroni-{version}");
    if Path::new(&home).exists() {
        return Ok(home);
    }

    let pip = ensure_pip()?;
    // An installation that was interrupted must not count as one: the directory gets its name at the end.
    let partial = format!("{home}.partial");
    if Path::new(&partial).exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("removing {partial}"))?;
    }
    let mut install = command(pip, ["install", "--quiet", "--disable-pip-version-check"]);
    install.args(["--no-deps", "--no-compile", "--require-hashes"]);
    install.args(["-r", REQUIREMENTS, "--target", &partial]);
    shell::run(install)?;
    fs::rename(&partial, &home).with_context(|| format!("naming {home}"))?;
    Ok(home)
}

/// Returns the path of a pip, which it makes if there is none.
fn ensure_pip() -> Result<String> {
    let pip = format!("{PIP_HOME}/bin/pip");
    if !Path::new(&pip).exists() {
        install::ensure(&[tools::PYTHON])?;
        shell::run(command(PYTHON, ["-m", "venv", "--clear", PIP_HOME]))?;
    }
    Ok(pip)
}
