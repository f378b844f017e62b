//! Values of parameters and columns.

use std::time::Duration;

use portcullis_contract::{
    id::{ApiKeyId, EventId, Serial, SessionId, TenantId, UserId, UserSerial},
    position::Revision,
};

use portcullis_domain::{Micros, time::span};

/// A value of a parameter or a column. A null has a type, because PostgreSQL asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// 64 bits.
    Int(Option<i64>),
    /// UTF-8.
    Text(Option<String>),
    /// Bytes.
    Blob(Option<Vec<u8>>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(Some(value.into()))
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        // Serials and revisions start at 1 and grow by one; 2^63 of them are out of reach.
        Self::Int(Some(i64::try_from(value).unwrap_or(i64::MAX)))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(Some(value))
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Blob(Some(value.to_vec()))
    }
}

impl Value {
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Int(None) | Self::Text(None) | Self::Blob(None))
    }
}

macro_rules! value_from {
    ($($Type:ty: |$value:ident| $value_of:expr;)+) => {
        $(impl From<$Type> for Value {
            fn from($value: $Type) -> Self {
                $value_of
            }
        })+
    };
}

value_from! {
    &TenantId: |id| id.as_str().into();
    &UserId: |id| id.as_str().into();
    SessionId: |id| id.to_bytes()[..].into();
    ApiKeyId: |id| id.to_bytes()[..].into();
    EventId: |id| id.to_bytes()[..].into();
    Serial: |serial| serial.0.into();
    UserSerial: |serial| serial.0.into();
    Revision: |revision| revision.0.into();
    Duration: |duration| span(duration).into();
    Micros: |time| time.0.into();
    Option<Micros>: |time| Self::Int(time.map(|time| time.0));
    Option<SessionId>: |id| Self::Blob(id.map(|id| id.to_bytes().to_vec()));
}
