//! What people and administrators see while a fault lasts, measured and held to the promise.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use portcullis_contract::v1::{self, session_service_client::SessionServiceClient};
use portcullis_tests::{
    authority::{ADMIN, LOGIN, TENANT, session_id, sign_in, transport},
    gate::rejection,
    wait::{DEADLINE, eventually, within},
};
use portcullis_validator::Validator;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The staleness that gates of faults enforce, unless a test says otherwise: short, so that a fault outlasts it.
pub const STALENESS: Duration = Duration::from_secs(2);
/// What gates enforce by default.
pub const DEFAULT_STALENESS: Duration = Duration::from_secs(5);
/// The pause between two looks at a gate.
const LOOK: Duration = Duration::from_millis(1);
/// How long a caller waits for an answer before it calls again.
const CALL_MAX: Duration = Duration::from_secs(10);
/// Revocations that are acknowledged before the fault begins.
const BEFORE: u64 = 5;

/// A gate, and where calls go.
pub struct Scene {
    /// The gate that is looked at.
    pub gate: Validator,
    /// Where people sign in and administrators revoke. A caller tries one after the other.
    pub endpoints: Vec<String>,
    /// What the gate enforces.
    pub staleness: Duration,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// The longest time for which a session that lives got 503.
    pub away: Duration,
    /// The longest time between the acknowledgement of a revocation and the last admission of its token.
    pub late: Duration,
    /// The longest time without an acknowledged sign-in and revocation.
    pub silent: Duration,
    /// Revocations that were acknowledged.
    pub revoked: u64,
    /// Calls that failed.
    pub failed: u64,
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "503 for {:.2} s at most, a revoked token for {:.3} s at most, no sign-in for {:.2} s at most; \
             {} revoked, {} calls failed",
            self.away.as_secs_f64(),
            self.late.as_secs_f64(),
            self.silent.as_secs_f64(),
            self.revoked,
            self.failed
        )
    }
}

/// A token whose revocation was acknowledged.
struct Revoked {
    token: String,
    acknowledged: Instant,
    session: String,
}

type AllRevoked = Arc<Mutex<Vec<Revoked>>>;

impl Scene {
    /// Goes through a fault: people sign in, are revoked and use their sessions before it, during it and after it.
    ///
    /// `fault` begins it and ends it. What is seen is printed under `name`, and held to the promise: nobody whose session
    /// lives is refused but by 503, no revoked token is admitted after the staleness, and no acknowledged revocation is
    /// lost.
    pub async fn go_through(&self, name: &str, fault: impl AsyncFnOnce()) -> Seen {
        let living = self.sign_in_somewhere("ada").await;
        let stop = CancellationToken::new();
        let revoked = AllRevoked::default();
        let looking = Looking {
            gate: self.gate.clone(),
            living: living.access_token.clone(),
            staleness: self.staleness,
            away: Duration::ZERO,
            late: Duration::ZERO,
            away_since: None,
            settled: 0,
        };
        let looking = tokio::spawn(look(looking, Arc::clone(&revoked), stop.clone()));
        let count = Arc::new(AtomicU64::new(0));
        let calling = tokio::spawn(call(
            self.endpoints.clone(),
            Arc::clone(&revoked),
            Arc::clone(&count),
            stop.clone(),
        ));
        // The fault begins in the middle of work, not before the first call.
        self.more(&count, BEFORE).await;
        fault().await;

        // All of it works again: the calls, and the gate.
        let after = count.load(Ordering::SeqCst);
        self.more(&count, after + BEFORE).await;
        eventually("the gate to admit", async || {
            self.gate.check(&living.access_token).ok().map(drop)
        })
        .await;
        stop.cancel();
        let mut seen = within("the callers", calling).await.expect("no panic");
        let (away, late) = within("the look", looking).await.expect("no panic");
        (seen.away, seen.late) = (away, late);
        println!("{name}: {seen}");
        self.find_lost(&revoked).await;
        seen
    }

    async fn more(&self, count: &AtomicU64, wanted: u64) {
        let done = async {
            while count.load(Ordering::SeqCst) < wanted {
                tokio::time::sleep(LOOK).await;
            }
        };
        let in_time = timeout(2 * DEADLINE, done).await;
        assert!(in_time.is_ok(), "{wanted} revocations: not in time");
    }

    /// Signs in wherever somebody answers.
    pub async fn sign_in_somewhere(&self, user: &str) -> v1::CreateSessionResponse {
        eventually("a sign-in", async || {
            for endpoint in &self.endpoints {
                let mut client = SessionServiceClient::new(transport(endpoint, LOGIN));
                let opened = timeout(CALL_MAX, client.create_session(sign_in(user))).await;
                if let Ok(Ok(opened)) = opened {
                    return Some(opened.into_inner());
                }
            }
            None
        })
        .await
    }

    /// Fails when a revocation that was acknowledged is not in the rows.
    async fn find_lost(&self, revoked: &AllRevoked) {
        let all = std::mem::take(&mut *revoked.lock().expect("whole"));
        for one in all {
            let ended = eventually("an answer about a session", async || {
                for endpoint in &self.endpoints {
                    let request = v1::GetSessionRequest {
                        tenant_id: TENANT.into(),
                        session_id: one.session.clone(),
                    };
                    let mut client = SessionServiceClient::new(transport(endpoint, ADMIN));
                    let got = timeout(CALL_MAX, client.get_session(request)).await;
                    if let Ok(Ok(got)) = got {
                        return Some(got.into_inner().session?.end.is_some());
                    }
                }
                None
            })
            .await;
            assert!(ended, "an acknowledged revocation was lost");
        }
    }
}

/// Looks at a gate.
struct Looking {
    gate: Validator,
    living: String,
    staleness: Duration,
    away: Duration,
    late: Duration,
    away_since: Option<Instant>,
    /// Revoked tokens that were refused as such. Refused once is refused for good.
    settled: usize,
}

impl Looking {
    /// Looks at a session that lives. Only a gate that cannot know may refuse it.
    fn look_at_living(&mut self) {
        let Some(refused) = rejection(&self.gate, &self.living) else {
            self.away_since = None;
            return;
        };
        assert!(
            refused.is_unavailable(),
            "a session that lives: {refused:?}"
        );
        let since = *self.away_since.get_or_insert_with(Instant::now);
        self.away = self.away.max(since.elapsed());
    }

    /// Looks at the revoked tokens that were not refused for good yet, and at the last ones that were.
    fn look_at_revoked(&mut self, all: &[Revoked]) {
        for (number, one) in all.iter().enumerate().skip(self.settled) {
            // Before the check: what is admitted now was admitted this long after the acknowledgement at least.
            let after = one.acknowledged.elapsed();
            match rejection(&self.gate, &one.token) {
                None => {
                    self.late = self.late.max(after);
                    assert!(after <= self.staleness, "admitted after {after:?}");
                }
                Some(refused) if !refused.is_unavailable() && number == self.settled => {
                    self.settled += 1;
                }
                Some(_) => {}
            }
        }
        // The newest again: a view that went back would lose these first.
        for one in all[..self.settled].iter().rev().take(3) {
            let refused = rejection(&self.gate, &one.token);
            assert!(refused.is_some(), "a revoked token came back");
        }
    }
}

/// Looks at the gate all the time: the longest 503 of a session that lives, and the latest admission of a revoked one.
async fn look(
    mut looking: Looking,
    revoked: AllRevoked,
    stop: CancellationToken,
) -> (Duration, Duration) {
    while !stop.is_cancelled() {
        looking.look_at_living();
        looking.look_at_revoked(&revoked.lock().expect("whole"));
        tokio::time::sleep(LOOK).await;
    }
    (looking.away, looking.late)
}

/// Signs in and revokes, again and again, at whoever answers.
async fn call(
    endpoints: Vec<String>,
    revoked: AllRevoked,
    count: Arc<AtomicU64>,
    stop: CancellationToken,
) -> Seen {
    let mut seen = Seen::default();
    let mut last = Instant::now();
    let mut at = 0;
    while !stop.is_cancelled() {
        let endpoint = &endpoints[at % endpoints.len()];
        match timeout(CALL_MAX, sign_in_and_revoke(endpoint)).await {
            Ok(Some(one)) => {
                seen.silent = seen.silent.max(last.elapsed());
                last = Instant::now();
                seen.revoked += 1;
                revoked.lock().expect("whole").push(one);
                count.fetch_add(1, Ordering::SeqCst);
            }
            _ => {
                seen.failed += 1;
                // As a caller with several addresses does: the next try goes to the next one.
                at += 1;
            }
        }
        tokio::time::sleep(5 * LOOK).await;
    }
    seen
}

async fn sign_in_and_revoke(endpoint: &str) -> Option<Revoked> {
    let mut login = SessionServiceClient::new(transport(endpoint, LOGIN));
    let opened = login
        .create_session(sign_in("bob"))
        .await
        .ok()?
        .into_inner();
    let session = session_id(&opened);
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session.clone(),
        ..Default::default()
    };
    let mut admin = SessionServiceClient::new(transport(endpoint, ADMIN));
    admin.revoke_session(request).await.ok()?;
    Some(Revoked {
        token: opened.access_token,
        acknowledged: Instant::now(),
        session,
    })
}

/// Lets a fault last. The time that passes is what is tested.
pub async fn last(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
