//! What the streams of an authority read of the feed while it appends batches and adopts another history. The code is that
//! of `crates/authority/src/feed`; only its locks and atomics stop at each access.

#[path = "../explore/mod.rs"]
mod explore;
#[path = "../../../../crates/authority/src/feed/known.rs"]
mod known;
#[allow(dead_code, reason = "what only operators read")]
#[path = "../../../../crates/authority/src/feed/published.rs"]
mod published;
#[allow(dead_code, reason = "what only operators read")]
#[path = "../../../../crates/authority/src/feed/ring.rs"]
mod ring;
#[path = "../../swap.rs"]
mod swap;

/// In the place of `crates/authority/src/feed/sync.rs`.
mod sync {
    pub(super) use shuttle::sync::{
        Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    };

    pub(super) use super::swap::ArcSwap;
}

use std::{sync::Arc, time::Duration};

use explore::every_order;
use portcullis_contract::{
    delta::{self, Change},
    id::Serial,
    key::CredentialKind,
    position::{Incarnation, Position, Revision},
    sealed::SealedFrame,
    v1::watch_response::Message,
    view::{Frame, View},
};
use published::Published;
use ring::{FromRing, SealedBatch};
use shuttle::{future::block_on, thread};

/// The batches that a scene appends.
const BATCHES: u64 = 3;

/// Batches of a history, which differ from those of any other.
fn frame(history: u64, revision: u64) -> Frame {
    let revoked = Change::Revoke {
        credential: CredentialKind::Session,
        serials: vec![Serial(history * 1_000 + revision)],
    };
    Frame {
        revision: Revision(revision),
        delta: delta::encode(&[revoked], vec![]),
        audit_digest: [3; 32],
    }
}

/// The views of a history, one a revision.
fn views(history: u64, length: u64) -> Vec<View> {
    let mut views = vec![View::empty(Incarnation([1; 16]))];
    for revision in 1..=length {
        let last = views.last().expect("the empty one");
        views.push(last.apply(&frame(history, revision)).expect("applies"));
    }
    views
}

fn publish(view: View, frames_max: usize) -> Arc<Published> {
    Arc::new(Published::new(
        view,
        frames_max,
        1 << 20,
        Duration::from_secs(60),
    ))
}

fn append_all(published: &Published, history: u64, views: &[View]) {
    for (revision, view) in views.iter().enumerate().skip(1) {
        let frame = frame(history, revision as u64);
        published.append(view.clone(), SealedFrame::from(&frame));
    }
}

/// A stream that sleeps although there is a batch for it is a deadlock here.
#[test]
fn a_stream_that_is_woken_finds_every_batch_in_order() {
    every_order(|| {
        let views = views(1, BATCHES);
        let published = publish(views[0].clone(), 100);
        let streams: Vec<_> = (0..2)
            .map(|_| {
                let published = Arc::clone(&published);
                thread::spawn(move || read_all(&published))
            })
            .collect();
        append_all(&published, 1, &views);
        for stream in streams {
            stream.join().expect("it ends");
        }
    });
}

/// Reads as `WatchStream` does: it marks the position as seen, takes what there is, and waits for a change.
fn read_all(published: &Published) {
    let mut positions = published.positions();
    let mut at = View::empty(Incarnation([1; 16])).position();
    while at.revision < Revision(BATCHES) {
        let seen = positions.borrow_and_update().revision;
        match published.after(0, at) {
            FromRing::Batches(batches) => {
                for batch in batches {
                    assert_eq!(batch.frame.revision(), at.revision.next(), "not dense");
                    at = batch.position;
                }
            }
            other => panic!("{other:?} after {at:?}"),
        }
        assert!(at.revision >= seen, "told of {seen:?}, and found {at:?}");
        assert!(published.known_by(seen).is_some(), "no time of {seen:?}");
        if at.revision < Revision(BATCHES) {
            block_on(positions.changed()).expect("the feed lives");
        }
    }
}

#[test]
fn a_snapshot_is_never_older_than_the_ring() {
    every_order(|| {
        let views = views(1, BATCHES);
        // A ring that no batch fits into: each one moves its beginning to itself.
        let published = publish(views[0].clone(), 0);
        let reader = {
            let published = Arc::clone(&published);
            thread::spawn(move || {
                for _ in 0..BATCHES {
                    let first = published.first();
                    let view = published.view().position().revision;
                    assert!(view >= first, "{view:?} before {first:?}");
                }
            })
        };
        append_all(&published, 1, &views);
        reader.join().expect("it ends");
    });
}

/// What a gate has of one stream.
struct Gate {
    view: Option<View>,
}

impl Gate {
    /// Takes what a stream sends. The result has to be a view of one history.
    fn take(&mut self, batches: Vec<SealedBatch>, known: &[Position]) {
        for batch in batches {
            let response = batch.frame.into_response();
            let Some(Message::Delta(message)) = response.decode().expect("a response").message
            else {
                panic!("a batch is a delta");
            };
            let frame = Frame::try_from(message).expect("our own message");
            let view = self.view.as_ref().expect("a snapshot first");
            let next = view.apply(&frame).expect("the next batch");
            assert!(
                known.contains(&next.position()),
                "the batches of two histories were put together"
            );
            self.view = Some(next);
        }
    }
}

#[test]
fn a_stream_never_puts_the_batches_of_two_histories_together() {
    every_order(|| {
        let old = views(1, BATCHES + 1);
        let new = views(2, BATCHES + 2);
        let known: Vec<_> = old.iter().chain(&new).map(View::position).collect();
        let published = publish(old[0].clone(), 100);
        append_all(&published, 1, &old);
        let stream = {
            let published = Arc::clone(&published);
            thread::spawn(move || follow(&published, &known))
        };
        // The other history is shorter, as after a failover that lost a batch, and at once becomes longer.
        let (first, next) = new[BATCHES as usize..].split_first().expect("views");
        published.end_history(first.position());
        published.begin_history(first.clone());
        for view in next {
            let revision = view.position().revision.0;
            published.append(view.clone(), SealedFrame::from(&frame(2, revision)));
        }
        stream.join().expect("it ends");
    });
}

/// A stream that begins with a snapshot and ends when the history is another.
fn follow(published: &Published, known: &[Position]) {
    let history = published.history();
    let mut gate = Gate { view: None };
    let mut at = View::empty(Incarnation([1; 16])).position();
    for _ in 0..2 * BATCHES {
        if published.history() != history {
            return;
        }
        let Some(_) = &gate.view else {
            let view = published.view();
            at = view.position();
            gate.view = Some(View::clone(&view));
            continue;
        };
        match published.after(history, at) {
            FromRing::Batches(batches) => {
                at = batches.last().map_or(at, |batch| batch.position);
                gate.take(batches, known);
            }
            FromRing::OtherHistory => return,
            // The log has to answer these; it has its own checks.
            FromRing::Behind | FromRing::Ahead => {}
        }
    }
}
