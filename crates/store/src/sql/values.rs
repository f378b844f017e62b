//! Many rows as parameters of one statement.

use super::{columns::WriteRow, value::Value};

/// The most rows of one statement: PostgreSQL takes 65,535 parameters, SQLite 32,766.
pub(super) const ROWS_MAX: usize = 1_024;

/// The rows of a `VALUES` list, which are the first parameters of a statement.
pub(super) struct ValueRows {
    names: &'static [&'static str],
    /// `($1, $2), ($3, $4), …`
    tuples: String,
    params: Vec<Value>,
}

impl ValueRows {
    /// Repeats the last row until the number of rows is a power of two, so that a few prepared statements serve batches
    /// of every size. The statement must tolerate the repeated row.
    pub(super) fn new<R: WriteRow>(rows: impl IntoIterator<Item = R>) -> Self {
        let width = R::NAMES.len();
        let mut params: Vec<Value> = rows.into_iter().flat_map(R::into_values).collect();
        let rows = params.len() / width;
        let last = params[params.len().saturating_sub(width)..].to_vec();
        for _ in rows..rows.next_power_of_two() {
            params.extend_from_slice(&last);
        }
        Self::of_params(R::NAMES, params)
    }

    /// Splits rows into lists whose lengths are powers of two, for a statement that must not see a row twice.
    pub(super) fn in_powers_of_two<R: WriteRow>(rows: impl IntoIterator<Item = R>) -> Vec<Self> {
        let mut rows: Vec<R> = rows.into_iter().collect();
        let mut lists = Vec::new();
        while let Some(power) = rows.len().min(ROWS_MAX).checked_ilog2() {
            let rest = rows.split_off(1 << power);
            let params = rows.into_iter().flat_map(R::into_values).collect();
            lists.push(Self::of_params(R::NAMES, params));
            rows = rest;
        }
        lists
    }

    fn of_params(names: &'static [&'static str], params: Vec<Value>) -> Self {
        // Each value is a parameter, never text in the statement: nothing has to be escaped, and the
        // statement can be prepared once for all values.
        let width = names.len();
        let rows = params.len() / width;
        let tuples: Vec<_> = (0..rows).map(|row| tuple(row * width, width)).collect();
        Self {
            names,
            tuples: tuples.join(", "),
            params,
        }
    }

    /// The beginning of a statement that takes the rows from `v`: `WITH v (name, …) AS (VALUES …)`.
    pub(super) fn with_v(&self) -> String {
        // SQLite can name the columns of a `VALUES` list only in a `WITH` clause. Both engines
        // merge it into the one place that reads `v`, so that it costs nothing.
        let names = self.names.join(", ");
        let tuples = &self.tuples;
        format!("WITH v ({names}) AS (VALUES {tuples})")
    }

    /// The rows as the right side of `(a, b) IN …`.
    pub(super) fn list(&self) -> String {
        format!("(VALUES {})", self.tuples)
    }

    /// The rows as the list of `a IN (…)`, for rows of one column.
    pub(super) fn tuples(&self) -> &str {
        &self.tuples
    }

    /// Adds a parameter after the rows, and returns its name.
    pub(super) fn push(&mut self, value: impl Into<Value>) -> String {
        self.params.push(value.into());
        format!("${}", self.params.len())
    }

    pub(super) fn params(&self) -> &[Value] {
        &self.params
    }

    pub(super) fn into_params(self) -> Vec<Value> {
        self.params
    }
}

/// `($4, $5, $6)`: `width` parameters after the first `before`.
fn tuple(before: usize, width: usize) -> String {
    let names: Vec<_> = (before + 1..=before + width)
        .map(|number| format!("${number}"))
        .collect();
    format!("({})", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::columns::columns;

    columns! {
        /// Two columns.
        Pair { first, second }
    }

    fn pairs(count: i64) -> Vec<Pair<Value>> {
        let pair = |number: i64| Pair {
            first: number.into(),
            second: (-number).into(),
        };
        (1..=count).map(pair).collect()
    }

    #[test]
    fn the_number_of_rows_is_rounded_up_by_repeating_the_last() {
        let mut rows = ValueRows::new(pairs(3));
        assert_eq!(
            rows.with_v(),
            "WITH v (first, second) AS (VALUES ($1, $2), ($3, $4), ($5, $6), ($7, $8))"
        );
        assert_eq!(rows.params()[6..], rows.params()[4..6]);
        assert_eq!(rows.push(7_i64), "$9");
    }

    #[test]
    fn rows_that_must_not_repeat_go_out_in_lists_of_a_power_of_two() {
        let lists = ValueRows::in_powers_of_two(pairs(7));
        let lengths: Vec<_> = lists.iter().map(|list| list.params().len() / 2).collect();
        assert_eq!(lengths, [4, 2, 1]);
        assert!(ValueRows::new(pairs(0)).params().is_empty());
    }
}
