//! The bench: every row measured in one run, each beside its peer where it has one. `cargo xtask bench` runs it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to the person who ran it")]

mod measure;
mod peers;
mod replay;
mod report;
mod rows;
mod world;

use std::alloc::System;

use anyhow::{Context, Result, bail};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use self::{report::Report, world::World};

/// Counts what is allocated, for the rows about memory.
#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The groups of rows, in the order in which they run. A group shares what it starts.
const GROUPS: [(&str, &[&str]); 6] = [
    // First: what later groups leave behind would be counted against it.
    ("view", &["view_bytes", "snapshot_load"]),
    (
        "validate",
        &["validate_cached", "validate_cached_unread", "validate_cold", "validate_under_churn", "validate_scaling"],
    ),
    ("propagate", &["propagate_one", "propagate_1000", "fanout_cpu_us", "stream_rss"]),
    ("rates", &["revoke_rate", "create_rate", "refresh_rate"]),
    ("activity", &["activity_flush"]),
    ("sign_out", &["force_sign_out"]),
];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let known = |name: &String| GROUPS.iter().any(|(group, rows)| group == name || rows.contains(&name.as_str()));
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        bail!("no row {unknown}; there are {}", GROUPS.map(|(_, rows)| rows.join(", ")).join(", "));
    }
    let mut report = Report::default();
    for (group, rows) in GROUPS {
        let asked = |row: &&&str| wanted.iter().any(|name| name == *row);
        if wanted.is_empty() || wanted.iter().any(|name| name == group) || rows.iter().any(|row| asked(&row)) {
            eprintln!("{group}: {}", rows.join(", "));
            run(group, &mut report).await.with_context(|| format!("measuring {group}"))?;
        }
    }
    report.write("target/bench/summary.json")?;
    println!("{report}");
    Ok(())
}

async fn run(group: &str, report: &mut Report) -> Result<()> {
    match group {
        "validate" => rows::validate::run(report).await,
        "view" => rows::view::run(report),
        "propagate" => rows::propagate::run(&World::start().await?, report).await,
        "rates" => rows::rates::run(&World::start().await?, report).await,
        "activity" => rows::activity::run(&World::start().await?, report).await,
        _ => rows::sign_out::run(report).await,
    }
}
