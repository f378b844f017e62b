//! Many gates at few authorities: ten thousand streams at one, and two thousand that come back at once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use portcullis_authority::config::Config;
use portcullis_contract::v1::{self, revocation_service_client::RevocationServiceClient};
use portcullis_tests::authority::{AUDIENCE, GATEWAY, ISSUER, OPERATOR, session_id};
use portcullis_validator::Validator;
use tokio::time::sleep;

use crate::{
    effort::Effort,
    measure::{percentile, resident_kib},
    report::{Bar, Report},
    rows::propagate::propagations,
    world::{Process, World, authorized, revoke, sign_in},
};

const STREAMS: usize = 10_000;
const ROUNDS: usize = 10;
const PROPAGATION_MAX_MS: f64 = 300.0;
const STREAM_MAX_KIB: f64 = 40.0;
/// Sessions before the gates come, every second of which is ended: a view of several chunks.
const SESSIONS: usize = 16_000;

const STORM_GATES: usize = 2_000;
const STORM_MAX_S: f64 = 30.0;
/// Gates that are started at a time, as machines of a deployment are.
const STARTING: usize = 64;
/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Every gate of the bench comes from one address, and one address gets at most half of the connections.
fn admit_crowd(config: &mut Config) {
    let connections_max = 2 * STREAMS + STREAMS / 10;
    config.server.connections_max = Some(connections_max);
    config.server.connections_per_address_max = Some(connections_max);
}

pub(crate) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let empty = ten_thousand(effort, 0).await?;
    let full = ten_thousand(effort, SESSIONS).await?;
    let propagation_max = Bar::ValueAtMost(PROPAGATION_MAX_MS);
    report.add_within("propagate_10000", empty.p99, "ms (p99)", propagation_max);
    report.add("propagate_10000_view", full.p99, "ms (p99)");
    for (row, crowd) in [("stream_rss_10000", empty), ("stream_rss_10000_view", full)] {
        let bar = Bar::ValueAtMost(STREAM_MAX_KIB);
        report.add_within(row, crowd.stream_kib, "KiB", bar);
    }
    storm(effort, report).await
}

/// The cost of ten thousand gates.
struct Crowd {
    /// The 99th percentile of the propagation, in milliseconds.
    p99: f64,
    /// The authority's memory for each stream.
    stream_kib: f64,
}

/// Ten thousand gates at an authority that has ended half of so many sessions before.
async fn ten_thousand(effort: Effort, sessions: usize) -> Result<Crowd> {
    let world = World::start_with(admit_crowd).await?;
    end_sessions(&world, effort.count(sessions)).await?;
    let process = world.authority.id();
    let before = resident_kib(process)?;
    let count = effort.count(STREAMS);
    // A probe of each gate every 3.75 s.
    let endpoints = [world.authority.endpoint()];
    let gates = start_gates(&endpoints, count, Duration::from_secs(30)).await?;
    sleep(Duration::from_secs(5)).await;
    let stream_kib = (resident_kib(process)? - before) / count as f64;

    let mut times = Vec::with_capacity(count * ROUNDS);
    for _ in 0..ROUNDS {
        times.extend(propagations(&world, &gates).await?);
    }
    Ok(Crowd {
        p99: percentile(&times, 0.99),
        stream_kib,
    })
}

/// Signs in, and ends every second session.
async fn end_sessions(world: &World, count: usize) -> Result<()> {
    let sessions = world.authority.sessions().await?;
    let created = (0..count).map(|number| {
        let mut sessions = sessions.clone();
        async move { sign_in(&mut sessions, &format!("user-{number}")).await }
    });
    let created: Vec<_> = stream::iter(created)
        .buffered(STARTING)
        .try_collect()
        .await?;

    let ended = created.iter().step_by(2).map(|created| {
        let mut sessions = sessions.clone();
        async move { revoke(&mut sessions, session_id(created)).await }
    });
    let revisions: Vec<_> = stream::iter(ended).buffered(STARTING).try_collect().await?;
    ensure!(
        revisions.len() == count.div_ceil(2),
        "some sessions were not ended"
    );
    Ok(())
}

/// An authority goes away and comes back while another one lives; then both do.
async fn storm(effort: Effort, report: &mut Report) -> Result<()> {
    let World {
        cluster,
        authority: mut one,
    } = World::start_with(admit_crowd).await?;
    let mut other = Process::start(|config, _| {
        config.store.url = cluster.url();
        config.keys.master_key_file = one.master_key_file();
        admit_crowd(config);
    })
    .await?;
    let count = effort.count(STORM_GATES);
    let endpoints = [one.endpoint(), other.endpoint()];
    let gates = start_gates(&endpoints, count, Duration::from_secs(5)).await?;
    all_watch([&one, &other], count).await?;

    let begun = one.restart().await?;
    // Until all watch both again, no gate may have a moment in which it refuses.
    let lost = count_stale(&gates, all_watch([&one, &other], count)).await?;
    report.add_within(
        "storm_2000",
        begun.elapsed().as_secs_f64(),
        "s until all watch both",
        Bar::ValueAtMost(STORM_MAX_S),
    );
    report.add_within(
        "storm_2000_lost",
        lost as f64,
        "leases",
        Bar::ValueAtMost(0.0),
    );

    let (begun, _) = tokio::try_join!(one.restart(), other.restart())?;
    let deadline = Instant::now() + PATIENCE;
    while !gates.iter().all(Validator::is_ready) {
        ensure!(Instant::now() < deadline, "some gates stay stale");
        sleep(Duration::from_millis(50)).await;
    }
    report.add_within(
        "storm_2000_alone",
        begun.elapsed().as_secs_f64(),
        "s until all are fresh",
        Bar::ValueAtMost(STORM_MAX_S),
    );
    Ok(())
}

/// Looks at all gates again and again until something has happened, and counts those that are stale.
async fn count_stale(
    gates: &[Validator],
    until: impl Future<Output = Result<()>>,
) -> Result<usize> {
    tokio::pin!(until);
    let mut stale = 0;
    loop {
        tokio::select! {
            ended = &mut until => return ended.map(|()| stale),
            () = sleep(Duration::from_millis(50)) => {
                stale += gates.iter().filter(|gate| !gate.is_ready()).count();
            }
        }
    }
}

/// Starts gates that watch these authorities, and waits until all are ready.
async fn start_gates(
    endpoints: &[&str],
    count: usize,
    max_staleness: Duration,
) -> Result<Vec<Validator>> {
    let gates = (0..count).map(|_| start_gate(endpoints, max_staleness));
    stream::iter(gates)
        .buffer_unordered(STARTING)
        .try_collect()
        .await
}

async fn start_gate(endpoints: &[&str], max_staleness: Duration) -> Result<Validator> {
    let (first, others) = endpoints.split_first().context("an endpoint")?;
    let mut builder = Validator::builder(*first)
        .bearer(GATEWAY)
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .max_staleness(max_staleness)
        .without_activity()
        .cached_tokens_max(64);
    for other in others {
        builder = builder.endpoint(*other);
    }
    let gate = builder.start()?;
    tokio::time::timeout(PATIENCE, gate.ready())
        .await
        .context("a gate is not ready")?;
    Ok(gate)
}

/// Waits until each of the authorities says itself that it has so many streams.
async fn all_watch(authorities: [&Process; 2], streams: usize) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for authority in authorities {
        let mut client = RevocationServiceClient::new(authority.channel().await?);
        loop {
            let request = authorized(v1::ListValidatorsRequest {}, OPERATOR);
            let listed = client.list_validators(request).await?.into_inner();
            let mut own = listed.replicas.iter().filter(|replica| replica.answering);
            let open = own.next().map_or(0, |replica| replica.streams);
            if open as usize >= streams {
                break;
            }
            ensure!(Instant::now() < deadline, "{open} of {streams} streams");
            sleep(Duration::from_millis(200)).await;
        }
    }
    Ok(())
}
