//! What a session shows while it lives.

// Addresses without the sockets of `std::net`.
use core::net::IpAddr;
use std::{collections::BTreeSet, time::Duration};

use super::{Finding, FindingCode};
use crate::{Cause, Micros, place::Place};

/// A session older than this is very old: the lowest assurance level of NIST SP 800-63B (4.1.3) asks for a new
/// authentication within it.
pub const OLD_SESSION_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A session, as the rules see it.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionObservation {
    /// When it was opened.
    pub created: Micros,
    /// Whether it can still be used.
    pub active: bool,
    /// Why it was ended, if it was.
    pub ended_by: Option<Cause>,
    /// Where it was opened.
    pub opened_in: Place,
    /// Where it was last used.
    pub used_in: Place,
    /// The address it was last used from.
    pub used_from: Option<IpAddr>,
    /// Whether two clients presented the same refresh token.
    pub refresh_token_shared: bool,
}

impl SessionObservation {
    /// What the rules find about it at `now`, but for those that are `disabled`.
    #[must_use]
    pub fn findings(&self, now: Micros, disabled: &BTreeSet<FindingCode>) -> Vec<Finding> {
        let found = [
            self.old_session(now),
            self.country_changed(),
            self.refresh_token_reused(),
            self.refresh_token_shared(),
        ];
        found
            .into_iter()
            .flatten()
            .filter(|finding| !disabled.contains(&finding.code))
            .collect()
    }

    fn old_session(&self, now: Micros) -> Option<Finding> {
        let age = now.since(self.created);
        let days = age.as_secs() / (24 * 60 * 60);
        let old = self.active && age > OLD_SESSION_AGE;
        old.then(|| Finding::new(FindingCode::OldSession, [("age_days", days.to_string())]))
    }

    fn country_changed(&self) -> Option<Finding> {
        let (from, to) = (&self.opened_in.country, &self.used_in.country);
        let changed = !from.is_empty() && !to.is_empty() && from != to;
        let ip = self.used_from.map(|ip| ip.to_string()).unwrap_or_default();
        let facts = || [("from", from.clone()), ("to", to.clone()), ("ip", ip)];
        changed.then(|| Finding::new(FindingCode::CountryChanged, facts()))
    }

    fn refresh_token_reused(&self) -> Option<Finding> {
        let reused = self.ended_by == Some(Cause::RefreshTokenReused);
        reused.then(|| Finding::new(FindingCode::RefreshTokenReused, []))
    }

    fn refresh_token_shared(&self) -> Option<Finding> {
        self.refresh_token_shared
            .then(|| Finding::new(FindingCode::RefreshTokenShared, []))
    }
}
