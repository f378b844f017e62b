//! The cutoffs of one scope, merged.

use crate::{id::Serial, position::Revision};

/// What all cutoffs of one scope amount to: a join semilattice, so order and repetition do not matter.
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
    /// One cutoff at `revision`.
    #[must_use]
    pub fn new(revision: Revision, exempt: Option<Serial>) -> Self {
        let unexempted = if exempt.is_some() {
            Revision(0)
        } else {
            revision
        };
        Self {
            greatest: revision,
            exempt,
            unexempted,
        }
    }

    /// Both together.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        if self.exempt == other.exempt {
            let greatest = self.greatest.max(other.greatest);
            return Self {
                greatest,
                exempt: self.exempt,
                unexempted: self.unexempted.max(other.unexempted),
            }
            .normal();
        }
        let (wide, narrow) = if self.greatest >= other.greatest {
            (self, other)
        } else {
            (other, self)
        };
        // `narrow` exempts someone else, so its greatest holds for the one that `wide` exempts.
        Self {
            unexempted: wide.unexempted.max(narrow.greatest),
            ..wide
        }
        .normal()
    }

    /// Whether merging cutoffs can give this: what can not was damaged, or forged to forget.
    pub(super) fn is_merged(&self) -> bool {
        let exempts_nobody = self.unexempted == self.greatest;
        self.greatest > Revision(0)
            && self.unexempted <= self.greatest
            && self.exempt.is_none() == exempts_nobody
    }

    /// Whether a credential opened at `opened` is dead.
    #[must_use]
    pub fn covers(&self, opened: Revision, serial: Serial) -> bool {
        let cutoff = if self.exempt == Some(serial) {
            self.unexempted
        } else {
            self.greatest
        };
        opened < cutoff
    }

    /// An exemption that no longer exempts anybody is forgotten, so that equal meanings are equal values.
    fn normal(self) -> Self {
        let exempt = if self.unexempted >= self.greatest {
            None
        } else {
            self.exempt
        };
        Self { exempt, ..self }
    }
}
