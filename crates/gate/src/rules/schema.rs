//! The JSON schema of the rules.

use super::model::Rules;

/// Returns the JSON schema of [`Rules`], for editors and for programs that write rules.
///
/// # Panics
/// Never: a schema is plain data.
#[must_use]
pub fn rules_schema() -> String {
    let schema = schemars::schema_for!(Rules);
    let mut text = serde_json::to_string_pretty(&schema).expect("plain data");
    text.push('\n');
    text
}
