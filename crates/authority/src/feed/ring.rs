//! The last batches, in memory, for all streams.

use std::collections::VecDeque;

use portcullis_contract::{
    position::{Position, Revision},
    sealed::SealedFrame,
    seeded::{self, Mistake},
};

/// A bounded window on the end of the log. A stream holds a position, not a queue of its own: one that falls behind
/// costs nothing and delays nobody.
pub(super) struct Ring {
    /// The position before the oldest batch.
    base: Position,
    batches: VecDeque<SealedBatch>,
    bytes: usize,
    frames_max: usize,
    bytes_max: usize,
}

/// A batch as streams send it, with the position behind it.
#[derive(Clone, Debug)]
pub struct SealedBatch {
    /// The message.
    pub frame: SealedFrame,
    /// Where a view stands that has applied it.
    pub position: Position,
}

/// The answer of the ring to a reader at a position.
#[derive(Debug)]
pub enum FromRing {
    /// These, in order; none when the reader is at the end.
    Batches(Vec<SealedBatch>),
    /// The position is older than the ring: read the log.
    Behind,
    /// The position is of the future.
    Ahead,
    /// The position is not one of the history that is followed.
    OtherHistory,
}

/// The most batches handed out at once.
// They are cloned under the ring's lock, and the feed cannot append meanwhile.
const BATCHES_AT_ONCE: usize = 256;

impl Ring {
    pub(super) fn new(base: Position, frames_max: usize, bytes_max: usize) -> Self {
        Self {
            base,
            batches: VecDeque::new(),
            bytes: 0,
            frames_max,
            bytes_max,
        }
    }

    /// The oldest revision from which the ring continues.
    pub(super) fn first(&self) -> Revision {
        self.base.revision
    }

    /// The batches held, and the bytes of their deltas.
    pub(super) fn depth(&self) -> (usize, usize) {
        (self.batches.len(), self.bytes)
    }

    pub(super) fn push(&mut self, batch: SealedBatch) {
        self.bytes += batch.frame.delta_bytes();
        self.batches.push_back(batch);
        // A batch larger than the whole ring empties it, and all streams read that batch from the log.
        while self.batches.len() > self.frames_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.batches.pop_front() else {
                break;
            };
            self.bytes -= oldest.frame.delta_bytes();
            self.base = oldest.position;
        }
    }

    pub(super) fn restart(&mut self, base: Position) {
        *self = Self::new(base, self.frames_max, self.bytes_max);
    }

    pub(super) fn after(&self, at: Position) -> FromRing {
        let skip = match at.revision.0.checked_sub(self.base.revision.0) {
            Some(skip) => skip,
            None if seeded::has(Mistake::LaggedReceiver) => return self.from(0),
            None => return FromRing::Behind,
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let here = match skip.checked_sub(1) {
            None => Some(self.base),
            Some(last) => self.batches.get(last).map(|batch| batch.position),
        };
        match here {
            None => FromRing::Ahead,
            Some(here) if here == at => self.from(skip),
            // A stream waited for the revision, and then a failover gave it to another batch.
            Some(_) => FromRing::OtherHistory,
        }
    }

    fn from(&self, skip: usize) -> FromRing {
        let batches = self.batches.iter().skip(skip).take(BATCHES_AT_ONCE);
        FromRing::Batches(batches.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use portcullis_contract::{
        position::{Chain, Incarnation},
        view::Frame,
    };

    use super::*;

    /// The position of a revision in the history of the ring.
    fn position(revision: u64) -> Position {
        Position {
            incarnation: Incarnation([1; 16]),
            revision: Revision(revision),
            chain: Chain([u8::try_from(revision).expect("a small number"); 32]),
        }
    }

    fn ring(frames_max: usize, bytes_max: usize, last: u64) -> Ring {
        let mut ring = Ring::new(position(10), frames_max, bytes_max);
        for revision in 11..=last {
            let frame = Frame {
                revision: Revision(revision),
                delta: vec![0; 10].into(),
                audit_digest: [0; 32],
            };
            ring.push(SealedBatch {
                frame: SealedFrame::from(&frame),
                position: position(revision),
            });
        }
        ring
    }

    fn revisions(ring: &Ring, after: u64) -> Vec<u64> {
        match ring.after(position(after)) {
            FromRing::Batches(batches) => batches
                .iter()
                .map(|batch| batch.frame.revision().0)
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_reader_gets_what_comes_after_its_position() {
        let ring = ring(100, 1000, 13);
        assert_eq!(revisions(&ring, 10), [11, 12, 13]);
        assert_eq!(revisions(&ring, 12), [13]);
        assert!(revisions(&ring, 13).is_empty());
        assert!(matches!(ring.after(position(9)), FromRing::Behind));
        assert!(matches!(ring.after(position(14)), FromRing::Ahead));
    }

    #[test]
    fn a_reader_of_another_history_gets_nothing() {
        let ring = ring(100, 1000, 13);
        for revision in 10..=13 {
            let mut other_chain = position(revision);
            other_chain.chain = Chain([99; 32]);
            let mut other_incarnation = position(revision);
            other_incarnation.incarnation = Incarnation([2; 16]);
            for other in [other_chain, other_incarnation] {
                assert!(
                    matches!(ring.after(other), FromRing::OtherHistory),
                    "{revision}"
                );
            }
        }
    }

    #[test]
    fn both_bounds_hold_and_the_rest_stays_dense() {
        for ring in [ring(4, 1000, 20), ring(100, 40, 20)] {
            assert_eq!(revisions(&ring, 16), [17, 18, 19, 20]);
            assert!(matches!(ring.after(position(15)), FromRing::Behind));
        }
    }

    #[test]
    fn the_depth_is_what_is_held_and_a_restart_holds_nothing() {
        let mut ring = ring(4, 1000, 20);
        assert_eq!(ring.depth(), (4, 40));
        assert_eq!(ring.first(), Revision(16));
        ring.restart(position(30));
        assert_eq!(ring.depth(), (0, 0));
        assert_eq!(ring.first(), Revision(30));
        assert!(revisions(&ring, 30).is_empty());
    }
}
