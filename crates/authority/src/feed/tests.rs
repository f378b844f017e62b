//! The feed over a store: its own batches, those of others, and another history.

mod published;

use portcullis_contract::position::sha256;

use super::{
    parts::{Parts, STALENESS},
    *,
};
use crate::keys::MasterKey;

async fn open(parts: &Parts) -> Feed {
    parts.open_feed(&WatchConfig::default()).await
}

fn at(feed: &Feed) -> Position {
    feed.view().position()
}

#[tokio::test]
async fn a_batch_of_its_own_is_applied_at_once_and_the_store_fills_gaps() {
    let parts = Parts::new().await;
    let feed = open(&parts).await;
    let start = at(&feed);
    assert_eq!(start, parts.store.head().await.expect("read"));

    let first = parts.append().await;
    feed.apply_own(&first).await.expect("applied");
    assert_eq!(at(&feed), first.position);
    feed.apply_own(&first).await.expect("known already");
    assert_eq!(at(&feed), first.position);

    // Another authority appended between two of its own.
    parts.append().await;
    let third = parts.append().await;
    feed.apply_own(&third).await.expect("read");
    assert_eq!(at(&feed), third.position);
    assert_eq!(feed.history(), 0);
    assert_eq!(feed.published.depth().0, 3);

    let gauges = feed.gauges();
    let head = third.position.revision;
    assert_eq!((gauges.head, gauges.applied), (head, head));
    assert_eq!((gauges.ring_frames, gauges.forks), (3, 0));
    assert!(gauges.ring_bytes > 0 && gauges.view_entries > 0 && gauges.view_bytes > 0);
}

#[tokio::test]
async fn batches_of_others_are_found_by_asking_the_store() {
    let parts = Parts::new().await;
    let feed = open(&parts).await;
    parts.append().await;
    let last = parts.append().await.position;
    let behind = feed.gauges();
    assert_eq!(behind.head, behind.applied, "it has not asked yet");
    feed.advance().await.expect("read");
    assert_eq!(at(&feed), last);
    assert!(feed.known_by(last.revision).is_some());
    assert!(feed.known_by(last.revision.next()).is_none());
    assert_eq!(at(&open(&parts).await), last, "as a start reads it");
}

#[tokio::test]
async fn another_history_replaces_the_view_and_explains_what_is_missing() {
    let (parts, other) = (Parts::new().await, Parts::new().await);
    let mut feed = open(&parts).await;
    let mut last = at(&feed);
    for _ in 0..3 {
        last = parts.append().await.position;
    }
    feed.advance().await.expect("read");
    assert!(!feed.explains(last), "nothing is missing");
    assert_eq!(feed.snapshot().await.position, last);

    let head = other.append().await.position;
    assert!(head.revision < last.revision);
    feed.store = other.store.clone();
    feed.advance().await.expect("adopted");
    assert_eq!(at(&feed), head);
    assert_eq!(feed.history(), 1);
    assert_eq!(feed.gauges().forks, 1);
    assert_eq!(feed.gauges().head, head.revision, "lower than before");
    assert_eq!(feed.snapshot().await.position, head);
    assert!(feed.explains(last), "both histories had this revision");
    let mut beyond = last;
    beyond.revision = beyond.revision.next();
    assert!(!feed.explains(beyond));

    // Back again: what was seen stays explained.
    feed.store = parts.store.clone();
    feed.advance().await.expect("adopted");
    assert_eq!((at(&feed), feed.history()), (last, 2));
    assert!(feed.explains(last) && !feed.explains(beyond));
}

#[tokio::test]
async fn a_part_of_a_snapshot_is_known_again() {
    let parts = Parts::new().await;
    let feed = open(&parts).await;
    let snapshot = feed.snapshot().await;
    let bytes = feed.view().encode();
    let mut part = SnapshotPart {
        sha256: sha256(&bytes),
        total_bytes: bytes.len() as u64,
        offset: 0,
    };
    let (held, next) = feed.held_snapshot(&part).await.expect("held");
    assert!(Arc::ptr_eq(&held, &snapshot) && next == 0);
    part.total_bytes += 1;
    assert!(feed.held_snapshot(&part).await.is_none());
}

#[tokio::test]
async fn it_follows_until_it_is_stopped() {
    let parts = Parts::new().await;
    let feed = open(&parts).await;
    let config = LogConfig {
        poll_interval: Duration::from_millis(10),
        ..LogConfig::default()
    };
    let readiness = Readiness::new(&crate::config::ReadinessConfig::default());
    readiness.raise(Condition::Feed, "an error".into());
    readiness.raise(Condition::History, "a loss".into());
    let (own, appended) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let following = feed.follow(&config, appended, &readiness, &stop);
    let appending = async {
        let mut position = feed.position();
        let first = parts.append().await;
        own.send(first.clone()).await.expect("it follows");
        // The appender ends, and others go on.
        drop(own);
        let last = parts.append().await;
        let reached = position.wait_for(|at| at.revision == last.position.revision);
        reached.await.expect("open");
        let mut problems = readiness.problems();
        let lowered = problems.wait_for(|problems| !problems.contains_key(&Condition::Feed));
        lowered.await.expect("open");
        stop.cancel();
    };
    let both = async { tokio::join!(following, appending) };
    tokio::time::timeout(STALENESS, both)
        .await
        .expect("stopped");
    let problems = readiness.problems();
    let left: Vec<_> = problems.borrow().keys().copied().collect();
    assert!(left.contains(&Condition::History), "the same history");
}

/// Keeps the view of a feed as a checkpoint.
async fn save(parts: &Parts, feed: &Feed) {
    let view = feed.view();
    let bytes = view.encode();
    let code = feed.master.authenticate(&bytes);
    let saved = parts
        .store
        .save_checkpoint(view.position(), bytes, code.into());
    assert!(saved.await.expect("saved"));
}

#[tokio::test]
async fn a_start_continues_from_the_newest_checkpoint_of_its_history() {
    let parts = Parts::new().await;
    let feed = open(&parts).await;
    let mut through = Revision(0);
    for _ in 0..2 {
        through = parts.append().await.frame.revision;
        feed.advance().await.expect("read");
        save(&parts, &feed).await;
    }
    let trimmed = parts.store.trim(through, Duration::ZERO).await;
    assert!(trimmed.expect("trimmed") > 0);
    let config = WatchConfig::default();
    let start = async |master| Feed::open(parts.store.clone(), master, &config).await;

    // The newest one is the head itself, and then one batch before it.
    for _ in 0..2 {
        let started = start(Arc::clone(&feed.master)).await.expect("opens");
        assert_eq!(at(&started), parts.store.head().await.expect("read"));
        parts.append().await;
    }
    // The sequence of batches is gone, and another key opens no checkpoint.
    let other = Arc::new(MasterKeys::from(MasterKey::generate()));
    let refused = start(other).await.err();
    assert!(matches!(refused, Some(FeedError::CheckpointKey(_))));
}

#[test]
fn an_outage_may_heal_and_any_other_error_makes_the_authority_not_ready_at_once() {
    let readiness = Readiness::new(&crate::config::ReadinessConfig::default());
    let problems = readiness.problems();
    let is_raised = || problems.borrow().contains_key(&Condition::Feed);
    let outage = StoreError::Unavailable("away".into());
    report_error(&readiness, &FeedError::Store(outage));
    assert!(!is_raised());
    for error in [
        FeedError::Damaged,
        FeedError::Store(StoreError::Internal("bad".into())),
    ] {
        report_error(&readiness, &error);
        assert!(is_raised(), "{error}");
        readiness.lower(Condition::Feed);
    }
}

/// Has a feed believe in a first batch that the store does not have, in the same incarnation.
fn mislead(feed: &Feed, start: &View) {
    let frame = portcullis_contract::view::Frame {
        revision: start.position().revision.next(),
        delta: portcullis_contract::delta::encode(&[], Vec::new()),
        audit_digest: [9; 32],
    };
    let other = start.apply(&frame).expect("applies");
    feed.published.begin_history(other);
}

#[tokio::test]
async fn the_same_revision_with_another_chain_is_another_history() {
    let parts = Parts::new().await;
    let feed = open(&parts).await;
    let start = feed.view();
    let head = parts.append().await.position;
    mislead(&feed, &start);
    feed.advance().await.expect("adopted");
    assert_eq!((at(&feed), feed.history()), (head, 2));

    mislead(&feed, &start);
    let adopted = feed.apply_or_compare(&[], head).await;
    adopted.expect("a failover came between the reads");
    assert_eq!((at(&feed), feed.history()), (head, 4));
}

#[tokio::test]
async fn a_batch_that_was_altered_in_the_store_is_an_error_and_no_failover() {
    let parts = Parts::new().await;
    let feed = open(&parts).await;
    let before = at(&feed);
    let mut batch = parts.append().await;
    let head = batch.position;
    batch.frame.audit_digest[0] ^= 1;
    let refused = feed.apply_or_compare(&[batch], head).await;
    assert!(matches!(refused, Err(FeedError::Damaged)));
    assert_eq!((at(&feed), feed.history()), (before, 0));
}
