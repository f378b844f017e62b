//! An authority that hangs in a transaction: PostgreSQL ends it, and the others go on.

use std::{sync::Arc, time::Duration};

use portcullis_authority::store::{
    postgres::{Postgres, PostgresOptions},
    sql::{Backend, Lane, ONLY},
};
use portcullis_tests::{
    calls::{apply, apply_again, head, open},
    fault::Point,
    given::{sign_in, sign_out},
    place::Place,
    postgres::{fresh_schema, shared},
    replay::{is_alive, replay},
};
use tokio::time::timeout;

/// The bound of the promise.
const OTHERS_ACKNOWLEDGE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn an_appender_that_hangs_with_the_head_stops_the_others_for_less_than_five_seconds() {
    let place = Place::postgres().await;
    let (store, faults) = place.faulty_store().await;
    let other = place.store().await;
    let mut hold = faults.pause(Lane::Append, Point::BeforeCommit);
    let entry = sign_out("t", &["u"]);
    let hung = tokio::spawn({
        let (store, entry) = (Arc::clone(&store), entry.clone());
        async move { store.append(&[entry]).await }
    });
    assert!(hold.reached().await);
    let next = timeout(OTHERS_ACKNOWLEDGE, apply(&*other, sign_out("t", &["v"]))).await;
    assert_eq!(next.expect("in time").revision.0, 1);

    drop(hold);
    let answer = hung.await.expect("no panic");
    assert!(
        answer.is_err_and(|error| error.is_retryable()),
        "the server has ended its transaction"
    );
    assert_eq!(apply_again(&*store, &entry).await.revision.0, 2);
    assert_eq!(replay(&*other).await.position().revision.0, 2);
}

#[tokio::test]
async fn a_sign_in_that_hangs_stops_the_sign_out_of_its_user_for_less_than_five_seconds() {
    let place = Place::postgres().await;
    let (store, faults) = place.faulty_store().await;
    let other = place.store().await;
    // When it has made the user's row, in the transaction after that of the known users.
    let mut hold = faults.pause(Lane::Write, Point::After(9));
    let new = sign_in("new", "new");
    let hung = tokio::spawn({
        let (store, new) = (Arc::clone(&store), new.clone());
        async move { store.sign_in(&new).await.is_err() }
    });
    assert!(hold.reached().await);
    let signed_out = timeout(
        OTHERS_ACKNOWLEDGE,
        apply(&*other, sign_out("new", &["new"])),
    )
    .await;
    assert_eq!(signed_out.expect("in time").revision.0, 1);
    drop(hold);
    assert!(
        hung.await.expect("no panic"),
        "the server has ended its transaction"
    );
    assert!(
        is_alive(&*other, &open(&*store, &new).await).await,
        "repeated, it began after the sign-out"
    );
}

#[tokio::test]
async fn connections_that_the_server_ended_are_replaced() {
    let schema = fresh_schema().await;
    let store = Postgres::open(&schema.url, &PostgresOptions::default())
        .await
        .expect("opens");
    let session = open(&store, &sign_in("t", "u")).await;
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{}'",
        schema.name
    );
    for revision in 1..4 {
        shared()
            .await
            .admin()
            .await
            .batch_execute(&end)
            .await
            .expect("ended");
        assert_eq!(
            apply(&store, sign_out("t", &["u"])).await.revision.0,
            revision
        );
        assert_eq!(head(&store).await.0, revision);
        open(&store, &sign_in("t", "u")).await;
    }
    assert!(!is_alive(&store, &session).await);
}

#[tokio::test]
async fn an_acknowledgement_waits_for_the_disk_whatever_the_server_thinks() {
    let cases = [
        ("off", "on"),
        ("local", "on"),
        ("remote_write", "on"),
        ("on", "on"),
        ("remote_apply", "remote_apply"),
    ];
    for (setting, expected) in cases {
        let url = format!(
            "{}%20-csynchronous_commit%3D{setting}",
            url_with_options_last().await
        );
        let engine = Postgres::connect(&url, &PostgresOptions::default())
            .await
            .expect("connects");
        for lane in [Lane::Append, Lane::Beat] {
            let mut connection = engine.connection(lane).await.expect("a connection");
            let rows = connection
                .query("SELECT current_setting('synchronous_commit')", &[])
                .await
                .expect("a setting");
            assert_eq!(
                rows[0].text(ONLY).expect("text"),
                expected,
                "{lane:?}, configured {setting}"
            );
        }
    }
}

async fn url_with_options_last() -> String {
    let schema = fresh_schema().await;
    format!(
        "{}?options=-csearch_path%3D{}",
        shared().await.url(),
        schema.name
    )
}

#[tokio::test]
async fn durability_is_said_as_it_is() {
    let store = Place::postgres().await.store().await;
    let said = store.durability().await.expect("words");
    assert!(
        said.starts_with("none"),
        "this server runs without fsync: {said}"
    );
}
