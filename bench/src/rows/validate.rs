//! The hot path: known tokens, first sights, under churn, on two threads.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use portcullis_authority::{
    crypto::open_signer,
    domain::{Actor, Entry, Mutation, current_key},
    feed::load_view,
    open_store, read_master_key,
};
use portcullis_contract::{
    id::{EventId, Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
    key::{CredentialKind, VerificationKey},
    position::Revision,
    token::{Claims, Signer},
    v1,
    view::Subject,
};
use portcullis_tests::authority::{ADMIN, AUDIENCE, ISSUER, TENANT};
use portcullis_validator::Validator;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{
    measure::nanoseconds,
    peers::redis::Redis,
    report::Report,
    world::{Process, authorized},
};

const TOKENS: usize = 100_000;
const REVOCATIONS: u64 = 1_000_000;
/// Serials that could be revoked; the live tokens' are above them.
const SERIALS: u64 = 100_000_000;
const BATCH: usize = 20_000;
/// Requests that are received before they are checked: 40 KB of tokens.
const REQUESTS: usize = 64;

pub(crate) async fn run(report: &mut Report) -> Result<()> {
    let (authority, signer, key) = authority_with_revocations().await?;
    let gate = authority.gate().await?;
    let tokens: Arc<Vec<String>> =
        Arc::new((0..TOKENS as u64).map(|index| token(&signer, index)).collect::<Result<_>>()?);
    anyhow::ensure!(gate.statistics().cached_tokens == 0, "the cache is not empty");
    let redis = Redis::start().await?;
    let draws = Arc::new(zipf(TOKENS, 1 << 20));

    cold(report, &gate, &signer, &key)?;
    for token in tokens.iter() {
        gate.check(token).context("a live token is refused")?;
    }
    let alone = cached(&gate, &tokens, &draws);
    report.compare("validate_cached", alone, "ns", "Redis GET round trip, p50 (ns)", redis.get_nanoseconds(20_000)?);
    report.add("validate_cached_unread", cached_unread(&gate, &tokens, &draws), "ns");
    churn(report, &authority, &gate, &tokens, &draws).await?;
    scaling(report, &gate, &tokens, &draws);
    Ok(())
}

/// An authority on SQLite whose log has a million revocations.
async fn authority_with_revocations() -> Result<(Process, Signer, Arc<VerificationKey>)> {
    let directory = tempfile::tempdir()?;
    let mut config = portcullis_tests::authority::config(directory.path());
    // A first authority makes the keys.
    let first = portcullis_authority::Authority::start(config.clone()).await?;
    first.shut_down().await;
    let store = open_store(&config.store).await?;
    let mut random = SmallRng::seed_from_u64(3);
    for _ in 0..REVOCATIONS / 10_000 {
        let serials = (0..10_000).map(|_| Serial(random.random_range(1..=SERIALS))).collect();
        store.append(&[entry(Mutation::Repeat { serials, cuts: Vec::new() })]).await?;
    }
    let master = read_master_key(&config.keys.master_key_file)?;
    let (keys, now) = store.keys().await?;
    let signer = open_signer(&master, current_key(&keys, CredentialKind::Session, now).context("no key")?)?;
    let view = load_view(&*store, &master).await?;
    let key = Arc::clone(view.trusted_key(signer.key_id().as_str()).context("the key is not trusted")?);
    drop(store);
    config.server.drain_timeout = Duration::from_secs(1);
    let process = Process::start(move |started, _| {
        started.store = config.store.clone();
        started.keys = config.keys.clone();
        // The directory lives as long as the process needs it.
        std::mem::forget(directory);
    })
    .await?;
    Ok((process, signer, key))
}

fn entry(mutation: Mutation) -> Entry {
    Entry {
        event_id: EventId::generate(),
        actor: Actor::authority(),
        reason: String::new(),
        user_message: String::new(),
        trace_parent: None,
        mutation,
    }
}

fn token(signer: &Signer, index: u64) -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let subject = Subject {
        serial: Serial(SERIALS + 1 + index),
        user: UserSerial(1 + index / 3),
        tenant: TenantSerial(1 + index / 1000),
        opened: Revision(1 << 20),
    };
    let claims = Claims {
        tenant_id: TenantId::parse("acme")?,
        user_id: UserId::parse(format!("user-{index}"))?,
        session_id: SessionId::generate(),
        subject,
        token_id: format!("{index:032x}"),
        audiences: vec!["portcullis".into(), AUDIENCE.into()],
        issued_at: now,
        expires_at: now + 3600,
        auth_time: now,
        amr: vec!["pwd".into(), "otp".into()],
        acr: String::new(),
    };
    Ok(signer.sign(ISSUER, &claims)?)
}

/// `count` draws from `0..size` by Zipf with exponent 1: a few tokens are very busy.
fn zipf(size: usize, count: usize) -> Vec<u32> {
    let mut total = 0.0;
    let sums: Vec<f64> = (1..=size)
        .map(|rank| {
            total += 1.0 / rank as f64;
            total
        })
        .collect();
    let mut random = SmallRng::seed_from_u64(11);
    let draw = |_| {
        let at = random.random_range(0.0..total);
        u32::try_from(sums.partition_point(|sum| *sum < at).min(size - 1)).expect("a small number")
    };
    (0..count).map(draw).collect()
}

/// Nanoseconds of a check of a known token, as a gateway meets it: in a request that was received and parsed just now.
/// So a few requests are written outside of what is measured, and their texts are in the processor's caches; the
/// cache's own memory is as cold as the draws make it.
fn cached(gate: &Validator, tokens: &[String], draws: &[u32]) -> f64 {
    let mut draws = draws.iter().cycle();
    let mut requests = Vec::with_capacity(REQUESTS);
    let mut round = |_| {
        let mut spent = Duration::ZERO;
        for _ in 0..BATCH / REQUESTS {
            requests.clear();
            requests.extend(draws.by_ref().take(REQUESTS).map(|draw| tokens[*draw as usize].clone()));
            let begun = Instant::now();
            for token in &requests {
                assert!(std::hint::black_box(gate.check(token)).is_ok());
            }
            spent += begun.elapsed();
        }
        spent.as_nanos() as f64 / (BATCH / REQUESTS * REQUESTS) as f64
    };
    crate::measure::median((0..51).map(&mut round).collect())
}

/// The same when nobody has read the token's text before: 60 MB of texts, which the processor's caches do not hold.
fn cached_unread(gate: &Validator, tokens: &[String], draws: &[u32]) -> f64 {
    let mut draws = draws.iter().cycle();
    nanoseconds(51, BATCH, || {
        let token = &tokens[*draws.next().expect("a cycle does not end") as usize];
        assert!(std::hint::black_box(gate.check(token)).is_ok());
    })
}

/// First sight against the bare signature check.
fn cold(report: &mut Report, gate: &Validator, signer: &Signer, key: &VerificationKey) -> Result<()> {
    let fresh: Vec<String> = (0..4_000).map(|index| token(signer, 10_000_000 + index)).collect::<Result<_>>()?;
    let mut seen = fresh.iter();
    let mut bare = fresh.iter();
    // In turns, so that both meet the same noise.
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        ours.push(nanoseconds(1, 200, || {
            assert!(gate.check(seen.next().expect("enough tokens")).is_ok());
        }));
        raw.push(nanoseconds(1, 200, || {
            let (message, signature) = bare.next().and_then(|token| token.rsplit_once('.')).expect("a token");
            assert!(key.verify(message.as_bytes(), signature));
        }));
    }
    let (ours, raw) = (crate::measure::median(ours), crate::measure::median(raw));
    report.compare("validate_cold", ours, "ns", "the signature check alone (ns)", raw);
    Ok(())
}

/// Known tokens, while a real stream brings a thousand single deltas a second.
async fn churn(
    report: &mut Report,
    authority: &Process,
    gate: &Validator,
    tokens: &Arc<Vec<String>>,
    draws: &Arc<Vec<u32>>,
) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let pump = tokio::spawn(pump(authority.users().await?, Arc::clone(&stop)));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = revision(gate);
    let begun = Instant::now();
    let measured = {
        let (gate, tokens, draws) = (gate.clone(), Arc::clone(tokens), Arc::clone(draws));
        tokio::task::spawn_blocking(move || {
            let rounds: Vec<f64> = (0..8).map(|_| cached(&gate, &tokens, &draws)).collect();
            crate::measure::median(rounds)
        })
        .await?
    };
    let deltas = (revision(gate) - before) as f64 / begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    pump.await??;
    let alone = cached(gate, tokens, draws);
    eprintln!("  (deltas applied a second while measuring: {deltas:.0})");
    report.compare("validate_under_churn", measured, "ns", "validate_cached, again (ns)", alone);
    Ok(())
}

fn revision(gate: &Validator) -> u64 {
    gate.position().borrow().map_or(0, |position| position.revision.0)
}

/// One sign-out after the other, a thousand a second, each a batch of its own.
async fn pump(
    mut users: v1::user_service_client::UserServiceClient<tonic::transport::Channel>,
    stop: Arc<AtomicBool>,
) -> Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    for number in 0.. {
        ticks.tick().await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let request = v1::ForceSignOutRequest {
            tenant_id: TENANT.into(),
            user_ids: vec![format!("churn-{}", number % 500)],
            reason: "churn".into(),
            ..Default::default()
        };
        users.force_sign_out(authorized(request, ADMIN)).await?;
    }
    Ok(())
}

/// Checks a second on two threads, against one.
fn scaling(report: &mut Report, gate: &Validator, tokens: &Arc<Vec<String>>, draws: &Arc<Vec<u32>>) {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        one.push(throughput(1, gate, tokens, draws));
        two.push(throughput(2, gate, tokens, draws));
    }
    let (one, two) = (crate::measure::median(one), crate::measure::median(two));
    report.compare("validate_scaling", two, "1/s", "on one thread (1/s)", one);
}

fn throughput(threads: usize, gate: &Validator, tokens: &Arc<Vec<String>>, draws: &Arc<Vec<u32>>) -> f64 {
    const CHECKS: usize = 1_000_000;
    let barrier = Arc::new(Barrier::new(threads + 1));
    let work = |thread: usize| {
        let (gate, tokens, draws, barrier) =
            (gate.clone(), Arc::clone(tokens), Arc::clone(draws), Arc::clone(&barrier));
        std::thread::spawn(move || {
            let draws = draws.iter().cycle().skip(thread * 77_777);
            barrier.wait();
            for draw in draws.take(CHECKS) {
                assert!(std::hint::black_box(gate.check(&tokens[*draw as usize])).is_ok());
            }
        })
    };
    let running: Vec<_> = (0..threads).map(work).collect();
    barrier.wait();
    let begun = Instant::now();
    running.into_iter().for_each(|thread| thread.join().expect("no check panics"));
    (threads * CHECKS) as f64 / begun.elapsed().as_secs_f64()
}
