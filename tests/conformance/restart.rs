//! What is there after a restart, and what may be thrown away.

use std::time::Duration;

use portcullis_authority::store::{Store, StoreError};
use portcullis_contract::{
    position::{Chain, Incarnation, Position, Revision},
    view::View,
};
use portcullis_tests::{
    calls::{apply, open, session},
    given::{revoke, sign_in, sign_out},
    replay::{accepts, is_alive, position_at, replay},
    wait::within,
};
use tokio::task::JoinSet;

use crate::Engine;

const HOUR: Duration = Duration::from_secs(3600);

async fn a_restart_finds_all_as_it_was(engine: Engine) {
    let mut place = engine.place().await;
    let store = place.store().await;
    let (dead, alive) = (
        open(&*store, &sign_in("t", "u")).await,
        open(&*store, &sign_in("t", "v")).await,
    );
    apply(&*store, revoke(&[&dead])).await;
    apply(&*store, sign_out("t", &["w"])).await;
    let (head, tail) = (
        store.head().await.expect("a head"),
        store.tail(Revision(0), 10).await.expect("a tail"),
    );
    drop(store);
    place.restart().await;

    let store = place.store().await;
    assert_eq!(store.head().await.expect("a head"), head);
    assert_eq!(store.tail(Revision(0), 10).await.expect("a tail"), tail);
    assert!(!is_alive(&*store, &dead).await && is_alive(&*store, &alive).await);
    let next = open(&*store, &sign_in("t", "u")).await;
    assert!(
        next.subject.serial > alive.subject.serial,
        "no serial is used twice"
    );
    assert_eq!(next.subject.user, dead.subject.user);
    assert_eq!(
        apply(&*store, revoke(&[&next])).await.revision,
        head.revision.next()
    );
}

async fn authorities_may_start_at_once_on_nothing(engine: Engine) {
    let place = std::sync::Arc::new(engine.place().await);
    let mut starting = JoinSet::new();
    for _ in 0..4 {
        let place = std::sync::Arc::clone(&place);
        starting.spawn(async move { place.store().await.head().await.expect("a head") });
    }
    let heads = within("all starts", starting.join_all()).await;
    assert!(heads.iter().all(|head| *head == heads[0]), "one history");
}

async fn save(store: &dyn Store, revision: u64, bytes: &'static [u8]) {
    let at = position_at(store, Revision(revision)).await;
    let is_kept = store.save_checkpoint(at, bytes.into(), b"code"[..].into());
    assert!(is_kept.await.expect("an answer"), "the log has {revision}");
}

async fn append_batches(store: &dyn Store, count: usize) {
    for number in 0..count {
        apply(store, sign_out("t", &[&format!("u{number}")])).await;
    }
}

async fn saved(store: &dyn Store) -> Vec<Vec<u8>> {
    let checkpoints = store.checkpoints().await.expect("checkpoints");
    assert!(checkpoints.iter().all(|(_, code)| code[..] == b"code"[..]));
    checkpoints
        .into_iter()
        .map(|(view, _)| view.to_vec())
        .collect()
}

async fn the_two_newest_checkpoints_are_kept(engine: Engine) {
    let store = engine.place().await.store().await;
    assert!(saved(&*store).await.is_empty());
    append_batches(&*store, 12).await;
    save(&*store, 5, b"five").await;
    assert_eq!(saved(&*store).await, [b"five"]);
    save(&*store, 9, b"nine").await;
    save(&*store, 5, b"again").await;
    assert_eq!(saved(&*store).await, [b"nine", b"five"]);
    save(&*store, 12, b"twelve").await;
    save(&*store, 7, b"late").await;
    assert_eq!(saved(&*store).await, [&b"twelve"[..], b"nine"]);
}

async fn a_checkpoint_of_another_history_is_not_kept(engine: Engine) {
    let store = engine.place().await.store().await;
    append_batches(&*store, 3).await;
    save(&*store, 2, b"two").await;
    let head = store.head().await.expect("a head");
    let others = [
        Position {
            chain: Chain([9; 32]),
            ..head
        },
        Position {
            incarnation: Incarnation([9; 16]),
            ..head
        },
        Position {
            revision: head.revision.next(),
            ..head
        },
    ];
    for other in others {
        let is_kept = store.save_checkpoint(other, b"other"[..].into(), b"code"[..].into());
        assert!(!is_kept.await.expect("an answer"), "{other:?}");
    }
    assert_eq!(saved(&*store).await, [b"two"]);
    save(&*store, 3, b"three").await;
}

async fn trimming_removes_deltas_and_nothing_else(engine: Engine) {
    let store = engine.place().await.store().await;
    let (one, two) = (
        open(&*store, &sign_in("t", "u")).await,
        open(&*store, &sign_in("t", "v")).await,
    );
    apply(&*store, revoke(&[&one])).await;
    apply(&*store, sign_out("t", &["v"])).await;
    let (view, head) = (replay(&*store).await, store.head().await.expect("a head"));
    apply(&*store, sign_out("t", &["w"])).await;
    assert_eq!(
        store.trim(Revision(2), HOUR).await.expect("trimmed"),
        0,
        "they are young"
    );
    assert_eq!(
        store
            .trim(Revision(2), Duration::ZERO)
            .await
            .expect("trimmed"),
        2
    );
    assert_eq!(
        store
            .trim(Revision(2), Duration::ZERO)
            .await
            .expect("trimmed"),
        0
    );

    for after in [0, 1] {
        assert!(matches!(
            store.tail(Revision(after), 10).await,
            Err(StoreError::Trimmed)
        ));
    }
    assert_eq!(
        store.chain(Revision(2)).await.expect("a chain"),
        Some(head.chain)
    );
    let batches = store.tail(Revision(2), 10).await.expect("the rest");
    let view = View::decode(view.encode())
        .expect("a checkpoint")
        .apply(&batches[0].frame)
        .expect("checkpoint and tail");
    assert_eq!(view.position(), store.head().await.expect("a head"));
    for session in [&one, &two] {
        assert!(
            self::session(&*store, session).await.end.is_some()
                && !accepts(&view, &session.subject)
        );
    }
}

async fn a_wholly_trimmed_log_goes_on(engine: Engine) {
    let store = engine.place().await.store().await;
    apply(&*store, sign_out("t", &["u"])).await;
    let head = store.head().await.expect("a head");
    assert_eq!(
        store
            .trim(Revision(9), Duration::ZERO)
            .await
            .expect("trimmed"),
        1
    );
    assert_eq!(store.head().await.expect("a head"), head);
    assert_eq!(store.tail(head.revision, 10).await.expect("nothing"), []);
    assert_eq!(
        apply(&*store, sign_out("t", &["v"])).await.revision,
        Revision(2)
    );
    let batches = store.tail(head.revision, 10).await.expect("a tail");
    assert_eq!(
        head.chain
            .next(&batches[0].frame.delta, &batches[0].frame.audit_digest),
        store.head().await.expect("a head").chain
    );
}

crate::on_every_engine! {
    a_restart_finds_all_as_it_was,
    authorities_may_start_at_once_on_nothing,
    the_two_newest_checkpoints_are_kept,
    a_checkpoint_of_another_history_is_not_kept,
    trimming_removes_deltas_and_nothing_else,
    a_wholly_trimmed_log_goes_on,
}
