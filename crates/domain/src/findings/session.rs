//! Findings about a session while it lives.

// `core::net` has addresses without the sockets of `std::net`.
use core::net::IpAddr;
use std::{collections::BTreeSet, time::Duration};

use super::{Finding, FindingCode};
use crate::{
    Cause, Micros,
    place::{Place, prefix},
};

/// The age from which a session is very old. The lowest assurance level of NIST SP 800-63B (4.1.3) asks for a new
/// authentication within it.
pub const OLD_SESSION_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// A session as the rules see it.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionObservation {
    /// The time of the sign-in.
    pub created: Micros,
    /// Whether the session is alive.
    pub active: bool,
    /// The cause of its end.
    pub ended_by: Option<Cause>,
    /// The place of the sign-in.
    pub opened_in: Place,
    /// The address of the sign-in.
    pub opened_from: Option<IpAddr>,
    /// The network of the other version of IP, in which the device was seen before the sign-in. Empty: none.
    pub opened_beside: String,
    /// The place of the last use.
    pub used_in: Place,
    /// The address of the last use.
    pub used_from: Option<IpAddr>,
    /// Whether two clients presented the same refresh token.
    pub refresh_token_shared: bool,
}

impl SessionObservation {
    /// The findings at `now`, without those in `disabled`.
    #[must_use]
    pub fn findings(&self, now: Micros, disabled: &BTreeSet<FindingCode>) -> Vec<Finding> {
        let mut findings = Vec::new();
        findings.extend(self.old_session(now));
        findings.extend(self.country_changed());
        findings.extend(self.refresh_token_reused());
        findings.extend(self.refresh_token_shared());
        // Filtered last, so that a rule need not know whether it is switched off.
        findings.retain(|finding| !disabled.contains(&finding.code));
        findings
    }

    fn old_session(&self, now: Micros) -> Option<Finding> {
        let age = now.since(self.created);
        // The age of a session that is over says nothing about the user's safety.
        if !self.active || age <= OLD_SESSION_AGE {
            return None;
        }
        let days = age.as_secs() / SECONDS_PER_DAY;
        Some(Finding::new(
            FindingCode::OldSession,
            [("age_days", days.to_string())],
        ))
    }

    fn country_changed(&self) -> Option<Finding> {
        let from = &self.opened_in.country;
        let to = &self.used_in.country;
        // An unknown country proves no move.
        if from.is_empty() || to.is_empty() || from == to || self.is_where_it_was_opened() {
            return None;
        }
        let ip = self.used_from.map(|ip| ip.to_string()).unwrap_or_default();
        let facts = [("from", from.clone()), ("to", to.clone()), ("ip", ip)];
        Some(Finding::new(FindingCode::CountryChanged, facts))
    }

    /// Whether the session is used in the network of its sign-in, or in the other network of that household. Neither
    /// travels: its place became another one because the database did.
    fn is_where_it_was_opened(&self) -> bool {
        let Some(used_from) = self.used_from.map(prefix) else {
            return false;
        };
        self.opened_from.map(prefix).as_ref() == Some(&used_from) || self.opened_beside == used_from
    }

    fn refresh_token_reused(&self) -> Option<Finding> {
        if self.ended_by != Some(Cause::RefreshTokenReused) {
            return None;
        }
        Some(Finding::new(FindingCode::RefreshTokenReused, []))
    }

    fn refresh_token_shared(&self) -> Option<Finding> {
        if !self.refresh_token_shared {
            return None;
        }
        Some(Finding::new(FindingCode::RefreshTokenShared, []))
    }
}
