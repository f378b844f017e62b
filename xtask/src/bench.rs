//! `cargo xtask bench`: every figure of the project, beside its peers, in one run.

use anyhow::Result;
use clap::Args;

use crate::{
    envoy, gateways, install,
    shell::{self, command},
    tools,
};

/// Options of `bench`.
#[derive(Args)]
pub(crate) struct Options {
    /// The rows to measure; none: all but the lists and the pages, which fill a database first, and the soak.
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// Sessions of the large database of the lists; it takes about a kilobyte for each. The pages have at most a million.
    #[arg(long, default_value_t = 10_000_000)]
    sessions: u64,
    /// Measure a tenth of the rows of the doors: it shows that they work, and their figures are noise.
    #[arg(long)]
    quick: bool,
    /// Duration of the row `soak`, in minutes.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
}

/// Builds a release, and runs the bench, which starts the peers itself.
pub(crate) fn run(options: &Options) -> Result<()> {
    install::ensure(&[
        tools::C_COMPILER,
        tools::POSTGRES_SERVER,
        tools::PGBENCH,
        tools::REDIS_SERVER,
        tools::LEMONLDAP,
    ])?;
    gateways::ensure()?;
    build()?;
    envoy::build(&["--release", "--locked"])?;
    let mut bench = command(
        "target/release/portcullis-bench",
        [
            format!("--sessions={}", options.sessions),
            format!("--minutes={}", options.minutes),
        ],
    );
    bench.args(options.quick.then_some("--quick"));
    bench.args(&options.rows);
    shell::run(bench)
}

/// Options of `seed`.
#[derive(Args)]
pub(crate) struct SeedOptions {
    /// An empty database: `postgres://…`. Its role must own the tables.
    #[arg(long)]
    url: String,
    #[arg(long, default_value_t = 10_000_000)]
    sessions: u64,
    #[arg(long, default_value_t = 2_000_000)]
    users: u64,
    #[arg(long, default_value_t = 1_000)]
    tenants: u64,
    /// Sessions of one more tenant, `large`.
    #[arg(long, default_value_t = 0)]
    large_tenant: u64,
}

/// Fills an empty database with sessions.
pub(crate) fn seed(options: &SeedOptions) -> Result<()> {
    install::ensure(&[tools::C_COMPILER])?;
    build()?;
    let SeedOptions {
        url,
        sessions,
        users,
        tenants,
        large_tenant,
    } = options;
    let mut seed = command("target/release/portcullis-bench", ["seed"]);
    seed.args(["--url", url]).args([
        format!("--sessions={sessions}"),
        format!("--users={users}"),
        format!("--tenants={tenants}"),
        format!("--large-tenant={large_tenant}"),
    ]);
    shell::run(seed)
}

fn build() -> Result<()> {
    let packages = [
        "-p",
        "portcullis-cli",
        "-p",
        "portcullis-sidecar",
        "-p",
        "portcullis-bench",
    ];
    shell::run(command(
        "cargo",
        [&["build", "--release", "--locked"][..], &packages].concat(),
    ))
}

/// Options of `soak`.
#[derive(Args)]
pub(crate) struct SoakOptions {
    /// How long it runs.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Decides the order and the length of the faults. Unset: drawn, and printed.
    #[arg(long)]
    seed: Option<u64>,
}

/// Builds a release, and runs the soak; the report goes to target/soak.
pub(crate) fn soak(options: &SoakOptions) -> Result<()> {
    install::ensure(&[tools::C_COMPILER, tools::POSTGRES_SERVER])?;
    shell::run(command(
        "cargo",
        [
            "build",
            "--release",
            "--locked",
            "-p",
            "portcullis-cli",
            "-p",
            "portcullis-soak",
        ],
    ))?;
    let mut soak = command(
        "target/release/portcullis-soak",
        [format!("--minutes={}", options.minutes)],
    );
    soak.args(options.seed.map(|seed| format!("--seed={seed}")));
    shell::run(soak)
}
