//! Recovery refuses to run beside an authority, with another master key, and on a log that grows.

use std::sync::Arc;

use portcullis_authority::{
    installation::recover::{RecoverError, recover},
    keys::{MasterKey, MasterKeys},
    open_store, read_master_keys,
    store::{
        Recovered,
        sql::{Lane, ONLY},
    },
};
use portcullis_contract::position::Position;
use portcullis_tests::{
    authority::TestAuthority,
    calls::apply,
    fault::Point,
    given::sign_out,
    place::Place,
    postgres::fresh_schema,
    rows::{behind, query},
};

async fn recover_beside(
    authority: &TestAuthority,
    master: &MasterKeys,
) -> Result<Recovered, RecoverError> {
    let store = open_store(&authority.config.store).await.expect("opens");
    recover(&*store, master, false).await
}

async fn head(authority: &TestAuthority) -> Position {
    let store = open_store(&authority.config.store).await.expect("opens");
    store.head().await.expect("a head")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_is_refused_while_an_authority_beats() {
    let mut authority = TestAuthority::postgres(&fresh_schema().await.url).await;
    let master = read_master_keys(&authority.config.keys)
        .await
        .expect("a key");
    let _gate = authority.ready_gate().await;
    authority.sign_in("ada").await;
    let before = head(&authority).await;

    let refused = recover_beside(&authority, &master).await;
    let refused = refused.expect_err("an authority is running").to_string();
    assert!(refused.contains("stop every authority"), "{refused}");
    assert_eq!(head(&authority).await.incarnation, before.incarnation);

    // It leaves nothing behind when it ends in order: a recovery need not wait.
    authority.stop().await;
    let recovered = recover_beside(&authority, &master).await.expect("recovers");
    assert_ne!(recovered.head.incarnation, before.incarnation);
}

#[tokio::test]
async fn a_recovery_waits_until_the_last_beat_of_an_authority_that_crashed_is_old() {
    let place = Place::postgres().await;
    let store = place.store().await;
    apply(&*store, sign_out("t", &["u"])).await;
    store.beat(&[1; 16]).await.expect("a beat");
    let master = MasterKeys::from(MasterKey::generate());
    let refused = recover(&*store, &master, false).await;
    let refused = refused.expect_err("it has beaten just now").to_string();
    assert!(refused.contains("stop every authority"), "{refused}");

    // As if half a minute had passed.
    let old = "UPDATE authority_beat SET beat_us = beat_us - 31000000";
    place.execute(old).await.expect("a change");
    recover(&*store, &master, false).await.expect("recovers");
}

#[tokio::test]
async fn records_of_authorities_that_crashed_go_when_they_are_a_day_old() {
    let place = Place::postgres().await;
    let store = place.store().await;
    for authority in [1, 2, 3] {
        store.beat(&[authority; 16]).await.expect("a beat");
    }
    let old = "UPDATE authority_beat SET beat_us = beat_us - 86401000000 \
               WHERE authority_id = decode(repeat('02', 16), 'hex')";
    place.execute(old).await.expect("a change");
    store.end_beats(&[1; 16]).await.expect("ended");
    let left = "SELECT CAST(count(*) AS TEXT) FROM authority_beat";
    let rows = query(&place, left, &[]).await;
    assert_eq!(rows[0].text(ONLY).expect("a count"), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_with_another_master_key_changes_nothing() {
    for mut authority in [
        TestAuthority::sqlite().await,
        TestAuthority::postgres(&fresh_schema().await.url).await,
    ] {
        authority.stop().await;
        behind(&authority, "DELETE FROM authority_beat").await;
        let before = head(&authority).await;
        let refused = recover_beside(&authority, &MasterKey::generate().into()).await;
        let refused = refused.expect_err("another key").to_string();
        assert!(refused.contains("keys.other_master_keys"), "{refused}");
        assert_eq!(head(&authority).await, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_notices_what_was_appended_after_it_read_the_log() {
    let place = Place::postgres().await;
    let (store, faults) = place.faulty_store().await;
    apply(&*store, sign_out("t", &["u"])).await;
    let mut hold = faults.pause(Lane::Append, Point::Before(0));
    let recovering = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { recover(&*store, &MasterKey::generate().into(), false).await })
    };
    assert!(hold.reached().await, "the log was read");
    let running = place.store().await;
    let revision = apply(&*running, sign_out("t", &["v"])).await.revision;
    drop(hold);

    let refused = recovering.await.expect("no panic");
    let refused = refused.expect_err("something was appended").to_string();
    assert!(refused.contains("the log grew"), "{refused}");
    assert_eq!(running.head().await.expect("a head").revision, revision);
}
