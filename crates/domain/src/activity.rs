//! What gates saw of sessions.

use std::time::Duration;

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::{Micros, place::Place};

/// What a gate saw of one session since its last report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionActivity {
    /// The session's tenant.
    pub tenant_id: TenantId,
    /// The session.
    pub session_id: SessionId,
    /// Requests.
    pub requests: u64,
    /// From the last of them to the report, by the gate's own clock.
    pub age: Duration,
    /// The address of the last; empty: unknown.
    pub ip: String,
    /// The path of the last, without its query; empty: unknown.
    pub page: String,
}

impl SessionActivity {
    /// This and what the same report says of the same session elsewhere: a session may have several tokens.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        let requests = self.requests.saturating_add(other.requests);
        let (newer, older) = if other.age < self.age {
            (other, self)
        } else {
            (self, other)
        };
        let known = |newer: String, older: String| if newer.is_empty() { older } else { newer };
        Self {
            requests,
            ip: known(newer.ip, older.ip),
            page: known(newer.page, older.page),
            ..newer
        }
    }
}

/// A session that a report shows elsewhere than before, or for the first time at a great age.
#[derive(Clone, Debug, PartialEq)]
pub struct MovedSession {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The session.
    pub id: SessionId,
    /// Its user.
    pub user_id: UserId,
    /// When it was opened.
    pub created: Micros,
    /// Where it was opened.
    pub opened_in: Place,
    /// Its use as it was known before the report.
    pub before: LastUse,
    /// Its use as the report says.
    pub after: LastUse,
}

/// The last that is known of a session's use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// When.
    pub at: Micros,
    /// From which address; empty: where it was opened.
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
}
