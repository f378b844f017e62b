//! The export of everything that is held about a user.

use portcullis_contract::id::{ApiKeyId, EventId, SessionId};

use super::Micros;

/// A kind of record. An export has them in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportKind {
    /// The user: names, roles, times.
    User,
    /// The user's own values in the policy of the tenant.
    Policy,
    /// A session, ended or not.
    Session,
    /// A device, country, city or network of earlier sign-ins.
    KnownSignIn,
    /// An API key that the user owns.
    ApiKey,
    /// The requests of an API key in one hour.
    ApiKeyUse,
    /// An event of the audit trail about the user.
    EventAbout,
    /// An event of the audit trail whose author is the user.
    EventBy,
}

impl ExportKind {
    const ALL: [Self; 8] = [
        Self::User,
        Self::Policy,
        Self::Session,
        Self::KnownSignIn,
        Self::ApiKey,
        Self::ApiKeyUse,
        Self::EventAbout,
        Self::EventBy,
    ];

    /// The number of the kind, for the position of a page.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The kind with a number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The kind after this one. None: this is the last one.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        Self::from_code(self.code() + 1)
    }
}

/// A value of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportedValue {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// A time.
    Time(Micros),
    /// The id of a session.
    Session(SessionId),
    /// The id of an API key.
    ApiKey(ApiKeyId),
    /// The id of an event.
    Event(EventId),
}

/// A record about a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedRecord {
    /// The kind.
    pub kind: ExportKind,
    /// The fields that have a value, by name.
    pub fields: Vec<(String, ExportedValue)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_follow_each_other_to_the_last() {
        let mut kind = ExportKind::User;
        let mut seen = vec![kind];
        while let Some(next) = kind.next() {
            kind = next;
            seen.push(kind);
        }
        assert_eq!(seen, ExportKind::ALL);
    }

    #[test]
    fn a_kind_is_found_by_its_own_number_only() {
        for kind in ExportKind::ALL {
            assert_eq!(ExportKind::from_code(kind.code()), Some(kind));
        }
        assert_eq!(ExportKind::from_code(8), None);
    }
}
