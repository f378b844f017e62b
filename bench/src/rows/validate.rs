//! The hot path: known tokens, first sights, under churn, on two threads.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use portcullis_contract::{
    delta::{self, Change},
    id::{Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
    key::{Algorithm, CredentialKind, KeyId, PrivateKey, VerificationKey},
    position::{Incarnation, Revision},
    token::{Claims, Signer},
    view::{Frame, Subject, View},
};
use portcullis_tests::authority::{AUDIENCE, ISSUER};
use portcullis_validator::{RequestInfo, Validator};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{measure::nanoseconds, peers::redis::Redis, replay::Replay, report::Report};

const TOKENS: usize = 100_000;
const REVOCATIONS: u64 = 1_000_000;
/// Serials that could be revoked; the live tokens' are above them.
const SERIALS: u64 = 100_000_000;
const BATCH: usize = 20_000;
/// Forged tokens that arrive in a second.
const FORGED_PER_SECOND: f64 = 50_000.0;
/// Requests that are received before they are checked: 40 KB of tokens.
const REQUESTS: usize = 64;

pub(crate) async fn run(report: &mut Report) -> Result<()> {
    let (view, signer) = view_with_revocations()?;
    let key = Arc::clone(
        view.trusted_key(signer.key_id().as_str())
            .context("the key is not trusted")?,
    );
    let log = Replay::start(view)?;
    let gate = log.gate().await?;
    let tokens: Arc<Vec<String>> = Arc::new(
        (0..TOKENS as u64)
            .map(|index| token(&signer, index))
            .collect::<Result<_>>()?,
    );
    anyhow::ensure!(
        gate.statistics().cached_tokens == 0,
        "the cache is not empty"
    );
    let redis = Redis::start().await?;
    let draws = Arc::new(zipf(TOKENS, 1 << 20));

    cold(report, &gate, &signer, &key)?;
    for token in tokens.iter() {
        gate.check(token).context("a live token is refused")?;
    }
    let alone = cached(&gate, &tokens, &draws);
    report.compare(
        "validate_cached",
        alone,
        "ns",
        "Redis GET round trip, p50 (ns)",
        redis.get_nanoseconds(20_000)?,
    );
    report.add(
        "validate_cached_unread",
        cached_unread(&gate, &tokens, &draws),
        "ns",
    );
    churn(report, &log, &gate, &tokens, &draws).await?;
    scaling(report, &gate, &tokens, &draws);
    forged_flood(report, &gate, &tokens, &draws);
    Ok(())
}

/// A view of a million revocations, and the key that signs what it trusts.
pub(crate) fn view_with_revocations() -> Result<(View, Signer)> {
    let (id, private) = (
        KeyId::parse("bench")?,
        PrivateKey::generate(Algorithm::Ed25519),
    );
    let key = VerificationKey::new(
        id.clone(),
        private.algorithm(),
        private.public_bytes(),
        CredentialKind::Session,
    )?;
    let mut view = follow(&View::empty(Incarnation([7; 16])), Change::Trust(key))?;
    let mut random = SmallRng::seed_from_u64(3);
    for _ in 0..REVOCATIONS / 10_000 {
        let serials = (0..10_000)
            .map(|_| Serial(random.random_range(1..=SERIALS)))
            .collect();
        view = follow(
            &view,
            Change::Revoke {
                credential: CredentialKind::Session,
                serials,
            },
        )?;
    }
    Ok((view, Signer::new(id, private)))
}

fn follow(view: &View, change: Change) -> Result<View> {
    let revision = view.position().revision.next();
    Ok(view.apply(&Frame {
        revision,
        delta: delta::encode(&[change], Vec::new()),
        audit_digest: [0; 32],
    })?)
}

/// The access token of a session, which no store knows.
pub(crate) fn token(signer: &Signer, index: u64) -> Result<String> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs();
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
        client_id: "web".into(),
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
            requests.extend(
                draws
                    .by_ref()
                    .take(REQUESTS)
                    .map(|draw| tokens[*draw as usize].clone()),
            );
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
fn cold(
    report: &mut Report,
    gate: &Validator,
    signer: &Signer,
    key: &VerificationKey,
) -> Result<()> {
    let fresh: Vec<String> = (0..4_000)
        .map(|index| token(signer, 10_000_000 + index))
        .collect::<Result<_>>()?;
    let mut seen = fresh.iter();
    let mut bare = fresh.iter();
    // In turns, so that both meet the same noise.
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        ours.push(nanoseconds(1, 200, || {
            assert!(gate.check(seen.next().expect("enough tokens")).is_ok());
        }));
        raw.push(nanoseconds(1, 200, || {
            let (message, signature) = bare
                .next()
                .and_then(|token| token.rsplit_once('.'))
                .expect("a token");
            assert!(key.verify(message.as_bytes(), signature));
        }));
    }
    let (ours, raw) = (crate::measure::median(ours), crate::measure::median(raw));
    report.compare(
        "validate_cold",
        ours,
        "ns",
        "the signature check alone (ns)",
        raw,
    );
    Ok(())
}

/// Known tokens, while the stream brings a thousand batches a second of one sign-out each.
async fn churn(
    report: &mut Report,
    log: &Replay,
    gate: &Validator,
    tokens: &Arc<Vec<String>>,
    draws: &Arc<Vec<u32>>,
) -> Result<()> {
    log.grow(true);
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
    log.grow(false);
    let alone = cached(gate, tokens, draws);
    eprintln!("  (deltas applied a second while measuring: {deltas:.0})");
    report.compare(
        "validate_under_churn",
        measured,
        "ns",
        "validate_cached, again (ns)",
        alone,
    );
    Ok(())
}

fn revision(gate: &Validator) -> u64 {
    gate.position()
        .borrow()
        .map_or(0, |position| position.revision.0)
}

/// Checks a second on two threads, against one.
fn scaling(
    report: &mut Report,
    gate: &Validator,
    tokens: &Arc<Vec<String>>,
    draws: &Arc<Vec<u32>>,
) {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        one.push(throughput(1, gate, tokens, draws));
        two.push(throughput(2, gate, tokens, draws));
    }
    let (one, two) = (crate::measure::median(one), crate::measure::median(two));
    report.compare("validate_scaling", two, "1/s", "on one thread (1/s)", one);
}

/// Known tokens on one thread, while another one receives forged ones; against the same thread alone.
fn forged_flood(
    report: &mut Report,
    gate: &Validator,
    tokens: &Arc<Vec<String>>,
    draws: &Arc<Vec<u32>>,
) {
    let (mut alone, mut flooded) = (Vec::new(), Vec::new());
    let mut arrived = Vec::new();
    for _ in 0..7 {
        alone.push(throughput(1, gate, tokens, draws));
        let flood = Flood::start(gate, &tokens[0]);
        flooded.push(throughput(1, gate, tokens, draws));
        arrived.push(flood.stop());
    }
    let arrived = crate::measure::median(arrived);
    eprintln!("  (forged tokens a second while measuring: {arrived:.0})");
    let (alone, flooded) = (
        crate::measure::median(alone),
        crate::measure::median(flooded),
    );
    report.compare("forged_flood", flooded, "1/s", "without (1/s)", alone);
}

/// A thread that shows forged tokens of one client to a gate.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<f64>,
}

impl Flood {
    fn start(gate: &Validator, genuine: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (gate, stopped) = (gate.clone(), Arc::clone(&stop));
        let (message, _) = genuine.rsplit_once('.').expect("a token");
        let message = message.to_owned();
        let thread = std::thread::spawn(move || {
            let client = RequestInfo {
                ip: Some([192, 0, 2, 1].into()),
                ..RequestInfo::default()
            };
            let begun = Instant::now();
            let mut shown = 0_u64;
            while !stopped.load(Ordering::Relaxed) {
                let due = (begun.elapsed().as_secs_f64() * FORGED_PER_SECOND) as u64;
                while shown < due && !stopped.load(Ordering::Relaxed) {
                    let forged = format!("{message}.{shown:085x}A");
                    assert!(std::hint::black_box(gate.check_request(&forged, &client)).is_err());
                    shown += 1;
                }
                std::thread::park_timeout(Duration::from_millis(1));
            }
            shown as f64 / begun.elapsed().as_secs_f64()
        });
        Self { stop, thread }
    }

    /// Ends it; how many tokens it showed in a second.
    fn stop(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no check panics")
    }
}

fn throughput(
    threads: usize,
    gate: &Validator,
    tokens: &Arc<Vec<String>>,
    draws: &Arc<Vec<u32>>,
) -> f64 {
    const CHECKS: usize = 1_000_000;
    let barrier = Arc::new(Barrier::new(threads + 1));
    let work = |thread: usize| {
        let (gate, tokens, draws, barrier) = (
            gate.clone(),
            Arc::clone(tokens),
            Arc::clone(draws),
            Arc::clone(&barrier),
        );
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
    running
        .into_iter()
        .for_each(|thread| thread.join().expect("no check panics"));
    (threads * CHECKS) as f64 / begun.elapsed().as_secs_f64()
}
