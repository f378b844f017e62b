//! Signing keys: which signs, and which may go.

use std::{sync::Arc, time::Duration};

use portcullis_authority::{
    domain::{EntryError, KeyRecord, Mutation, NewKey, Outcome, current_key},
    store::{Store, sql::Lane},
};
use portcullis_contract::{
    key::{CredentialKind, KeyId},
    position::Revision,
};
use portcullis_tests::{
    calls::{append, apply, head},
    fault::Point,
    given::{entry, key},
    replay::replay,
    wait::eventually,
};

use crate::Engine;

const NOW: Duration = Duration::ZERO;
const LATER: Duration = Duration::from_secs(3600);

async fn trust(store: &dyn Store, delay: Duration) -> NewKey {
    let new = key(delay);
    apply(store, entry(Mutation::TrustKey(new.clone()))).await;
    new
}

async fn distrust(store: &dyn Store, id: &KeyId) -> Result<Outcome, EntryError> {
    append(store, &[entry(Mutation::DistrustKey(id.clone()))])
        .await
        .remove(0)
}

async fn records(store: &dyn Store) -> Vec<KeyRecord> {
    store.keys().await.expect("keys").0
}

async fn current(store: &dyn Store) -> Option<KeyId> {
    let (keys, now) = store.keys().await.expect("keys");
    current_key(&keys, CredentialKind::Session, now).map(|key| key.id.clone())
}

/// Waits until the clock has moved, so that keys made before and after differ in age.
async fn a_moment(store: &dyn Store) {
    let (_, then) = store.keys().await.expect("the time");
    let later = async || (store.keys().await.expect("the time").1 > then).then_some(());
    eventually("the clock moves", later).await;
}

async fn the_newest_key_that_is_old_enough_signs(engine: Engine) {
    let store = engine.place().await.store().await;
    assert_eq!(current(&*store).await, None);
    let first = trust(&*store, NOW).await;
    assert_eq!(current(&*store).await.as_ref(), Some(&first.id));
    let future = trust(&*store, LATER).await;
    assert_eq!(
        current(&*store).await.as_ref(),
        Some(&first.id),
        "gates have to know the new one first"
    );
    a_moment(&*store).await;
    let second = trust(&*store, NOW).await;
    assert_eq!(current(&*store).await.as_ref(), Some(&second.id));
    let soon = trust(&*store, Duration::from_millis(50)).await;
    eventually("the delay", async || {
        (current(&*store).await.as_ref() == Some(&soon.id)).then_some(())
    })
    .await;

    let view = replay(&*store).await;
    for key in [&first, &future, &second, &soon] {
        let trusted = view
            .trusted_key(key.id.as_str())
            .expect("all are trusted at once");
        assert_eq!(trusted.public_bytes(), key.public);
    }
}

async fn a_key_is_kept_as_it_was_given(engine: Engine) {
    let store = engine.place().await.store().await;
    let given = trust(&*store, LATER).await;
    let kept = records(&*store).await.remove(0);
    assert_eq!(
        (&kept.id, kept.algorithm, &kept.sealed),
        (&given.id, given.algorithm, &given.sealed)
    );
    assert_eq!(kept.signs_from, kept.created.after(LATER));
    assert_eq!(kept.retired, None);
}

async fn the_key_in_use_stays_and_another_goes_once(engine: Engine) {
    let store = engine.place().await.store().await;
    let old = trust(&*store, NOW).await;
    a_moment(&*store).await;
    let new = trust(&*store, NOW).await;
    assert_eq!(distrust(&*store, &new.id).await, Err(EntryError::KeyInUse));
    assert_eq!(
        distrust(&*store, &KeyId::parse("absent").expect("an id")).await,
        Err(EntryError::KeyNotFound)
    );
    assert_eq!(
        distrust(&*store, &old.id).await,
        Ok(Outcome {
            revision: Revision(3),
            changed: 1
        })
    );
    assert_eq!(
        distrust(&*store, &old.id).await,
        Ok(Outcome {
            revision: Revision(3),
            changed: 0
        })
    );
    assert_eq!(head(&*store).await, Revision(3));

    let view = replay(&*store).await;
    assert!(view.distrusts(&old.id) && view.trusted_key(old.id.as_str()).is_none());
    assert!(view.trusted_key(new.id.as_str()).is_some());
    let retired = records(&*store)
        .await
        .into_iter()
        .find(|key| key.id == old.id)
        .expect("it is kept");
    assert!(retired.retired.is_some());
}

async fn a_batch_does_not_retire_all_keys(engine: Engine) {
    let store = engine.place().await.store().await;
    let one = trust(&*store, NOW).await;
    a_moment(&*store).await;
    let two = trust(&*store, NOW).await;
    let both = [&two, &one, &two].map(|key| entry(Mutation::DistrustKey(key.id.clone())));
    let outcomes = append(&*store, &both).await;
    assert_eq!(outcomes[0], Err(EntryError::KeyInUse));
    assert!(outcomes[1].is_ok());
    assert_eq!(outcomes[2], Err(EntryError::KeyInUse));
    assert_eq!(current(&*store).await, Some(two.id));
}

/// The new key is retired while the old one signs; before that commits the new one would sign, and the old one is
/// retired. Each is right by what it alone sees.
async fn two_retirements_at_once_leave_a_key(engine: Engine) {
    let place = engine.place().await;
    let ((one, faults), (two, other_faults)) =
        (place.faulty_store().await, place.faulty_store().await);
    let old = trust(&*one, NOW).await;
    let new = trust(&*one, Duration::from_millis(200)).await;
    let mut hold = faults.pause(Lane::Append, Point::BeforeCommit);
    let retiring = |store: &Arc<dyn Store>, id: &KeyId| {
        let (store, id) = (Arc::clone(store), id.clone());
        tokio::spawn(async move { distrust(&*store, &id).await })
    };
    let first = retiring(&one, &new.id);
    assert!(hold.reached().await);
    let signs = new.id.clone();
    eventually("the new key would sign", async || {
        (current(&*two).await.as_ref() == Some(&signs)).then_some(())
    })
    .await;
    let second = retiring(&two, &old.id);
    let settled = async || {
        (second.is_finished() || place.is_blocked(&other_faults, Lane::Append).await).then_some(())
    };
    eventually("the second is done or waits", settled).await;
    drop(hold);
    let outcomes = [
        first.await.expect("no panic"),
        second.await.expect("no panic"),
    ];
    assert!(outcomes.iter().any(Result::is_err), "{outcomes:?}");
    assert!(current(&*one).await.is_some(), "a key is left");
    assert!(!replay(&*one).await.trusted_keys().is_empty());
}

crate::on_every_engine! {
    the_newest_key_that_is_old_enough_signs,
    a_key_is_kept_as_it_was_given,
    the_key_in_use_stays_and_another_goes_once,
    a_batch_does_not_retire_all_keys,
    two_retirements_at_once_leave_a_key,
}
