//! Revocations of a quiet tenant while an administrator of another tenant signs out thousands, on both stores.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use portcullis_authority::config::Config;
use portcullis_contract::v1::{self, session_service_client::SessionServiceClient};
use portcullis_tests::authority::{OTHER_ADMIN, session_id};
use tokio::task::JoinSet;
use tonic::{Code, transport::Channel};

use crate::{
    measure::percentile,
    report::Report,
    world::{Process, authorized, revoke, sign_in},
};

/// Calls of the noisy administrator at a time.
const CALLERS: usize = 64;
/// The users of each of them.
const USERS: usize = 1_000;
/// Revocations of the quiet tenant, of which the 99th percentile is the figure.
const REVOCATIONS: usize = 400;
/// Measured in turns, so that a slow moment of the machine falls into both.
const ROUNDS: usize = 2;

pub(crate) async fn run(report: &mut Report) -> Result<()> {
    let cluster = portcullis_tests::postgres::Cluster::start(&[
        "fsync=on",
        "synchronous_commit=on",
        "max_connections=300",
    ])
    .await;
    let postgres = Process::start(|config, _| {
        settings(config);
        config.store.url = cluster.url();
    })
    .await?;
    let (noisy, alone) = measure(&postgres).await?;
    report.compare(
        "noisy_neighbour",
        noisy,
        "ms",
        "alone, p99, PostgreSQL (ms)",
        alone,
    );
    drop(postgres);
    let sqlite = Process::start(|config, _| settings(config)).await?;
    let (noisy, alone) = measure(&sqlite).await?;
    report.compare(
        "noisy_neighbour_sqlite",
        noisy,
        "ms",
        "alone, p99, SQLite (ms)",
        alone,
    );
    Ok(())
}

/// The limits would refuse the noisy administrator: here it is the queue that is measured.
fn settings(config: &mut Config) {
    config.limits.tenant_named_users_per_minute = 100_000_000;
    config.limits.tenant_named_users_burst = 100_000_000;
    config.limits.tenant_unknown_users_per_minute = 100_000_000;
    config.limits.tenant_unknown_users_burst = 100_000_000;
}

/// The 99th percentile under load, and alone, in milliseconds.
async fn measure(authority: &Process) -> Result<(f64, f64)> {
    let mut sessions = authority.sessions().await?;
    let mut opened = Vec::new();
    for number in 0..2 * ROUNDS * REVOCATIONS {
        let user = format!("user-{}", number % 100);
        opened.push(session_id(&sign_in(&mut sessions, &user).await?));
    }
    let (mut noisy, mut alone) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        alone.extend(revocations(&mut sessions, &mut opened).await?);
        let noise = make_noise(authority, round).await?;
        noisy.extend(revocations(&mut sessions, &mut opened).await?);
        noise.end().await?;
    }
    Ok((percentile(&noisy, 0.99), percentile(&alone, 0.99)))
}

/// Milliseconds of each revocation.
async fn revocations(
    sessions: &mut SessionServiceClient<Channel>,
    opened: &mut Vec<String>,
) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(REVOCATIONS);
    for _ in 0..REVOCATIONS {
        let session = opened.pop().context("the sessions ran out: open more")?;
        let begun = Instant::now();
        revoke(sessions, session).await?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(times)
}

/// The calls of the noisy administrator, until they are ended.
struct Noise(JoinSet<Result<()>>);

impl Noise {
    /// Ends the calls, of which none must have failed.
    async fn end(mut self) -> Result<()> {
        while let Some(ended) = self.0.try_join_next() {
            ended??;
        }
        self.0.shutdown().await;
        Ok(())
    }
}

/// Starts the calls, and waits until they are under way.
async fn make_noise(authority: &Process, round: usize) -> Result<Noise> {
    let mut tasks = JoinSet::new();
    for caller in 0..CALLERS {
        let mut users = authority.users().await?;
        tasks.spawn(async move {
            for call in 0.. {
                // Others each time: users whom nobody knows are the most work.
                let name = |number| format!("user-{round}-{caller}-{call}-{number}");
                let request = v1::ForceSignOutRequest {
                    tenant_id: "other".into(),
                    user_ids: (0..USERS).map(name).collect(),
                    reason: "bench".into(),
                    ..Default::default()
                };
                match users.force_sign_out(authorized(request, OTHER_ADMIN)).await {
                    Ok(_) => {}
                    Err(status) if status.code() == Code::ResourceExhausted => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    Err(status) => return Err(status.into()),
                }
            }
            Ok(())
        });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(Noise(tasks))
}
