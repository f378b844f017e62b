//! The schema, and who may do what with it.

use std::collections::BTreeSet;

use tokio_postgres::{Client, Config, error::SqlState};

use super::connect::{self, PostgresOptions};
use crate::store::{StoreError, postgres::connection::db_error};

mod embedded {
    refinery::embed_migrations!("src/postgres/migrations");
}

/// Brings the schema to this version. With an owner the owner does, and grants the service what it needs; without one
/// the service does, if there is anything to do.
pub(super) async fn migrate(
    service: &Config,
    owner: Option<&Config>,
    options: &PostgresOptions,
) -> Result<(), StoreError> {
    let migrator = owner.unwrap_or(service);
    let mut client = connect::plain(migrator, options).await?;
    if owner.is_none() {
        if is_current(&client).await? {
            return Ok(());
        }
        if !may_create(&client).await? {
            return Err(StoreError::NotMigrated);
        }
    }
    // Migrations take no lock of their own, so one connection holds a table while another migrates.
    let lock = connect::plain(migrator, options).await?;
    let table = "CREATE TABLE IF NOT EXISTS portcullis_migration (id BIGINT PRIMARY KEY)";
    // Two creating it at once: one may fail, and finds it there.
    for _ in 0..3 {
        if lock.batch_execute(table).await.is_ok() {
            break;
        }
    }
    execute(&lock, "BEGIN; LOCK TABLE portcullis_migration").await?;
    let migrated = embedded::migrations::runner().run_async(&mut *client).await;
    migrated.map_err(|error| StoreError::Internal(format!("migration: {error}")))?;
    if owner.is_some() {
        grant(&client, service).await?;
    }
    execute(&lock, "COMMIT").await
}

/// Whether this role may make and change the tables: it may create in the schema, and owns what is there.
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

/// Whether the schema is this version's, to the letter.
async fn is_current(client: &Client) -> Result<bool, StoreError> {
    let applied = match client
        .query("SELECT version, checksum FROM refinery_schema_history", &[])
        .await
    {
        Ok(rows) => rows,
        Err(error)
            if [
                Some(&SqlState::UNDEFINED_TABLE),
                Some(&SqlState::INSUFFICIENT_PRIVILEGE),
            ]
            .contains(&error.code()) =>
        {
            return Ok(false);
        }
        Err(error) => return Err(db_error(&error).into()),
    };
    let applied: BTreeSet<(i32, String)> =
        applied.iter().map(|row| (row.get(0), row.get(1))).collect();
    let runner = embedded::migrations::runner();
    let wanted = runner.get_migrations().iter();
    Ok(applied
        == wanted
            .map(|each| (each.version(), each.checksum().to_string()))
            .collect())
}

/// All that the service does to rows, and nothing else: audit rows it only adds and reads.
async fn grant(owner: &Client, service: &Config) -> Result<(), StoreError> {
    let names = "SELECT quote_ident(current_schema()), quote_ident($1)";
    let row = owner
        .query_one(names, &[&service.get_user()])
        .await
        .map_err(|error| db_error(&error))?;
    let (schema, role): (&str, &str) = (row.get(0), row.get(1));
    let grants = format!(
        "GRANT USAGE ON SCHEMA {schema} TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}; \
         GRANT USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}; \
         REVOKE UPDATE, DELETE, TRUNCATE ON audit_events FROM {role}"
    );
    execute(owner, &grants).await
}

async fn execute(client: &Client, sql: &str) -> Result<(), StoreError> {
    client
        .batch_execute(sql)
        .await
        .map_err(|error| db_error(&error).into())
}
