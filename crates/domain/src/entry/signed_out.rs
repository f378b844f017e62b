//! The count of the sessions that a sign-out ended.

use portcullis_contract::id::UserId;

/// The sessions that a sign-out ended, where its entry counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignedOut {
    /// Active sessions, up to [`COUNTED_MAX`](Self::COUNTED_MAX).
    pub sessions: u32,
    /// Whether there may have been more.
    pub is_capped: bool,
    /// The named users who have never signed in, in the order of the entry.
    pub unknown: Vec<UserId>,
}

impl SignedOut {
    /// The most active sessions that are counted.
    pub const COUNTED_MAX: u32 = 1_000;
    /// The most sessions that are looked at for the count, ended ones included. The log waits meanwhile, so that the cost
    /// of a sign-out must not depend on the number of sessions.
    pub const EXAMINED_MAX: u32 = 5_000;
    /// The name of the detail in the audit trail.
    pub const DETAIL: &'static str = "sessions_ended";

    /// The number as the audit trail keeps it.
    #[must_use]
    pub fn detail(&self) -> String {
        let more = if self.is_capped { "+" } else { "" };
        format!("{}{more}", self.sessions)
    }

    /// Reads the number that the audit trail has kept. The unknown users are not kept.
    #[must_use]
    pub fn from_detail(detail: &str) -> Option<Self> {
        let number = detail.strip_suffix('+');
        Some(Self {
            sessions: number.unwrap_or(detail).parse().ok()?,
            is_capped: number.is_some(),
            unknown: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_ended_sessions_is_read_back() {
        for (detail, sessions, is_capped) in
            [("0", 0, false), ("7", 7, false), ("1000+", 1_000, true)]
        {
            let ended = SignedOut {
                sessions,
                is_capped,
                unknown: vec![],
            };
            assert_eq!(ended.detail(), detail);
            assert_eq!(SignedOut::from_detail(detail), Some(ended));
        }
        assert_eq!(SignedOut::from_detail("many"), None);
        assert_eq!(SignedOut::from_detail("+"), None);
    }
}
