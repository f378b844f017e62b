//! Tests of the published state. They stand beside its file, because the interleavings compile that with other locks.

use std::time::Duration;

use portcullis_contract::{
    delta::{self, Change},
    position::Incarnation,
    sealed::SealedFrame,
    view::{Frame, View},
};

use crate::feed::{published::Published, ring::FromRing};

const BYTES_MAX: usize = 1_000;

/// A batch that continues `view`, and the view behind it.
fn next(view: &View) -> (View, SealedFrame) {
    next_with(view, &[])
}

fn next_with(view: &View, changes: &[Change]) -> (View, SealedFrame) {
    let frame = Frame {
        revision: view.position().revision.next(),
        delta: delta::encode(changes, Vec::new()),
        audit_digest: [0; 32],
    };
    (
        view.apply(&frame).expect("applies"),
        SealedFrame::from(&frame),
    )
}

fn published(view: View) -> Published {
    Published::new(view, 10, BYTES_MAX, Duration::from_secs(5))
}

fn revisions(found: &FromRing) -> Vec<u64> {
    match found {
        FromRing::Batches(batches) => {
            let revisions = batches.iter().map(|batch| batch.frame.revision().0);
            revisions.collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_batch_is_in_the_view_the_ring_and_the_position() {
    let start = View::empty(Incarnation([1; 16]));
    let at = start.position();
    let published = published(start);
    let mut positions = published.positions();
    assert_eq!(published.depth(), (0, 0));
    assert!(published.known_by(at.revision.next()).is_none());

    let (view, frame) = next(&published.view());
    let bytes = frame.delta_bytes();
    let position = view.position();
    published.append(view, frame);
    assert_eq!(published.view().position(), position);
    assert_eq!(published.position(), position);
    assert!(positions.has_changed().expect("open"));
    assert_eq!(*positions.borrow_and_update(), position);
    assert_eq!(published.depth(), (1, bytes));
    assert!(published.known_by(position.revision).is_some());
    assert_eq!(published.first(), at.revision);
    assert_eq!(revisions(&published.after(0, at)), [position.revision.0]);
    assert!(revisions(&published.after(0, position)).is_empty());
}

#[test]
fn streams_are_woken_by_a_batch_with_changes_and_by_another_history_alone() {
    let published = published(View::empty(Incarnation([1; 16])));
    let mut changes = published.changes();
    let append = |change: &[Change]| {
        let (view, frame) = next_with(&published.view(), change);
        published.append(view, frame);
    };
    append(&[]);
    assert!(!changes.has_changed().expect("open"));
    append(&[Change::Turn]);
    assert_eq!(*changes.borrow_and_update(), published.position());
    append(&[]);
    assert!(!changes.has_changed().expect("open"));

    let (other, _) = next(&View::empty(Incarnation([2; 16])));
    published.begin_history(other);
    assert_eq!(*changes.borrow_and_update(), published.position());
}

#[test]
fn another_history_has_another_number_and_none_of_the_batches() {
    let published = published(View::empty(Incarnation([1; 16])));
    let (view, frame) = next(&published.view());
    published.append(view, frame);
    let at = published.position();

    let (other, _) = next(&next(&View::empty(Incarnation([2; 16]))).0);
    let position = other.position();
    published.end_history(position);
    assert_eq!(published.depth(), (0, 0));
    assert_eq!(published.first(), position.revision);
    assert_eq!(published.history(), 0, "it has not begun yet");
    published.begin_history(other);
    assert_eq!(published.history(), 1);
    assert_eq!(published.position(), position);
    assert_eq!(published.view().position(), position);
    assert!(published.known_by(position.revision.next()).is_none());
    let found = published.after(0, at);
    assert!(matches!(found, FromRing::OtherHistory), "{found:?}");
    assert!(revisions(&published.after(1, position)).is_empty());
}
