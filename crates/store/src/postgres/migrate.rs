//! The schema and its rights.

use std::collections::BTreeSet;

use deadpool_postgres::ClientWrapper;
use portcullis_contract::seeded::{self, Mistake};
use tokio_postgres::{Client, error::SqlState};

use super::{
    connect::{self, PostgresOptions},
    error::db_error,
    url::Target,
};
use crate::StoreError;

mod embedded {
    refinery::embed_migrations!("src/postgres/migrations");
}

/// Migrates the schema to this version. With an owner, the owner migrates and grants the service its rights. Without one
/// the service migrates, if it has to.
pub(super) async fn migrate(
    service: &Target,
    owner: Option<&Target>,
    options: &PostgresOptions,
) -> Result<(), StoreError> {
    let migrator = owner.unwrap_or(service);
    let mut client = connect::connect_plainly(migrator, options).await?;
    if owner.is_none() {
        if is_current(&client).await? {
            return Ok(());
        }
        if !may_create(&client).await? {
            return Err(StoreError::NotMigrated);
        }
    }
    let lock = lock_migrations(migrator, options).await?;
    // Only under the lock does the runner read the applied versions, so the second of two authorities finds nothing to
    // do. A failure drops the connection of the lock, which releases it.
    let migrated = embedded::migrations::runner().run_async(&mut *client).await;
    migrated.map_err(|error| StoreError::Internal(format!("migration: {error}")))?;
    if seeded::has(Mistake::SequenceAsCursor) {
        execute(&lock, "CREATE SEQUENCE IF NOT EXISTS seeded_revision").await?;
    }
    // Granted each time: a new version may have new tables.
    if owner.is_some() {
        grant(&client, service).await?;
    }
    execute(&lock, "COMMIT").await
}

/// A connection that holds the lock of migrations until it commits.
///
/// Migrations take no lock of their own, so a second connection locks a table while the first one migrates.
async fn lock_migrations(
    migrator: &Target,
    options: &PostgresOptions,
) -> Result<ClientWrapper, StoreError> {
    let lock = connect::connect_plainly(migrator, options).await?;
    let table = "CREATE TABLE IF NOT EXISTS portcullis_migration (id BIGINT PRIMARY KEY)";
    // Of two authorities that create it at the same time one may fail. It then finds the table.
    for _ in 0..3 {
        if lock.batch_execute(table).await.is_ok() {
            break;
        }
    }
    // The service's `lock_timeout` is not set here: this waits for as long as another authority migrates.
    execute(&lock, "BEGIN; LOCK TABLE portcullis_migration").await?;
    Ok(lock)
}

/// Whether this role may migrate: it may create tables in the schema, and owns those that exist.
async fn may_create(client: &Client) -> Result<bool, StoreError> {
    let sql = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AND NOT EXISTS ( \
             SELECT FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'log_head' \
             AND NOT pg_has_role(tableowner, 'USAGE'))";
    let row = client
        .query_one(sql, &[])
        .await
        .map_err(|error| db_error(&error))?;
    Ok(row.get(0))
}

/// Whether exactly this version's migrations were applied.
async fn is_current(client: &Client) -> Result<bool, StoreError> {
    let query = "SELECT version, checksum FROM refinery_schema_history";
    let applied = match client.query(query, &[]).await {
        Ok(rows) => rows,
        Err(error) if is_not_installed(&error) => return Ok(false),
        Err(error) => return Err(db_error(&error).into()),
    };
    let applied: BTreeSet<(i32, String)> =
        applied.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut wanted = BTreeSet::new();
    for migration in embedded::migrations::runner().get_migrations() {
        // Checksums too: another build may have other migrations with the same numbers.
        wanted.insert((migration.version(), migration.checksum().to_string()));
    }
    Ok(applied == wanted)
}

fn is_not_installed(error: &tokio_postgres::Error) -> bool {
    let code = error.code();
    code == Some(&SqlState::UNDEFINED_TABLE) || code == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
}

/// The columns of audit rows that an erasure clears. A trigger refuses every other change of them.
const ERASABLE: &str = "actor, actor_ip, actor_proof, actor_erased_by, target, reason, user_message, user_id, details, \
     subject_proof, subject_erased_by";

/// Grants the service the rights that it uses and no others. It adds and reads audit rows, and may only erase from them. A
/// trigger refuses to delete a row whose removal no record tells.
async fn grant(owner: &Client, service: &Target) -> Result<(), StoreError> {
    // Names cannot be parameters of GRANT, so the server quotes them.
    let names = "SELECT quote_ident(current_schema()), quote_ident($1)";
    let row = owner
        .query_one(names, &[&service.config.get_user()])
        .await
        .map_err(|error| db_error(&error))?;
    let (schema, role): (&str, &str) = (row.get(0), row.get(1));
    // ALL TABLES includes the audit rows, so the rights to change those are taken back last.
    let grants = format!(
        "GRANT USAGE ON SCHEMA {schema} TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}; \
         GRANT USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}; \
         REVOKE UPDATE, TRUNCATE ON audit_events FROM {role}; \
         GRANT UPDATE ({ERASABLE}) ON audit_events TO {role}"
    );
    execute(owner, &grants).await
}

async fn execute(client: &Client, sql: &str) -> Result<(), StoreError> {
    client
        .batch_execute(sql)
        .await
        .map_err(|error| db_error(&error).into())
}
