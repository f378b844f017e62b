//! Receipts: a caller waits until a change is enforced, and is told how far it is.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use portcullis_authority::{config::Config, keys::MasterKey};
use portcullis_contract::{
    v1::{
        self, revocation_service_client::RevocationServiceClient,
        session_service_client::SessionServiceClient, watch_request::Message as Asked,
        watch_response::Message as Answer,
    },
    watch::{AnyStream, Checksummed},
};
use portcullis_tests::{
    authority::{
        ADMIN, AUDIENCE, GATEWAY, ISSUER, LOGIN, OPERATOR, SUPPORT, TENANT, TestAuthority, ready,
        reason, session_id, sign_in, transport, violations, write_private,
    },
    gate::rejection,
    postgres::fresh_url,
    proxy::{Link, Proxy},
    serve::Serve,
    wait::{eventually, within},
};
use portcullis_validator::{Builder, Validator};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};

/// The staleness of gates that lapse in a test.
const STALENESS: Duration = Duration::from_secs(1);
/// One beat, on a machine that is busy with other tests.
const BEAT: Duration = Duration::from_secs(2);

fn revocation(session: &v1::CreateSessionResponse) -> v1::RevokeSessionRequest {
    v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(session),
        wait: v1::Wait::Enforced.into(),
        ..Default::default()
    }
}

/// Revokes a session and waits until that is enforced.
async fn enforce(
    authority: &TestAuthority,
    session: &v1::CreateSessionResponse,
) -> v1::Enforcement {
    let mut sessions = authority.sessions(ADMIN);
    let revoked = within("a receipt", sessions.revoke_session(revocation(session))).await;
    let revoked = revoked.expect("revoked").into_inner();
    revoked.enforcement.expect("a receipt")
}

async fn wait_for(
    authority: &TestAuthority,
    bearer: &str,
    revision: u64,
    timeout: Option<Duration>,
) -> Result<v1::Enforcement, Status> {
    let request = v1::WaitForEnforcementRequest {
        revision,
        timeout: timeout.map(|timeout| timeout.try_into().expect("short")),
    };
    let mut client = authority.revocations(bearer);
    let answer = within("a receipt", client.wait_for_enforcement(request)).await?;
    Ok(answer.into_inner().receipt.expect("a receipt"))
}

async fn list(authority: &TestAuthority) -> Option<v1::ListValidatorsResponse> {
    let mut client = authority.revocations(OPERATOR);
    let listed = client.list_validators(v1::ListValidatorsRequest {}).await;
    Some(listed.ok()?.into_inner())
}

/// A gate with a view, behind a proxy.
async fn gate_behind(proxy: &Proxy, name: &str) -> Validator {
    let gate = gate_at(&format!("http://{}", proxy.address()), name);
    ready(gate.max_staleness(STALENESS)).await
}

fn gate_at(endpoint: &str, name: &str) -> Builder {
    Validator::builder(endpoint)
        .bearer(GATEWAY)
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .name(name)
}

fn address(authority: &TestAuthority) -> SocketAddr {
    authority.config.server.grpc_listen
}

fn elapsed(receipt: &v1::Enforcement) -> Duration {
    let elapsed = receipt.elapsed.expect("a time");
    elapsed.try_into().expect("a duration")
}

/// The numbers of a receipt: validators, confirmed, lapsed, unbounded, pending.
fn numbers(receipt: &v1::Enforcement) -> [u32; 5] {
    [
        receipt.validators,
        receipt.confirmed,
        receipt.lapsed,
        receipt.unbounded,
        receipt.pending,
    ]
}

#[tokio::test]
async fn a_change_that_waits_is_enforced_at_every_gate_when_it_answers() {
    let authority = TestAuthority::sqlite().await;
    let one = ready(authority.gate().name("one")).await;
    let two = ready(authority.gate().name("two")).await;
    for _ in 0..5 {
        let session = authority.sign_in("ada").await;
        let receipt = enforce(&authority, &session).await;
        assert_eq!(numbers(&receipt), [2, 2, 0, 0, 0], "{receipt:?}");
        assert!(receipt.complete && !receipt.partial);
        for gate in [&one, &two] {
            assert!(rejection(gate, &session.access_token).is_some());
        }
    }
}

#[tokio::test]
async fn a_gate_is_not_behind_by_what_changes_nothing_for_it() {
    let authority = TestAuthority::sqlite().await;
    // It probes every 3.75 s, and says only then, or when it is asked, what it has.
    let _gate = ready(authority.gate().max_staleness(Duration::from_secs(30))).await;
    let session = authority.sign_in("ada").await;
    let enforced = enforce(&authority, &session).await;
    let request = v1::GetPolicyRequest {
        tenant_id: TENANT.into(),
    };
    let policy = authority.tenants(ADMIN).get_policy(request).await;
    let request = v1::UpdatePolicyRequest {
        tenant_id: TENANT.into(),
        policy: policy.expect("a policy").into_inner().policy,
        reason: "quiet".into(),
        ..Default::default()
    };
    let updated = authority.tenants(ADMIN).update_policy(request).await;
    updated.expect("updated");

    let quiet = enforced.revision + 1;
    let listed = eventually("the batch to be read", async || {
        let listed = list(&authority).await?;
        (listed.head_revision >= quiet).then_some(listed)
    })
    .await;
    let gate = &listed.validators[0];
    assert_eq!(gate.lag, 0, "{gate:?}");
}

#[tokio::test]
async fn without_a_gate_a_receipt_is_complete_at_once() {
    let authority = TestAuthority::sqlite().await;
    let receipt = enforce(&authority, &authority.sign_in("ada").await).await;
    assert_eq!(numbers(&receipt), [0; 5]);
    assert!(receipt.complete);
}

#[tokio::test]
async fn a_frozen_gate_lapses_within_its_staleness_and_a_beat() {
    let authority = TestAuthority::sqlite().await;
    let proxy = Proxy::start(address(&authority)).await;
    let frozen = gate_behind(&proxy, "frozen").await;
    let _live = authority.ready_gate().await;
    let session = authority.sign_in("ada").await;
    assert_eq!(rejection(&frozen, &session.access_token), None);

    proxy.set(Link::BLACK_HOLE);
    let receipt = enforce(&authority, &session).await;
    assert!(rejection(&frozen, &session.access_token).is_some());
    assert_eq!(numbers(&receipt), [2, 1, 1, 0, 0], "{receipt:?}");
    assert!(receipt.complete);
    assert!(elapsed(&receipt) <= STALENESS + BEAT, "{receipt:?}");
}

#[tokio::test]
async fn a_gate_that_went_away_counts_until_it_has_lapsed() {
    let authority = TestAuthority::sqlite().await;
    let proxy = Proxy::start(address(&authority)).await;
    let cut = gate_behind(&proxy, "cut").await;
    let session = authority.sign_in("ada").await;
    assert_eq!(rejection(&cut, &session.access_token), None);
    // The authority sees the end of the stream at once. The gate may accept by its last proof all the same.
    proxy.set(Link::BLACK_HOLE);
    proxy.reset();
    let receipt = enforce(&authority, &session).await;
    assert!(rejection(&cut, &session.access_token).is_some());
    assert_eq!(numbers(&receipt), [1, 0, 1, 0, 0], "{receipt:?}");
    assert!(receipt.complete && elapsed(&receipt) <= STALENESS + BEAT);

    let later = enforce(&authority, &authority.sign_in("bob").await).await;
    assert_eq!(numbers(&later), [0; 5], "its lease had ended before");
}

#[tokio::test]
async fn a_gate_in_best_effort_mode_is_unbounded_and_not_waited_for() {
    let authority = TestAuthority::sqlite().await;
    let proxy = Proxy::start(address(&authority)).await;
    let gate = gate_at(&format!("http://{}", proxy.address()), "lenient");
    let _gate = ready(gate.best_effort(Duration::from_secs(60))).await;
    proxy.set(Link::BLACK_HOLE);
    let receipt = enforce(&authority, &authority.sign_in("ada").await).await;
    assert_eq!(numbers(&receipt), [1, 0, 0, 1, 0], "{receipt:?}");
    assert!(receipt.complete);
}

#[tokio::test]
async fn at_its_deadline_a_change_answers_with_the_receipt_as_it_is() {
    let authority = TestAuthority::sqlite().await;
    let proxy = Proxy::start(address(&authority)).await;
    let gate = gate_at(&format!("http://{}", proxy.address()), "frozen");
    let _frozen = ready(gate).await;
    let session = authority.sign_in("ada").await;
    proxy.set(Link::BLACK_HOLE);

    let mut request = Request::new(revocation(&session));
    request.set_timeout(Duration::from_secs(1));
    let revoked = authority.sessions(ADMIN).revoke_session(request).await;
    let receipt = revoked.expect("revoked").into_inner().enforcement;
    let receipt = receipt.expect("a receipt");
    assert_eq!(numbers(&receipt), [1, 0, 0, 0, 1], "{receipt:?}");
    assert!(!receipt.complete);

    let soon = wait_for(&authority, ADMIN, receipt.revision, Some(Duration::ZERO)).await;
    assert!(!soon.expect("a receipt").complete);
    let late = wait_for(&authority, ADMIN, receipt.revision, None).await;
    let late = late.expect("a receipt");
    assert_eq!(numbers(&late), [1, 0, 1, 0, 0], "{late:?}");
    assert!(late.complete);
}

#[tokio::test]
async fn a_revision_that_the_log_does_not_have_is_refused() {
    let authority = TestAuthority::sqlite().await;
    let head = enforce(&authority, &authority.sign_in("ada").await).await;
    for revision in [head.revision + 1_000, u64::MAX] {
        let refused = wait_for(&authority, ADMIN, revision, None).await;
        let refused = refused.expect_err("no such revision");
        assert_eq!(refused.code(), Code::OutOfRange);
        assert_eq!(reason(&refused), "REVISION_AHEAD");
    }
    let refused = wait_for(&authority, ADMIN, 0, None).await;
    assert_eq!(violations(&refused.expect_err("none")), ["revision"]);
    let request = v1::WatchEnforcementRequest {
        revision: head.revision + 1_000,
        timeout: None,
    };
    let refused = authority
        .revocations(ADMIN)
        .watch_enforcement(request)
        .await;
    assert_eq!(reason(&refused.expect_err("ahead")), "REVISION_AHEAD");
}

#[tokio::test]
async fn every_role_and_a_person_whose_session_has_ended_get_receipts() {
    let authority = TestAuthority::sqlite().await;
    let _gate = authority.ready_gate().await;
    let session = authority.sign_in("ada").await;
    let request = v1::RevokeSessionRequest {
        session_id: session_id(&session),
        ..Default::default()
    };
    let revoked = authority
        .sessions(&session.access_token)
        .revoke_session(request)
        .await
        .expect("signed out")
        .into_inner();
    let revision = revoked.enforcement.expect("a receipt").revision;

    for bearer in [
        &session.access_token,
        LOGIN,
        GATEWAY,
        SUPPORT,
        ADMIN,
        OPERATOR,
    ] {
        let receipt = wait_for(&authority, bearer, revision, None).await;
        let receipt = receipt.expect("anybody may know");
        assert!(receipt.complete, "{receipt:?}");
    }
    let refused = wait_for(&authority, "nobody", revision, None).await;
    assert_eq!(
        reason(&refused.expect_err("a stranger")),
        "CREDENTIALS_INVALID"
    );
}

#[tokio::test]
async fn a_stream_of_receipts_shows_the_count_grow_and_ends() {
    let authority = TestAuthority::sqlite().await;
    let proxy = Proxy::start(address(&authority)).await;
    let _frozen = gate_behind(&proxy, "frozen").await;
    let _live = authority.ready_gate().await;
    let session = authority.sign_in("ada").await;
    proxy.set(Link::BLACK_HOLE);
    let request = v1::RevokeSessionRequest {
        wait: v1::Wait::Committed.into(),
        ..revocation(&session)
    };
    let revoked = authority.sessions(ADMIN).revoke_session(request).await;
    let committed = revoked.expect("revoked").into_inner().enforcement;
    let request = v1::WatchEnforcementRequest {
        revision: committed.expect("a receipt").revision,
        timeout: None,
    };
    let opened = authority
        .revocations(ADMIN)
        .watch_enforcement(request)
        .await;
    let mut stream = opened.expect("a stream").into_inner();
    let mut receipts = Vec::new();
    while let Some(answer) = within("a receipt", stream.message()).await.expect("whole") {
        receipts.push(answer.receipt.expect("a receipt"));
    }
    let (first, last) = (&receipts[0], receipts.last().expect("one"));
    assert_eq!(first.pending + first.confirmed, 2, "{first:?}");
    assert!(!first.complete);
    assert_eq!(numbers(last), [2, 1, 1, 0, 0], "{receipts:?}");
    assert!(last.complete);
}

#[tokio::test]
async fn callers_that_wait_are_bounded_and_a_silent_reader_gives_its_place_back() {
    // One caller gets at most half of the places that are free.
    let authority = TestAuthority::with(|config| config.watch.receipts_max = 2).await;
    let proxy = Proxy::start(address(&authority)).await;
    let gate = gate_at(&format!("http://{}", proxy.address()), "frozen");
    let _frozen = ready(gate.max_staleness(Duration::from_secs(20))).await;
    let session = authority.sign_in("ada").await;
    proxy.set(Link::BLACK_HOLE);

    let request = v1::RevokeSessionRequest {
        wait: v1::Wait::Committed.into(),
        ..revocation(&session)
    };
    let revoked = authority.sessions(ADMIN).revoke_session(request).await;
    let revision = revoked.expect("revoked").into_inner().enforcement;
    let revision = revision.expect("a receipt").revision;
    let request = v1::WatchEnforcementRequest {
        revision,
        timeout: Some(Duration::from_secs(3).try_into().expect("short")),
    };
    // It is never read.
    let silent = authority
        .revocations(ADMIN)
        .watch_enforcement(request)
        .await;
    let silent = silent.expect("a stream");
    let refused = wait_for(&authority, ADMIN, revision, Some(Duration::ZERO)).await;
    assert_eq!(reason(&refused.expect_err("full")), "OVERLOADED");

    // A change is never refused for that.
    let receipt = enforce(&authority, &authority.sign_in("bob").await).await;
    assert!(!receipt.complete && receipt.pending == 1, "{receipt:?}");
    let other = wait_for(&authority, SUPPORT, revision, Some(Duration::ZERO)).await;
    assert_eq!(other.expect("its own share").pending, 1);
    eventually("the place of the silent reader", async || {
        wait_for(&authority, ADMIN, revision, Some(Duration::ZERO))
            .await
            .ok()
    })
    .await;
    drop(silent);
}

const STREAM: [u8; 16] = [7; 16];

/// A gate made by hand, which says what a test wants.
struct Handmade {
    asking: mpsc::Sender<v1::WatchRequest>,
    answers: Streaming<v1::WatchResponse>,
}

impl Handmade {
    async fn connect(authority: &TestAuthority, name: &str, instance: &[u8]) -> Self {
        let (asking, asked) = mpsc::channel(16);
        let hello = v1::WatchHello {
            max_staleness: Some(STALENESS.try_into().expect("short")),
            mode: v1::ValidatorMode::Strict.into(),
            name: name.into(),
            stream: STREAM.to_vec().into(),
            instance: instance.to_vec().into(),
            ..Default::default()
        };
        let hello = Asked::Hello(hello.sealed(&AnyStream));
        let message = Some(hello);
        asking
            .send(v1::WatchRequest { message })
            .await
            .expect("room");
        let mut client = authority.revocations(GATEWAY);
        let opened = client.watch(ReceiverStream::new(asked)).await;
        Self {
            asking,
            answers: opened.expect("a stream").into_inner(),
        }
    }

    /// Proves itself fresh with a probe.
    async fn probe(&mut self) {
        self.until(|answer| matches!(answer, Answer::SnapshotChunk(_)))
            .await;
        let probe = v1::WatchProbe {
            nonce: 1,
            ..Default::default()
        };
        self.send(Asked::Probe(probe.sealed(&STREAM))).await;
        self.until(|answer| matches!(answer, Answer::Beat(_))).await;
    }

    async fn claim(&mut self, applied_revision: u64) {
        let applied = v1::WatchApplied {
            applied_revision,
            ..Default::default()
        };
        self.send(Asked::Applied(applied.sealed(&STREAM))).await;
    }

    async fn send(&mut self, message: Asked) {
        let message = Some(message);
        let sent = self.asking.send(v1::WatchRequest { message }).await;
        sent.expect("room");
    }

    async fn until(&mut self, is_it: impl Fn(&Answer) -> bool) {
        loop {
            let answer = within("an answer", self.answers.message()).await;
            let answer = answer.expect("an answer").expect("the stream goes on");
            if answer.message.as_ref().is_some_and(&is_it) {
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_gate_confirms_when_it_is_asked_and_needs_no_probe_for_that() {
    let authority = TestAuthority::sqlite().await;
    let mut gate = Handmade::connect(&authority, "handmade", &[1; 16]).await;
    gate.probe().await;
    let session = authority.sign_in("ada").await;
    let answering = async {
        gate.until(|answer| matches!(answer, Answer::Confirm(_)))
            .await;
        let head = list(&authority).await.expect("a list").head_revision;
        gate.claim(head).await;
    };
    let (receipt, ()) = tokio::join!(enforce(&authority, &session), answering);
    assert_eq!(numbers(&receipt), [1, 1, 0, 0, 0], "{receipt:?}");
    assert!(elapsed(&receipt) < STALENESS, "it was no lapse");
}

#[tokio::test]
async fn a_claim_above_what_its_stream_brought_confirms_nothing() {
    let authority = TestAuthority::sqlite().await;
    let mut liar = Handmade::connect(&authority, "liar", &[1; 16]).await;
    liar.probe().await;
    liar.claim(u64::MAX).await;
    let refused = loop {
        match within("the end", liar.answers.message()).await {
            Ok(answer) => assert!(answer.is_some(), "ended without a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(reason(&refused), "WATCH_REVISION_AHEAD");
    let receipt = enforce(&authority, &authority.sign_in("ada").await).await;
    assert_eq!(receipt.confirmed, 0, "{receipt:?}");
}

#[tokio::test]
async fn a_gate_confirms_only_for_itself() {
    let authority = TestAuthority::sqlite().await;
    // The same process id under two names, and two processes under one name: none speaks for another.
    let mut silent = Handmade::connect(&authority, "silent", &[1; 16]).await;
    silent.probe().await;
    let mut twin = Handmade::connect(&authority, "twins", &[2; 16]).await;
    twin.probe().await;
    let _live = ready(authority.gate().name("twins")).await;
    let _other = ready(authority.gate().name("other")).await;
    let receipt = enforce(&authority, &authority.sign_in("ada").await).await;
    assert_eq!(numbers(&receipt), [3, 1, 2, 0, 0], "{receipt:?}");
    drop((silent, twin));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_covers_the_gates_of_all_authorities() {
    let first = TestAuthority::postgres(&fresh_url().await).await;
    let second = first.replica().await;
    let _here = ready(first.gate().name("here")).await;
    let there = ready(second.gate().name("there")).await;
    // It watches both, and counts once.
    let both = first.gate().name("both").endpoint(second.endpoint());
    let _both = ready(both).await;
    let authorities = [&first, &second];
    for authority in authorities {
        eventually("each other's gates", async || {
            let listed = list(authority).await?;
            (listed.validators.len() == 4 && listed.replicas.len() == 2).then_some(())
        })
        .await;
        let session = first.sign_in("ada").await;
        let receipt = enforce(authority, &session).await;
        assert!(rejection(&there, &session.access_token).is_some());
        assert_eq!(numbers(&receipt), [3, 3, 0, 0, 0], "{receipt:?}");
        assert!(receipt.complete && !receipt.partial);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_gate_of_another_authority_lapses() {
    let first = TestAuthority::postgres(&fresh_url().await).await;
    let second = first.replica().await;
    let proxy = Proxy::start(address(&second)).await;
    let frozen = gate_behind(&proxy, "frozen").await;
    let session = first.sign_in("ada").await;
    eventually("the session", async || {
        rejection(&frozen, &session.access_token)
            .is_none()
            .then_some(())
    })
    .await;

    proxy.set(Link::BLACK_HOLE);
    let receipt = enforce(&first, &session).await;
    assert!(rejection(&frozen, &session.access_token).is_some());
    assert_eq!(numbers(&receipt), [1, 0, 1, 0, 0], "{receipt:?}");
    assert!(receipt.complete && elapsed(&receipt) <= STALENESS + BEAT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gates_of_a_killed_authority_lapse_and_are_not_forgotten() {
    let url = fresh_url().await;
    let key = tempfile::tempdir().expect("a directory");
    let file = key.path().join("master.key");
    write_private(&file, &MasterKey::generate().to_base64());
    let settings = |config: &mut Config| {
        config.store.url.clone_from(&url);
        config.keys.master_key_file.clone_from(&file);
    };
    let survivor = Serve::start("info", settings).await;
    let mut killed = Serve::start("info", settings).await;
    let orphan = ready(killed.gate("orphan").max_staleness(STALENESS)).await;
    let mut sessions = SessionServiceClient::new(transport(&survivor.endpoint(), LOGIN));
    let session = sessions.create_session(sign_in("ada")).await;
    let session = session.expect("signed in").into_inner();

    killed.kill().await;
    let mut sessions = SessionServiceClient::new(transport(&survivor.endpoint(), ADMIN));
    let revoked = within("a receipt", sessions.revoke_session(revocation(&session))).await;
    let receipt = revoked.expect("revoked").into_inner().enforcement;
    let receipt = receipt.expect("a receipt");
    assert!(rejection(&orphan, &session.access_token).is_some());
    assert_eq!(numbers(&receipt), [1, 0, 1, 0, 0], "{receipt:?}");
    assert!(receipt.complete && elapsed(&receipt) <= STALENESS + BEAT);

    // Long after its death it holds no receipt up.
    let mut client = RevocationServiceClient::new(transport(&survivor.endpoint(), OPERATOR));
    let request = v1::WaitForEnforcementRequest {
        revision: receipt.revision,
        timeout: None,
    };
    let begun = Instant::now();
    let again = client.wait_for_enforcement(request).await;
    let again = again.expect("a receipt").into_inner().receipt;
    assert!(again.is_some_and(|receipt| receipt.complete));
    assert!(begun.elapsed() < STALENESS, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn operators_see_each_gate_with_its_version_freshness_and_clock() {
    let authority = TestAuthority::sqlite().await;
    let _gate = authority.ready_gate().await;
    let status = eventually("a probe that proves something", async || {
        let listed = list(&authority).await?;
        assert_eq!(listed.replicas.len(), 1);
        assert!(listed.replicas[0].answering && !listed.partial);
        let status = listed.validators.into_iter().next()?;
        assert_eq!(status.replica, listed.replicas[0].name);
        status.clock_skew.is_some().then_some(status)
    })
    .await;
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    let freshness: Duration = status.freshness.expect("fresh").try_into().expect("short");
    assert!(freshness < Duration::from_secs(5), "{freshness:?}");
    let skew = status.clock_skew.expect("known");
    assert!(skew.seconds.abs() < 5, "one clock: {skew:?}");
    assert_eq!(status.streams, 1);
    assert!(!status.lapsed);
}

#[tokio::test]
async fn the_authority_measures_the_delay_by_a_revocation_of_its_own() {
    let authority = TestAuthority::with(|config| {
        config.watch.canary_interval = Duration::from_secs(1);
    })
    .await;
    let _gate = authority.ready_gate().await;
    let delays = eventually("two measurements", async || {
        let delays = list(&authority).await?.delays?;
        (delays.count >= 2).then_some(delays)
    })
    .await;
    assert_eq!(delays.missed, 0);
    let longest: Duration = delays.max.expect("a time").try_into().expect("short");
    // A probe would take longer: an eighth of the staleness.
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    let counted: u64 = delays.buckets.iter().map(|bucket| bucket.count).sum();
    assert_eq!(counted, delays.count);

    let request = v1::ListAuditEventsRequest::default();
    let events = authority.audit(OPERATOR).list_audit_events(request).await;
    let events = events.expect("a list").into_inner().events;
    let actions: Vec<_> = events.iter().map(|event| &event.action).collect();
    assert!(
        !actions.iter().any(|action| action.contains("canary")),
        "{actions:?}"
    );
    let request = v1::VerifyAuditTrailRequest::default();
    let verified = authority.audit(OPERATOR).verify_audit_trail(request).await;
    let verified = verified.expect("verified").into_inner();
    assert_eq!(verified.fault, None, "revisions without events are whole");
    assert!(verified.verified >= 2);
}

#[tokio::test]
async fn a_gate_that_does_not_confirm_the_measurement_is_counted() {
    let authority = TestAuthority::with(|config| {
        config.watch.canary_interval = Duration::from_secs(1);
    })
    .await;
    let proxy = Proxy::start(address(&authority)).await;
    let _frozen = gate_behind(&proxy, "frozen").await;
    proxy.set(Link::BLACK_HOLE);
    eventually("a missed measurement", async || {
        let delays = list(&authority).await?.delays?;
        (delays.missed > 0).then_some(())
    })
    .await;
}
