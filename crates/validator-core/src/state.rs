//! What every check reads: one immutable snapshot, replaced whole.

use std::{sync::Arc, time::Duration};

use portcullis_contract::{
    token::{TokenClaims, Verified},
    verdict::{Rejection, check_revocations, check_time},
    view::View,
};

use crate::{clock::Mark, database_clock::DatabaseClock};

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

/// What a validator enforces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) mode: Mode,
    pub(crate) max_staleness: Duration,
    /// How far this machine's clock may be from the database's.
    pub(crate) clock_skew_max: Duration,
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
    /// The database's clock, as of the newest beat.
    pub(crate) database_clock: Option<DatabaseClock>,
    /// How far this machine's clock may be from it.
    pub(crate) clock_skew_max: Duration,
    /// Why there is no proof, while there is none.
    pub(crate) unproved: &'static str,
    /// Why the view may not be used, whatever its age.
    pub(crate) unready: Option<&'static str>,
}

impl State {
    pub(crate) fn new(clock_skew_max: Duration) -> Self {
        Self {
            database_clock: None,
            clock_skew_max,
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

    /// The database's clock, when this machine's agrees with it.
    #[inline]
    fn agreed_clock(&self, now: &Mark) -> Result<&DatabaseClock, Rejection> {
        let clock = self.database_clock.as_ref().ok_or(Rejection::Unready)?;
        if clock.skew(now).exceeds(self.clock_skew_max) {
            return Err(Rejection::ClockSkew);
        }
        Ok(clock)
    }

    /// The rejection of a gate that is not ready.
    pub(crate) fn unavailable(&self, now: &Mark) -> Rejection {
        let skewed =
            self.usable_view().is_ok() && self.agreed_clock(now) == Err(Rejection::ClockSkew);
        if skewed {
            Rejection::ClockSkew
        } else {
            Rejection::Unready
        }
    }

    /// Whether it is the time of the identity's token. The database's clock decides, which gave the token its times: a
    /// machine with a wrong clock neither accepts what has expired nor refuses what has not.
    #[inline]
    pub(crate) fn check_time<C: TokenClaims>(
        &self,
        identity: &Verified<C>,
        now: &Mark,
    ) -> Result<(), Rejection> {
        let clock = self.agreed_clock(now)?;
        let Err(rejection) = check_time(identity, clock.unix_seconds(now)) else {
            return Ok(());
        };
        // Between a step of the wall clock and the next beat, only what both clocks say is known of the token.
        match check_time(identity, clock.unstepped_unix_seconds(now)) {
            Ok(()) if clock.was_stepped(now) => Err(Rejection::ClockSkew),
            _ => Err(rejection),
        }
    }

    pub(crate) fn freshness(&self, now: &Mark, max_staleness: Duration) -> Freshness {
        match (self.usable_view(), self.fresh_as_of) {
            (Err(_), _) => Freshness::Unready {
                reason: self.unready.unwrap_or("no view yet"),
            },
            (Ok(_), None) => Freshness::Unready {
                reason: self.unproved,
            },
            (Ok(_), Some(_)) if self.agreed_clock(now).is_err() => Freshness::Unready {
                reason: "the clocks of this machine and of the database differ",
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
