//! What a gate's reports cost PostgreSQL: no index is written, and no more rows are read than are reported.

use std::time::Duration;

use portcullis_authority::{
    domain::{SessionActivity, SignIn},
    store::{
        ActivityStore,
        postgres::{Postgres, PostgresOptions},
    },
};
use portcullis_tests::{calls::open, given::sign_in, postgres::Cluster, wait::eventually};

const SESSIONS: usize = 500;
const REPORTS: usize = 6;

/// A sign-in of ordinary size.
fn browser(number: usize) -> SignIn {
    let mut new = sign_in("acme", &format!("user-{number}"));
    new.client.ip = "203.0.113.7".into();
    new.client.user_agent =
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0".into();
    new.client.device_id = format!("device-{number}");
    new.facts.audiences = vec!["portcullis".into(), "gateway".into()];
    new
}

async fn statistic(cluster: &Cluster, what: &str) -> i64 {
    let sql = format!("SELECT {what} FROM pg_class c WHERE c.relname = 'sessions'");
    let value = cluster.admin().await.text(&sql).await;
    value.parse().expect("a number")
}

#[tokio::test]
async fn reports_write_no_index_and_read_what_they_name() {
    // A transaction of another test would keep old versions of rows, and with them the pages full: an update then moves
    // its row to another page, and writes every index.
    let cluster = Cluster::start(&["fsync=off"]).await;
    let url = format!("{}?application_name=store", cluster.url());
    let store = Postgres::open(&url, &PostgresOptions::default())
        .await
        .expect("opens");
    let mut activities = Vec::new();
    for number in 0..SESSIONS {
        let session = open(&store, &browser(number)).await;
        activities.push(SessionActivity {
            tenant_id: session.tenant_id,
            session_id: session.id,
            requests: 1,
            age: Duration::ZERO,
            ip: "203.0.113.8".into(),
            page: "/orders".into(),
        });
        if number == 0 {
            // The plan is made for a table of one row, and kept.
            store.record_activity(&activities).await.expect("recorded");
        }
    }
    let indexes = "pg_indexes_size(c.oid)";
    let before = statistic(&cluster, indexes).await;
    for _ in 0..REPORTS {
        store.record_activity(&activities).await.expect("recorded");
    }
    assert_eq!(statistic(&cluster, indexes).await, before, "an index grew");
    // A connection tells what it did when it ends, at the latest.
    drop(store);
    let connected = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'store'";
    let gone = async || {
        let found = cluster.admin().await.maybe_text(connected).await;
        found.is_none().then_some(())
    };
    eventually("the connections end", gone).await;
    let updated = statistic(&cluster, "pg_stat_get_tuples_updated(c.oid)").await;
    let hot = statistic(&cluster, "pg_stat_get_tuples_hot_updated(c.oid)").await;
    assert_eq!(
        updated,
        i64::try_from(SESSIONS * REPORTS).expect("a few") + 1
    );
    assert!(
        hot * 100 >= updated * 99,
        "{hot} of {updated} updates wrote no index"
    );
    assert_eq!(
        statistic(&cluster, "pg_stat_get_tuples_returned(c.oid)").await,
        0,
        "the table was read whole"
    );
}
