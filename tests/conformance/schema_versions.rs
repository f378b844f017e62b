//! A database of a later version: an authority runs on it for as long as the database says that it can. And migrations
//! that do not get their locks.

use std::time::{Duration, Instant};

use portcullis_authority::store::{
    AuthorityShare, StoreError,
    postgres::{Postgres, PostgresOptions, migrate_to, schema},
};
use portcullis_contract::{delta::LOG_VERSION, position::Revision};
use portcullis_tests::{
    calls::open,
    given::sign_in,
    place::Place,
    postgres::{Schema, fresh_schema, shared},
};
use tokio::time::{sleep, timeout};

use crate::Engine;

/// A later version's migration, an expansion: it adds a table, and a column with a default.
const EXPANSION: &str = "CREATE TABLE later (id BIGINT PRIMARY KEY); \
     ALTER TABLE sessions ADD COLUMN later BIGINT NOT NULL DEFAULT 7; \
     INSERT INTO refinery_schema_history (version, name, applied_on, checksum) \
         VALUES (99, 'add_later', '2030-01-01T00:00:00Z', '99')";

/// Says what may run on the database, as a later version does.
fn compatibility(schema_from: u32, log_version: u32) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS compatibility ( \
             id BIGINT PRIMARY KEY, schema_from BIGINT NOT NULL, log_version BIGINT NOT NULL); \
         INSERT INTO compatibility (id, schema_from, log_version) VALUES (1, {schema_from}, {log_version}) \
         ON CONFLICT (id) DO UPDATE SET schema_from = excluded.schema_from, log_version = excluded.log_version"
    )
}

/// A place that an authority has used.
async fn installed(engine: Engine) -> Place {
    let place = engine.place().await;
    open(&*place.store().await, &sign_in("t", "before")).await;
    place
}

async fn an_authority_runs_on_a_schema_that_a_later_version_has_expanded(engine: Engine) {
    let mut place = installed(engine).await;
    place.execute(EXPANSION).await.expect("expanded");
    place.reopen().await.expect("it runs on a later schema");
    open(&*place.store().await, &sign_in("t", "after")).await;

    // The later version may still say that this one can run.
    place.execute(&compatibility(1, 1)).await.expect("said");
    place.reopen().await.expect("it runs on a later schema");
    open(&*place.store().await, &sign_in("t", "at last")).await;
}

async fn an_authority_refuses_a_schema_that_no_longer_supports_it(engine: Engine) {
    let mut place = installed(engine).await;
    place.execute(EXPANSION).await.expect("expanded");
    place
        .execute(&compatibility(99, 1))
        .await
        .expect("contracted");

    let error = place.reopen().await.expect_err("it must not run");
    let StoreError::SchemaTooNew {
        schema, runs_from, ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((schema, runs_from), (99, 99));
}

async fn an_authority_refuses_a_log_that_it_does_not_understand(engine: Engine) {
    let mut place = installed(engine).await;
    place.execute(&compatibility(1, 99)).await.expect("raised");

    let error = place.reopen().await.expect_err("it must not run");
    assert!(
        matches!(
            error,
            StoreError::LogTooNew {
                log_version: 99,
                ..
            }
        ),
        "{error}"
    );
}

async fn a_migration_in_another_wording_is_refused(engine: Engine) {
    let mut place = installed(engine).await;
    let other = "UPDATE refinery_schema_history SET checksum = '1' WHERE version = 1";
    place.execute(other).await.expect("changed");

    let error = place.reopen().await.expect_err("it must not run");
    assert!(matches!(error, StoreError::ForeignSchema(1)), "{error}");
}

fn share(log_version: u32, gates_log_version: u32) -> AuthorityShare {
    AuthorityShare {
        name: "one".into(),
        roster_version: 1,
        roster: Vec::new(),
        wanted: Revision(0),
        log_version,
        gates_log_version,
    }
}

/// There is one version of the log yet, so those who do not understand it are of version 0.
async fn the_log_is_raised_only_when_everyone_who_runs_understands_it(engine: Engine) {
    let place = installed(engine).await;
    let store = place.store().await;
    let authority = [7; 16];
    store.beat(&authority).await.expect("it runs");
    for (behind, who) in [
        (share(0, LOG_VERSION), "one"),
        (share(LOG_VERSION, 0), "a gate at one"),
    ] {
        store.share(&authority, behind).await.expect("shared");
        let refused = store.raise_log_version(LOG_VERSION).await;
        let Err(StoreError::LogNotUnderstood {
            who: named,
            understands: 0,
        }) = refused
        else {
            panic!("{refused:?}");
        };
        assert_eq!(named, who);
    }

    let current = share(LOG_VERSION, LOG_VERSION);
    store.share(&authority, current).await.expect("shared");
    store
        .raise_log_version(LOG_VERSION)
        .await
        .expect("everyone understands it");
    let versions = store.log_versions().await.expect("versions");
    assert_eq!(versions.log_version, LOG_VERSION);
    assert_eq!(versions.authorities.len(), 1);

    let unknown = store.raise_log_version(LOG_VERSION + 1).await;
    assert!(matches!(unknown, Err(StoreError::LogTooNew { .. })));
}

on_every_engine!(
    the_log_is_raised_only_when_everyone_who_runs_understands_it,
    an_authority_runs_on_a_schema_that_a_later_version_has_expanded,
    an_authority_refuses_a_schema_that_no_longer_supports_it,
    an_authority_refuses_a_log_that_it_does_not_understand,
    a_migration_in_another_wording_is_refused,
);

async fn migrate(place: &Schema, name: &str, sql: &str) -> Result<(), StoreError> {
    let later = schema().with(name, sql).expect("a migration");
    migrate_to(&place.url, &PostgresOptions::default(), &later).await
}

/// A long transaction holds the table, and a migration wants it alone. Without a `lock_timeout` every sign-in would wait
/// behind the migration until the transaction ends.
#[tokio::test]
async fn a_blocked_migration_lets_sign_ins_pass_and_names_what_is_in_its_way() {
    let place = fresh_schema().await;
    let store = Postgres::open(&place.url, &PostgresOptions::default())
        .await
        .expect("opens");
    open(&store, &sign_in("t", "before")).await;
    let holder = shared().await.admin().await;
    let hold = format!("BEGIN; SELECT count(*) FROM {}.sessions", place.name);
    holder.batch_execute(&hold).await.expect("held");
    let process = holder.text("SELECT pg_backend_pid()").await;

    let sql = "ALTER TABLE sessions ADD COLUMN later BIGINT";
    let mut migration = Box::pin(migrate(&place, "V99__add_later", sql));
    let meanwhile = sign_in("t", "meanwhile");
    let mut slowest = Duration::ZERO;
    let migrated = loop {
        let begun = Instant::now();
        tokio::select! {
            migrated = &mut migration => break migrated,
            _ = open(&store, &meanwhile) => {
                slowest = slowest.max(begun.elapsed());
                sleep(Duration::from_millis(20)).await;
            }
        }
    };
    let error = migrated.expect_err("the table is held");
    let StoreError::MigrationBlocked { holders, .. } = &error else {
        panic!("{error}");
    };
    assert!(
        holders.contains(&format!("process {process} ")),
        "{holders}"
    );
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");

    holder.batch_execute("COMMIT").await.expect("released");
    migrate(&place, "V99__add_later", sql)
        .await
        .expect("nothing is in its way");
    open(&store, &sign_in("t", "after")).await;
}

/// `CREATE INDEX CONCURRENTLY` fails within a transaction. A transaction that writes meanwhile does not wait for it.
#[tokio::test]
async fn an_index_is_made_outside_a_transaction_while_the_table_is_written() {
    let place = fresh_schema().await;
    let store = Postgres::open(&place.url, &PostgresOptions::default())
        .await
        .expect("opens");
    open(&store, &sign_in("t", "before")).await;
    let writer = shared().await.admin().await;
    let write = format!("BEGIN; UPDATE {}.sessions SET facts = facts", place.name);
    writer.batch_execute(&write).await.expect("written");

    let sql = "-- migration: outside a transaction\n\
               DROP INDEX CONCURRENTLY IF EXISTS later;\n\
               CREATE INDEX CONCURRENTLY later ON sessions (serial);\n";
    let (url, name) = (place.url.clone(), place.name.clone());
    let migration =
        tokio::spawn(async move { migrate(&Schema { name, url }, "V99__index_later", sql).await });
    // The index waits for the transaction of the writer, and a sign-in for neither.
    let meanwhile = sign_in("t", "meanwhile");
    let signed_in = timeout(Duration::from_secs(2), open(&store, &meanwhile));
    signed_in.await.expect("a sign-in does not wait");
    writer.batch_execute("COMMIT").await.expect("ended");
    migration.await.expect("no panic").expect("migrated");
    let valid = format!(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = '{}.later'::regclass",
        place.name
    );
    assert_eq!(writer.text(&valid).await, "t");
    migrate_to(&place.url, &PostgresOptions::default(), &schema())
        .await
        .expect("a version that does not know the index runs on it");
}

/// The rows of the measurement, for a run by hand: the page for operators has its figures.
const ROWS_VARIABLE: &str = "PORTCULLIS_MIGRATION_ROWS";

/// A column with a default rewrites no row, and an index is made beside the writes. Either of them done the plain way holds
/// every sign-in for as long as it takes.
#[tokio::test]
async fn migrations_of_a_large_table_do_not_stop_sign_ins() {
    let rows = std::env::var(ROWS_VARIABLE).unwrap_or_else(|_| "20000".to_owned());
    let place = fresh_schema().await;
    let store = Postgres::open(&place.url, &PostgresOptions::default())
        .await
        .expect("opens");
    open(&store, &sign_in("t", "first")).await;
    let fill = format!(
        "SET search_path = {}; INSERT INTO sessions SELECT r.* FROM sessions s, generate_series(1, {rows}) n, \
         LATERAL jsonb_populate_record(s, jsonb_build_object('serial', 1000000 + n, \
         'session_id', '\\x' || lpad(to_hex(n), 32, '0'))) r; ANALYZE sessions",
        place.name
    );
    let admin = shared().await.admin().await;
    admin.batch_execute(&fill).await.expect("filled");

    let begun = Instant::now();
    let (url, name) = (place.url.clone(), place.name.clone());
    let migrations = tokio::spawn(async move {
        let place = Schema { name, url };
        let column = "ALTER TABLE sessions ADD COLUMN later BIGINT NOT NULL DEFAULT 7";
        let index = "-- migration: outside a transaction\n\
                     DROP INDEX CONCURRENTLY IF EXISTS later;\n\
                     CREATE INDEX CONCURRENTLY later ON sessions (later, serial);\n";
        let later = schema()
            .with("V98__add_later", column)
            .and_then(|schema| schema.with("V99__index_later", index))
            .expect("migrations");
        migrate_to(&place.url, &PostgresOptions::default(), &later).await
    });
    let mut took = Vec::new();
    while !migrations.is_finished() {
        let new = sign_in("t", &format!("u{}", took.len()));
        let signed_in = Instant::now();
        open(&store, &new).await;
        took.push(signed_in.elapsed());
    }
    let whole = begun.elapsed();
    migrations.await.expect("no panic").expect("migrated");

    took.sort_unstable();
    let longest = took.last().copied().unwrap_or_default();
    let p99 = took[took.len() * 99 / 100];
    println!(
        "{rows} rows: migrated in {whole:?}, {} sign-ins meanwhile, p99 {p99:?}, longest {longest:?}",
        took.len()
    );
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}
