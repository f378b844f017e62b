//! Connections of the database that are all taken, and locks that somebody holds.

use std::time::Duration;

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, TENANT, TestAuthority, ready, session_id},
    postgres::{Admin, Cluster},
    wait::eventually,
};

use crate::measure::{DEFAULT_STALENESS, STALENESS, Scene, Seen, last};

/// How long the connections are taken.
const TAKEN_SECONDS: u64 = 5;

/// The authority of an installation, under a name of its own at the server.
async fn authority_at(cluster: &Cluster) -> TestAuthority {
    TestAuthority::postgres(&format!("{}?application_name=portcullis", cluster.url())).await
}

/// Takes every connection that the server gives.
async fn take_all(cluster: &Cluster) -> Vec<tokio_postgres::Client> {
    let mut taken = Vec::new();
    while let Ok((client, connection)) =
        tokio_postgres::connect(&cluster.url(), tokio_postgres::NoTls).await
    {
        tokio::spawn(async { drop(connection.await) });
        taken.push(client);
    }
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_connections_of_the_database_gates_say_503_until_there_are_some() {
    let cluster = Cluster::start(&["fsync=off", "max_connections=60"]).await;
    let authority = authority_at(&cluster).await;
    let admin = cluster.admin().await;
    let scene = Scene {
        gate: ready(authority.gate().max_staleness(STALENESS)).await,
        endpoints: vec![authority.endpoint()],
        staleness: STALENESS,
    };
    let fault = async || {
        let mut taken = take_all(&cluster).await;
        // Those of the authority are ended, and others take their places at once.
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE application_name = 'portcullis'";
        for _ in 0..TAKEN_SECONDS * 4 {
            admin.text(end).await;
            taken.extend(take_all(&cluster).await);
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        drop(taken);
    };
    let name = format!("all connections of the database taken for {TAKEN_SECONDS} s");
    let seen = scene.go_through(&name, fault).await;
    // A sign-in that waits for a connection fails or not, as its deadline falls.
    assert!(
        seen.silent > STALENESS,
        "the authority kept its connections: {seen}"
    );
}

/// Holds a lock for a while. `statement` takes it.
async fn hold(name: &str, statement: &str, seconds: u64, staleness: Duration) -> Seen {
    let cluster = Cluster::start(&["fsync=off"]).await;
    let authority = authority_at(&cluster).await;
    let admin: Admin = cluster.admin().await;
    let scene = Scene {
        gate: ready(authority.gate().max_staleness(staleness)).await,
        endpoints: vec![authority.endpoint()],
        staleness,
    };
    let fault = async || {
        admin
            .batch_execute(&format!("BEGIN; {statement}"))
            .await
            .expect("a lock");
        last(seconds).await;
        admin.batch_execute("ROLLBACK").await.expect("released");
    };
    scene
        .go_through(&format!("{name} for {seconds} s"), fault)
        .await
}

const ROW: &str = "SELECT 1 FROM log_head FOR UPDATE";
const TABLE: &str = "LOCK TABLE log_head IN ACCESS EXCLUSIVE MODE";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_on_the_head_of_the_log_stops_revocations_and_no_gate() {
    let seen = hold("the head's row locked", ROW, 6, STALENESS).await;
    assert_eq!(seen.away, Duration::ZERO, "a beat waits for no row: {seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_on_the_table_of_the_head_is_503_until_it_is_released() {
    let seen = hold("the head's table locked", TABLE, 6, STALENESS).await;
    assert!(
        seen.away <= Duration::from_secs(6 + 4) - STALENESS,
        "{seen}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 40 s"]
async fn a_lock_on_the_head_of_the_log_held_for_30_s_stops_revocations_and_no_gate() {
    let seen = hold("the head's row locked", ROW, 30, DEFAULT_STALENESS).await;
    assert_eq!(seen.away, Duration::ZERO, "a beat waits for no row: {seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 40 s"]
async fn a_lock_on_the_table_of_the_head_held_for_30_s_is_503_until_it_is_released() {
    let seen = hold("the head's table locked", TABLE, 30, DEFAULT_STALENESS).await;
    assert!(
        seen.away <= Duration::from_secs(30 + 4) - DEFAULT_STALENESS,
        "{seen}"
    );
}

/// A sign-out of as many users as a large one has.
fn large_sign_out() -> v1::ForceSignOutRequest {
    v1::ForceSignOutRequest {
        tenant_id: TENANT.into(),
        user_ids: (0..17).map(|number| format!("user-{number}")).collect(),
        reason: "the school is closed".into(),
        disable: true,
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_sign_out_that_waits_for_a_row_holds_up_no_other_sign_out() {
    let cluster = Cluster::start(&["fsync=off"]).await;
    let authority = authority_at(&cluster).await;
    authority.sign_in("user-0").await;
    let other = authority.sign_in("somebody-else").await;
    let admin = cluster.admin().await;
    let lock = "BEGIN; SELECT 1 FROM users WHERE user_id = 'user-0' FOR UPDATE";
    admin.batch_execute(lock).await.expect("a lock");

    let mut users = authority.users(ADMIN);
    let large = tokio::spawn(async move { users.force_sign_out(large_sign_out()).await });
    let waits = "SELECT 1 FROM pg_locks WHERE NOT granted";
    eventually("the large batch waits", async || {
        admin.maybe_text(waits).await
    })
    .await;
    let revoke = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(&other),
        reason: "a lost phone".into(),
        ..Default::default()
    };
    // The large batch waits for two seconds, and is tried again then.
    let mut sessions = authority.sessions(ADMIN);
    let revoked = tokio::time::timeout(Duration::from_secs(1), sessions.revoke_session(revoke));
    revoked.await.expect("in time").expect("revoked");
    assert!(!large.is_finished());

    admin.batch_execute("ROLLBACK").await.expect("released");
    large.await.expect("no panic").expect("signed out");
}
