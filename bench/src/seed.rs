//! Fills an empty PostgreSQL database with sessions as they would be after a month of sign-ins.
//!
//! Rows are copied in, in the order of time, so that the sessions of a tenant lie as far apart as they do in life.
//! Indexes are built afterwards. What ended before its time is ended by the store itself: log, trail and rows agree.

mod people;
mod rows;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use portcullis_authority::{
    domain::{Actor, Cause, Entry, Mutation},
    store::{
        Store,
        postgres::{Postgres, PostgresOptions},
    },
};
use portcullis_contract::id::{SessionId, TenantId, UserId};
use tokio_postgres::{Client, NoTls};

pub(crate) use self::rows::{LARGE, tenant_id, user_id};
use self::rows::{Seeder, copy};

/// What `seed` takes.
#[derive(Args, Clone)]
pub(crate) struct Options {
    /// An empty database: `postgres://…`. Its role must own the tables.
    #[arg(long)]
    pub(crate) url: String,
    #[arg(long, default_value_t = 10_000_000)]
    pub(crate) sessions: u64,
    #[arg(long, default_value_t = 2_000_000)]
    pub(crate) users: u64,
    #[arg(long, default_value_t = 1_000)]
    pub(crate) tenants: u64,
    /// Sessions of one more tenant, `large`, in which every fifth session is of another user.
    #[arg(long, default_value_t = 0)]
    pub(crate) large_tenant: u64,
}

/// One session in so many is revoked, and as many users are signed out.
const ENDED_ONE_IN: u64 = 50;
/// What ended them.
const CAUSES: [Cause; 3] = [Cause::User, Cause::Administrator, Cause::Replaced];
/// Sessions or users of one entry of the log.
const ENTRY_SESSIONS: usize = 500;
/// Entries of one batch of the log.
const BATCH_ENTRIES: usize = 64;

/// Seeds, with a bar of its progress.
pub(crate) async fn run(options: &Options) -> Result<()> {
    ensure!(
        options.tenants > 0 && options.users >= options.tenants,
        "every tenant needs a user"
    );
    let begun = Instant::now();
    let store = Postgres::open(&options.url, &PostgresOptions::default())
        .await
        .context("opening the store")?;
    let (client, connection) = tokio_postgres::connect(&options.url, NoTls)
        .await
        .context("connecting")?;
    tokio::spawn(connection);
    let found = client
        .query_opt("SELECT 1 FROM tenants LIMIT 1", &[])
        .await?;
    ensure!(found.is_none(), "the database is not empty");
    let mut seeder = Seeder::new(options);
    let total = options.sessions + options.users + options.large_tenant + seeder.large_users();
    let bar = ProgressBar::new(total).with_style(ProgressStyle::with_template(
        "{msg:<20} {wide_bar} {human_pos}/{human_len} {elapsed_precise} (about {eta} more)",
    )?);
    let indexes = drop_indexes(&client).await?;
    client
        .batch_execute(
            "BEGIN; SET LOCAL synchronous_commit = off; TRUNCATE tenants, users, sessions",
        )
        .await?;
    let ending = copy(&client, &mut seeder, &bar).await?;
    client.batch_execute("COMMIT").await?;
    bar.finish();
    build(&client, &indexes).await?;
    end(&store, ending).await?;
    step("vacuum", client.batch_execute("VACUUM (ANALYZE)")).await?;
    let size: String = client
        .query_one(
            "SELECT pg_size_pretty(pg_database_size(current_database()))",
            &[],
        )
        .await?
        .get(0);
    eprintln!(
        "seeded in {:.0} s; it takes {size}",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

async fn step<T>(
    what: &str,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T> {
    let bar = ProgressBar::new_spinner().with_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    let done = work.await.with_context(|| what.to_owned())?;
    bar.finish_with_message(format!("{what}: {:.0} s", bar.elapsed().as_secs_f64()));
    Ok(done)
}

/// Drops the indexes of the large tables; the statements that make them again.
async fn drop_indexes(client: &Client) -> Result<Vec<String>> {
    let constraints = "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint \
         WHERE conrelid IN ('users'::regclass, 'sessions'::regclass) AND contype IN ('p', 'u')";
    let mut again = Vec::new();
    for row in client.query(constraints, &[]).await? {
        let (table, name, definition): (String, String, String) =
            (row.get(0), row.get(1), row.get(2));
        client
            .batch_execute(&format!("ALTER TABLE {table} DROP CONSTRAINT {name}"))
            .await?;
        again.push(format!(
            "ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"
        ));
    }
    let indexes = "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index \
         WHERE indrelid IN ('users'::regclass, 'sessions'::regclass)";
    for row in client.query(indexes, &[]).await? {
        let (name, definition): (String, String) = (row.get(0), row.get(1));
        client.batch_execute(&format!("DROP INDEX {name}")).await?;
        again.push(definition);
    }
    Ok(again)
}

async fn build(client: &Client, indexes: &[String]) -> Result<()> {
    client
        .batch_execute("SET maintenance_work_mem = '512MB'")
        .await?;
    for index in indexes {
        let name = index
            .split_whitespace()
            .skip_while(|word| !["INDEX", "CONSTRAINT"].contains(word))
            .nth(1);
        step(
            &format!("index {}", name.unwrap_or_default()),
            client.batch_execute(index),
        )
        .await?;
    }
    Ok(())
}

/// What ends before its time, tenant by tenant.
#[derive(Default)]
struct Ending {
    sessions: Vec<SessionId>,
    users: Vec<UserId>,
}

/// Ends them in one entry a tenant and kind, as an administrator would.
async fn end(store: &dyn Store, ending: Vec<(TenantId, Ending)>) -> Result<()> {
    let entries: Vec<_> = ending
        .into_iter()
        .flat_map(|(tenant, ending)| entries(&tenant, &ending))
        .collect();
    let bar = ProgressBar::new(entries.len() as u64).with_style(ProgressStyle::with_template(
        "entries of the log   {wide_bar} {human_pos}/{human_len} {elapsed_precise}",
    )?);
    for batch in entries.chunks(BATCH_ENTRIES) {
        store.append(batch).await.context("ending sessions")?;
        bar.inc(batch.len() as u64);
    }
    bar.finish();
    Ok(())
}

fn entries(tenant: &TenantId, ending: &Ending) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut push = |mutation| {
        entries.push(Entry {
            actor: Actor::service("seed"),
            reason: "seeded".into(),
            ..Entry::internal(mutation)
        });
    };
    // As many of each in every tenant: what a list by cause finds depends on no chance.
    for (turn, cause) in CAUSES.into_iter().enumerate() {
        let own: Vec<_> = ending
            .sessions
            .iter()
            .skip(turn)
            .step_by(CAUSES.len())
            .copied()
            .collect();
        for sessions in own.chunks(ENTRY_SESSIONS) {
            push(Mutation::RevokeSessions {
                tenant: tenant.clone(),
                sessions: sessions.to_vec(),
                owner: None,
                cause,
            });
        }
    }
    for users in ending.users.chunks(ENTRY_SESSIONS) {
        push(Mutation::SignOutUsers {
            tenant: tenant.clone(),
            users: users.to_vec(),
            keep: None,
            disable: false,
            cause: Cause::Administrator,
        });
    }
    entries
}
