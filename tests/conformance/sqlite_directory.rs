//! What is SQLite's own: its directory, its one writer, and statements that run on other threads.

use std::{fs, future::ready, os::unix::fs::PermissionsExt, pin::pin, sync::mpsc::sync_channel};

use portcullis_authority::store::{
    LogStore, SessionStore, StoreError,
    sql::{Backend, Lane, ONLY},
    sqlite::Sqlite,
};
use portcullis_contract::position::Revision;
use portcullis_tests::{
    calls::{apply, open},
    given::{sign_in, sign_out},
};
use tokio::{runtime, task::spawn_blocking};

#[tokio::test]
async fn a_directory_has_one_owner() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("not/there/yet");
    let first = Sqlite::open(&data).await.expect("opens");
    assert!(matches!(
        Sqlite::open(&data).await,
        Err(StoreError::Unavailable(_))
    ));
    drop(first);
    Sqlite::open(&data).await.expect("the owner is gone");
}

#[tokio::test]
async fn the_data_directory_is_readable_by_its_owner_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let store = Sqlite::open(&data).await.expect("opens");
    apply(&store, sign_out("t", &["u"])).await;
    let mode = |path: &std::path::Path| {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("portcullis.db")), 0o600);
    assert_eq!(mode(&data.join("portcullis.db-wal")), 0o600);
}

#[tokio::test]
async fn an_acknowledgement_is_synced() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = Sqlite::connect(directory.path()).await.expect("opens");
    let mut connection = engine.connection(Lane::Append).await.expect("a connection");
    let full = connection
        .query("PRAGMA synchronous", &[])
        .await
        .expect("a setting")[0]
        .int(ONLY)
        .expect("a number");
    assert_eq!(full, 2, "FULL");
}

/// What a process that is killed leaves behind is what its files hold at that moment.
#[tokio::test]
async fn what_was_acknowledged_is_in_the_files() {
    let (live, copy) = (
        tempfile::tempdir().expect("a directory"),
        tempfile::tempdir().expect("a directory"),
    );
    let store = Sqlite::open(live.path()).await.expect("opens");
    for user in ["a", "b", "c"] {
        apply(&store, sign_out("t", &[user])).await;
    }
    for file in ["portcullis.db", "portcullis.db-wal"] {
        fs::copy(live.path().join(file), copy.path().join(file)).expect("a copy");
    }
    let crashed = Sqlite::open(copy.path()).await.expect("opens");
    assert_eq!(
        crashed.head().await.expect("a head"),
        store.head().await.expect("a head")
    );
    let tail = crashed.tail(Revision(0), 10).await.expect("a tail");
    assert_eq!(tail, store.tail(Revision(0), 10).await.expect("a tail"));
}

/// The one thread for statements is busy when the caller goes away: BEGIN must not run when the thread is free again.
#[test]
fn a_statement_that_has_not_begun_goes_with_its_caller() {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build();
    runtime.expect("a runtime").block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Sqlite::open(directory.path()).await.expect("opens");
        open(&store, &sign_in("t", "u")).await;

        let (release, busy) = sync_channel::<()>(1);
        let thread = spawn_blocking(move || busy.recv());
        {
            let batch = [sign_out("t", &["u"])];
            let mut appending = pin!(store.append(&batch));
            tokio::select! {
                biased;
                _ = &mut appending => panic!("there is no thread for it"),
                () = ready(()) => {}
            }
        }
        release.send(()).expect("the thread waits");
        thread.await.expect("no panic").expect("released");

        let opened = open(&store, &sign_in("t", "u")).await;
        let found = store
            .session(&opened.tenant_id, opened.id)
            .await
            .expect("an answer");
        assert!(found.is_some(), "what was acknowledged is committed");
        assert_eq!(
            apply(&store, sign_out("t", &["u"])).await.revision,
            Revision(1)
        );
    });
}
