//! How gates learn: replicas, resumption, staleness, forks, draining.

use std::time::Duration;

use portcullis_contract::{
    v1,
    watch::{AnyStream, Checksummed},
};
use portcullis_tests::{
    authority::{GATEWAY, OPERATOR, TestAuthority, ready, reason},
    gate::{applied, refused, rejection},
    postgres,
    wait::{eventually, within},
};
use portcullis_validator::{Freshness, Rejection, Validator};
use prost::Message;
use tokio_stream::StreamExt;

async fn until_stale(gate: &Validator, token: &str) {
    eventually("the gate to be stale", async || {
        matches!(rejection(gate, token), Some(Rejection::Stale { .. })).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_revocation_at_one_authority_is_refused_at_a_gate_of_another() {
    let one = TestAuthority::postgres(&postgres::fresh_url().await).await;
    let other = one.replica().await;
    let gate = other.ready_gate().await;
    let session = one.sign_in("ada").await;
    assert!(gate.check(&session.access_token).is_ok());
    let revision = one.revoke(&session).await;
    applied(&gate, revision).await;
    assert_eq!(
        rejection(&gate, &session.access_token),
        Some(Rejection::Revoked)
    );
    // And the reverse, with a refresh at the authority that did not open the session.
    let gate = one.ready_gate().await;
    let session = other.sign_in("bob").await;
    assert!(gate.check(&session.access_token).is_ok());
    other.revoke(&session).await;
    assert_eq!(
        refused(&gate, &session.access_token).await,
        Rejection::Revoked
    );
}

#[tokio::test]
async fn a_gate_resumes_where_it_was_when_its_authority_comes_back() {
    let mut authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let (dead, alive) = (
        authority.sign_in("ada").await,
        authority.sign_in("ada").await,
    );
    applied(&gate, authority.revoke(&dead).await).await;
    authority.stop().await;
    assert_eq!(
        rejection(&gate, &dead.access_token),
        Some(Rejection::Revoked),
        "it still knows"
    );
    authority.start().await;
    let later = authority.sign_in("ada").await;
    authority.revoke(&later).await;
    assert_eq!(
        refused(&gate, &later.access_token).await,
        Rejection::Revoked
    );
    assert!(gate.check(&alive.access_token).is_ok());
    assert_eq!(gate.statistics().forks, 0);
}

#[tokio::test]
async fn without_an_authority_a_strict_gate_cannot_know_and_a_best_effort_gate_goes_on() {
    let mut authority = TestAuthority::sqlite().await;
    let staleness = Duration::from_secs(2);
    let strict = ready(authority.gate().max_staleness(staleness)).await;
    let best_effort = ready(
        authority
            .gate()
            .max_staleness(staleness)
            .best_effort(Duration::from_secs(3600)),
    )
    .await;
    let session = authority.sign_in("ada").await;
    assert!(
        strict.check(&session.access_token).is_ok()
            && best_effort.check(&session.access_token).is_ok()
    );
    authority.stop().await;
    until_stale(&strict, &session.access_token).await;
    assert!(matches!(strict.freshness(), Freshness::Stale { .. }));
    eventually("the other gate to be stale too", async || {
        matches!(best_effort.freshness(), Freshness::Stale { .. }).then_some(())
    })
    .await;
    assert!(best_effort.check(&session.access_token).is_ok());
    assert!(best_effort.statistics().accepted_stale > 0);
    authority.start().await;
    within("the strict gate to be ready again", strict.ready()).await;
    assert!(strict.check(&session.access_token).is_ok());
}

#[tokio::test]
async fn a_gate_without_a_view_rejects_everything() {
    let mut authority = TestAuthority::sqlite().await;
    let session = authority.sign_in("ada").await;
    authority.stop().await;
    let gate = authority.gate().start().expect("good settings");
    assert_eq!(
        rejection(&gate, &session.access_token),
        Some(Rejection::Unready)
    );
    assert!(!gate.is_ready());
    authority.start().await;
    within("the gate to be ready", gate.ready()).await;
    assert!(gate.check(&session.access_token).is_ok());
}

/// The data directory is put back as it was before a revocation: the gate has seen what the authority has lost.
#[tokio::test]
async fn what_a_gate_saw_revoked_stays_revoked_after_the_store_lost_it() {
    let mut authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let session = authority.sign_in("ada").await;
    authority.stop().await;
    let (data, backup) = (
        authority.directory().join("data"),
        authority.directory().join("backup"),
    );
    copy(&data, &backup);
    authority.start().await;
    applied(&gate, authority.revoke(&session).await).await;
    authority.stop().await;
    std::fs::remove_dir_all(&data).expect("removed");
    std::fs::rename(&backup, &data).expect("restored");
    authority.start().await;
    eventually("the fork to be noticed", async || {
        (gate.statistics().forks > 0).then_some(())
    })
    .await;
    within("the gate to be ready again", gate.ready()).await;
    assert_eq!(
        rejection(&gate, &session.access_token),
        Some(Rejection::Revoked),
        "no resurrection"
    );
    let fresh = authority.sign_in("bob").await;
    assert!(gate.check(&fresh.access_token).is_ok());
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[tokio::test]
async fn validators_are_listed_while_they_are_connected() {
    let authority = TestAuthority::sqlite().await;
    let gate = ready(authority.gate().name("edge-7")).await;
    let list = async || {
        let listed = authority
            .revocations(OPERATOR)
            .list_validators(v1::ListValidatorsRequest {})
            .await;
        listed.expect("listed").into_inner()
    };
    let listed = list().await;
    let validator = listed.validators.first().expect("one validator");
    assert_eq!(
        (validator.name.as_str(), validator.mode()),
        ("edge-7", v1::ValidatorMode::Strict)
    );
    assert!(validator.probe_age.is_some());
    drop(gate);
    eventually("the validator to be gone", async || {
        list().await.validators.is_empty().then_some(())
    })
    .await;
}

const STREAM: [u8; 16] = [5; 16];

fn hello(change: impl FnOnce(&mut v1::WatchHello)) -> v1::WatchRequest {
    let mut hello = v1::WatchHello {
        max_staleness: Some(prost_types::Duration {
            seconds: 5,
            nanos: 0,
        }),
        mode: v1::ValidatorMode::Strict.into(),
        stream: STREAM.to_vec().into(),
        ..Default::default()
    };
    change(&mut hello);
    v1::WatchRequest {
        message: Some(v1::watch_request::Message::Hello(hello.sealed(&AnyStream))),
    }
}

/// The first `count` answers of a stream, or all until it ends.
async fn watch(
    authority: &TestAuthority,
    requests: Vec<v1::WatchRequest>,
    count: usize,
) -> Vec<Result<v1::watch_response::Message, tonic::Status>> {
    let requests = tokio_stream::iter(requests).chain(tokio_stream::pending());
    let opened = authority
        .revocations(GATEWAY)
        .watch(requests)
        .await
        .expect("a stream")
        .into_inner();
    let answers = opened.map(|answer| answer.map(|answer| answer.message.expect("a message")));
    within("the answers", answers.take(count).collect()).await
}

#[tokio::test]
async fn a_stream_that_breaks_the_protocol_is_refused() {
    let authority = TestAuthority::sqlite().await;
    let probe = || v1::WatchRequest {
        message: Some(v1::watch_request::Message::Probe(v1::WatchProbe {
            nonce: 1,
            applied_revision: 0,
            ..Default::default()
        })),
    };
    let short = v1::Cursor {
        incarnation: vec![1].into(),
        revision: 1,
        chain: vec![].into(),
    };
    let cases = [
        (vec![probe()], "WATCH_PROTOCOL"),
        (vec![v1::WatchRequest { message: None }], "WATCH_PROTOCOL"),
        (
            vec![hello(|hello| hello.max_staleness = None)],
            "WATCH_PROTOCOL",
        ),
        (
            vec![hello(|hello| {
                hello.max_staleness = Some(prost_types::Duration {
                    seconds: 3600,
                    nanos: 0,
                });
            })],
            "WATCH_PROTOCOL",
        ),
        (vec![hello(|hello| hello.mode = 0)], "INVALID_FIELD"),
        (
            vec![hello(|hello| hello.name = "x".repeat(129))],
            "INVALID_FIELD",
        ),
        (
            vec![hello(|hello| hello.cursor = Some(short.clone()))],
            "INVALID_FIELD",
        ),
        (vec![hello(|_| {}), hello(|_| {})], "WATCH_PROTOCOL"),
        // Larger than any message may be: the transport does not read it.
        (
            vec![hello(|hello| hello.name = "x".repeat(5 << 20))],
            "WATCH_PROTOCOL",
        ),
    ];
    for (requests, expected) in cases {
        let answers = watch(&authority, requests.clone(), usize::MAX).await;
        let error = answers
            .last()
            .expect("an answer")
            .as_ref()
            .expect_err("refused");
        assert_eq!(reason(error), expected, "{requests:?}");
    }
}

#[tokio::test]
async fn a_cursor_of_another_history_or_of_the_future_is_a_fork() {
    use v1::watch_response::Message;
    let authority = TestAuthority::sqlite().await;
    let first = watch(&authority, vec![hello(|_| {})], 2).await;
    let Some(Ok(Message::Welcome(welcome))) = first.first() else {
        panic!("{first:?}")
    };
    assert!(!welcome.fork);
    assert!(
        matches!(first.get(1), Some(Ok(Message::SnapshotChunk(_)))),
        "{first:?}"
    );
    let known = welcome.incarnation.clone();
    for (incarnation, revision) in [
        (vec![9; 16].into(), 1),
        (known.clone(), 1),
        (known, 1_000_000),
    ] {
        let cursor = v1::Cursor {
            incarnation,
            revision,
            chain: vec![7; 32].into(),
        };
        let asked = vec![hello(|hello| hello.cursor = Some(cursor))];
        let answers = watch(&authority, asked, 2).await;
        let Some(Ok(Message::Welcome(welcome))) = answers.first() else {
            panic!("{answers:?}")
        };
        assert!(welcome.fork);
        assert!(matches!(
            answers.get(1),
            Some(Ok(Message::SnapshotChunk(_)))
        ));
    }
}

/// A gate of the version before the field says nothing, and one of a later version more than this authority knows. Neither
/// is refused, and operators see both.
#[tokio::test]
async fn gates_of_an_older_and_a_newer_version_are_served_and_shown() {
    let authority = TestAuthority::sqlite().await;
    for (name, says, shown) in [("older", 0, 1), ("newer", 99, 99)] {
        let requests = [hello(|hello| {
            hello.name = name.into();
            hello.log_version = says;
        })];
        let requests = tokio_stream::iter(requests).chain(tokio_stream::pending());
        let opened = authority.revocations(GATEWAY).watch(requests).await;
        let mut stream = opened.expect("a stream").into_inner();
        let first = within("the welcome", stream.message()).await;
        let first = first.expect("served").expect("an answer").message;
        assert!(
            matches!(first, Some(v1::watch_response::Message::Welcome(_))),
            "{name}"
        );

        let listed = authority
            .revocations(OPERATOR)
            .list_validators(v1::ListValidatorsRequest {})
            .await;
        let validators = listed.expect("listed").into_inner().validators;
        let gate = validators.iter().find(|gate| gate.name == name);
        assert_eq!(gate.expect("it is listed").log_version, shown, "{name}");
    }
}

/// An authority of a later version sends messages and fields that this gate does not know. It skips them, and goes on. Only
/// an entry of an unknown kind stops it.
#[test]
fn a_message_of_a_later_authority_decodes_without_what_is_new() {
    let welcome = v1::WatchWelcome {
        incarnation: vec![1; 16].into(),
        ..Default::default()
    };
    let welcome = welcome.sealed(&STREAM);
    let mut bytes = welcome.encode_to_vec();
    // Field 99, a string of three bytes, as a later version would add it.
    bytes.extend([0x9a, 0x06, 0x03, b'n', b'e', b'w']);
    let read = v1::WatchWelcome::decode(&bytes[..]).expect("a welcome");
    assert!(read.is_intact(&STREAM));
    assert_eq!(read, welcome);
}
