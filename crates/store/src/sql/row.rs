//! Rows of an answer, and how their columns are read.

use portcullis_contract::{
    id::{Serial, SessionId, TenantId, UserId},
    position::Revision,
};
use serde::de::DeserializeOwned;

use super::{columns::Column, value::Value};
use crate::StoreError;
use portcullis_domain::Micros;

/// One row of an answer.
#[derive(Debug)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// An integer.
    pub fn int(&self, column: Column) -> Result<i64, StoreError> {
        self.optional_int(column)?.ok_or_else(|| unexpected(column))
    }

    /// An integer that is at least 0: a serial, a revision, a generation, a count.
    pub fn unsigned(&self, column: Column) -> Result<u64, StoreError> {
        u64::try_from(self.int(column)?).map_err(|_| unexpected(column))
    }

    /// An integer or null.
    pub fn optional_int(&self, column: Column) -> Result<Option<i64>, StoreError> {
        match self.value(column)? {
            Value::Int(value) => Ok(*value),
            value if value.is_null() => Ok(None),
            _ => Err(unexpected(column)),
        }
    }

    /// A text. Null reads as the empty text.
    pub fn text(&self, column: Column) -> Result<String, StoreError> {
        match self.value(column)? {
            Value::Text(Some(value)) => Ok(value.clone()),
            value if value.is_null() => Ok(String::new()),
            _ => Err(unexpected(column)),
        }
    }

    /// Bytes or null.
    pub fn optional_blob(&self, column: Column) -> Result<Option<&[u8]>, StoreError> {
        match self.value(column)? {
            Value::Blob(value) => Ok(value.as_deref()),
            value if value.is_null() => Ok(None),
            _ => Err(unexpected(column)),
        }
    }

    /// Bytes.
    pub fn blob(&self, column: Column) -> Result<&[u8], StoreError> {
        self.optional_blob(column)?
            .ok_or_else(|| unexpected(column))
    }

    /// Bytes of a known length.
    pub fn array<const N: usize>(&self, column: Column) -> Result<[u8; N], StoreError> {
        let bytes = self.blob(column)?;
        bytes.try_into().map_err(|_| unexpected(column))
    }

    /// Bytes of a known length, or null.
    pub(super) fn optional_array<const N: usize>(
        &self,
        column: Column,
    ) -> Result<Option<[u8; N]>, StoreError> {
        match self.optional_blob(column)? {
            Some(_) => Ok(Some(self.array(column)?)),
            None => Ok(None),
        }
    }

    /// A number that stands for true unless it is 0. Null is false.
    pub(super) fn is_true(&self, column: Column) -> Result<bool, StoreError> {
        Ok(self.optional_int(column)?.unwrap_or_default() != 0)
    }

    /// A count, capped at the greatest `u32`.
    pub(super) fn count(&self, column: Column) -> Result<u32, StoreError> {
        Ok(u32::try_from(self.int(column)?).unwrap_or(u32::MAX))
    }

    pub(super) fn time(&self, column: Column) -> Result<Micros, StoreError> {
        Ok(Micros(self.int(column)?))
    }

    pub(super) fn optional_time(&self, column: Column) -> Result<Option<Micros>, StoreError> {
        Ok(self.optional_int(column)?.map(Micros))
    }

    pub(super) fn serial(&self, column: Column) -> Result<Serial, StoreError> {
        Ok(Serial(self.unsigned(column)?))
    }

    pub(super) fn revision(&self, column: Column) -> Result<Revision, StoreError> {
        Ok(Revision(self.unsigned(column)?))
    }

    pub(super) fn tenant_id(&self, column: Column) -> Result<TenantId, StoreError> {
        TenantId::parse(self.text(column)?).map_err(|_| unexpected(column))
    }

    pub(super) fn user_id(&self, column: Column) -> Result<UserId, StoreError> {
        UserId::parse(self.text(column)?).map_err(|_| unexpected(column))
    }

    pub(super) fn session_id(&self, column: Column) -> Result<SessionId, StoreError> {
        Ok(SessionId::from_bytes(self.array(column)?))
    }

    /// A text that is JSON.
    pub(super) fn json<T: DeserializeOwned>(&self, column: Column) -> Result<T, StoreError> {
        match self.value(column)? {
            Value::Text(Some(text)) => serde_json::from_str(text).map_err(|_| unexpected(column)),
            _ => Err(unexpected(column)),
        }
    }

    /// A value as it is, to be sent back in another statement.
    pub(super) fn value(&self, column: Column) -> Result<&Value, StoreError> {
        self.0
            .get(column.position)
            .ok_or_else(|| unexpected(column))
    }
}

/// The one row of a table that always has one, or of an answer that always has one.
pub(super) fn only_row<'a>(rows: &'a [Row], table: &str) -> Result<&'a Row, StoreError> {
    rows.first()
        .ok_or_else(|| StoreError::Internal(format!("{table} has no row")))
}

fn unexpected(column: Column) -> StoreError {
    let name = column.name;
    StoreError::Internal(format!("column {name} has an unexpected value"))
}
