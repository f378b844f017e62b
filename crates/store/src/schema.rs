//! The migrations of a version, and the comparison of a database with them.
//!
//! A later version may have migrated the database already. Its migrations only add (an expansion), so this version still
//! runs on it, until a contraction says otherwise: the table `compatibility` has the least schema that a version must know.
//! So authorities of two versions run side by side, and a version can be rolled back.

use std::{cmp::Ordering, fmt};

use portcullis_contract::delta::LOG_VERSION;
use refinery::Migration;

use crate::StoreError;

/// The first line of a migration that runs outside a transaction, a statement at a time, as `CREATE INDEX CONCURRENTLY`
/// has to. It must be repeatable: what it did before a failure stays.
const OUTSIDE_TRANSACTION: &str = "-- migration: outside a transaction";

/// The table that `refinery` keeps the applied migrations in.
pub(crate) const HISTORY: &str = "refinery_schema_history";

/// The statement that reads the applied migrations.
pub(crate) const APPLIED: &str = "SELECT version, checksum FROM refinery_schema_history";

/// The statement that reads what may run on the database. A database of schema 1 does not have the table.
pub(crate) const COMPATIBILITY: &str =
    "SELECT schema_from, log_version FROM compatibility WHERE id = 1";

/// The migrations of a version, in their order.
#[derive(Clone)]
pub struct Schema {
    migrations: Vec<Migration>,
}

impl fmt::Debug for Schema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Schema({})", self.version())
    }
}

impl Schema {
    pub(crate) fn new(migrations: &[Migration]) -> Self {
        let mut migrations = migrations.to_vec();
        migrations.sort();
        Self { migrations }
    }

    /// The number of the last migration.
    #[must_use]
    pub fn version(&self) -> i32 {
        self.migrations.last().map_or(0, Migration::version)
    }

    /// The schema as it was at an earlier number.
    #[must_use]
    pub fn up_to(mut self, version: i32) -> Self {
        self.migrations
            .retain(|migration| migration.version() <= version);
        self
    }

    /// The schema with one more migration. `name` is that of its file, for example `V7__add_places`.
    ///
    /// # Errors
    /// When the name is malformed.
    pub fn with(self, name: &str, sql: &str) -> Result<Self, StoreError> {
        let migration = Migration::unapplied(name, sql)
            .map_err(|error| StoreError::Internal(error.to_string()))?;
        let mut migrations = self.migrations;
        migrations.push(migration);
        Ok(Self::new(&migrations))
    }

    pub(crate) fn migrations(&self) -> &[Migration] {
        &self.migrations
    }
}

/// A migration that a database has.
pub(crate) struct Applied {
    pub(crate) version: i32,
    pub(crate) checksum: String,
}

/// What may run on a database.
#[derive(Clone, Copy)]
pub(crate) struct Compatibility {
    /// The least schema that a version must know.
    pub(crate) schema_from: i32,
    /// The version of the log.
    pub(crate) log_version: u32,
}

impl Default for Compatibility {
    fn default() -> Self {
        Self {
            schema_from: 1,
            log_version: 1,
        }
    }
}

/// A database beside a schema.
pub(crate) enum Standing {
    /// It has the schema.
    Current,
    /// It has migrations to come.
    Behind,
    /// A later version migrated it, and this version can run on it.
    Ahead,
}

/// Compares a database with a schema.
///
/// # Errors
/// When this version cannot run on the database: see the last variants of [`StoreError`].
pub(crate) fn compare(
    schema: &Schema,
    applied: &[Applied],
    compatibility: Compatibility,
) -> Result<Standing, StoreError> {
    let known = schema.version();
    let versions = applied.iter().map(|applied| applied.version);
    // A new database has no migration yet. It is behind every schema.
    let newest = versions.max().unwrap_or(0);
    check_wording(schema, applied, newest)?;
    check_compatibility(compatibility, newest, known)?;
    match newest.cmp(&known) {
        Ordering::Less => Ok(Standing::Behind),
        Ordering::Equal => Ok(Standing::Current),
        Ordering::Greater => Ok(Standing::Ahead),
    }
}

/// Fails when a migration of the schema was applied in another wording, or left out.
fn check_wording(schema: &Schema, applied: &[Applied], newest: i32) -> Result<(), StoreError> {
    for migration in schema.migrations() {
        let version = migration.version();
        let found = applied.iter().find(|applied| applied.version == version);
        match found {
            Some(found) if found.checksum == migration.checksum().to_string() => {}
            // The wording differs, or a later one was applied without it.
            Some(_) => return Err(StoreError::ForeignSchema(version)),
            None if version < newest => return Err(StoreError::ForeignSchema(version)),
            None => {}
        }
    }
    Ok(())
}

/// Fails when a version that knows the schema `known` cannot run on the database, whose last migration is `newest`.
fn check_compatibility(
    compatibility: Compatibility,
    newest: i32,
    known: i32,
) -> Result<(), StoreError> {
    // The number of the schema alone says nothing: a later version may only have added, and this
    // one still runs.
    if compatibility.schema_from > known {
        return Err(StoreError::SchemaTooNew {
            schema: newest,
            runs_from: compatibility.schema_from,
            known,
        });
    }
    if compatibility.log_version > LOG_VERSION {
        return Err(StoreError::LogTooNew {
            log_version: compatibility.log_version,
            known: LOG_VERSION,
        });
    }
    Ok(())
}

/// Whether a migration has to run outside a transaction.
pub(crate) fn is_outside_transaction(sql: &str) -> bool {
    sql.lines().next() == Some(OUTSIDE_TRANSACTION)
}

/// The statements of a migration that runs outside a transaction. Each ends a line.
pub(crate) fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(";\n").map(str::trim).filter(|sql| {
        // What follows the last statement may be a comment or nothing.
        sql.lines()
            .any(|line| !line.starts_with("--") && !line.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{postgres, sqlite};

    /// The migrations of released versions, by their checksums. A database keeps the checksum, so a changed one is refused.
    /// V1 is that of v0.1.0.
    const RELEASED: [(&str, i32, u64); 2] = [
        ("postgres", 1, 7_537_772_449_341_790_909),
        ("sqlite", 1, 1_224_070_374_566_109_403),
    ];

    /// The first line of a migration after which older versions cannot run.
    const CONTRACTION: &str = "-- migration: contraction";

    /// Statements that an authority of the version before would meet as an error, or that rewrite a table under its lock.
    const NOT_IN_EXPANSIONS: [&str; 9] = [
        "DROP ",
        "RENAME ",
        "SET NOT NULL",
        "ALTER TYPE",
        "ADD CONSTRAINT",
        "ADD UNIQUE",
        "ADD PRIMARY KEY",
        "UPDATE ",
        "DELETE ",
    ];

    fn engines() -> [(&'static str, Schema); 2] {
        [
            ("postgres", postgres::schema()),
            ("sqlite", sqlite::schema()),
        ]
    }

    #[test]
    fn a_released_migration_never_changes() {
        for (engine, schema) in engines() {
            for (of, version, checksum) in RELEASED {
                let migrations = schema.migrations();
                let mut found = migrations.iter().filter(|m| m.version() == version);
                if of == engine {
                    let migration = found.next().expect("a released migration");
                    assert_eq!(migration.checksum(), checksum, "V{version} of {engine}");
                }
            }
        }
    }

    #[test]
    fn both_engines_have_the_same_numbers_without_a_gap() {
        for (engine, schema) in engines() {
            for (expected, migration) in (1..).zip(schema.migrations()) {
                assert_eq!(migration.version(), expected, "{engine}");
            }
            assert_eq!(schema.version(), postgres::schema().version(), "{engine}");
        }
    }

    /// The rule that a migration breaks. None: it breaks none.
    fn broken_rule(engine: &str, sql: &str) -> Option<String> {
        let first = sql.lines().next().unwrap_or_default();
        let code: Vec<&str> = sql
            .lines()
            .map(|line| line.split("--").next().unwrap_or_default())
            .collect();
        let code = code.join("\n").to_uppercase();
        if first.starts_with(CONTRACTION) {
            return match code.contains("UPDATE COMPATIBILITY SET SCHEMA_FROM") {
                true => None,
                false => Some(
                    "a contraction says which schema a version must know: UPDATE compatibility"
                        .into(),
                ),
            };
        }
        for statement in code.split(';') {
            let statement = statement.trim();
            // What a failed attempt left of an index that is made outside a transaction.
            if first == OUTSIDE_TRANSACTION
                && statement.starts_with("DROP INDEX CONCURRENTLY IF EXISTS")
            {
                continue;
            }
            for forbidden in NOT_IN_EXPANSIONS {
                if statement.contains(forbidden) {
                    return Some(format!(
                        "{forbidden:?} belongs into a contraction: {statement}"
                    ));
                }
            }
            // SQLite has one process, so nobody waits for an index but its own start.
            if engine == "postgres"
                && statement.contains("CREATE INDEX")
                && first != OUTSIDE_TRANSACTION
            {
                return Some(format!(
                    "an index is made outside a transaction: {statement}"
                ));
            }
            for column in statement.split("ADD COLUMN").skip(1) {
                let definition = column.split(", ADD").next().unwrap_or_default();
                if definition.contains("NOT NULL") && !definition.contains("DEFAULT") {
                    return Some(format!(
                        "the version before writes no value of it: {statement}"
                    ));
                }
            }
        }
        None
    }

    #[test]
    fn a_migration_only_adds_unless_it_is_called_a_contraction() {
        for (engine, schema) in engines() {
            for migration in schema.migrations().iter().skip(1) {
                let sql = migration.sql().expect("an embedded migration");
                let broken = broken_rule(engine, sql);
                assert_eq!(broken, None, "{migration} of {engine}");
            }
        }
    }

    #[test]
    fn the_rules_notice_what_the_version_before_cannot_bear() {
        let refused = [
            "ALTER TABLE users DROP COLUMN name",
            "ALTER TABLE users RENAME COLUMN name TO label",
            "ALTER TABLE users ALTER COLUMN name SET NOT NULL",
            "ALTER TABLE users ADD COLUMN name TEXT NOT NULL",
            "ALTER TABLE users ADD COLUMN a BIGINT NOT NULL DEFAULT 0, ADD COLUMN b BIGINT NOT NULL",
            "UPDATE users SET name = ''",
            "CREATE INDEX users_by_name ON users (name)",
            "-- migration: contraction\nALTER TABLE users DROP COLUMN name",
        ];
        for sql in refused {
            assert!(broken_rule("postgres", sql).is_some(), "{sql}");
        }
        let accepted = [
            "ALTER TABLE users ADD COLUMN name TEXT; -- UPDATE it later",
            "ALTER TABLE users ADD COLUMN number BIGINT NOT NULL DEFAULT 0",
            "CREATE TABLE places (id BIGINT PRIMARY KEY, name TEXT NOT NULL)",
            "-- migration: outside a transaction\nDROP INDEX CONCURRENTLY IF EXISTS i;\nCREATE INDEX CONCURRENTLY i ON users (name);",
            "-- migration: contraction\nALTER TABLE users DROP COLUMN name; UPDATE compatibility SET schema_from = 3",
        ];
        for sql in accepted {
            assert_eq!(broken_rule("postgres", sql), None, "{sql}");
        }
    }
}
