//! The place of an export in the audit trail, with which it finds back when the log has another history.

use portcullis_contract::position::{Chain, Revision};

use super::{Micros, TrailPosition};

/// The bytes of an encoded mark.
const MARK_BYTES: usize = 40;
/// The most marks. A distance between two revisions has at most 64 bits, so there are at most 65 classes of them.
const MARKS_MAX: usize = 65;

/// A revision that an export has passed, and the chain there, which no other history has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrailMark {
    /// The revision.
    pub revision: Revision,
    /// The chain at it.
    pub chain: Chain,
}

/// The place up to which an export has delivered the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportPlace {
    position: TrailPosition,
    /// The mark at the position first, then marks that it has passed: the farther back, the fewer.
    marks: Vec<TrailMark>,
}

impl ExportPlace {
    /// The place behind all events of a revision, with nothing known about the time before.
    #[must_use]
    pub fn behind(mark: TrailMark) -> Self {
        Self {
            position: TrailPosition::behind_revision(mark.revision),
            marks: vec![mark],
        }
    }

    /// The place before the first event.
    #[must_use]
    pub fn beginning() -> Self {
        Self::behind(TrailMark {
            revision: Revision(0),
            chain: Chain::default(),
        })
    }

    /// The position in the trail.
    #[must_use]
    pub fn position(&self) -> TrailPosition {
        self.position
    }

    /// The mark at the position.
    #[must_use]
    pub fn mark(&self) -> TrailMark {
        self.marks[0]
    }

    /// The marks that it has passed, the newest first.
    #[must_use]
    pub fn passed(&self) -> &[TrailMark] {
        &self.marks[1..]
    }

    /// The place at a later position, where the log has this chain.
    #[must_use]
    pub fn advanced(&self, position: TrailPosition, chain: Chain) -> Self {
        let mark = TrailMark {
            revision: position.revision,
            chain,
        };
        let mut marks = vec![mark];
        // At each step, so that the marks stay few however long an export runs.
        marks.extend(thin(&self.marks, mark.revision));
        Self { position, marks }
    }

    /// The place behind a mark that it has passed. Events after the mark are delivered again.
    #[must_use]
    pub fn returned_to(&self, mark: TrailMark) -> Self {
        // The later marks are of batches that this history does not have.
        let earlier = self.marks.iter().filter(|it| it.revision < mark.revision);
        let mut marks = vec![mark];
        marks.extend(earlier);
        Self {
            position: TrailPosition::behind_revision(mark.revision),
            marks,
        }
    }

    /// Encodes the marks for the store.
    #[must_use]
    pub fn marks_to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.marks.len() * MARK_BYTES);
        for mark in &self.marks {
            bytes.extend(mark.revision.0.to_be_bytes());
            bytes.extend(mark.chain.0);
        }
        bytes
    }

    /// Decodes a place of the store. None: the bytes are of no place.
    #[must_use]
    pub fn from_bytes(position: [u8; 28], marks: &[u8]) -> Option<Self> {
        let position = TrailPosition::from_bytes(position);
        if !marks.len().is_multiple_of(MARK_BYTES) {
            return None;
        }
        let mut decoded = Vec::new();
        for bytes in marks.chunks_exact(MARK_BYTES) {
            let (revision, chain) = bytes.split_first_chunk::<8>()?;
            decoded.push(TrailMark {
                revision: Revision(u64::from_be_bytes(*revision)),
                chain: Chain(chain.try_into().ok()?),
            });
        }
        // Each place has a mark at its own revision. Without it nobody could tell which history the
        // place is of.
        let is_at_position = decoded.first()?.revision == position.revision;
        is_at_position.then_some(Self {
            position,
            marks: decoded,
        })
    }
}

/// Keeps of all marks before a revision one for each power of two of the distance to it.
fn thin(marks: &[TrailMark], revision: Revision) -> Vec<TrailMark> {
    let mut kept: Vec<TrailMark> = Vec::with_capacity(MARKS_MAX);
    for mark in marks {
        if mark.revision >= revision {
            continue;
        }
        // The oldest of its class stays. It is the next to leave the class, and the class behind is never empty for long.
        let replaces = kept
            .last()
            .is_some_and(|last| class(*last, revision) == class(*mark, revision));
        if replaces {
            kept.pop();
        }
        kept.push(*mark);
    }
    kept
}

fn class(mark: TrailMark, revision: Revision) -> u32 {
    revision.0.saturating_sub(mark.revision.0).ilog2()
}

/// How an export stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportStatus {
    /// Whether any authority may claim it.
    pub is_free: bool,
    /// Since when its receiver wants nothing more. None: it delivers.
    pub stopped: Option<Micros>,
    /// The revisions of the log behind its place.
    pub behind_revisions: u64,
    /// The age of the first of them, in microseconds. 0: there is none.
    pub behind_us: u64,
    /// Events that were given up, up to some number.
    pub dead_letters: u64,
}

#[cfg(test)]
mod tests {
    use portcullis_contract::id::EventId;

    use super::*;

    fn mark(revision: u64) -> TrailMark {
        TrailMark {
            revision: Revision(revision),
            chain: Chain([revision as u8; 32]),
        }
    }

    fn advance(place: &ExportPlace, revision: u64) -> ExportPlace {
        let position = TrailPosition::behind_revision(Revision(revision));
        place.advanced(position, mark(revision).chain)
    }

    fn revisions(place: &ExportPlace) -> Vec<u64> {
        let passed = place.passed().iter();
        passed.map(|mark| mark.revision.0).collect()
    }

    #[test]
    fn marks_are_few_and_none_is_far_from_where_histories_part() {
        let mut place = ExportPlace::beginning();
        for revision in 1..=5_000 {
            place = advance(&place, revision);
            let passed = revisions(&place);
            assert!(passed.len() <= 2 * 13, "{passed:?}");
            assert_eq!(passed.last(), Some(&0), "the beginning stays");
            assert!(passed.is_sorted_by(|one, other| one > other), "{passed:?}");
            for parted in (0..revision).step_by(7) {
                let common = passed.iter().find(|passed| **passed <= parted);
                let lost = revision - parted;
                let again = revision - common.expect("the beginning");
                assert!(again <= 4 * lost, "{again} for {lost} at {revision}");
            }
        }
    }

    #[test]
    fn a_recovery_that_leaves_many_revisions_out_is_bounded_too() {
        let mut place = ExportPlace::beginning();
        for round in 0..40 {
            place = advance(&place, (round << 32) + 5);
            place = advance(&place, (round << 32) + 6);
        }
        place = advance(&place, u64::MAX);
        assert!(place.passed().len() < MARKS_MAX, "{:?}", revisions(&place));
    }

    #[test]
    fn a_place_that_returns_forgets_the_marks_of_the_other_history() {
        let mut place = ExportPlace::beginning();
        for revision in [10, 20, 30] {
            place = advance(&place, revision);
        }
        assert_eq!(revisions(&place), [20, 0]);
        let returned = place.returned_to(mark(20));
        assert_eq!(returned.mark(), mark(20));
        assert_eq!(
            returned.position(),
            TrailPosition::behind_revision(Revision(20))
        );
        assert_eq!(revisions(&returned), [0]);
    }

    #[test]
    fn a_place_within_a_revision_has_one_mark_of_it() {
        let within = |event: u8| TrailPosition {
            revision: Revision(7),
            event: EventId::from_bytes([event; 16]),
            ordinal: 3,
        };
        let place = ExportPlace::beginning().advanced(within(1), mark(7).chain);
        let place = place.advanced(within(2), mark(7).chain);
        assert_eq!(place.position(), within(2));
        assert_eq!(revisions(&place), [0]);
    }

    #[test]
    fn a_place_is_decoded_as_it_was_encoded_and_nothing_else_is() {
        let mut place = ExportPlace::beginning();
        for revision in 1..100 {
            place = advance(&place, revision);
        }
        let (position, marks) = (place.position().to_bytes(), place.marks_to_bytes());
        assert_eq!(ExportPlace::from_bytes(position, &marks), Some(place));
        for wrong in [&marks[1..], &marks[MARK_BYTES..], &[]] {
            assert_eq!(ExportPlace::from_bytes(position, wrong), None);
        }
    }
}
