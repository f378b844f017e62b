//! What PostgreSQL reads for a statement whose plan was made when there was little to read yet.

use std::ops::Range;

use futures::future::join_all;
use portcullis_authority::{
    domain::{SessionFilter, SessionLimit, SessionOrder, SignIn, policy::AtLimit},
    store::{
        RefreshOutcome, Store,
        postgres::{Postgres, PostgresOptions},
    },
};
use portcullis_tests::{
    calls::{append, apply, open, rotate, session},
    given::{disable, enable, revoke, sign_in, sign_out, sign_out_tenant, tenant, user},
    postgres::{Schema, fresh_schema, shared},
    wait::eventually,
};

/// Rows of each large table.
const ROWS: i64 = 50_000;

/// Calls at once: enough for large groups, whose plans are others than those of small ones.
const CALLS: usize = 128;

/// Users of the sign-ins at once. Each sign-in counts the sessions of its user, so they are few.
const USERS: usize = 48;

/// Sign-ins at once, the first two of `user_id`. Some have a limit, which none reaches.
fn sign_ins(user_id: &str) -> Vec<SignIn> {
    let mut new = Vec::new();
    for number in 0..CALLS {
        let name = match number {
            0 | 1 => user_id.to_owned(),
            _ => format!("{user_id}-{}", number % USERS),
        };
        let limit = |at_limit| SessionLimit {
            sessions_max: 1_000,
            at_limit,
        };
        let session_limit = match number % 4 {
            2 => Some(limit(AtLimit::Refuse)),
            3 => Some(limit(AtLimit::EndOldest)),
            _ => None,
        };
        new.push(SignIn {
            session_limit,
            ..sign_in("t", &name)
        });
    }
    new
}

/// Every statement that sessions, users and the log cause, for one call and for groups.
async fn everything(store: &dyn Store, user_id: &str) {
    open(store, &sign_in("t", user_id)).await;
    let new = sign_ins(user_id);
    for new in &new[..USERS + 2] {
        open(store, &sign_in("t", new.user_id.as_str())).await;
    }
    let opened = join_all(new.iter().map(|new| open(store, new))).await;
    let rotating = opened.iter().map(async |session| {
        assert!(matches!(
            rotate(store, session, 0).await,
            RefreshOutcome::Won(..)
        ));
    });
    join_all(rotating).await;
    let revoking: Vec<_> = opened[2..]
        .iter()
        .map(|session| revoke(&[session]))
        .collect();
    append(store, &revoking).await;
    join_all(opened.iter().map(|opened| session(store, opened))).await;
    apply(store, revoke(&[&opened[0]])).await;
    rotate(store, &opened[0], 1).await;
    apply(store, sign_out("t", &[user_id])).await;
    assert!(session(store, &opened[1]).await.end.is_some());
    let of_user = SessionFilter {
        user_id: Some(user(user_id)),
        ..SessionFilter::of(tenant("t"))
    };
    let of_tenant = SessionFilter {
        user_id: None,
        ..of_user.clone()
    };
    for filter in [of_user, of_tenant] {
        assert!(
            store
                .list_sessions(&filter, SessionOrder::Start, None, 2)
                .await
                .expect("a list")
                .items
                .len()
                == 2
        );
    }
    for entry in [
        disable("t", user_id),
        enable("t", user_id),
        sign_out_tenant("t"),
    ] {
        let revision = apply(store, entry).await.revision;
        assert_eq!(store.tail(revision, 1).await.expect("a tail").len(), 0);
        store.chain(revision).await.expect("an answer");
    }
    store.beat(&[1; 16]).await.expect("a beat");
}

/// Adds rows to every table, behind the planner's back.
async fn grow(schema: &Schema, rows: Range<i64>) {
    let insert = |table: &str, columns: &str| {
        let key = "sha256(n::text::bytea)";
        format!(
            "INSERT INTO {schema}.{table} SELECT {columns} FROM generate_series({first}, {last}) n;",
            schema = schema.name,
            columns = columns.replace("KEY", key),
            first = rows.start,
            last = rows.end - 1,
        )
    };
    let sql = [
        insert(
            "audit_events",
            "substr(KEY, 1, 16), 0, n, n, 't', 'a', '', 1, '', '', '', '', '', 1",
        ),
        insert("cutoffs", "1, n, n, 0, substr(KEY, 1, 16), n"),
        insert("log_batches", "-n, KEY, KEY, KEY, n"),
        insert("users", "'t', 'other' || n, n, 1, '', '', '', '', n, NULL"),
        insert(
            "sessions",
            "'t', substr(KEY, 1, 16), n, 'other' || n, n, 1, 0, n, n, 0, n, '{}', '', '', '', '', '', \
             substr(KEY, 1, 16), NULL, NULL, 0, NULL, NULL",
        ),
    ];
    shared()
        .await
        .admin()
        .await
        .batch_execute(&sql.concat())
        .await
        .expect("the tables grow");
}

/// Rows that were read in `schema`, table by table, the most first.
async fn read(schema: &Schema) -> Vec<(String, i64)> {
    let sql = format!(
        "SELECT t.relname, t.seq_tup_read + (SELECT sum(i.idx_tup_read) FROM pg_stat_user_indexes i \
             WHERE i.relid = t.relid)::bigint AS read \
         FROM pg_stat_user_tables t WHERE schemaname = '{}' AND seq_tup_read IS NOT NULL \
             AND EXISTS (SELECT 1 FROM pg_stat_user_indexes i WHERE i.relid = t.relid) ORDER BY read DESC",
        schema.name
    );
    let rows = shared()
        .await
        .admin()
        .await
        .query(&sql, &[])
        .await
        .expect("statistics");
    rows.iter()
        .map(|row| (row.get::<_, &str>(0).to_owned(), row.get(1)))
        .collect()
}

/// What is read of large tables by plans that were made when there were `few` rows.
async fn read_by_plans_for(few: i64) -> Vec<(String, i64)> {
    let schema = fresh_schema().await;
    let store = Postgres::open(&schema.url, &PostgresOptions::default())
        .await
        .expect("opens");
    grow(&schema, 1_000..1_000 + few).await;
    everything(&store, "early").await;
    grow(&schema, 10_000..10_000 + ROWS).await;
    everything(&store, "late").await;
    // A connection tells what it read when it ends, at the latest.
    drop(store);
    let connected = format!(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = '{}'",
        schema.name
    );
    let gone = async || {
        shared()
            .await
            .admin()
            .await
            .maybe_text(&connected)
            .await
            .is_none()
            .then_some(())
    };
    eventually("the connections end", gone).await;
    read(&schema).await
}

#[tokio::test]
async fn a_plan_made_for_few_rows_reads_few_rows_of_large_tables() {
    for few in [0, 100] {
        let read = read_by_plans_for(few).await;
        assert!(
            read.iter()
                .any(|(table, rows)| table == "sessions" && *rows > 0),
            "reads are counted: {read:?}"
        );
        assert!(
            read.iter().all(|(_, rows)| *rows < ROWS / 10),
            "plans for {few} rows: {read:?}"
        );
    }
}

#[tokio::test]
async fn no_index_but_the_key_s_own_can_be_taken_for_it() {
    let schema = fresh_schema().await;
    drop(
        Postgres::open(&schema.url, &PostgresOptions::default())
            .await
            .expect("opens"),
    );
    let sql = format!(
        "SELECT string_agg(c.relname, ', ') FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] AND a.attname = 'tenant_id' \
         WHERE c.relnamespace = '{schema}'::regnamespace AND i.indpred IS NULL AND NOT i.indisprimary \
             AND i.indrelid::regclass::text NOT LIKE '%audit_events'",
        schema = schema.name
    );
    assert_eq!(shared().await.admin().await.maybe_text(&sql).await, None);
}
