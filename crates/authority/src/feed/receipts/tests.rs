//! When a receipt is complete, and what it waits for.

use super::*;
use crate::{
    config::WatchConfig,
    feed::{
        parts::{Parts, STALENESS, gate},
        validators::{ENDED_MAX, Registration},
    },
};

const REVISION: Revision = Revision(10);
const MOMENT: Duration = Duration::from_micros(1);
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

struct Test {
    feed: Arc<Feed>,
    receipts: Receipts,
    parts: Parts,
}

impl Test {
    async fn start() -> Self {
        let parts = Parts::new().await;
        let feed = Arc::new(parts.open_feed(&WatchConfig::default()).await);
        let receipts = Receipts::new(
            Arc::clone(&feed),
            Arc::clone(&parts.validators),
            Arc::clone(&parts.peers),
            10,
            STALENESS,
        );
        Self {
            feed,
            receipts,
            parts,
        }
    }

    /// A strict gate that was proved fresh without the revision at `start`.
    fn gate(&self, start: Instant) -> Registration {
        let history = self.feed.history();
        let registration = self
            .parts
            .validators
            .register(gate("gate", 1), history, 10)
            .expect("room");
        let connected = &registration.connected;
        connected.record_question(Revision(9), start);
        connected.record_answer(Revision(9));
        registration
    }

    /// A question about the revision, which the log had by `known`.
    fn question(&self, known: Instant) -> ReceiptQuestion {
        ReceiptQuestion {
            revision: REVISION,
            received: known,
            known,
            history: self.feed.history(),
        }
    }

    /// Has the authority look at the others: there are none.
    async fn peers_seen(&self, after: Instant) {
        tokio::spawn(Arc::clone(&self.parts.peers).run());
        let seen = async {
            while !self.parts.peers.were_seen_after(after) {
                sleep(COUNT_PAUSE_MIN).await;
            }
        };
        tokio::time::timeout(LONG, seen).await.expect("looked");
    }
}

#[tokio::test]
async fn a_receipt_is_complete_when_all_authorities_were_read_or_every_lease_has_ended() {
    let test = Test::start().await;
    let now = Instant::now();
    let question = test.question(now);
    let unseen = test.receipts.now(&question);
    assert!(!unseen.complete && unseen.partial, "{unseen:?}");

    // Whoever was proved fresh without the revision has lapsed by then.
    let lapsed = now + lease_length(STALENESS);
    let receipt = test.receipts.count(&question, lapsed);
    assert!(!receipt.enforcement.complete);
    assert_eq!(receipt.next_change, Some(lapsed + COUNT_PAUSE_MIN));
    let receipt = test.receipts.count(&question, lapsed + MOMENT);
    assert!(receipt.enforcement.complete && !receipt.enforcement.partial);

    test.peers_seen(now).await;
    let seen = test.receipts.now(&question);
    assert!(seen.complete && !seen.partial, "{seen:?}");
    assert_eq!(seen.revision, REVISION);
}

#[tokio::test]
async fn a_gate_without_the_revision_is_pending_until_it_confirms_or_lapses() {
    let test = Test::start().await;
    let now = Instant::now();
    test.peers_seen(now).await;
    let gate = test.gate(now);
    let question = test.question(now);
    let lapse = now + lease_length(STALENESS);

    let receipt = test.receipts.count(&question, lapse);
    assert_eq!(receipt.enforcement.pending, 1);
    assert!(!receipt.enforcement.complete && !receipt.enforcement.partial);
    assert_eq!(receipt.next_change, Some(lapse + COUNT_PAUSE_MIN));
    let lapsed = test.receipts.count(&question, lapse + MOMENT).enforcement;
    assert_eq!((lapsed.pending, lapsed.lapsed), (0, 1));
    assert!(lapsed.complete);

    gate.connected.record_probe(REVISION);
    let confirmed = test.receipts.now(&question);
    assert_eq!((confirmed.pending, confirmed.confirmed), (0, 1));
    assert!(confirmed.complete);
}

#[tokio::test]
async fn a_receipt_of_another_history_is_never_complete() {
    let test = Test::start().await;
    let now = Instant::now();
    let question = test.question(now);
    test.feed.reload().await.expect("read");
    test.peers_seen(now).await;
    let lapsed = now + lease_length(STALENESS) + MOMENT;
    let receipt = test.receipts.count(&question, lapsed);
    assert!(!receipt.enforcement.complete && !receipt.enforcement.partial);
    // And nobody waits for it.
    let waiting = test.receipts.wait(&question, now + LONG);
    let waited = tokio::time::timeout(LONG / 2, waiting).await;
    assert!(!waited.expect("at once").complete);
}

#[tokio::test]
async fn a_question_is_asked_of_the_streams_and_an_expectation_waits_for_the_batch() {
    let test = Test::start().await;
    let mut wanted = test.parts.validators.confirmations.wanted();
    let next = test.feed.view().position().revision.next();
    test.receipts.expect_next();
    assert_eq!(*wanted.borrow_and_update(), next);

    let received = Instant::now();
    let question = test.receipts.question(REVISION, received);
    assert_eq!((question.revision, question.received), (REVISION, received));
    assert!(question.known >= received, "the feed has not read it");
    let head = test.feed.view().position().revision;
    let known = test.receipts.question(head, received).known;
    assert!(known < received, "the feed had it before");
    test.receipts.ask(&question);
    assert!(wanted.has_changed().expect("open"));
    assert_eq!(*wanted.borrow_and_update(), REVISION);
}

#[tokio::test]
async fn a_wait_ends_with_the_confirmation_with_a_change_or_at_its_time() {
    let test = Test::start().await;
    let now = Instant::now();
    test.peers_seen(now).await;
    let gate = test.gate(now);
    let question = test.question(now);
    let pending = test
        .receipts
        .wait(&question, now + Duration::from_millis(50))
        .await;
    assert_eq!((pending.pending, pending.complete), (1, false));
    assert!(now.elapsed() >= Duration::from_millis(50), "not before");

    let waiting = test.receipts.wait(&question, now + LONG);
    let confirming = async {
        sleep(Duration::from_millis(20)).await;
        gate.connected.record_probe(REVISION);
    };
    let (complete, ()) = tokio::join!(waiting, confirming);
    assert!(complete.complete);
    assert!(now.elapsed() < STALENESS, "not only when the lease ended");

    let unchanged = test
        .receipts
        .wait_for_change(&question, &pending, now + LONG);
    assert!(unchanged.await.complete);
}

#[tokio::test]
async fn a_change_of_the_counts_is_news_and_the_time_that_passed_is_not() {
    let test = Test::start().await;
    let now = Instant::now();
    test.peers_seen(now).await;
    let _gate = test.gate(now);
    let question = test.question(now);
    let before = test.receipts.now(&question);
    let until = Instant::now() + Duration::from_millis(50);
    let same = test.receipts.wait_for_change(&question, &before, until);
    assert_eq!(same.await.pending, 1);
    assert!(Instant::now() >= until, "nothing happened");

    let mut other = before;
    other.validators = 2;
    let changed = test
        .receipts
        .wait_for_change(&question, &other, now + LONG)
        .await;
    assert_eq!(changed.validators, 1);
    assert!(now.elapsed() < STALENESS);
}

#[tokio::test]
async fn gates_that_did_not_confirm_in_time_are_counted() {
    let test = Test::start().await;
    let now = Instant::now();
    let gate = test.gate(now);
    let until = Instant::now() + Duration::from_millis(50);
    assert_eq!(test.receipts.count_missed(REVISION, until).await, 1);
    assert!(Instant::now() >= until);

    let missing = test.receipts.count_missed(REVISION, now + LONG);
    let confirming = async {
        sleep(Duration::from_millis(20)).await;
        gate.connected.record_probe(REVISION);
    };
    let (missed, ()) = tokio::join!(missing, confirming);
    assert_eq!(missed, 0);
    assert!(now.elapsed() < STALENESS, "not only when the lease ended");
}

#[tokio::test]
async fn streams_that_had_to_be_forgotten_hold_a_receipt_up_until_their_leases_end() {
    let test = Test::start().await;
    let now = Instant::now();
    test.peers_seen(now).await;
    let question = test.question(now);
    // Earlier than what nobody here knows of.
    let start = now - Duration::from_secs(1);
    for _ in 0..=ENDED_MAX {
        let gate = test.gate(start);
        gate.connected.record_probe(REVISION);
    }
    let end = start + lease_length(STALENESS);
    let is_complete = |now| test.receipts.count(&question, now).enforcement.complete;
    assert!(!is_complete(end), "the forgotten one may still accept");
    assert!(is_complete(end + MOMENT));
}
