//! Tests of the bounds of streams, and of the judgement of cursors.

use std::time::Duration;

use portcullis_contract::position::{Chain, Incarnation};
use prost::bytes::Bytes;

use super::{
    super::{
        messages::ProvenHead,
        parts::{Test, hello, source},
    },
    *,
};
use crate::feed::parts::{Parts, STALENESS};

/// Whether a validator at a lost position, who was shown `head` with this code, makes the authority say so.
async fn reports(test: &Test, head: Position, code: Bytes) -> bool {
    let mut hello = hello(Some(head));
    hello.proven_head = Some(ProvenHead { head, code });
    test.host.report_lost_history(&hello).await.expect("judged");
    let problems = test.host.readiness.problems();
    let is_reported = problems.borrow().contains_key(&Condition::History);
    test.host.readiness.lower(Condition::History);
    is_reported
}

#[tokio::test]
async fn a_stream_is_taken_within_the_bounds_of_its_authority() {
    let test = Test::start().await;
    let register = |max_staleness| {
        let hello = Hello {
            max_staleness,
            ..hello(None)
        };
        test.host.register(&source(), &hello)
    };
    for refused in [Duration::ZERO, STALENESS + Duration::from_micros(1)] {
        let outcome = register(refused);
        assert!(matches!(outcome, Err(WatchError::Protocol(_))));
    }
    let streams = [STALENESS, Duration::from_micros(1)].map(register);
    for stream in &streams {
        assert_eq!(stream.as_ref().expect("room").connected.gate.name, "gate");
    }
    assert!(matches!(
        register(STALENESS),
        Err(WatchError::TooManyStreams)
    ));
}

#[tokio::test]
async fn a_cursor_is_known_if_the_store_has_its_chain() {
    let test = Test::start().await;
    let first = test.advance().await;
    let here = test.advance().await;
    assert_eq!(test.judge(None).await, CursorState::Missing);
    assert_eq!(test.judge(Some(here)).await, CursorState::Known);
    assert_eq!(test.judge(Some(first)).await, CursorState::Known);
    // Another authority appended it, and this one has not read it yet.
    let ahead = test.parts.append().await.position;
    assert_eq!(test.judge(Some(ahead)).await, CursorState::Known);

    let mut lost = ahead;
    lost.revision = ahead.revision.next();
    assert_eq!(test.judge(Some(lost)).await, CursorState::Fork);
    for position in [first, here, ahead] {
        let mut other_chain = position;
        other_chain.chain = Chain([9; 32]);
        assert_eq!(test.judge(Some(other_chain)).await, CursorState::Fork);
        let mut other_incarnation = position;
        other_incarnation.incarnation = Incarnation([9; 16]);
        assert_eq!(test.judge(Some(other_incarnation)).await, CursorState::Fork);
    }
}

#[tokio::test]
async fn a_head_that_a_beat_named_and_the_store_lacks_is_reported() {
    let test = Test::start().await;
    let here = test.advance().await;
    let heads = &test.host.heads;
    let mut lost = here;
    lost.revision = here.revision.next();
    lost.chain = Chain([9; 32]);
    assert!(reports(&test, lost, heads.sign(lost)).await);

    assert!(!reports(&test, here, heads.sign(here)).await, "it is there");
    let unsigned = heads.sign(here);
    assert!(!reports(&test, lost, unsigned).await, "nobody was shown it");
    let mut earlier = lost;
    earlier.incarnation = Incarnation([9; 16]);
    let recovered = reports(&test, earlier, heads.sign(earlier)).await;
    assert!(!recovered, "a recovery ended that history");
    let nothing = test.host.report_lost_history(&hello(Some(lost))).await;
    assert!(nothing.is_ok());
    let problems = test.host.readiness.problems();
    assert!(problems.borrow().is_empty());
}

#[tokio::test]
async fn a_loss_is_not_reported_while_the_view_is_about_to_be_replaced() {
    let (test, other) = (Test::start().await, Parts::new().await);
    let here = test.advance().await;
    let mut lost = here;
    lost.chain = Chain([9; 32]);
    assert!(
        reports(&test, lost, test.host.heads.sign(lost)).await,
        "the same revision with another chain"
    );
    // A view that the store lacks too is about to be replaced.
    let host = WatchHost {
        store: other.store.clone(),
        ..Arc::into_inner(test.host).expect("nobody else has it")
    };
    let test = Test {
        host: Arc::new(host),
        parts: test.parts,
    };
    assert!(!reports(&test, lost, test.host.heads.sign(lost)).await);
}
