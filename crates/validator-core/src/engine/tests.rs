//! Tokens that are signed for real, and what an engine says of them.

use std::{net::IpAddr, time::Duration};

use portcullis_contract::{
    delta::{self, Change, Scope},
    id::{ApiKeyId, Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
    key::{Algorithm, CredentialKind, KeyId, PrivateKey, VerificationKey},
    position::{Incarnation, Revision},
    token::{ApiKeyClaims, Claims, Signer},
    view::{Frame, Subject},
};

use super::*;
use crate::{database_clock::DatabaseClock, reports::Reports};

const ISSUER: &str = "https://issuer";
const AUDIENCE: &str = "gateway";
const STALENESS: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);
/// The life of the tokens, in seconds.
const LIFETIME: u64 = 300;

/// An engine with a fresh view, and the keys that the view trusts.
struct Gate {
    engine: Engine,
    reports: Option<Reports>,
    sessions: Signer,
    api_keys: Signer,
    /// As of which the view is fresh.
    now: Mark,
    state: State,
}

impl Gate {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::new(ISSUER, AUDIENCE);
        change(&mut settings);
        let (engine, reports) = Engine::new(settings).expect("good settings");
        let (sessions, session_key) = key("s1", CredentialKind::Session);
        let (api_keys, api_key) = key("a1", CredentialKind::ApiKey);
        let keys = [Change::Trust(session_key), Change::Trust(api_key)];
        let view = View::empty(Incarnation([1; 16])).apply(&frame(1, &keys));

        let now = Mark::now();
        let mut state = State::clone(&engine.judge.state.load());
        state.view = Some(Arc::new(view.expect("applies")));
        state.unready = None;
        state.fresh_as_of = Some(now);
        state.database_clock = Some(DatabaseClock::new(now, now, now.wall()));
        let gate = Self {
            engine,
            reports,
            sessions,
            api_keys,
            now,
            state,
        };
        gate.publish();
        gate
    }

    fn publish(&self) {
        self.engine.judge.state.store(Arc::new(self.state.clone()));
    }

    fn apply(&mut self, change: Change) {
        let view = self.state.view.as_ref().expect("a view");
        let next = view.apply(&frame(view.position().revision.0 + 1, &[change]));
        self.state.view = Some(Arc::new(next.expect("applies")));
        self.publish();
    }

    /// As if the proof of freshness had come this long ago.
    fn age(&mut self, age: Duration) {
        self.state.fresh_as_of = Some(Mark::now().earlier_by(age));
        self.publish();
    }

    fn claims(&self, serial: u64) -> Claims {
        let issued_at = self.now.wall().as_secs();
        Claims {
            tenant_id: TenantId::parse("acme").expect("an id"),
            user_id: UserId::parse("ada").expect("an id"),
            session_id: SessionId::generate(),
            subject: subject(serial),
            token_id: format!("t{serial}"),
            audiences: vec![AUDIENCE.into()],
            client_id: "web".into(),
            issued_at,
            expires_at: issued_at + LIFETIME,
            auth_time: issued_at,
            amr: vec![],
            acr: String::new(),
        }
    }

    fn token(&self, serial: u64) -> String {
        let signed = self.sessions.sign(ISSUER, &self.claims(serial));
        signed.expect("signed")
    }

    fn api_key(&self, serial: u64) -> String {
        let claims = ApiKeyClaims {
            tenant_id: TenantId::parse("acme").expect("an id"),
            owner_id: UserId::parse("ada").expect("an id"),
            api_key_id: ApiKeyId::generate(),
            subject: subject(serial),
            scopes: vec!["read".into()],
            audiences: vec![AUDIENCE.into()],
            issued_at: self.now.wall().as_secs(),
            expires_at: None,
        };
        self.api_keys.sign(ISSUER, &claims).expect("signed")
    }

    fn check(&self, token: &str) -> Result<(), Rejection> {
        self.check_when(token, &RequestInfo::default())
    }

    fn check_when(&self, token: &str, request: &RequestInfo<'_>) -> Result<(), Rejection> {
        self.engine.check(token, request).map(drop)
    }

    fn check_api_key(&self, key: &str) -> Result<(), Rejection> {
        let request = RequestInfo::default();
        self.engine.check_api_key(key, &request).map(drop)
    }
}

fn key(id: &str, kind: CredentialKind) -> (Signer, VerificationKey) {
    let id = KeyId::parse(id).expect("an id");
    let private = PrivateKey::generate(Algorithm::Ed25519);
    let public = VerificationKey::new(
        id.clone(),
        private.algorithm(),
        private.public_bytes(),
        kind,
    );
    (Signer::new(id, private), public.expect("a good key"))
}

fn subject(serial: u64) -> Subject {
    Subject {
        serial: Serial(serial),
        user: UserSerial(22),
        tenant: TenantSerial(33),
        opened: Revision(1),
    }
}

fn frame(revision: u64, changes: &[Change]) -> Frame {
    Frame {
        revision: Revision(revision),
        delta: delta::encode(changes, vec![]),
        audit_digest: [3; 32],
    }
}

fn revoke(credential: CredentialKind, serial: u64) -> Change {
    Change::Revoke {
        credential,
        serials: vec![Serial(serial)],
    }
}

#[test]
fn each_kind_of_credential_has_a_check_and_revocations_of_its_own() {
    let mut gate = Gate::new();
    let (token, key) = (gate.token(1), gate.api_key(1));
    assert_eq!(gate.check(&token), Ok(()));
    assert_eq!(gate.check_api_key(&key), Ok(()));
    // A key is of one kind, and so is its type.
    assert_eq!(gate.check(&key), Err(Rejection::WrongType));
    assert_eq!(gate.check_api_key(&token), Err(Rejection::WrongType));

    gate.apply(revoke(CredentialKind::Session, 1));
    assert_eq!(gate.check(&token), Err(Rejection::Revoked));
    assert_eq!(gate.check_api_key(&key), Ok(()));
    gate.apply(revoke(CredentialKind::ApiKey, 1));
    assert_eq!(gate.check_api_key(&key), Err(Rejection::Revoked));
}

#[test]
fn an_identity_has_the_claims_of_its_token() {
    let gate = Gate::new();
    let request = RequestInfo::default();
    let identity = gate.engine.check(&gate.token(1), &request);
    let identity = identity.expect("admitted");
    assert_eq!(identity.user_id.as_str(), "ada");
    let again = gate.engine.check(&gate.token(2), &request);
    assert_eq!(again.expect("admitted").token_id, "t2");
    let key = gate.engine.check_api_key(&gate.api_key(3), &request);
    assert!(key.expect("admitted").has_scope("read"));
}

#[test]
fn a_sign_out_ends_the_tokens_from_before_it() {
    let mut gate = Gate::new();
    let token = gate.token(1);
    assert_eq!(gate.check(&token), Ok(()));
    gate.apply(Change::Cut {
        credential: CredentialKind::Session,
        scope: Scope::User(UserSerial(22)),
        exempt: None,
    });
    assert_eq!(gate.check(&token), Err(Rejection::SignedOut));
}

#[test]
fn a_key_that_is_distrusted_admits_neither_old_nor_new_tokens() {
    let mut gate = Gate::new();
    let (known, new) = (gate.token(1), gate.token(2));
    assert_eq!(gate.check(&known), Ok(()));
    gate.apply(Change::Distrust(KeyId::parse("s1").expect("an id")));
    assert_eq!(gate.check(&known), Err(Rejection::DistrustedKey));
    assert_eq!(gate.check(&new), Err(Rejection::DistrustedKey));
}

#[test]
fn a_token_lives_from_its_issue_to_its_expiry_by_the_clock_of_the_database() {
    let gate = Gate::new();
    let token = gate.token(1);
    let request = RequestInfo::default();
    let at = |seconds: u64| {
        // The gate's proof is as new as its clock.
        let mut state = gate.state.clone();
        let now = gate.now.wall() + Duration::from_secs(seconds);
        let now = Mark::from_clocks(now, now);
        state.fresh_as_of = Some(now);
        state.database_clock = Some(DatabaseClock::new(now, now, now.wall()));
        gate.engine.judge.state.store(Arc::new(state));
        gate.engine
            .check_by_clock(&token, &request, || now)
            .map(drop)
    };
    assert_eq!(at(0), Ok(()));
    assert_eq!(at(LIFETIME - 1), Ok(()));
    assert_eq!(at(LIFETIME + 1), Err(Rejection::Expired));
}

#[test]
fn a_token_that_expires_within_the_drift_of_two_clocks_is_expired() {
    let gate = Gate::new();
    let token = gate.token(1);
    let asked = gate.now.wall();
    for (drift, expected) in [(1, Rejection::Expired), (2, Rejection::ClockSkew)] {
        // By the wall clock the token is dead, and by the boot clock it lives for another moment.
        let boot = asked + Duration::from_secs(LIFETIME - drift);
        let now = Mark::from_clocks(boot, boot + Duration::from_secs(drift));
        let then = Mark::from_clocks(asked, asked);
        let mut state = gate.state.clone();
        state.fresh_as_of = Some(now);
        state.database_clock = Some(DatabaseClock::new(then, then, asked));
        gate.engine.judge.state.store(Arc::new(state));
        let checked = gate
            .engine
            .check_by_clock(&token, &RequestInfo::default(), || now);
        assert_eq!(checked.map(drop), Err(expected), "{drift} s");
    }
}

#[test]
fn a_clock_that_differs_from_the_database_s_refuses_everything() {
    let mut gate = Gate::new();
    let token = gate.token(1);
    let ahead = gate.now.wall() + Duration::from_secs(3_600);
    gate.state.database_clock = Some(DatabaseClock::new(gate.now, gate.now, ahead));
    gate.publish();
    assert_eq!(gate.check(&token), Err(Rejection::ClockSkew));
    assert_eq!(gate.engine.unix_seconds(), None);
    assert!(!gate.engine.is_ready());
}

#[test]
fn a_strict_gate_refuses_once_its_proof_is_too_old() {
    let mut gate = Gate::new();
    let token = gate.token(1);
    assert_eq!(gate.engine.mode(), Mode::Strict);
    assert!(gate.engine.is_ready());
    gate.age(STALENESS - SECOND);
    assert_eq!(gate.check(&token), Ok(()));
    assert!(matches!(gate.engine.freshness(), Freshness::Fresh { age } if age < STALENESS));

    gate.age(STALENESS + SECOND);
    assert!(matches!(
        gate.check(&token),
        Err(Rejection::Stale { age }) if age > STALENESS
    ));
    assert!(matches!(gate.engine.freshness(), Freshness::Stale { .. }));
    assert!(!gate.engine.is_ready());
}

#[test]
fn best_effort_accepts_up_to_its_second_bound_and_counts() {
    let stale_max = Duration::from_secs(60);
    let mode = Mode::BestEffort { stale_max };
    let mut gate = Gate::with(|settings| settings.mode = mode);
    assert_eq!(gate.engine.mode(), mode);
    let token = gate.token(1);
    assert_eq!(gate.check(&token), Ok(()));
    assert_eq!(gate.engine.statistics().accepted_stale, 0);

    gate.age(STALENESS + SECOND);
    assert_eq!(gate.check(&token), Ok(()));
    assert!(gate.engine.is_ready());
    assert_eq!(gate.engine.statistics().accepted_stale, 1);
    let strict = RequestInfo {
        strict: true,
        ..RequestInfo::default()
    };
    let refused = gate.check_when(&token, &strict);
    assert!(matches!(refused, Err(Rejection::Stale { .. })));

    gate.age(stale_max + SECOND);
    assert!(matches!(gate.check(&token), Err(Rejection::Stale { .. })));
    assert!(!gate.engine.is_ready());
}

#[test]
fn a_stale_gate_does_not_call_a_key_unknown_that_it_may_not_know_yet() {
    let mut gate = Gate::new();
    let (stranger, _) = key("s2", CredentialKind::Session);
    let sign = |serial| stranger.sign(ISSUER, &gate.claims(serial)).expect("signed");
    let tokens: Vec<_> = (1..=4).map(sign).collect();
    assert_eq!(gate.check(&tokens[0]), Err(Rejection::UnknownKey));

    gate.age(STALENESS + SECOND);
    assert!(matches!(
        gate.check(&tokens[1]),
        Err(Rejection::Stale { .. })
    ));
    gate.state.fresh_as_of = None;
    gate.publish();
    assert_eq!(gate.check(&tokens[2]), Err(Rejection::Unready));
    // A bad signature is certain at any age.
    let forged = format!("{}AAAA", &gate.token(5)[..gate.token(5).len() - 4]);
    assert_eq!(gate.check(&forged), Err(Rejection::BadSignature));
}

#[test]
fn an_engine_without_a_view_is_not_ready_and_says_why() {
    let mut gate = Gate::new();
    let token = gate.token(1);
    assert_eq!(
        gate.engine.position().map(|position| position.revision),
        Some(Revision(1))
    );
    gate.state = State::new(Duration::from_secs(300));
    gate.publish();
    assert_eq!(gate.check(&token), Err(Rejection::Unready));
    assert_eq!(gate.engine.position(), None);
    assert_eq!(gate.engine.unix_seconds(), None);
    assert!(!gate.engine.is_ready());
    assert_eq!(
        gate.engine.freshness(),
        Freshness::Unready {
            reason: "no view yet"
        }
    );
    let statistics = gate.engine.statistics();
    assert_eq!(statistics.applied_revision, None);
    assert_eq!(statistics.freshness_age, None);
    assert_eq!(statistics.cache_misses, 0);
    assert_eq!(statistics.cache_hits, 0);
    assert_eq!(statistics.verdicts.rejected(&Rejection::Unready), 1);
}

#[test]
fn revocations_of_an_earlier_history_count_as_well() {
    let mut gate = Gate::new();
    let (revoked, good) = (gate.token(1), gate.token(2));
    let earlier = View::empty(Incarnation([2; 16]));
    let earlier = earlier.apply(&frame(1, &[revoke(CredentialKind::Session, 1)]));
    gate.state
        .remembered
        .push(Arc::new(earlier.expect("applies")));
    gate.publish();
    assert_eq!(gate.check(&revoked), Err(Rejection::Revoked));
    assert_eq!(gate.check(&good), Ok(()));

    let earlier = View::empty(Incarnation([3; 16]));
    let distrust = Change::Distrust(KeyId::parse("s1").expect("an id"));
    let earlier = earlier.apply(&frame(1, &[distrust]));
    gate.state
        .remembered
        .push(Arc::new(earlier.expect("applies")));
    gate.publish();
    assert_eq!(gate.check(&good), Err(Rejection::DistrustedKey));
}

#[test]
fn the_time_is_that_of_the_database() {
    let mut gate = Gate::new();
    let told = gate.now.wall() + Duration::from_secs(100);
    gate.state.database_clock = Some(DatabaseClock::new(gate.now, gate.now, told));
    gate.publish();
    assert_eq!(gate.engine.unix_seconds_at(&gate.now), Some(told.as_secs()));
    let now = gate.engine.unix_seconds().expect("a time");
    assert!((told.as_secs()..told.as_secs() + 60).contains(&now));
    let skew = gate.engine.statistics().clock_skew_micros;
    let skew = skew.expect("a skew");
    assert!((-101_000_000..-99_000_000).contains(&skew), "{skew}");
}

#[test]
fn hits_and_misses_of_both_caches_are_counted() {
    let gate = Gate::new();
    let (token, key) = (gate.token(1), gate.api_key(2));
    for _ in 0..3 {
        assert_eq!(gate.check(&token), Ok(()));
        assert_eq!(gate.check_api_key(&key), Ok(()));
    }
    assert_eq!(gate.check("no.to.ken"), Err(Rejection::Malformed));
    gate.engine.record_refused(&Rejection::Missing);

    let statistics = gate.engine.statistics();
    assert_eq!(statistics.verdicts.accepted(), 6);
    assert_eq!(statistics.verdicts.rejected(&Rejection::Missing), 1);
    assert_eq!(statistics.verdicts.rejected(&Rejection::Malformed), 1);
    assert_eq!(statistics.cache_misses, 3);
    assert_eq!(statistics.cache_hits, 4);
    assert_eq!(statistics.cached_tokens, 2);
    assert_eq!(statistics.applied_revision, Some(1));
    assert_eq!(statistics.max_staleness, STALENESS);
    assert!(statistics.freshness_age.expect("an age") < 60 * SECOND);
    assert_eq!((statistics.forks, statistics.streams), (0, 0));
}

#[test]
fn forged_tokens_of_a_source_are_refused_unchecked_after_a_while() {
    let gate = Gate::with(|settings| settings.forged.source = 1);
    let source = RequestInfo {
        source: Some(b"a network"),
        ..RequestInfo::default()
    };
    let known = gate.token(1);
    assert_eq!(gate.check_when(&known, &source), Ok(()));
    let mut last = Ok(());
    for number in 0..1_000 {
        last = gate.check_when(&format!("forged {number}"), &source);
        if last == Err(Rejection::Busy) {
            break;
        }
    }
    assert_eq!(last, Err(Rejection::Busy));
    assert_eq!(gate.check_when(&known, &source), Ok(()));
}

#[test]
fn use_is_reported_once_it_was_taken_and_not_twice() {
    let mut gate = Gate::new();
    let (busy, idle) = (gate.token(1), gate.token(2));
    let ip: IpAddr = "::ffff:192.0.2.1".parse().expect("an address");
    let request = RequestInfo {
        ip: Some(ip),
        page: Some("/inbox?secret"),
        ..RequestInfo::default()
    };
    for _ in 0..3 {
        assert_eq!(gate.check_when(&busy, &request), Ok(()));
    }
    let background = RequestInfo {
        background: true,
        ..RequestInfo::default()
    };
    assert_eq!(gate.check_when(&idle, &background), Ok(()));
    assert_eq!(gate.engine.statistics().activity_tracked, 1);

    let mut reports = gate.reports.take().expect("reports");
    let mut round = reports.begin_round();
    assert!(round.complete_as_of().is_some());
    let mut batch = round.next_batch();
    assert!(batch.is_last());
    let activities = batch.take_activities();
    assert_eq!(activities.len(), 1);
    assert_eq!(activities[0].requests, 3);
    assert_eq!(activities[0].ip, "192.0.2.1");
    assert_eq!(activities[0].last_page, "/inbox");
    assert_eq!(activities[0].tenant_id, "acme");
    assert_eq!(gate.check_when(&busy, &request), Ok(()));
    batch.settle_taken();
    assert_eq!(gate.engine.statistics().activity_reported, 3);

    // The request that came meanwhile is in the next round, and then nothing is.
    let batch = reports.begin_round().next_batch();
    batch.settle_taken();
    assert_eq!(gate.engine.statistics().activity_reported, 4);
    let mut batch = reports.begin_round().next_batch();
    assert!(batch.is_last());
    assert!(batch.take_activities().is_empty());
}

#[test]
fn use_beyond_the_bound_is_counted_and_makes_a_round_incomplete() {
    let mut gate = Gate::with(|settings| settings.activity_tokens_max = 1);
    for serial in 1..=3 {
        assert_eq!(gate.check(&gate.token(serial)), Ok(()));
    }
    let statistics = gate.engine.statistics();
    assert_eq!(statistics.activity_tracked, 1);
    assert_eq!(statistics.activity_dropped, 2);

    let mut reports = gate.reports.take().expect("reports");
    let round = reports.begin_round();
    assert!(round.complete_as_of().is_none());
    // The round fails, so the next one has to say it too.
    round.abandon();
    let mut round = reports.begin_round();
    assert!(round.complete_as_of().is_none());
    round.next_batch().settle_taken();
    assert!(reports.begin_round().complete_as_of().is_some());
}

#[test]
fn a_report_that_was_refused_is_settled_and_not_counted() {
    let mut gate = Gate::new();
    assert_eq!(gate.check(&gate.token(1)), Ok(()));
    let mut reports = gate.reports.take().expect("reports");
    reports.begin_round().next_batch().settle_refused();
    assert_eq!(gate.engine.statistics().activity_reported, 0);
    let mut batch = reports.begin_round().next_batch();
    assert!(batch.take_activities().is_empty());
}

#[test]
fn only_credentials_that_the_cache_has_forgotten_are_forgotten() {
    let mut gate = Gate::with(|settings| settings.cached_tokens_max = 1);
    for serial in 1..=50 {
        assert_eq!(gate.check(&gate.token(serial)), Ok(()));
    }
    assert_eq!(gate.engine.statistics().activity_tracked, 50);
    let mut reports = gate.reports.take().expect("reports");
    // None is reported yet, so none may go.
    reports.begin_round();
    reports.forget_reported();
    assert_eq!(gate.engine.statistics().activity_tracked, 50);

    reports.begin_round().next_batch().settle_taken();
    reports.forget_reported();
    let statistics = gate.engine.statistics();
    assert_eq!(statistics.activity_tracked, statistics.cached_tokens);
    assert_eq!(statistics.activity_reported, 50);
}

#[test]
fn a_large_round_has_several_batches_and_each_use_once() {
    let mut gate = Gate::new();
    let page = "/".repeat(512);
    let request = RequestInfo {
        page: Some(&page),
        ..RequestInfo::default()
    };
    let count = 4_000;
    for serial in 1..=count {
        assert_eq!(gate.check_when(&gate.token(serial), &request), Ok(()));
    }
    let mut reports = gate.reports.take().expect("reports");
    let mut round = reports.begin_round();
    let (mut batches, mut reported) = (0, 0);
    loop {
        let mut batch = round.next_batch();
        batches += 1;
        reported += batch.take_activities().len() as u64;
        let is_last = batch.is_last();
        batch.settle_taken();
        if is_last {
            break;
        }
    }
    assert_eq!((batches, reported), (2, count));
    assert_eq!(gate.engine.statistics().activity_reported, count);
}

#[test]
fn without_tracking_there_are_no_reports() {
    let gate = Gate::with(|settings| settings.track_activity = false);
    assert!(gate.reports.is_none());
    assert_eq!(gate.check(&gate.token(1)), Ok(()));
    let statistics = gate.engine.statistics();
    assert_eq!(statistics.activity_tracked, 0);
    assert_eq!(statistics.activity_dropped, 0);
}

#[test]
fn an_identity_of_an_engine_that_ended_has_ended() {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    let gate = Gate::new();
    let request = RequestInfo::default();
    let identity = gate.engine.check(&gate.token(1), &request);
    let mut ended = pin!(identity.expect("admitted").ended());
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(ended.as_mut().poll(&mut context), Poll::Pending);
    assert_eq!(gate.engine.statistics().streams, 1);
    gate.engine.close();
    assert_eq!(
        ended.as_mut().poll(&mut context),
        Poll::Ready(Rejection::Unready)
    );
}
