//! What heals by itself: keys of a wrong clock, stolen keys, and turns that no clock can fake.

use std::time::Duration;

use portcullis_authority::{
    domain::{EntryError, Mutation, NewKey, Outcome, current_key},
    store::{CheckpointDue, Store},
};
use portcullis_contract::{
    key::{CredentialKind, KeyId},
    position::Revision,
};
use portcullis_tests::{
    calls::{append, apply, head},
    given::{entry, key},
    place::Place,
    replay::replay,
    rows::query,
};

use crate::Engine;

const HOUR: Duration = Duration::from_secs(3600);
const TOLERANCE: Duration = Duration::from_secs(300);

async fn turn(store: &dyn Store) -> u32 {
    apply(store, entry(Mutation::Turn { period: HOUR }))
        .await
        .changed
}

/// As it looks when the database's clock has moved on by more than a period.
async fn step_the_clock(place: &Place) {
    query(place, "UPDATE installation SET last_turn_us = 0", &[]).await;
}

async fn trust(store: &dyn Store) -> NewKey {
    let new = key(Duration::ZERO);
    apply(store, entry(Mutation::TrustKey(new.clone()))).await;
    new
}

async fn replace(store: &dyn Store, id: &KeyId, successor: &NewKey) -> Result<Outcome, EntryError> {
    let replace = Mutation::ReplaceKey {
        id: id.clone(),
        successor: Box::new(successor.clone()),
    };
    append(store, &[entry(replace)]).await.remove(0)
}

async fn current(store: &dyn Store) -> Option<KeyId> {
    let (keys, now) = store.keys().await.expect("keys");
    current_key(&keys, CredentialKind::Session, now).map(|key| key.id.clone())
}

async fn two_steps_of_the_clock_turn_nothing(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    for _ in 0..2 {
        step_the_clock(&place).await;
        assert_eq!(turn(&*store).await, 0, "no time has passed");
    }
    let counting = store.turn_counting().await.expect("counting");
    let counted = store.count_towards_turn(&[1; 16], counting.number, HOUR);
    assert!(counted.await.expect("counted"));
    assert_eq!(turn(&*store).await, 1);
    step_the_clock(&place).await;
    assert_eq!(turn(&*store).await, 0, "what was counted is used up");
    assert_eq!(replay(&*store).await.turns(), 1);
}

async fn time_is_counted_once_and_never_across_a_turn(engine: Engine) {
    let place = engine.place().await;
    let (one, other) = (place.store().await, place.store().await);
    let number = one.turn_counting().await.expect("counting").number;
    let first = one.count_towards_turn(&[1; 16], number, HOUR).await;
    let second = other.count_towards_turn(&[2; 16], number, HOUR).await;
    assert!(first.expect("asked") && !second.expect("asked"));
    let counting = one.turn_counting().await.expect("counting");
    assert_eq!(counting.by, Some([1; 16]));
    step_the_clock(&place).await;
    assert_eq!(turn(&*one).await, 1);
    let late = one.count_towards_turn(&[1; 16], counting.number, HOUR);
    assert!(!late.await.expect("asked"), "that was before the turn");
}

async fn a_clock_that_was_ahead_delays_turns_until_its_tokens_have_run_out(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let ahead = "UPDATE installation SET last_turn_us = 0, clock_latest_us = 9000000000000000";
    for turned in [1, 0] {
        query(&place, ahead, &[]).await;
        if turned == 0 {
            // The turn before was recorded by the latest time that the clock had shown.
            let sql = "UPDATE installation SET last_turn_us = clock_latest_us";
            query(&place, sql, &[]).await;
        }
        let number = store.turn_counting().await.expect("counting").number;
        let counted = store.count_towards_turn(&[1; 16], number, HOUR);
        assert!(counted.await.expect("counted"));
        assert_eq!(turn(&*store).await, turned);
    }
}

async fn keys_that_were_made_by_a_clock_ahead_sign_at_once_and_are_corrected_in_their_order(
    engine: Engine,
) {
    let place = engine.place().await;
    let store = place.store().await;
    let old = trust(&*store).await;
    let new = trust(&*store).await;
    let day = "UPDATE signing_keys SET created_us = created_us + 86400000000, \
               signs_from_us = signs_from_us + 86400000000";
    query(&place, day, &[]).await;
    let older = "UPDATE signing_keys SET created_us = created_us - 9000000, \
                 signs_from_us = signs_from_us - 9000000 WHERE key_id = $1";
    query(&place, older, &[old.id.as_str().into()]).await;
    assert_eq!(
        current(&*store).await.as_ref(),
        Some(&old.id),
        "a key signs, always"
    );
    let mut corrected = store
        .correct_future_keys(TOLERANCE)
        .await
        .expect("corrected");
    corrected.sort();
    let mut both = [old.id.to_string(), new.id.to_string()];
    both.sort();
    assert_eq!(corrected, both);
    assert_eq!(current(&*store).await, Some(new.id));
    let again = store.correct_future_keys(TOLERANCE).await.expect("nothing");
    assert!(again.is_empty());
}

async fn a_stolen_key_that_signs_is_replaced_in_one_revision(engine: Engine) {
    let store = engine.place().await.store().await;
    let (stolen, successor) = (trust(&*store).await, key(Duration::ZERO));
    let replaced = replace(&*store, &stolen.id, &successor).await;
    let revision = Revision(2);
    assert_eq!(
        replaced,
        Ok(Outcome {
            revision,
            changed: 2
        })
    );
    assert_eq!(head(&*store).await, revision);
    let view = replay(&*store).await;
    assert!(view.distrusts(&stolen.id) && view.trusted_key(successor.id.as_str()).is_some());
    assert_eq!(current(&*store).await.as_ref(), Some(&successor.id));

    let again = replace(&*store, &stolen.id, &key(Duration::ZERO)).await;
    assert_eq!(again.map(|outcome| outcome.changed), Ok(0));
    let unknown = replace(&*store, &KeyId::parse("absent").expect("an id"), &successor).await;
    assert_eq!(unknown, Err(EntryError::KeyNotFound));
}

async fn a_stolen_key_that_does_not_sign_goes_without_a_successor(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let stolen = trust(&*store).await;
    let older = "UPDATE signing_keys SET created_us = 1, signs_from_us = 1";
    query(&place, older, &[]).await;
    let signing = trust(&*store).await;
    let unused = key(Duration::ZERO);
    let replaced = replace(&*store, &stolen.id, &unused).await;
    assert_eq!(replaced.map(|outcome| outcome.changed), Ok(1));
    assert_eq!(current(&*store).await, Some(signing.id));
    assert!(
        replay(&*store)
            .await
            .trusted_key(unused.id.as_str())
            .is_none()
    );
}

async fn one_authority_writes_a_checkpoint_and_only_when_enough_has_changed(engine: Engine) {
    let place = engine.place().await;
    let (one, other) = (place.store().await, place.store().await);
    let due = CheckpointDue {
        interval: HOUR,
        batches_min: 3,
        bytes_min: 1 << 20,
        age_max: HOUR,
    };
    for revision in 0..3 {
        let claimed = one.claim_checkpoint(Revision(revision), &due).await;
        assert!(!claimed.expect("asked"), "{revision} batches are too few");
        trust(&*one).await;
    }
    let claims = [
        one.claim_checkpoint(Revision(3), &due).await,
        other.claim_checkpoint(Revision(3), &due).await,
    ];
    assert_eq!(claims.map(|claim| claim.expect("asked")), [true, false]);
    let save = one.save_checkpoint(Revision(3), vec![1].into(), vec![2].into());
    save.await.expect("saved");
    let at_once = CheckpointDue {
        interval: Duration::ZERO,
        ..due
    };
    let again = other.claim_checkpoint(Revision(3), &at_once).await;
    assert!(!again.expect("asked"), "it is written");

    // Few batches are enough when they are large, or old.
    trust(&*one).await;
    let few = other.claim_checkpoint(Revision(4), &at_once).await;
    assert!(!few.expect("asked"));
    let large = CheckpointDue {
        bytes_min: 1,
        ..at_once
    };
    let claimed = other.claim_checkpoint(Revision(4), &large).await;
    assert!(claimed.expect("asked"));
    query(&place, "UPDATE log_batches SET stamped_us = 1", &[]).await;
    let old = other.claim_checkpoint(Revision(4), &at_once).await;
    assert!(old.expect("asked"));
    assert_eq!(one.trimmable_revision().await.expect("asked"), Revision(0));
    let save = one.save_checkpoint(Revision(4), vec![1].into(), vec![2].into());
    save.await.expect("saved");
    assert_eq!(one.trimmable_revision().await.expect("asked"), Revision(3));
}

crate::on_every_engine! {
    two_steps_of_the_clock_turn_nothing,
    time_is_counted_once_and_never_across_a_turn,
    a_clock_that_was_ahead_delays_turns_until_its_tokens_have_run_out,
    keys_that_were_made_by_a_clock_ahead_sign_at_once_and_are_corrected_in_their_order,
    a_stolen_key_that_signs_is_replaced_in_one_revision,
    a_stolen_key_that_does_not_sign_goes_without_a_successor,
    one_authority_writes_a_checkpoint_and_only_when_enough_has_changed,
}
