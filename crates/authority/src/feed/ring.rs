//! The last batches, in memory, for all streams.

use std::collections::VecDeque;

use portcullis_contract::{
    position::Revision,
    sealed::SealedFrame,
    seeded::{self, Mistake},
};

/// A bounded window on the end of the log. A stream holds a revision, not a queue of its own: one that falls behind
/// costs nothing and delays nobody.
pub(super) struct Ring {
    /// The revision before the oldest frame.
    base: Revision,
    frames: VecDeque<SealedFrame>,
    bytes: usize,
    frames_max: usize,
    bytes_max: usize,
}

/// What the ring has after a revision.
#[derive(Debug)]
pub enum FromRing {
    /// These, in order; none when the reader is at the end.
    Frames(Vec<SealedFrame>),
    /// The revision is older than the ring: read the log.
    Behind,
    /// The revision is of another history, or of the future.
    Ahead,
    /// Another history is followed than the one that was asked about.
    OtherHistory,
}

/// The most frames handed out at once.
const FRAMES_AT_ONCE: usize = 256;

impl Ring {
    pub(super) fn new(base: Revision, frames_max: usize, bytes_max: usize) -> Self {
        Self {
            base,
            frames: VecDeque::new(),
            bytes: 0,
            frames_max,
            bytes_max,
        }
    }

    /// The oldest revision from which the ring continues.
    pub(super) fn first(&self) -> Revision {
        self.base
    }

    /// The batches held, and the bytes of their deltas.
    pub(super) fn depth(&self) -> (usize, usize) {
        (self.frames.len(), self.bytes)
    }

    pub(super) fn push(&mut self, frame: SealedFrame) {
        self.bytes += frame.delta_bytes();
        self.frames.push_back(frame);
        // A batch larger than the whole ring empties it, and all streams read that batch from the log.
        while self.frames.len() > self.frames_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.frames.pop_front() else {
                break;
            };
            self.bytes -= oldest.delta_bytes();
            self.base = oldest.revision();
        }
    }

    pub(super) fn restart(&mut self, base: Revision) {
        *self = Self::new(base, self.frames_max, self.bytes_max);
    }

    pub(super) fn after(&self, revision: Revision) -> FromRing {
        let skip = match revision.0.checked_sub(self.base.0) {
            Some(skip) => skip,
            None if seeded::has(Mistake::LaggedReceiver) => 0,
            None => return FromRing::Behind,
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        if skip > self.frames.len() {
            return FromRing::Ahead;
        }
        FromRing::Frames(
            self.frames
                .iter()
                .skip(skip)
                .take(FRAMES_AT_ONCE)
                .cloned()
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use portcullis_contract::view::Frame;

    use super::*;

    fn ring(frames_max: usize, bytes_max: usize, last: u64) -> Ring {
        let mut ring = Ring::new(Revision(10), frames_max, bytes_max);
        for revision in 11..=last {
            let frame = Frame {
                revision: Revision(revision),
                delta: vec![0; 10].into(),
                audit_digest: [0; 32],
            };
            ring.push(SealedFrame::from(&frame));
        }
        ring
    }

    fn revisions(ring: &Ring, after: u64) -> Vec<u64> {
        match ring.after(Revision(after)) {
            FromRing::Frames(frames) => frames.iter().map(|frame| frame.revision().0).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_reader_gets_what_comes_after_its_revision() {
        let ring = ring(100, 1000, 13);
        assert_eq!(revisions(&ring, 10), [11, 12, 13]);
        assert_eq!(revisions(&ring, 12), [13]);
        assert!(revisions(&ring, 13).is_empty());
        assert!(matches!(ring.after(Revision(9)), FromRing::Behind));
        assert!(matches!(ring.after(Revision(14)), FromRing::Ahead));
    }

    #[test]
    fn both_bounds_hold_and_the_rest_stays_dense() {
        for ring in [ring(4, 1000, 20), ring(100, 40, 20)] {
            assert_eq!(revisions(&ring, 16), [17, 18, 19, 20]);
            assert!(matches!(ring.after(Revision(15)), FromRing::Behind));
        }
    }
}
