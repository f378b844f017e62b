//! Columns by name.
//!
//! `columns!` declares a list of columns as a struct with a field for each:
//!
//! ```ignore
//! columns! {
//!     /// The last report of a gate.
//!     GateColumns { gate_id, heard_us }
//! }
//! ```
//!
//! Everything that has to agree on the order of the columns comes from this one list:
//!
//! - `GateColumns::names()` and `GateColumns::of("g")` are `gate_id, heard_us` and `g.gate_id, g.heard_us`, for SELECT,
//!   INSERT and RETURNING.
//! - `GateColumns { gate_id: value, heard_us: value }` is a row to write, for [`ValueRows`](super::values::ValueRows).
//!   A missing column does not compile.
//! - `GateColumns { gate_id: "g.gate_id", heard_us: "…" }.select()` selects expressions under these names.
//! - `row.int(GateColumns::AT.heard_us)` reads a [`Row`](super::row::Row). The compiler turns the name into a position,
//!   so reading by name costs nothing when the statement runs.
//!
//! `EndColumns after SessionColumns { … }` declares the columns that follow those of another list in the same answer.

use super::value::Value;

/// The position of a column in the rows of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub(super) position: usize,
    pub(super) name: &'static str,
}

/// The column of an answer that has one column.
pub const ONLY: Column = Column::nth(0);

impl Column {
    /// The column at a position, for a statement that is written by hand.
    #[must_use]
    pub const fn nth(position: usize) -> Self {
        Self {
            position,
            name: "(unnamed)",
        }
    }

    pub(super) const fn named(position: usize, name: &'static str) -> Self {
        Self { position, name }
    }
}

/// A row to write: a value for each column of a list.
pub(super) trait WriteRow {
    /// The columns, in the order of the values.
    const NAMES: &'static [&'static str];

    /// The values, in the order of the list.
    fn into_values(self) -> Vec<Value>;
}

/// Declares a list of columns. The page of this module explains its uses.
macro_rules! columns {
    ($(#[$doc:meta])* $List:ident { $($column:ident),+ $(,)? }) => {
        columns!(@starts_at 0; $(#[$doc])* $List { $($column),+ });
    };
    ($(#[$doc:meta])* $List:ident after $Previous:ident { $($column:ident),+ $(,)? }) => {
        columns!(@starts_at $Previous::END; $(#[$doc])* $List { $($column),+ });
    };
    (@starts_at $start:expr; $(#[$doc:meta])* $List:ident { $($column:ident),+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $List<T> {
            $(pub(crate) $column: T,)+
        }

        // Some lists are only read and some only written.
        #[allow(dead_code)]
        impl $List<$crate::sql::columns::Column> {
            const NAMES: &'static [&'static str] = &[$(stringify!($column)),+];

            /// The position after the last column.
            pub(crate) const END: usize = $start + Self::NAMES.len();

            /// The positions of the columns in answers.
            pub(crate) const AT: Self = {
                // A macro cannot count its repetitions. The compiler numbers the variants of an
                // enum.
                #[allow(non_camel_case_types)]
                enum Position { $($column),+ }
                Self {
                    $($column: $crate::sql::columns::Column::named(
                        $start + Position::$column as usize,
                        stringify!($column),
                    ),)+
                }
            };

            /// The columns, separated by commas.
            pub(crate) fn names() -> String {
                Self::NAMES.join(", ")
            }

            /// The columns of a table or its alias, separated by commas.
            pub(crate) fn of(table: &str) -> String {
                let columns: Vec<_> = Self::NAMES.iter().map(|name| format!("{table}.{name}")).collect();
                columns.join(", ")
            }
        }

        #[allow(dead_code)]
        impl<T: std::fmt::Display> $List<T> {
            /// The expressions in the order of the list, each under the name of its column.
            pub(crate) fn select(&self) -> String {
                let columns = [$(format!("{} AS {}", self.$column, stringify!($column))),+];
                columns.join(", ")
            }
        }

        impl $crate::sql::columns::WriteRow for $List<$crate::sql::value::Value> {
            const NAMES: &'static [&'static str] = &[$(stringify!($column)),+];

            fn into_values(self) -> Vec<$crate::sql::value::Value> {
                vec![$(self.$column),+]
            }
        }
    };
}
pub(crate) use columns;

#[cfg(test)]
mod tests {
    use crate::sql::row::Row;

    columns! {
        /// Two columns.
        Pair { first, second }
    }

    columns! {
        /// The column after them.
        Third after Pair { third }
    }

    #[test]
    fn a_list_names_selects_and_reads_its_columns() {
        assert_eq!(Pair::names(), "first, second");
        assert_eq!(Pair::of("t"), "t.first, t.second");
        let expressions = Pair {
            first: "1",
            second: "2",
        };
        assert_eq!(expressions.select(), "1 AS first, 2 AS second");

        let row = Row(vec![1_i64.into(), 2_i64.into(), 3_i64.into()]);
        assert_eq!(row.int(Pair::AT.second).expect("a number"), 2);
        assert_eq!(row.int(Third::AT.third).expect("a number"), 3);
        let refused = row.text(Pair::AT.first).expect_err("not a text");
        assert!(refused.to_string().contains("column first"), "{refused}");
    }
}
