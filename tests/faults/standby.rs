//! A primary with a synchronous standby, and the loss of either (I1).

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use portcullis_authority::{
    domain::{Entry, Session},
    store::{
        Appended, Store, StoreError,
        postgres::{Postgres, PostgresOptions},
    },
};
use portcullis_contract::position::Revision;
use portcullis_tests::{
    calls::{apply, apply_again, head, open, session},
    given::{revoke, sign_in, sign_out},
    postgres::{Admin, Cluster, url_of_primary},
    replay::{is_alive, replay},
    wait::{eventually, within},
};
use tokio::task::JoinSet;

struct Pair {
    primary: Cluster,
    standby: Cluster,
}

impl Pair {
    async fn start() -> Self {
        let primary = Cluster::start(&[]).await;
        let standby = primary.synchronous_standby("standby1").await;
        Self { primary, standby }
    }

    /// An authority that follows whoever is primary.
    async fn store(&self) -> Arc<dyn Store> {
        store(&url_of_primary(&[&self.primary, &self.standby])).await
    }

    async fn resume(&mut self) {
        self.standby.run().await;
        self.primary.wait_for_synchronous_standby().await;
    }
}

async fn store(url: &str) -> Arc<dyn Store> {
    Arc::new(
        Postgres::open(url, &PostgresOptions::default())
            .await
            .expect("opens"),
    )
}

/// Cancels the next commit that waits for the standby, as an operator might who sees it hang.
async fn cancel_wait(admin: &Admin) {
    let waiting =
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    eventually("a commit waits for the standby", async || {
        admin.maybe_text(waiting).await.map(drop)
    })
    .await;
}

async fn append_cancelled(
    store: &dyn Store,
    admin: &Admin,
    entry: &Entry,
) -> Result<Appended, StoreError> {
    let batch = [entry.clone()];
    let mut appending = pin!(store.append(&batch));
    tokio::select! {
        // It did not wait for the standby at all.
        appended = &mut appending => return appended,
        () = cancel_wait(admin) => {}
    }
    within("a cancelled append", appending).await
}

#[tokio::test]
async fn a_commit_whose_wait_for_the_standby_was_cancelled_is_not_acknowledged() {
    let mut pair = Pair::start().await;
    let (store, admin) = (pair.store().await, pair.primary.admin().await);
    assert!(
        store
            .durability()
            .await
            .expect("words")
            .starts_with("a synchronous standby")
    );
    let opened = open(&*store, &sign_in("t", "u")).await;
    pair.standby.stop().await;

    let entry = revoke(&[&opened]);
    let cancelled = append_cancelled(&*store, &admin, &entry).await;
    assert!(cancelled.is_err_and(|error| error.is_retryable()));
    assert_eq!(
        head(&*store).await,
        Revision(1),
        "it is there for all to see, and on one disk only"
    );
    let repeated = append_cancelled(&*store, &admin, &entry).await;
    assert!(repeated.is_err(), "it is known, and still on one disk only");
    let unchanged = append_cancelled(&*store, &admin, &revoke(&[&opened])).await;
    assert!(
        unchanged.is_err(),
        "what it would vouch for is on one disk only"
    );

    pair.resume().await;
    assert_eq!(apply_again(&*store, &entry).await.revision, Revision(1));
    assert_eq!(apply(&*store, revoke(&[&opened])).await.changed, 0);
    assert_eq!(head(&*store).await, Revision(1));
    assert!(!is_alive(&*store, &opened).await);
}

#[tokio::test]
async fn without_the_standby_nothing_is_acknowledged_and_no_beat_returns() {
    let mut pair = Pair::start().await;
    let store = pair.store().await;
    store.beat(&[1; 16]).await.expect("a beat");
    let admin = pair.primary.admin().await;
    pair.standby.kill().await;
    let (beat, ()) = tokio::join!(store.beat(&[1; 16]), cancel_wait(&admin));
    assert!(beat.is_err(), "a cancelled wait is no answer");
    let batch = [sign_out("t", &["u"])];
    let (beat, appended) = within("both give up", async {
        tokio::join!(store.beat(&[1; 16]), store.append(&batch))
    })
    .await;
    assert!(beat.is_err_and(|error| error.is_retryable()));
    assert!(appended.is_err_and(|error| error.is_retryable()));

    pair.resume().await;
    let acknowledged = apply_again(&*store, &batch[0]).await.revision;
    let beat = async || store.beat(&[1; 16]).await.ok();
    assert_eq!(eventually("a beat", beat).await.head.revision, acknowledged);
    assert_eq!(
        (acknowledged, head(&*store).await),
        (Revision(1), Revision(1))
    );
}

#[tokio::test]
async fn a_deposed_primary_neither_acknowledges_nor_beats() {
    let pair = Pair::start().await;
    let (old, new) = (store(&pair.primary.url()).await, pair.standby.url());
    apply(&*old, sign_out("t", &["u"])).await;
    pair.standby.promote().await;
    let new = store(&new).await;
    let batch = [sign_out("t", &["v"])];
    let (beat, appended) = within("both give up", async {
        tokio::join!(old.beat(&[1; 16]), old.append(&batch))
    })
    .await;
    assert!(beat.is_err() && appended.is_err());
    assert_eq!(apply_again(&*new, &batch[0]).await.revision, Revision(2));
    assert_eq!(
        new.beat(&[1; 16]).await.expect("a beat").head,
        replay(&*new).await.position()
    );
}

/// What one writer was told, and what it was not told.
struct Written {
    store: Arc<dyn Store>,
    acknowledged: Vec<(Session, Revision)>,
    in_doubt: Option<(Session, Entry)>,
}

/// Signs in and out until something fails.
async fn write(store: Arc<dyn Store>, user: String, count: Arc<AtomicUsize>) -> Written {
    let mut written = Written {
        store: Arc::clone(&store),
        acknowledged: vec![],
        in_doubt: None,
    };
    while let Ok(opened) = store.sign_in(&sign_in("t", &user)).await {
        let entry = revoke(&[&opened.session]);
        match store.append(std::slice::from_ref(&entry)).await {
            Ok(appended) => {
                let revision = appended.outcomes[0].expect("applied").revision;
                written.acknowledged.push((opened.session, revision));
                count.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) if error.is_retryable() => {
                // A lock that another held for too long is not the end.
                written.in_doubt = Some((opened.session, entry));
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    written
}

#[tokio::test]
async fn a_killed_primary_and_a_promoted_standby_lose_no_acknowledged_revocation() {
    let mut pair = Pair::start().await;
    let count = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        writers.spawn(write(
            pair.store().await,
            format!("u{writer}"),
            Arc::clone(&count),
        ));
    }
    eventually("some revocations", async || {
        (count.load(Ordering::SeqCst) >= 60).then_some(())
    })
    .await;
    pair.primary.kill().await;
    pair.standby.promote().await;

    let witness = pair.store().await;
    let mut acknowledged = 0;
    for Written {
        store,
        acknowledged: revocations,
        in_doubt,
    } in within("all writers", writers.join_all()).await
    {
        for (opened, revision) in &revocations {
            let end = session(&*witness, opened)
                .await
                .end
                .expect("an acknowledged revocation is never lost");
            assert_eq!(end.revision, *revision);
        }
        acknowledged += revocations.len();
        if let Some((opened, entry)) = in_doubt {
            // The same authority follows the promotion, and its repetition does nothing twice.
            let revision = within("the authority follows", apply_again(&*store, &entry))
                .await
                .revision;
            assert_eq!(
                session(&*witness, &opened)
                    .await
                    .end
                    .expect("an end")
                    .revision,
                revision
            );
            acknowledged += 1;
        }
        store
            .beat(&[3; 16])
            .await
            .expect("a beat of the new primary");
    }
    let view = replay(&*witness).await;
    assert_eq!(view.revoked_count(), acknowledged as u64);
    assert_eq!(
        view.position().revision.0,
        acknowledged as u64,
        "each was done once"
    );
}

#[tokio::test]
async fn a_first_host_that_is_gone_keeps_nobody_waiting() {
    let mut pair = Pair::start().await;
    pair.primary.kill().await;
    pair.standby.promote().await;
    let begun = Instant::now();
    store(&pair.standby.url()).await;
    let alone = begun.elapsed();
    // Opened beside the host that is gone, it takes as long: to wait for that host would take seconds more.
    let limit = Duration::from_secs(3) + 3 * alone;
    let opened = tokio::time::timeout(limit, pair.store()).await;
    apply(&*opened.expect("in time"), sign_out("t", &["u"])).await;
}

/// A standby that does not replay is behind by what the primary writes, and one that is gone is not counted.
#[tokio::test]
async fn the_lag_of_standbys_is_measured() {
    let primary = Cluster::start(&["fsync=off"]).await;
    let mut standby = primary.asynchronous_standby("standby1").await;
    let store = store(&primary.url()).await;
    let standbys = async || {
        let measure = store.measure().await.expect("measured");
        assert!(measure.size_bytes > 1_000_000, "{measure:?}");
        measure.standbys.expect("a superuser sees standbys")
    };
    let level = eventually("the standby to be level", async || {
        let standbys = standbys().await;
        (standbys.first()?.lag_bytes == 0).then_some(standbys)
    })
    .await;
    assert_eq!(level.len(), 1);
    assert_eq!(level[0].name, "standby1");

    let replay = standby.admin().await;
    replay.text("SELECT pg_wal_replay_pause()::text").await;
    open(&*store, &sign_in("t", "u")).await;
    let behind = standbys().await;
    assert!(behind[0].lag_bytes > 0, "{behind:?}");

    standby.stop().await;
    eventually("the standby to be gone", async || {
        standbys().await.is_empty().then_some(())
    })
    .await;
}
