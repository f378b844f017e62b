//! `cargo xtask upgrade`: two versions of the authority over one PostgreSQL server under load.
//!
//! Both authorities begin as the older version. They become the newer one after the other, and then the older one again.
//! A gate of each version follows both authorities all along. The callers, the visitors and the ledger are those of the
//! rig, so the same promises are checked: nothing acknowledged is lost, no gate admits an ended session later than its
//! bound, and none refuses a session that lives.

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Args;
use portcullis_tests::{
    authority::{ADMIN, LOGIN, write_master_key},
    postgres::Cluster,
    serve::Serve,
    sidecar::{SidecarConfig, TestSidecar},
};
use tempfile::TempDir;
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Endpoint;

use crate::{
    gates::Gate,
    ledger::Ledger,
    report::{Phase, Report},
    scenarios,
    traffic::Traffic,
    verdict,
};

/// The longest time without an answer of either authority, and of a gate. A restart of one of two takes none of it.
const UNAVAILABLE_MAX: Duration = Duration::from_secs(2);
/// Tokens outlive the run, so that a gate refuses one at the end because it was revoked, and for nothing else.
const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(6 * 60 * 60);

/// Options of the run.
#[derive(Args)]
pub(crate) struct Options {
    /// The directory with `portcullis` and `portcullis-sidecar` of the older version.
    #[arg(long)]
    old: PathBuf,
    /// The directory with those of the newer version.
    #[arg(long)]
    new: PathBuf,
    /// How long each stage is watched, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Where `upgrade.json` goes.
    #[arg(long, default_value = "target/upgrade")]
    out: PathBuf,
}

/// A stage: its name, what happens, and the authority that becomes the newer version (true) or the older one.
type Stage = (&'static str, &'static str, Option<(usize, bool)>);

const STAGES: [Stage; 6] = [
    ("old", "both authorities are of the older version", None),
    (
        "upgrade 1",
        "authority 1 becomes the newer version, which migrates",
        Some((0, true)),
    ),
    (
        "upgrade 2",
        "authority 2 becomes the newer version",
        Some((1, true)),
    ),
    (
        "rollback 1",
        "authority 1 becomes the older version again",
        Some((0, false)),
    ),
    (
        "rollback 2",
        "authority 2 becomes the older version again",
        Some((1, false)),
    ),
    (
        "upgrade again",
        "authority 1 becomes the newer version again",
        Some((0, true)),
    ),
];

/// The database, and what runs over it.
struct World {
    database: Cluster,
    authorities: Vec<Serve>,
    addresses: [SocketAddr; 2],
    master_key: PathBuf,
    _directory: TempDir,
}

/// Runs all stages, prints what was seen, and fails if a promise was broken.
#[tokio::main]
pub(crate) async fn run(options: &Options) -> Result<ExitCode> {
    let report = run_stages(options).await?;
    let file = options.out.join("upgrade.json");
    std::fs::create_dir_all(&options.out)?;
    std::fs::write(&file, serde_json::to_string_pretty(&report)?)
        .with_context(|| format!("writing {}", file.display()))?;
    println!("{}", report.summary());
    println!("{}", file.display());
    match report.is_clean() {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}

async fn run_stages(options: &Options) -> Result<Report> {
    let mut world = World::start(&options.old).await?;
    let endpoints = world.endpoints()?;
    let sidecars = [
        world.gate(&options.old).await,
        world.gate(&options.new).await,
    ];

    let ledger = Arc::new(Ledger::default());
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let traffic = Traffic::at(&endpoints, LOGIN, ADMIN, &ledger)?;
    traffic.fill().await?;
    let gates = [0, 1].map(|index| Gate::at(&sidecars[index].forward_auth, index, &ledger));
    for gate in &gates {
        gate.become_ready().await?;
        gate.start(&stop, &tasks);
    }
    traffic.start(&stop, &tasks);

    let mut phases = Vec::new();
    for (name, what, change) in STAGES {
        println!("ha: {what}");
        let from = Instant::now();
        if let Some((index, is_newer)) = change {
            let version = if is_newer { &options.new } else { &options.old };
            world.replace(index, version).await;
        }
        scenarios::serve(&ledger).await?;
        sleep(Duration::from_secs(options.seconds)).await;
        let phase = Phase::seen(name, what, from, Instant::now(), &ledger);
        println!("{}", phase.text());
        if phase.longest_unavailable() > UNAVAILABLE_MAX.as_secs_f64() {
            ledger.violated("neither authority, or a gate, answered for longer than allowed");
        }
        phases.push(phase);
    }

    stop.cancel();
    tasks.close();
    tasks.wait().await;
    let verdict = world.judge(&ledger, &gates).await?;
    Ok(Report {
        asynchronous: false,
        phases,
        verdict,
        violations: ledger.violations(),
    })
}

impl World {
    async fn start(version: &Path) -> Result<Self> {
        let database = Cluster::start(&["max_connections=200"]).await;
        let directory = TempDir::new()?;
        let master_key = directory.path().join("master.key");
        write_master_key(&master_key);
        let mut world = Self {
            database,
            authorities: Vec::new(),
            addresses: [SocketAddr::from(([127, 0, 0, 1], 0)); 2],
            master_key,
            _directory: directory,
        };
        for index in [0, 1] {
            let authority = world.serve(index, version).await;
            world.addresses[index] = authority.grpc;
            world.authorities.push(authority);
        }
        Ok(world)
    }

    fn endpoints(&self) -> Result<[Endpoint; 2]> {
        let endpoint =
            |index: usize| Endpoint::from_shared(format!("http://{}", self.addresses[index]));
        Ok([endpoint(0)?, endpoint(1)?])
    }

    async fn serve(&self, index: usize, version: &Path) -> Serve {
        let url = self.database.url();
        Serve::start_version(&version.join("portcullis"), |config| {
            config.store.url = url;
            config.keys.master_key_file = self.master_key.clone();
            config.server.grpc_listen = self.addresses[index];
            config.tokens.access_token_lifetime = ACCESS_TOKEN_LIFETIME;
        })
        .await
    }

    /// Drains an authority, and starts another version in its place.
    async fn replace(&mut self, index: usize, version: &Path) {
        self.authorities[index].terminate().await;
        let authority = self.serve(index, version).await;
        self.authorities[index] = authority;
    }

    /// A gate that follows both authorities.
    async fn gate(&self, version: &Path) -> TestSidecar {
        let [first, second] = self.addresses.map(|address| format!("http://{address}"));
        let mut config = SidecarConfig::new(&first);
        config.endpoints.push(second);
        let program = version.join("portcullis-sidecar");
        TestSidecar::start_version(&program, &config, &[]).await
    }

    /// Looks for everything that was acknowledged.
    async fn judge(&self, ledger: &Ledger, gates: &[Gate; 2]) -> Result<verdict::Verdict> {
        let opened = self.session_ids(verdict::OPENED).await?;
        let ended = self.session_ids(verdict::ENDED).await?;
        let mut at_gates = Vec::new();
        for gate in gates {
            at_gates.push(verdict::ask_about_all(gate, ledger).await);
        }
        verdict::judge("one server", &opened, &ended, at_gates, ledger)
    }

    async fn session_ids(&self, sql: &str) -> Result<HashSet<String>> {
        let rows = self.database.admin().await.query(sql, &[]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
