//! Tests of a stream: what wakes it, and what it says then.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{
    SinkExt, Stream, StreamExt, TryStreamExt,
    channel::mpsc::{self, Sender},
    stream,
};
use portcullis_contract::{id::TenantId, position::Revision};
use tokio::time::timeout;

use super::{
    parts::{Test, hello, source},
    *,
};
use crate::{domain::Mutation, feed::parts::STALENESS};

type Answers = Pin<Box<dyn Stream<Item = Result<Answer, StreamEnd>> + Send>>;

/// Longer than a stream needs to say what it has.
const SILENCE: Duration = Duration::from_millis(50);

/// A stream whose gate has the head of the log.
async fn open(test: &Test) -> (Sender<Result<Asked, StreamEnd>>, Answers) {
    let here = test.advance().await;
    let (gate, inbound) = mpsc::channel(4);
    let host = Arc::clone(&test.host);
    let opened = WatchStream::open(host, source(), hello(Some(here)), inbound).await;
    let Ok(stream) = opened else {
        panic!("refused");
    };
    let answers = stream.answers().map_ok(|ready| stream::iter(ready).map(Ok));
    let mut answers: Answers = Box::pin(answers.try_flatten());
    assert_eq!(next(&mut answers).await, "welcome");
    // From now on it waits for what may wake it.
    assert_silent(&mut answers).await;
    (gate, answers)
}

async fn next(answers: &mut Answers) -> String {
    match answers.next().await {
        Some(Ok(Answer::Welcome { is_fork: false, .. })) => "welcome".into(),
        Some(Ok(Answer::Delta(frame))) => format!("delta {}", frame.revision()),
        Some(Ok(Answer::Beat { beat, .. })) => format!("beat {}", beat.beat.head.revision),
        Some(Ok(Answer::Confirm)) => "confirm".into(),
        Some(Ok(Answer::Drain)) => "drain".into(),
        Some(Ok(_)) => "another answer".into(),
        Some(Err(error)) => format!("{error:?}"),
        None => "the end".into(),
    }
}

/// Appends a batch that changes nothing for a gate.
async fn append_quietly(test: &Test, expected: u64) -> u64 {
    let mutation = Mutation::SetPolicy {
        tenant: TenantId::parse("acme").expect("a tenant id"),
        policy: Box::default(),
        expected,
    };
    test.append(mutation).await.revision.0
}

async fn assert_silent(answers: &mut Answers) {
    let said = timeout(SILENCE, next(answers)).await;
    assert!(said.is_err(), "{said:?}");
}

#[tokio::test]
async fn a_batch_that_changes_nothing_for_a_gate_waits_for_the_next_beat() {
    let test = Test::start().await;
    let (mut gate, mut answers) = open(&test).await;
    let quiet = append_quietly(&test, 0).await;
    assert_silent(&mut answers).await;

    let probe = Probe {
        nonce: 1,
        applied: Revision(quiet - 1),
        sent: None,
    };
    gate.send(Ok(Asked::Probe(probe))).await.expect("open");
    assert_eq!(next(&mut answers).await, format!("delta {quiet}"));
    assert_eq!(next(&mut answers).await, format!("beat {quiet}"));
    assert_silent(&mut answers).await;
}

#[tokio::test]
async fn a_batch_that_changes_nothing_for_a_gate_goes_with_the_next_that_does() {
    let test = Test::start().await;
    let (_gate, mut answers) = open(&test).await;
    let quiet = append_quietly(&test, 0).await;
    assert_silent(&mut answers).await;

    test.advance().await;
    assert_eq!(next(&mut answers).await, format!("delta {quiet}"));
    assert_eq!(next(&mut answers).await, format!("delta {}", quiet + 1));
    assert_silent(&mut answers).await;
}

#[tokio::test]
async fn a_batch_that_changes_nothing_for_a_gate_is_sent_to_who_is_waited_for() {
    let test = Test::start().await;
    let (_gate, mut answers) = open(&test).await;
    let quiet = append_quietly(&test, 0).await;
    assert_silent(&mut answers).await;

    test.host.validators.confirmations.want(Revision(quiet));
    assert_eq!(next(&mut answers).await, format!("delta {quiet}"));
    assert_eq!(next(&mut answers).await, "confirm");
    assert_silent(&mut answers).await;
}

/// The next answer, which has to come.
async fn soon(answers: &mut Answers) -> String {
    let said = timeout(STALENESS, next(answers)).await;
    said.unwrap_or_else(|_| "nothing".into())
}

#[tokio::test]
async fn a_gate_is_asked_once_it_was_sent_what_a_caller_waits_for() {
    let test = Test::start().await;
    let (_gate, mut answers) = open(&test).await;
    let confirmations = &test.host.validators.confirmations;
    let sent = test.advance().await.revision;
    assert_eq!(soon(&mut answers).await, format!("delta {sent}"));
    // It was sent more than that.
    confirmations.want(Revision(sent.0 - 1));
    assert_eq!(soon(&mut answers).await, "confirm");

    let next = sent.next();
    confirmations.want(next);
    assert_silent(&mut answers).await;
    test.advance().await;
    assert_eq!(soon(&mut answers).await, format!("delta {next}"));
    assert_eq!(soon(&mut answers).await, "confirm");
}

#[tokio::test]
async fn a_gate_that_has_answered_is_asked_about_a_later_revision() {
    let test = Test::start().await;
    let (mut gate, mut answers) = open(&test).await;
    for _ in 0..3 {
        let sent = test.advance().await.revision;
        test.host.validators.confirmations.want(sent);
        assert_eq!(soon(&mut answers).await, format!("delta {sent}"));
        assert_eq!(soon(&mut answers).await, "confirm");
        gate.send(Ok(Asked::Applied(sent))).await.expect("open");
        assert_silent(&mut answers).await;
    }
}
