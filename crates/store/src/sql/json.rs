//! Columns of JSON, which are text.

use serde::Serialize;

/// The text of a value for a column of JSON. [`Row::json`](super::row::Row::json) reads it.
pub(super) fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("no key but texts, no number but integers")
}
