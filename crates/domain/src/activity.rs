//! Use of sessions, as gates report it.

use std::time::Duration;

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::{Micros, place::Place};

/// The use of one session that a gate saw since its last report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionActivity {
    /// The session's tenant.
    pub tenant_id: TenantId,
    /// The session.
    pub session_id: SessionId,
    /// The number of requests.
    pub requests: u64,
    /// The time from the last request to the report, by the gate's own clock.
    pub age: Duration,
    /// The address of the last request. Empty when unknown.
    pub ip: String,
    /// The path of the last request, without its query. Empty when unknown.
    pub page: String,
}

impl SessionActivity {
    /// Adds another part of the same report about the same session. A session may have several tokens, and a gate counts
    /// by token.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        // The numbers come from a gate and are not trusted to fit.
        let requests = self.requests.saturating_add(other.requests);
        // Both ages come from one report and by one gate's clock, so they can be compared.
        let (newer, older) = if other.age < self.age {
            (other, self)
        } else {
            (self, other)
        };

        // The newer request may come from a token whose requests carry no address or page.
        Self {
            requests,
            ip: first_known(newer.ip, older.ip),
            page: first_known(newer.page, older.page),
            ..newer
        }
    }
}

fn first_known(newer: String, older: String) -> String {
    if newer.is_empty() { older } else { newer }
}

/// A session that a report shows at another address than before, or for the first time at a great age.
#[derive(Clone, Debug, PartialEq)]
pub struct MovedSession {
    /// The session's tenant.
    pub tenant_id: TenantId,
    /// The session.
    pub id: SessionId,
    /// The session's user.
    pub user_id: UserId,
    /// When the session was opened.
    pub created: Micros,
    /// The place of its sign-in.
    pub opened_in: Place,
    /// The address of its sign-in. Empty when unknown.
    pub opened_from: String,
    /// The network beside it ([`Sight::network_beside`](super::Sight::network_beside)).
    pub opened_beside: String,
    /// The last use before the report.
    pub before: LastUse,
    /// The last use that the report shows.
    pub after: LastUse,
}

/// The last known use of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// The time of the request.
    pub at: Micros,
    /// The address of the request. Empty: the address of the sign-in.
    pub ip: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_of_two_counts_and_says_what_it_knows() {
        let activity = |requests, age, ip: &str, page: &str| SessionActivity {
            tenant_id: TenantId::parse("t").expect("an id"),
            session_id: SessionId::from_bytes([1; 16]),
            requests,
            age: Duration::from_secs(age),
            ip: ip.into(),
            page: page.into(),
        };
        let (newer, older) = (
            activity(2, 1, "", "/new"),
            activity(3, 9, "10.0.0.1", "/old"),
        );
        let expected = activity(5, 1, "10.0.0.1", "/new");
        assert_eq!(newer.clone().merged(older.clone()), expected);
        assert_eq!(older.merged(newer), expected);
    }

    #[test]
    fn what_is_unknown_is_taken_from_the_older_one() {
        let activity = |age, ip: &str, page: &str| SessionActivity {
            tenant_id: TenantId::parse("t").expect("an id"),
            session_id: SessionId::from_bytes([1; 16]),
            requests: u64::MAX,
            age: Duration::from_secs(age),
            ip: ip.into(),
            page: page.into(),
        };
        let merged = activity(1, "10.0.0.2", "").merged(activity(9, "10.0.0.1", "/old"));
        assert_eq!(merged, activity(1, "10.0.0.2", "/old"));
        // Of two of the same age the first one counts.
        let merged = activity(1, "10.0.0.2", "").merged(activity(1, "10.0.0.1", ""));
        assert_eq!(merged.ip, "10.0.0.2");
    }
}
