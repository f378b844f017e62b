//! The bench: every row measured in one run, each beside its peer where it has one. `cargo xtask bench` runs it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it reports to the person who ran it"
)]

mod doors;
mod effort;
mod load;
mod measure;
mod peers;
mod replay;
mod report;
mod rows;
mod seed;
mod world;

use anyhow::{Context, Result, bail};
use cap::Cap;
use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

use self::{effort::Effort, report::Report, world::World};

/// The allocator of the authority and of the sidecar, for the gates of the bench too. It counts what is allocated, for the
/// row about the memory of a view.
#[global_allocator]
static HEAP: Cap<MiMalloc> = Cap::new(MiMalloc, usize::MAX);

/// Measures, or fills a database to look at.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    chore: Option<Chore>,
    /// The rows or groups to measure; none: all but the lists, the pages and the soak.
    rows: Vec<String>,
    /// Sessions of the large database of the lists. The pages have at most a million.
    #[arg(long, default_value_t = 10_000_000)]
    sessions: u64,
    /// How long the soak lasts, in minutes.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Measure a tenth: it shows that a row works, and its figures are noise. The rows of the doors obey it.
    #[arg(long)]
    quick: bool,
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
    /// Serves the peer of the row `envoy_ext_authz`.
    #[command(hide = true)]
    RedisAuthz(peers::redis_authz::Options),
}

/// Only when asked for: they take long.
const ON_REQUEST: [&str; 4] = ["crowd", "lists", "pages", "soak"];

/// The name of all groups whose names begin with it.
const DOORS: &str = "doors";

/// The groups of rows, in the order in which they run. A group shares what it starts.
const GROUPS: [(&str, &[&str]); 20] = [
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
            "receipt_1000",
            "fanout_cpu_us",
            "stream_rss",
        ],
    ),
    (
        "crowd",
        &[
            "propagate_10000",
            "propagate_10000_view",
            "stream_rss_10000",
            "stream_rss_10000_view",
            "storm_2000",
            "storm_2000_lost",
            "storm_2000_alone",
        ],
    ),
    ("rates", &["revoke_rate", "create_rate", "refresh_rate"]),
    ("activity", &["activity_flush"]),
    ("sign_out", &["force_sign_out"]),
    ("neighbours", &["noisy_neighbour", "noisy_neighbour_sqlite"]),
    ("searches", &["noisy_search"]),
    ("doors_layer", &["layer_overhead"]),
    (
        "doors_envoy",
        &[
            "envoy_module",
            "envoy_module_share",
            "envoy_module_rate",
            "envoy_ext_authz",
        ],
    ),
    ("doors_nginx", &["forward_auth", "forward_auth_lemonldap"]),
    ("doors_sidecar", &["sidecar_rate", "sidecar_rate_ext_authz"]),
    (
        "doors_storm",
        &[
            "revoke_storm_module",
            "revoke_storm_ext_authz",
            "revoke_storm_nginx",
            "revoke_storm_caddy",
            "revoke_storm_traefik",
            "revoke_storm_haproxy",
            "revoke_storm_layer",
            "revoke_cut_module",
            "revoke_cut_ext_authz",
            "revoke_cut_nginx",
            "revoke_cut_caddy",
            "revoke_cut_traefik",
            "revoke_cut_haproxy",
            "revoke_cut_layer",
        ],
    ),
    ("doors_propagate", &["propagate_envoy"]),
    (
        "doors_streams",
        &[
            "cut_stream_module",
            "cut_stream_layer",
            "cut_stream_module_1000",
            "cut_stream_layer_1000",
        ],
    ),
    (
        "doors_memory",
        &["sidecar_rss", "module_rss", "module_stream"],
    ),
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
    ("pages", &["page_sessions"]),
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
        Some(Chore::RedisAuthz(options)) => peers::redis_authz::run(options).await,
        None => measure(&cli).await,
    }
}

async fn measure(cli: &Cli) -> Result<()> {
    let wanted = &cli.rows;
    let known = |name: &String| {
        GROUPS
            .iter()
            .any(|(group, rows)| is_named(group, rows, name))
    };
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        bail!(
            "no row {unknown}; there are {}",
            GROUPS.map(|(_, rows)| rows.join(", ")).join(", ")
        );
    }
    let mut report = Report::default();
    for (group, rows) in GROUPS {
        let asked = wanted.iter().any(|name| is_named(group, rows, name));
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

/// Returns whether a word of the command line means this group.
fn is_named(group: &str, rows: &[&str], name: &str) -> bool {
    group == name || rows.contains(&name) || name == DOORS && group.starts_with(DOORS)
}

async fn run(group: &str, cli: &Cli, report: &mut Report) -> Result<()> {
    let effort = Effort::new(cli.quick);
    match group {
        "doors_layer" => rows::doors::layer::run(effort, report).await,
        "doors_envoy" => rows::doors::envoy::run(effort, report).await,
        "doors_nginx" => rows::doors::forward_auth::run(effort, report).await,
        "doors_sidecar" => rows::doors::sidecar::run(effort, report).await,
        "doors_storm" => rows::doors::storm::run(effort, report).await,
        "doors_propagate" => rows::doors::propagate::run(effort, report).await,
        "doors_streams" => rows::doors::cut::run(effort, report).await,
        "doors_memory" => rows::doors::memory::run(effort, report).await,
        "validate" => rows::validate::run(report).await,
        "view" => rows::view::run(report),
        "propagate" => rows::propagate::run(&World::start().await?, report).await,
        "crowd" => rows::crowd::run(effort, report).await,
        "rates" => rows::rates::run(&World::start().await?, report).await,
        "activity" => rows::activity::run(&World::start().await?, report).await,
        "neighbours" => rows::noisy_neighbour::run(report).await,
        "searches" => rows::noisy_search::run(report).await,
        "lists" => rows::lists::run(cli.sessions, report).await,
        "pages" => rows::pages::run(cli.sessions, report).await,
        "soak" => rows::soak::run(cli.minutes, &cli.rude, report).await,
        _ => rows::sign_out::run(report).await,
    }
}
