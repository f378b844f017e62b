//! `cargo xtask ha`: the files of deploy/ha on five machines, and failovers under load.

use anyhow::Result;
use clap::Args;

use crate::{
    install,
    shell::{self, command},
    tools,
};

/// Options of `ha`.
#[derive(Args)]
pub(crate) struct Options {
    /// The scenarios, in their order: quiet, promote, kill, machine, partition, isolation, standby, authority. None: all.
    scenarios: Vec<String>,
    /// Runs Patroni without its synchronous mode. The run then loses what was acknowledged, and fails.
    #[arg(long)]
    asynchronous: bool,
}

/// Builds a release, and runs the scenarios; the report goes to target/ha. Takes root, for network namespaces.
pub(crate) fn run(options: &Options) -> Result<()> {
    install::ensure(&[
        tools::C_COMPILER,
        tools::POSTGRES_SERVER,
        tools::PATRONI,
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
    if options.asynchronous {
        ha.arg("--asynchronous");
    }
    ha.args(&options.scenarios);
    shell::run(ha)
}
