//! Ids: those that callers choose (tenants, users) and those that the authority makes (sessions, API keys, events).

use std::{fmt, str::FromStr};

use type_safe_id::{StaticType, TypeSafeId};
use uuid::Uuid;

use crate::text::{Text, TextError};

/// The longest tenant or user id, in bytes.
pub const CALLER_ID_BYTES_MAX: usize = 128;

macro_rules! caller_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Text<CALLER_ID_BYTES_MAX>);

        impl $name {
            /// Parses an id.
            ///
            /// # Errors
            /// When it is empty, longer than [`CALLER_ID_BYTES_MAX`], or has control characters.
            pub fn parse(id: impl Into<String>) -> Result<Self, TextError> {
                let text = Text::parse(id)?;
                if text.is_empty() {
                    return Err(TextError::Empty);
                }
                Ok(Self(text))
            }

            /// The id as the caller wrote it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

caller_id! {
    /// One customer's team, school or company, by the caller's own id: 1 to 128 bytes, no control characters.
    TenantId
}
caller_id! {
    /// A person of one tenant, by the caller's own id: 1 to 128 bytes, no control characters.
    UserId
}

macro_rules! type_id {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $prefix:literal, $expected:literal) => {
        // The kind is part of the type: a session id cannot be passed where an API key id is expected.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        struct $kind;

        impl StaticType for $kind {
            const TYPE: &'static str = $prefix;
        }

        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(TypeSafeId<$kind>);

        impl $name {
            /// Makes a new id. Ids sort by the time of their making (UUIDv7).
            #[must_use]
            pub fn generate() -> Self {
                Self(TypeSafeId::from_uuid(Uuid::now_v7()))
            }

            /// Returns the id of these 16 bytes.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(TypeSafeId::from_uuid(Uuid::from_bytes(bytes)))
            }

            /// The 16 bytes of the UUID.
            #[must_use]
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.uuid().into_bytes()
            }
        }

        impl FromStr for $name {
            type Err = TextError;

            fn from_str(text: &str) -> Result<Self, TextError> {
                // The callers' error tells an absent id from a wrong one.
                if text.is_empty() {
                    return Err(TextError::Empty);
                }
                match text.parse() {
                    Ok(id) => Ok(Self(id)),
                    Err(_) => Err(TextError::Malformed { expected: $expected }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

type_id! {
    /// One sign-in on one device: `ses_` and a UUIDv7 in base 32.
    SessionId, SessionKind, "ses", "a session id (ses_ and 26 characters)"
}
type_id! {
    /// One credential of a program: `key_` and a UUIDv7 in base 32.
    ApiKeyId, ApiKeyKind, "key", "an API key id (key_ and 26 characters)"
}
type_id! {
    /// One entry of the audit trail: `evt_` and a UUIDv7 in base 32.
    EventId, EventKind, "evt", "an event id (evt_ and 26 characters)"
}

macro_rules! serial {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);
    };
}

serial! {
    /// The dense number of a credential: an index, never a secret. 0 is no credential.
    Serial
}
serial! {
    /// The dense number of a user, unique over all tenants.
    UserSerial
}
serial! {
    /// The dense number of a tenant.
    TenantSerial
}
