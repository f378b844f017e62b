//! The state that every check reads: one immutable value, replaced whole.

use std::{sync::Arc, time::Duration};

use portcullis_contract::{
    rejection::Rejection,
    token::{TokenClaims, Verified},
    verdict::{check_revocations, check_time},
    view::View,
};

use crate::{clock::Mark, database_clock::DatabaseClock};

/// The behaviour of a validator that cannot prove itself fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Refuses every token once the last proof of freshness is older than `max_staleness`.
    Strict,
    /// Accepts tokens, and counts them, until the last proof of freshness is older than `stale_max`.
    BestEffort {
        /// The second bound, from the last proof of freshness.
        stale_max: Duration,
    },
}

/// The knowledge of a validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The validator knows every revocation that was acknowledged more than `age` ago, and `age` is within the bound.
    Fresh {
        /// The time since the proof.
        age: Duration,
    },
    /// The same, but `age` is beyond the bound.
    Stale {
        /// The time since the proof.
        age: Duration,
    },
    /// The validator has no view, has not proved anything yet, or does not understand the log.
    Unready {
        /// The reason, for operators.
        reason: &'static str,
    },
}

/// The view in force and the last proof of its freshness.
///
/// Both are published together: a reader that sees a proof also sees a view that the proof covers.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) view: Option<Arc<View>>,
    /// Views of earlier histories. Their revocations are enforced as well until they are forgotten.
    pub(crate) remembered: Vec<Arc<View>>,
    pub(crate) fresh_as_of: Option<Mark>,
    /// The database's clock, as of the newest beat.
    pub(crate) database_clock: Option<DatabaseClock>,
    /// The most by which this machine's clock may differ from it.
    pub(crate) clock_skew_max: Duration,
    /// The reason for having no proof, while there is none.
    pub(crate) unproved: &'static str,
    /// The reason for which the view may not be used, whatever its age.
    pub(crate) unready: Option<&'static str>,
}

/// The reasons that operators see before the first view and before the first proof.
pub(crate) const NO_VIEW: &str = "no view yet";
pub(crate) const NOT_PROVED: &str = "not proved fresh yet";

impl State {
    pub(crate) fn new(clock_skew_max: Duration) -> Self {
        Self {
            database_clock: None,
            clock_skew_max,
            view: None,
            remembered: Vec::new(),
            fresh_as_of: None,
            unproved: NOT_PROVED,
            unready: Some(NO_VIEW),
        }
    }

    /// Returns the view, when it may be used at all.
    #[inline]
    pub(crate) fn usable_view(&self) -> Result<&Arc<View>, Rejection> {
        match (&self.view, self.unready) {
            (Some(view), None) => Ok(view),
            _ => Err(Rejection::Unready),
        }
    }

    /// Checks the identity against the views of earlier histories.
    pub(crate) fn check_remembered<C: TokenClaims>(
        &self,
        identity: &Verified<C>,
    ) -> Result<(), Rejection> {
        for view in &self.remembered {
            // An earlier history does not know the keys of this one, so only distrust counts, not missing trust.
            if view.distrusts(&identity.key.id) {
                return Err(Rejection::DistrustedKey);
            }
            check_revocations(identity, view)?;
        }
        Ok(())
    }

    /// Returns the database's clock, when this machine's agrees with it.
    #[inline]
    fn agreed_clock(&self, now: &Mark) -> Result<&DatabaseClock, Rejection> {
        let clock = self.database_clock.as_ref().ok_or(Rejection::Unready)?;
        if clock.skew(now).exceeds(self.clock_skew_max) {
            return Err(Rejection::ClockSkew);
        }
        Ok(clock)
    }

    /// Returns the time by the database's clock, when this machine's agrees with it.
    pub(crate) fn unix_seconds(&self, now: &Mark) -> Option<u64> {
        let clock = self.agreed_clock(now).ok()?;
        Some(clock.unix_seconds(now))
    }

    /// Returns the rejection of a gate that is not ready.
    pub(crate) fn unavailable(&self, now: &Mark) -> Rejection {
        if self.usable_view().is_err() {
            return Rejection::Unready;
        }
        match self.agreed_clock(now) {
            Err(Rejection::ClockSkew) => Rejection::ClockSkew,
            _ => Rejection::Unready,
        }
    }

    /// Checks `iat` and `exp` by the database's clock, which gave the token its times.
    ///
    /// So a machine with a wrong clock neither accepts an expired token nor refuses a valid one.
    #[inline]
    pub(crate) fn check_time<C: TokenClaims>(
        &self,
        identity: &Verified<C>,
        now: &Mark,
    ) -> Result<(), Rejection> {
        // A gate with a wrong clock may be wrong about the time since the beat as well.
        let clock = self.agreed_clock(now)?;
        let Err(rejection) = check_time(identity, clock.unix_seconds(now)) else {
            return Ok(());
        };
        // Between a step of the wall clock and the next beat the two clocks of this machine disagree. A token that one
        // of them finds good is neither accepted nor called dead.
        match check_time(identity, clock.unstepped_unix_seconds(now)) {
            Ok(()) if clock.was_stepped(now) => Err(Rejection::ClockSkew),
            _ => Err(rejection),
        }
    }

    #[inline]
    pub(crate) fn freshness(&self, now: &Mark, max_staleness: Duration) -> Freshness {
        if self.usable_view().is_err() {
            return Freshness::Unready {
                reason: self.unready.unwrap_or(NO_VIEW),
            };
        }
        let Some(proof) = self.fresh_as_of else {
            return Freshness::Unready {
                reason: self.unproved,
            };
        };
        // A proof by clocks that disagree could be older than it looks.
        if self.agreed_clock(now).is_err() {
            return Freshness::Unready {
                reason: "the clocks of this machine and of the database differ",
            };
        }

        let age = now.since(&proof);
        if age <= max_staleness {
            Freshness::Fresh { age }
        } else {
            Freshness::Stale { age }
        }
    }
}
