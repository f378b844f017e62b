//! The cutoffs of one scope, merged.

use crate::{id::Serial, position::Revision};

/// The merged effect of all cutoffs of one scope. Order and repetition do not matter (a join semilattice).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutoffState {
    /// The greatest cutoff; 0 for none.
    pub(super) greatest: Revision,
    /// The one credential that `greatest` exempts.
    pub(super) exempt: Option<Serial>,
    /// The greatest cutoff that does not exempt that credential.
    pub(super) unexempted: Revision,
}

impl CutoffState {
    /// Returns the state after one cutoff at `revision`.
    #[must_use]
    pub fn new(revision: Revision, exempt: Option<Serial>) -> Self {
        let unexempted = match exempt {
            // Nothing cuts off the exempted credential so far.
            Some(_) => Revision(0),
            None => revision,
        };
        Self {
            greatest: revision,
            exempt,
            unexempted,
        }
    }

    /// Merges two states.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        // Both exempt the same credential, or none: the greater of each number holds.
        if self.exempt == other.exempt {
            let merged = Self {
                greatest: self.greatest.max(other.greatest),
                exempt: self.exempt,
                unexempted: self.unexempted.max(other.unexempted),
            };
            return merged.normalize();
        }

        let (newer, older) = if self.greatest >= other.greatest {
            (self, other)
        } else {
            (other, self)
        };
        // The older one exempts somebody else, so its greatest cutoff holds for the one that the newer exempts.
        let merged = Self {
            unexempted: newer.unexempted.max(older.greatest),
            ..newer
        };
        merged.normalize()
    }

    /// Returns whether merging cutoffs can give this state. Any other was damaged, or forged to forget a cutoff.
    pub(super) fn is_merged(&self) -> bool {
        let exempts_nobody = self.unexempted == self.greatest;
        self.greatest > Revision(0)
            && self.unexempted <= self.greatest
            && self.exempt.is_none() == exempts_nobody
    }

    /// Returns whether a credential opened at `opened` is cut off.
    #[must_use]
    pub fn covers(&self, opened: Revision, serial: Serial) -> bool {
        let cutoff = if self.exempt == Some(serial) {
            self.unexempted
        } else {
            self.greatest
        };
        // A credential that was opened at the cutoff read a log that contains it, so it was opened afterwards.
        opened < cutoff
    }

    /// Drops an exemption that no longer exempts anybody, so that equal meanings are equal values.
    fn normalize(self) -> Self {
        if self.unexempted < self.greatest {
            return self;
        }
        Self {
            exempt: None,
            ..self
        }
    }
}
