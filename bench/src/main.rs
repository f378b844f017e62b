//! The bench: every row measured in one run, each beside its peer where it has one. `cargo xtask bench` runs it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it reports to the person who ran it"
)]

mod measure;
mod peers;
mod replay;
mod report;
mod rows;
mod seed;
mod world;

use std::alloc::System;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use self::{report::Report, world::World};

/// Counts what is allocated, for the rows about memory.
#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Measures, or fills a database to look at.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    chore: Option<Chore>,
    /// The rows or groups to measure; none: all but the lists.
    rows: Vec<String>,
    /// Sessions of the large database of the lists.
    #[arg(long, default_value_t = 10_000_000)]
    sessions: u64,
    /// How long the soak lasts, in minutes.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The rude callers of the soak; none: all.
    #[arg(long)]
    rude: Vec<rows::soak::rude::Kind>,
}

#[derive(Subcommand)]
enum Chore {
    /// Fills an empty PostgreSQL database with sessions.
    Seed(seed::Options),
    /// Misbehaves, for the soak.
    #[command(hide = true)]
    Rude(rows::soak::rude::Options),
}

/// Only when asked for: they take long.
const ON_REQUEST: [&str; 2] = ["lists", "soak"];

/// The groups of rows, in the order in which they run. A group shares what it starts.
const GROUPS: [(&str, &[&str]); 10] = [
    // First: what later groups leave behind would be counted against it.
    ("view", &["view_bytes", "snapshot_load"]),
    (
        "validate",
        &[
            "validate_cached",
            "validate_cached_unread",
            "validate_cold",
            "validate_under_churn",
            "validate_scaling",
            "forged_flood",
        ],
    ),
    (
        "propagate",
        &[
            "propagate_one",
            "propagate_1000",
            "fanout_cpu_us",
            "stream_rss",
        ],
    ),
    ("rates", &["revoke_rate", "create_rate", "refresh_rate"]),
    ("activity", &["activity_flush"]),
    ("sign_out", &["force_sign_out"]),
    ("neighbours", &["noisy_neighbour", "noisy_neighbour_sqlite"]),
    ("searches", &["noisy_search"]),
    (
        "lists",
        &[
            "list_own",
            "list_tenant",
            "list_filtered",
            "list_users",
            "list_big_tenant",
        ],
    ),
    (
        "soak",
        &["soak_sign_in_p99", "soak_refresh_p99", "soak_revoke_p99"],
    ),
];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    match &cli.chore {
        Some(Chore::Seed(options)) => seed::run(options).await,
        Some(Chore::Rude(options)) => rows::soak::rude::run(options).await,
        None => measure(&cli).await,
    }
}

async fn measure(cli: &Cli) -> Result<()> {
    let wanted = &cli.rows;
    let known = |name: &String| {
        GROUPS
            .iter()
            .any(|(group, rows)| group == name || rows.contains(&name.as_str()))
    };
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        bail!(
            "no row {unknown}; there are {}",
            GROUPS.map(|(_, rows)| rows.join(", ")).join(", ")
        );
    }
    let mut report = Report::default();
    for (group, rows) in GROUPS {
        let asked = wanted
            .iter()
            .any(|name| name == group || rows.contains(&name.as_str()));
        if asked || wanted.is_empty() && !ON_REQUEST.contains(&group) {
            eprintln!("{group}: {}", rows.join(", "));
            run(group, cli, &mut report)
                .await
                .with_context(|| format!("measuring {group}"))?;
        }
    }
    report.write("target/bench/summary.json")?;
    println!("{report}");
    Ok(())
}

async fn run(group: &str, cli: &Cli, report: &mut Report) -> Result<()> {
    match group {
        "validate" => rows::validate::run(report).await,
        "view" => rows::view::run(report),
        "propagate" => rows::propagate::run(&World::start().await?, report).await,
        "rates" => rows::rates::run(&World::start().await?, report).await,
        "activity" => rows::activity::run(&World::start().await?, report).await,
        "neighbours" => rows::noisy_neighbour::run(report).await,
        "searches" => rows::noisy_search::run(report).await,
        "lists" => rows::lists::run(cli.sessions, report).await,
        "soak" => rows::soak::run(cli.minutes, &cli.rude, report).await,
        _ => rows::sign_out::run(report).await,
    }
}
