//! What every check reads: one immutable snapshot, replaced whole.

use std::{sync::Arc, time::Duration};

use portcullis_contract::{
    token::{TokenClaims, Verified},
    verdict::{Rejection, check_revocations},
    view::View,
};

use crate::clock::Mark;

/// What a validator does when it cannot prove itself fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It refuses everything that is older than `max_staleness`.
    Strict,
    /// It accepts, and counts, until it has been stale for `stale_max`.
    BestEffort {
        /// The second bound, from the last proof of freshness.
        stale_max: Duration,
    },
}

/// How much a validator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It knows every revocation that was acknowledged more than `age` ago, and that is recent enough.
    Fresh {
        /// Since the proof.
        age: Duration,
    },
    /// The same, and it is not.
    Stale {
        /// Since the proof.
        age: Duration,
    },
    /// It has no view, has not proved anything yet, or does not understand the log.
    Unready {
        /// Why.
        reason: &'static str,
    },
}

/// The view in force and the last proof of its freshness. They are published together: whoever sees a proof sees a
/// view that it is about.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) view: Option<Arc<View>>,
    /// Views of other histories, which are united with the view until they are forgotten.
    pub(crate) remembered: Vec<Arc<View>>,
    pub(crate) fresh_as_of: Option<Mark>,
    /// Why there is no proof, while there is none.
    pub(crate) unproved: &'static str,
    /// Why the view may not be used, whatever its age.
    pub(crate) unready: Option<&'static str>,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            view: None,
            remembered: Vec::new(),
            fresh_as_of: None,
            unproved: "not proved fresh yet",
            unready: Some("no view yet"),
        }
    }

    /// The view, when it may be used at all.
    pub(crate) fn usable_view(&self) -> Result<&Arc<View>, Rejection> {
        match (&self.view, self.unready) {
            (Some(view), None) => Ok(view),
            _ => Err(Rejection::Unready),
        }
    }

    /// Whether the identity stands in every view that is remembered.
    pub(crate) fn check_remembered<C: TokenClaims>(
        &self,
        identity: &Verified<C>,
    ) -> Result<(), Rejection> {
        self.remembered.iter().try_for_each(|view| {
            // Another history does not know the keys of this one; only a key that it distrusts is dead.
            if view.distrusts(&identity.key.id) {
                return Err(Rejection::DistrustedKey);
            }
            check_revocations(identity, view)
        })
    }

    pub(crate) fn freshness(&self, now: &Mark, max_staleness: Duration) -> Freshness {
        match (self.usable_view(), self.fresh_as_of) {
            (Err(_), _) => Freshness::Unready {
                reason: self.unready.unwrap_or("no view yet"),
            },
            (Ok(_), None) => Freshness::Unready {
                reason: self.unproved,
            },
            (Ok(_), Some(proof)) => {
                let age = now.since(&proof);
                if age <= max_staleness {
                    Freshness::Fresh { age }
                } else {
                    Freshness::Stale { age }
                }
            }
        }
    }
}
