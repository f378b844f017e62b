//! The schema and its rights.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use portcullis_contract::seeded::{self, Mistake};
use refinery::Migration;
use tokio::time::{self, MissedTickBehavior};
use tokio_postgres::{
    Client,
    error::{DbError as DatabaseError, SqlState},
};

use super::{
    connect::{self, PostgresOptions},
    error::db_error,
    url::{self, Target},
};
use crate::{
    StoreError,
    schema::{self, Applied, Compatibility, HISTORY, Schema, Standing},
    sql::DbError,
};

mod embedded {
    refinery::embed_migrations!("src/postgres/migrations");
}

/// The time that a migration waits for a lock. Every statement on the table waits behind it for as long, so this is less
/// than the service's own `lock_timeout`: a sign-in becomes slower, and does not fail.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// The same outside a transaction. Such a statement waits for the transactions that were open when it began, and lets
/// others pass.
const LOCK_TIMEOUT_OUTSIDE: Duration = Duration::from_secs(60);

/// The attempts to apply a migration that does not get its locks.
const ATTEMPTS_MAX: u32 = 8;

/// The time between two attempts, in which the statements that waited run.
const PAUSE: Duration = Duration::from_secs(1);

/// The time between two looks at what is in the way of a migration. Less than [`LOCK_TIMEOUT`].
const LOOK_INTERVAL: Duration = Duration::from_millis(300);

/// The schema of this version.
#[must_use]
pub fn schema() -> Schema {
    Schema::new(embedded::migrations::runner().get_migrations())
}

/// Migrates a database to a schema, as an authority of that schema does when it starts. `url` is that of the service.
///
/// # Errors
/// When the URL is malformed, the database cannot be reached, or it cannot be migrated to this schema.
pub async fn migrate_to(
    url: &str,
    options: &PostgresOptions,
    schema: &Schema,
) -> Result<(), StoreError> {
    let service = url::parse_setting("store.url", url)?;
    let owner = match &options.owner_url {
        Some(url) => Some(url::parse_setting("store.owner_url", url)?),
        None => None,
    };
    migrate(&service, owner.as_ref(), options, schema).await
}

/// Migrates the schema to this version. With an owner, the owner migrates and grants the service its rights. Without one
/// the service migrates, if it has to. A database of a later version stays as it is.
pub(super) async fn migrate(
    service: &Target,
    owner: Option<&Target>,
    options: &PostgresOptions,
    schema: &Schema,
) -> Result<(), StoreError> {
    let migrator = owner.unwrap_or(service);
    let client = connect::connect_plainly(migrator, options).await?;
    match (standing(&client, schema).await?, owner) {
        // A later version has granted its rights. Those of this version may be wider on a table that it does not know.
        (Standing::Ahead, _) | (Standing::Current, None) => return Ok(()),
        (Standing::Behind, None) if !may_create(&client).await? => {
            return Err(StoreError::NotMigrated);
        }
        (Standing::Behind, _) | (Standing::Current, Some(_)) => {}
    }

    let lock = lock_migrations(migrator, options).await?;
    // Only under the lock are the applied migrations final, so the second of two authorities finds nothing to do. A failure
    // drops the connection of the lock, which releases it.
    let standing = standing(&client, schema).await?;
    if matches!(standing, Standing::Ahead) {
        return Ok(());
    }
    // A connection of its own: the one that migrates waits for its lock, and cannot ask what it
    // waits for.
    let watcher = connect::connect_plainly(migrator, options).await?;
    apply_all(&client, &watcher, schema).await?;
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
    // No `lock_timeout` here: this waits for as long as another authority migrates.
    execute(&lock, "BEGIN; LOCK TABLE portcullis_migration").await?;
    Ok(lock)
}

/// Applies the migrations that are to come, each in a transaction of its own or outside one.
async fn apply_all(client: &Client, watcher: &Client, schema: &Schema) -> Result<(), StoreError> {
    let history = format!(
        "CREATE TABLE IF NOT EXISTS {HISTORY} (version INT4 PRIMARY KEY, name VARCHAR(255), \
         applied_on VARCHAR(255), checksum VARCHAR(255))"
    );
    execute(client, &history).await?;
    let applied = read_applied(client).await?;
    for migration in schema.migrations() {
        let version = migration.version();
        if applied.iter().all(|applied| applied.version != version) {
            apply(client, watcher, migration).await?;
        }
    }
    Ok(())
}

/// Applies one migration. One that does not get its locks lets the others pass, and tries again.
async fn apply(client: &Client, watcher: &Client, migration: &Migration) -> Result<(), StoreError> {
    let process = read_process(client).await?;
    let mut holders = String::new();
    for attempt in 1..=ATTEMPTS_MAX {
        match attempt_while_watching(client, watcher, process, migration, &mut holders).await {
            Ok(()) => {
                tracing::info!(%migration, attempt, "schema migrated");
                return Ok(());
            }
            Err(error) if is_blocked(&error) => {
                tracing::warn!(%migration, attempt, holders, "a migration did not get its locks");
            }
            Err(error) => return Err(failed(migration, &error)),
        }
        time::sleep(PAUSE).await;
    }
    Err(blocked(migration, holders))
}

async fn read_process(client: &Client) -> Result<i32, StoreError> {
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
    let row = row.map_err(|error| db_error(&error))?;
    Ok(row.get(0))
}

/// The error of a migration whose statements failed.
fn failed(migration: &Migration, error: &tokio_postgres::Error) -> StoreError {
    let class = db_error(error);
    tracing::error!(%migration, error = %class, "migration failed");
    match class {
        DbError::Other(text) => {
            // The text of a statement of ours has no values of a user.
            let detail = error.as_db_error().map(DatabaseError::message);
            let detail = detail.unwrap_or_default();
            StoreError::Internal(format!("migration {migration}: {text}: {detail}"))
        }
        class => class.into(),
    }
}

/// The error of a migration that has not got its locks.
fn blocked(migration: &Migration, mut holders: String) -> StoreError {
    if holders.is_empty() {
        holders.push_str("a transaction that has ended meanwhile");
    }
    StoreError::MigrationBlocked {
        migration: migration.to_string(),
        attempts: ATTEMPTS_MAX,
        holders,
    }
}

/// Attempts a migration, and notes meanwhile what is in its way. Afterwards nobody could tell.
async fn attempt_while_watching(
    client: &Client,
    watcher: &Client,
    process: i32,
    migration: &Migration,
    holders: &mut String,
) -> Result<(), tokio_postgres::Error> {
    let attempt = attempt_once(client, migration);
    tokio::pin!(attempt);
    let mut looks = time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once, before anything can be in the way.
    looks.tick().await;
    loop {
        tokio::select! {
            attempted = &mut attempt => return attempted,
            _ = looks.tick() => {
                if let Ok(seen) = name_holders(watcher, process).await
                    && !seen.is_empty()
                {
                    *holders = seen;
                }
            }
        }
    }
}

async fn attempt_once(client: &Client, migration: &Migration) -> Result<(), tokio_postgres::Error> {
    let sql = migration.sql().unwrap_or_default();
    let record = record(migration);
    if schema::is_outside_transaction(sql) {
        let timeout = LOCK_TIMEOUT_OUTSIDE.as_millis();
        client
            .batch_execute(&format!("SET lock_timeout = {timeout}"))
            .await?;
        for statement in schema::statements(sql) {
            client.batch_execute(statement).await?;
        }
        return client.batch_execute(&record).await;
    }

    let timeout = LOCK_TIMEOUT.as_millis();
    // One message to the server, so a client that dies cannot leave the transaction open with its
    // locks.
    let transaction =
        format!("BEGIN; SET LOCAL lock_timeout = {timeout}; {sql}\n; {record}; COMMIT");
    let applied = client.batch_execute(&transaction).await;
    if applied.is_err() {
        // A connection that is lost has ended its transaction already.
        let _ = client.batch_execute("ROLLBACK").await;
    }
    applied
}

/// The statement that records a migration as `refinery` does. Neither value can hold a quote.
fn record(migration: &Migration) -> String {
    format!(
        "INSERT INTO {HISTORY} (version, name, applied_on, checksum) VALUES ({}, '{}', \
         to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), '{}')",
        migration.version(),
        migration.name(),
        migration.checksum()
    )
}

fn is_blocked(error: &tokio_postgres::Error) -> bool {
    let code = error.code();
    code == Some(&SqlState::LOCK_NOT_AVAILABLE) || code == Some(&SqlState::T_R_DEADLOCK_DETECTED)
}

/// Describes the processes that a process of the server waits for: number, role, state and age, never a statement.
async fn name_holders(watcher: &Client, process: i32) -> Result<String, tokio_postgres::Error> {
    let sql = "SELECT coalesce(string_agg(format('process %s of role %s (%s, in its transaction for %s s)', \
                   pid, usename, coalesce(state, backend_type), \
                   coalesce(round(extract(epoch FROM clock_timestamp() - xact_start))::text, '?')), '; '), '') \
               FROM (SELECT * FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids($1)) LIMIT 8) a";
    let row = watcher.query_one(sql, &[&process]).await?;
    Ok(row.get(0))
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

/// Compares the database with a schema.
async fn standing(client: &Client, schema: &Schema) -> Result<Standing, StoreError> {
    let applied = read_applied(client).await?;
    let compatibility = read_compatibility(client).await?;
    schema::compare(schema, &applied, compatibility)
}

async fn read_applied(client: &Client) -> Result<Vec<Applied>, StoreError> {
    let rows = match client.query(schema::APPLIED, &[]).await {
        Ok(rows) => rows,
        Err(error) if is_not_installed(&error) => return Ok(Vec::new()),
        Err(error) => return Err(db_error(&error).into()),
    };
    let mut applied = Vec::with_capacity(rows.len());
    for row in &rows {
        applied.push(Applied {
            version: row.get(0),
            checksum: row.get(1),
        });
    }
    Ok(applied)
}

async fn read_compatibility(client: &Client) -> Result<Compatibility, StoreError> {
    let row = match client.query_opt(schema::COMPATIBILITY, &[]).await {
        Ok(Some(row)) => row,
        Ok(None) => {
            return Err(StoreError::Internal(
                "the row of compatibility is missing".into(),
            ));
        }
        Err(error) if is_not_installed(&error) => return Ok(Compatibility::default()),
        Err(error) => return Err(db_error(&error).into()),
    };
    let invalid = |_| StoreError::Internal("compatibility has an invalid value".into());
    Ok(Compatibility {
        schema_from: i32::try_from(row.get::<_, i64>(0)).map_err(invalid)?,
        log_version: u32::try_from(row.get::<_, i64>(1)).map_err(invalid)?,
    })
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
