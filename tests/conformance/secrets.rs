//! Secrets of tokens, and what a change of the master key does to everything that it sealed.

use std::{sync::Arc, time::Duration};

use portcullis_authority::{
    domain::{
        EntryError, Micros, Mutation, NewKey, Outcome, Resealed, SealedPlace, SealedValue,
        SecretId, SecretKind, current_secret,
    },
    store::{Store, sql::Lane},
};
use portcullis_contract::position::Revision;
use portcullis_tests::{
    calls::{append, apply, apply_again, head, open},
    fault::Point,
    given::{entry, key, secret, sign_in},
    replay::{position_at, replay},
};

use crate::Engine;

const NOW: Duration = Duration::ZERO;
const LATER: Duration = Duration::from_secs(3600);
const OLD: [u8; 8] = [1; 8];
const NEW: [u8; 8] = [2; 8];

fn refresh(number: u8) -> SecretId {
    SecretId {
        kind: SecretKind::Refresh,
        number,
    }
}

async fn current(store: &dyn Store) -> Option<u8> {
    let (secrets, now) = store.secrets().await.expect("secrets");
    let current = current_secret(&secrets, SecretKind::Refresh, now);
    current.map(|secret| secret.id.number)
}

async fn retire(store: &dyn Store, number: u8) -> Result<Outcome, EntryError> {
    let entry = entry(Mutation::RetireSecret(refresh(number)));
    append(store, &[entry]).await.remove(0)
}

async fn a_secret_makes_tokens_after_its_delay_and_none_replaces_another(engine: Engine) {
    let store = engine.place().await.store().await;
    store.keep_secret(&secret(1, OLD, NOW)).await.expect("kept");
    apply(&*store, entry(Mutation::AddSecret(secret(2, OLD, LATER)))).await;
    assert_eq!(
        current(&*store).await,
        Some(1),
        "authorities have to read it"
    );
    apply(&*store, entry(Mutation::AddSecret(secret(3, OLD, NOW)))).await;
    assert_eq!(current(&*store).await, Some(3));

    // The number is taken, whatever it seals.
    let again = entry(Mutation::AddSecret(secret(2, NEW, NOW)));
    let outcomes = append(
        &*store,
        &[again, entry(Mutation::AddSecret(secret(4, OLD, NOW)))],
    )
    .await;
    assert_eq!(outcomes[0], Err(EntryError::SecretExists));
    assert!(outcomes[1].is_ok(), "the others of its batch are applied");
    let (secrets, _) = store.secrets().await.expect("secrets");
    let kept = secrets.iter().find(|secret| secret.id == refresh(2));
    let kept = kept.expect("it is there");
    assert_eq!(kept.sealed, secret(2, OLD, LATER).sealed);
    assert_eq!(kept.makes_from, kept.created.after(LATER));
    // Gates learn of none.
    assert!(replay(&*store).await.trusted_keys().is_empty());
}

async fn the_secret_in_use_stays_and_another_is_deleted_once(engine: Engine) {
    let store = engine.place().await.store().await;
    store.keep_secret(&secret(1, OLD, NOW)).await.expect("kept");
    assert_eq!(retire(&*store, 1).await, Err(EntryError::SecretInUse));
    assert_eq!(retire(&*store, 9).await, Err(EntryError::SecretNotFound));
    apply(&*store, entry(Mutation::AddSecret(secret(2, OLD, NOW)))).await;
    assert_eq!(retire(&*store, 2).await, Err(EntryError::SecretInUse));

    assert_eq!(retire(&*store, 1).await.expect("retired").changed, 1);
    assert_eq!(retire(&*store, 1).await.expect("known").changed, 0);
    let (secrets, _) = store.secrets().await.expect("secrets");
    let retired = &secrets[0];
    assert!(retired.id == refresh(1) && retired.retired.is_some());
    assert!(retired.sealed.is_empty(), "its bytes are gone");
    // Its number is not given out again.
    store.keep_secret(&secret(1, NEW, NOW)).await.expect("kept");
    assert_eq!(current(&*store).await, Some(2));
    assert_eq!(
        found(&*store, NEW, 10).await.len(),
        1,
        "retired ones have nothing to seal"
    );
}

async fn found(store: &dyn Store, master_key: [u8; 8], limit: u32) -> Vec<SealedValue> {
    let found = store.sealed_by_others(&master_key, limit).await;
    found.expect("values")
}

/// A store with two secrets, two signing keys and a checkpoint of the old master key.
async fn old_values(store: &dyn Store) {
    store.keep_secret(&secret(1, OLD, NOW)).await.expect("kept");
    apply(store, entry(Mutation::AddSecret(secret(2, OLD, NOW)))).await;
    for _ in 0..2 {
        apply(store, entry(Mutation::TrustKey(sealed_key(OLD)))).await;
    }
    let code = [&OLD[..], b"code"].concat();
    let at = position_at(store, Revision(1)).await;
    let is_kept = store.save_checkpoint(at, vec![7].into(), code.into());
    assert!(is_kept.await.expect("saved"));
}

fn sealed_key(master_key: [u8; 8]) -> NewKey {
    NewKey {
        sealed: [&master_key[..], b"sealed"].concat(),
        ..key(NOW)
    }
}

/// The value as the new master key would seal it.
fn resealed(value: &SealedValue) -> Resealed {
    let mut new = value.sealed.clone();
    new[..8].copy_from_slice(&NEW);
    Resealed {
        place: value.place.clone(),
        old: value.sealed.clone(),
        new,
    }
}

async fn everything_of_another_master_key_is_found_and_sealed_anew_in_pieces(engine: Engine) {
    let store = engine.place().await.store().await;
    old_values(&*store).await;
    assert_eq!(found(&*store, OLD, 10).await, []);
    let all = found(&*store, NEW, 10).await;
    let places: Vec<_> = all.iter().map(|value| value.place.to_string()).collect();
    assert_eq!(all.len(), 5, "{places:?}");
    assert_eq!((&places[0][..], &places[1][..]), ("refresh-1", "refresh-2"));
    assert_eq!(places[4], "checkpoint-1");
    assert_eq!(
        store.count_sealed().await.expect("counts"),
        [(OLD.to_vec(), 5)]
    );

    // Each piece takes what is left, until nothing is.
    let mut pieces = 0;
    loop {
        let piece = found(&*store, NEW, 2).await;
        if piece.is_empty() {
            break;
        }
        assert!(piece.len() <= 2);
        let values = piece.iter().map(resealed).collect();
        let outcome = apply(&*store, entry(Mutation::Reseal(values))).await;
        assert_eq!(outcome.changed as usize, piece.len());
        pieces += 1;
    }
    assert_eq!(pieces, 3);
    assert_eq!(
        store.count_sealed().await.expect("counts"),
        [(NEW.to_vec(), 5)]
    );
    let (view, code) = store
        .checkpoint_at(Revision(1))
        .await
        .expect("read")
        .expect("it is kept");
    assert_eq!((&view[..], &code[..8]), (&[7][..], &NEW[..]));
    assert_eq!(store.checkpoint_at(Revision(2)).await.expect("read"), None);
    let (keys, _) = store.keys().await.expect("keys");
    assert!(keys.iter().all(|key| key.sealed.starts_with(&NEW)));
}

async fn a_value_that_changed_meanwhile_stays_and_a_repetition_changes_nothing(engine: Engine) {
    let store = engine.place().await.store().await;
    old_values(&*store).await;
    let all = found(&*store, NEW, 10).await;
    let values: Vec<_> = all.iter().map(resealed).collect();
    // Another call is first with one of them, and a secret is retired.
    apply(&*store, entry(Mutation::Reseal(vec![values[1].clone()]))).await;
    retire(&*store, 1).await.expect("retired");
    let entry_of_all = entry(Mutation::Reseal(values.clone()));
    let outcome = apply(&*store, entry_of_all.clone()).await;
    assert_eq!(outcome.changed, 3);
    let (secrets, _) = store.secrets().await.expect("secrets");
    assert!(
        secrets[0].sealed.is_empty(),
        "a retired secret does not come back"
    );

    // The entry is known, and another one of the same values finds nothing to do.
    assert_eq!(apply_again(&*store, &entry_of_all).await, outcome);
    let before = head(&*store).await;
    let idle = apply(&*store, entry(Mutation::Reseal(values))).await;
    assert_eq!((idle.changed, head(&*store).await), (0, before));
}

async fn a_reseal_that_fails_anywhere_leaves_all_or_nothing_and_the_next_one_ends_it(
    engine: Engine,
) {
    for point in Point::all() {
        let place = engine.place().await;
        let (store, faults) = place.faulty_store().await;
        old_values(&*store).await;
        let all = found(&*store, NEW, 10).await;
        let values: Vec<_> = all.iter().map(resealed).collect();
        let entry = entry(Mutation::Reseal(values));
        faults.fail(Lane::Append, point);
        let failed = store.append(std::slice::from_ref(&entry)).await.is_err();

        let left = found(&*store, NEW, 10).await.len();
        assert!(left == 0 || left == 5, "{left} left, failed at {point:?}");
        assert!(failed || left == 0, "failed at {point:?}");
        let outcome = apply_again(&*store, &entry).await;
        assert_eq!(outcome.changed, 5, "failed at {point:?}");
        assert_eq!(found(&*store, NEW, 10).await, [], "failed at {point:?}");
        if !failed {
            return;
        }
    }
}

/// Two operators reseal, and an authority adds a key of the old master key in between.
async fn two_reseals_at_once_seal_each_value_once(engine: Engine) {
    let place = engine.place().await;
    let (one, two) = (place.store().await, place.store().await);
    old_values(&*one).await;
    let all = found(&*one, NEW, 10).await;
    let values: Vec<_> = all.iter().map(resealed).collect();
    let reseal = |store: Arc<dyn Store>, values: Vec<Resealed>| async move {
        apply(&*store, entry(Mutation::Reseal(values)))
            .await
            .changed
    };
    let (first, second) = tokio::join!(
        reseal(Arc::clone(&one), values.clone()),
        reseal(Arc::clone(&two), values)
    );
    assert_eq!(first + second, 5);
    apply(&*two, entry(Mutation::TrustKey(sealed_key(OLD)))).await;
    let left = found(&*one, NEW, 10).await;
    assert_eq!(left.len(), 1);
    assert!(matches!(left[0].place, SealedPlace::SigningKey(_)));
}

async fn a_session_of_before_a_time_is_seen_until_it_is_over(engine: Engine) {
    let store = engine.place().await.store().await;
    let has = async |time| {
        store
            .has_session_from_before(time)
            .await
            .expect("an answer")
    };
    assert!(!has(Micros(i64::MAX)).await);
    let session = open(&*store, &sign_in("t", "u")).await;
    assert!(has(Micros(i64::MAX)).await);
    assert!(has(Micros(session.created.0 + 1)).await);
    assert!(
        !has(session.created).await,
        "it was opened then, and not before"
    );
    let revoked = portcullis_tests::given::revoke(&[&session]);
    apply(&*store, revoked).await;
    assert!(!has(Micros(i64::MAX)).await);
}

crate::on_every_engine! {
    a_secret_makes_tokens_after_its_delay_and_none_replaces_another,
    the_secret_in_use_stays_and_another_is_deleted_once,
    everything_of_another_master_key_is_found_and_sealed_anew_in_pieces,
    a_value_that_changed_meanwhile_stays_and_a_repetition_changes_nothing,
    a_reseal_that_fails_anywhere_leaves_all_or_nothing_and_the_next_one_ends_it,
    two_reseals_at_once_seal_each_value_once,
    a_session_of_before_a_time_is_seen_until_it_is_over,
}
