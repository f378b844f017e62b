//! Search forms and the heads of tables, as templates draw them.

use super::controls::Field;

/// A form that searches.
pub(super) struct SearchForm {
    pub(super) action: &'static str,
    pub(super) title: String,
    pub(super) fields: Vec<Field>,
    /// The order of the list, which a new search keeps.
    pub(super) order: i32,
    /// Whether a field has no valid value, so that nothing was searched.
    pub(super) is_wrong: bool,
}

/// The head of a column.
pub(super) struct Column {
    pub(super) label: String,
    /// The list in the order of this column. None: it has none.
    pub(super) sort_address: Option<String>,
    /// The value of `aria-sort`. None: the list cannot be sorted by it.
    pub(super) sorted: Option<&'static str>,
}

impl Column {
    pub(super) fn plain(label: String) -> Self {
        Self {
            label,
            sort_address: None,
            sorted: None,
        }
    }

    /// A column by which the list can be sorted, in the one direction that the contract has.
    pub(super) fn sorted(
        label: String,
        address: String,
        direction: &'static str,
        is_chosen: bool,
    ) -> Self {
        Self {
            label,
            sort_address: Some(address),
            sorted: Some(if is_chosen { direction } else { "none" }),
        }
    }
}
