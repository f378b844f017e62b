//! From the call to the closed gates, on PostgreSQL.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures::{TryStreamExt, stream::FuturesUnordered};
use portcullis_contract::{
    position::{Position, Revision},
    v1::session_service_client::SessionServiceClient,
};
use portcullis_tests::authority::session_id;
use portcullis_validator::Validator;
use tokio::{task::JoinHandle, time::sleep};
use tonic::transport::Channel;

use crate::{
    measure::{cpu_microseconds, median, milliseconds, resident_kib},
    peers::redis::Redis,
    report::{Bar, Report},
    world::{World, enforce, revoke, sign_in},
};

const GATES: usize = 1000;
const ROUNDS: usize = 30;
/// The events of a sign-in are recorded after at most a second.
const RECORDED: Duration = Duration::from_millis(1_200);
/// An authority with a thousand gates asks each of them at most once in 20 ms.
const ASKED_AGAIN: Duration = Duration::from_millis(50);

pub(crate) async fn run(world: &World, report: &mut Report) -> Result<()> {
    one(world, report).await?;
    thousand(world, report).await
}

async fn one(world: &World, report: &mut Report) -> Result<()> {
    // Strict, so that it counts in no receipt of the next rows: its lease ends while their gates start.
    let gate = world.authority.strict_gate().await?;
    let mut times = Vec::new();
    let mut commits = Vec::new();
    let (client, driver) =
        tokio_postgres::connect(&world.cluster.url(), tokio_postgres::NoTls).await?;
    tokio::spawn(driver);
    client
        .batch_execute("CREATE TABLE single (id BIGSERIAL PRIMARY KEY, note TEXT)")
        .await?;
    let insert = client
        .prepare("INSERT INTO single (note) VALUES ($1)")
        .await?;
    for _ in 0..10 {
        for _ in 0..ROUNDS / 3 {
            times.push(propagation(world, std::slice::from_ref(&gate)).await?);
        }
        let insert = || async {
            client.execute(&insert, &[&"one durable row"]).await?;
            Ok(())
        };
        commits.push(milliseconds(ROUNDS, insert).await?);
    }
    report.compare(
        "propagate_one",
        median(times),
        "ms",
        "one durable single-row commit (ms)",
        median(commits),
    );
    Ok(())
}

/// Milliseconds from the call until the last of the gates refuses.
pub(crate) async fn propagation(world: &World, gates: &[Validator]) -> Result<f64> {
    let times = propagations(world, gates).await?;
    times.into_iter().reduce(f64::max).context("no gate")
}

/// Milliseconds from the call until each of the gates refuses, by the change of its view. A round into which another
/// batch falls, before or after this one, is measured again: it would double the work of every stream.
pub(crate) async fn propagations(world: &World, gates: &[Validator]) -> Result<Vec<f64>> {
    for _ in 0..ROUNDS {
        if let Some(milliseconds) = round(world, gates).await? {
            return Ok(milliseconds);
        }
    }
    anyhow::bail!("gates are woken by something else all the time")
}

async fn round(world: &World, gates: &[Validator]) -> Result<Option<Vec<f64>>> {
    let mut sessions = world.authority.sessions().await?;
    let created = sign_in(&mut sessions, "ada").await?;
    let before = settle(&mut sessions, gates).await?;
    let reached = reached(gates, Revision(before));
    let begun = Instant::now();
    let revision = revoke(&mut sessions, session_id(&created)).await?;
    let reached = reached.await??;
    let has_this_alone = |gate: &Validator| head(gate).is_ok_and(|head| head == revision);
    if revision != before + 1 || !gates.iter().all(has_this_alone) {
        return Ok(None);
    }
    anyhow::ensure!(
        gates
            .iter()
            .all(|gate| gate.check(&created.access_token).is_err()),
        "a gate admits the dead"
    );
    let times = reached.into_iter().map(|reached| {
        let time = reached.duration_since(begun);
        time.as_secs_f64() * 1000.0
    });
    Ok(Some(times.collect()))
}

/// Waits until every gate has all batches, and may be asked again. Returns the revision of the last one.
///
/// The events of sign-ins become a batch within a second, and that waits at the authority until a gate needs it. A caller
/// who waits for a later revocation brings it to all.
async fn settle(sessions: &mut SessionServiceClient<Channel>, gates: &[Validator]) -> Result<u64> {
    let other = sign_in(sessions, "bob").await?;
    sleep(RECORDED).await;
    enforce(sessions, session_id(&other)).await?;
    loop {
        let heads = gates.iter().map(head).collect::<Result<BTreeSet<_>>>()?;
        if let (Some(first), Some(last)) = (heads.first(), heads.last())
            && first == last
        {
            sleep(ASKED_AGAIN).await;
            return Ok(*first);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// The times at which the gates get a change of their views, from now on. A task of its own looks at them, on the threads
/// of the gates: the thread of the bench would be woken for each gate, and take time from what is measured.
fn reached(gates: &[Validator], before: Revision) -> JoinHandle<Result<Vec<Instant>>> {
    let positions: Vec<_> = gates.iter().map(Validator::position).collect();
    let changes = positions.into_iter().map(move |mut position| async move {
        position
            .wait_for(|at| at.is_some_and(|at| at.revision > before))
            .await?;
        Ok(Instant::now())
    });
    let changes: FuturesUnordered<_> = changes.collect();
    tokio::spawn(changes.try_collect())
}

fn head(gate: &Validator) -> Result<u64> {
    Ok(gate
        .position()
        .borrow()
        .context("a gate without a view")?
        .revision
        .0)
}

async fn thousand(world: &World, report: &mut Report) -> Result<()> {
    let process = world.authority.id();
    let before = resident_kib(process)?;
    let mut gates = Vec::with_capacity(GATES);
    for number in 0..GATES {
        // Validators of one name are one gate, and count as one.
        gates.push(
            world
                .authority
                .gate_named(&format!("gate-{number}"))
                .await?,
        );
    }
    sleep(Duration::from_secs(2)).await;
    let rss = (resident_kib(process)? - before) / GATES as f64;
    let fanout = fanout_cpu(world, &gates).await?;
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        times.push(propagation(world, &gates).await?);
    }
    let receipts = receipts(world, &gates).await?;
    drop(gates);
    sleep(Duration::from_secs(1)).await;
    let redis = Redis::start()
        .await?
        .publish_milliseconds(GATES, ROUNDS)
        .await?;
    let propagated = median(times);
    report.compare(
        "propagate_1000",
        propagated,
        "ms",
        "Redis PUBLISH to 1000 (ms)",
        redis,
    );
    report.compare_within(
        "receipt_1000",
        median(receipts),
        "ms",
        ("propagate_1000 (ms)", propagated),
        Bar::RatioAtMost(1.5),
    );
    report.add("fanout_cpu_us", fanout, "µs");
    report.add("stream_rss", rss, "KiB");
    Ok(())
}

/// Milliseconds from the call until its answer says that all gates have confirmed the revision.
async fn receipts(world: &World, gates: &[Validator]) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(ROUNDS);
    let mut sessions = world.authority.sessions().await?;
    for _ in 0..ROUNDS {
        let created = sign_in(&mut sessions, "ada").await?;
        settle(&mut sessions, gates).await?;
        let begun = Instant::now();
        enforce(&mut sessions, session_id(&created)).await?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(times)
}

/// CPU that a revocation costs the authority for each gate, in microseconds.
async fn fanout_cpu(world: &World, gates: &[Validator]) -> Result<f64> {
    let process = world.authority.id();
    let mut sessions = world.authority.sessions().await?;
    let idle = idle_cpu(process).await?;
    let (cpu, begun) = (cpu_microseconds(process)?, Instant::now());
    for _ in 0..ROUNDS {
        let created = sign_in(&mut sessions, "ada").await?;
        let revision = revoke(&mut sessions, session_id(&created)).await?;
        for gate in gates {
            let has_it = |at: &Option<_>| at.is_some_and(|at: Position| at.revision.0 >= revision);
            gate.position().wait_for(has_it).await?;
        }
    }
    let used = cpu_microseconds(process)? - cpu - idle * begun.elapsed().as_secs_f64();
    Ok(used / (ROUNDS * gates.len()) as f64)
}

/// CPU a second that the streams cost by themselves (probes and beats), in microseconds.
async fn idle_cpu(process: u32) -> Result<f64> {
    let (before, begun) = (cpu_microseconds(process)?, Instant::now());
    sleep(Duration::from_secs(3)).await;
    Ok((cpu_microseconds(process)? - before) / begun.elapsed().as_secs_f64())
}
