//! What heals by itself: keys of a wrong clock, stolen keys, and turns that no clock can fake.

use std::time::Duration;

use portcullis_authority::{
    domain::{
        ApiKey, AuditFilter, Cause, Entry, EntryError, Micros, Mutation, NewApiKey, NewKey,
        Outcome, current_key,
    },
    store::{Beat, CheckpointDue, Store, sql::Column},
};
use portcullis_contract::{
    key::{CredentialKind, KeyId},
    position::Revision,
};
use portcullis_tests::{
    api_keys,
    audit::{everything, list as trail_of},
    calls::{append, apply, head, open, session},
    given::{entry, key, revoke, sign_in},
    place::Place,
    replay::{accepts, position_at, replay},
    rows::query,
    wait::{eventually, within},
};
use tokio::task::JoinSet;

use crate::Engine;

const HOUR: Duration = Duration::from_secs(3600);
const TOLERANCE: Duration = Duration::from_secs(300);

async fn turn(store: &dyn Store) -> u32 {
    let turn = Mutation::Turn {
        life: HOUR,
        margin: Duration::ZERO,
    };
    apply(store, entry(turn)).await.changed
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
    let at = position_at(&*one, Revision(3)).await;
    let save = one.save_checkpoint(at, vec![1].into(), vec![2].into());
    assert!(save.await.expect("saved"));
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
    let at = position_at(&*one, Revision(4)).await;
    let save = one.save_checkpoint(at, vec![1].into(), vec![2].into());
    assert!(save.await.expect("saved"));
    assert_eq!(one.trimmable_revision().await.expect("asked"), Revision(3));
}

/// As it looks when the database's clock was an hour ahead and is right again: all that it gave times to is later.
async fn set_the_clock_back_by_an_hour(place: &Place) {
    let installation = "UPDATE installation SET last_turn_us = last_turn_us + 3600000000, \
         clock_latest_us = clock_latest_us + 3600000000, clock_floor_us = clock_floor_us + 3600000000";
    query(place, installation, &[]).await;
    let keys = "UPDATE api_keys SET expires_us = expires_us + 3600000000";
    query(place, keys, &[]).await;
}

/// Turns twice, so that everything that was revoked so far is forgotten.
async fn turn_twice(store: &dyn Store) {
    for _ in 0..2 {
        let turn = Mutation::Turn {
            life: Duration::ZERO,
            margin: Duration::ZERO,
        };
        assert_eq!(apply(store, entry(turn)).await.changed, 1);
    }
}

async fn beat(store: &dyn Store) -> Beat {
    store.beat(&[7; 16]).await.expect("a beat")
}

/// What an authority appends when its beats find that the clock was set back.
async fn answer_set_back(store: &dyn Store) -> u32 {
    let answer = Mutation::ClockSetBack {
        forget_margin: Duration::ZERO,
    };
    apply(store, Entry::internal(answer)).await.changed
}

async fn column(place: &Place, name: &str) -> Micros {
    let rows = query(place, &format!("SELECT {name} FROM installation"), &[]).await;
    Micros(rows[0].int(Column::nth(0)).expect("a time"))
}

async fn a_turn_raises_the_floor_of_the_clock_to_the_end_of_the_tokens_it_forgets(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    assert_eq!(beat(&*store).await.clock_floor, Micros(0));

    let earlier = "UPDATE installation SET last_turn_us = last_turn_us - 7300000000, \
         turn_counted_us = 7200000000";
    query(&place, earlier, &[]).await;
    let turned = column(&place, "last_turn_us").await;
    let turn = Mutation::Turn {
        life: HOUR,
        margin: HOUR,
    };
    assert_eq!(apply(&*store, entry(turn)).await.changed, 1);
    let beat = beat(&*store).await;
    assert_eq!(beat.clock_floor, turned.after(HOUR));
    assert!(
        beat.time.since(beat.clock_floor) >= HOUR,
        "the whole margin"
    );
}

async fn a_life_that_was_shortened_raises_the_floor_to_the_end_of_the_longer_tokens(
    engine: Engine,
) {
    let place = engine.place().await;
    let store = place.store().await;
    let long = Duration::from_millis(300);
    let margin = Duration::from_millis(200);
    let keep = async |wish| {
        let life = store.token_life(wish, margin).await;
        life.expect("a life").keep
    };
    assert_eq!(keep(long).await, long);
    assert_eq!(keep(Duration::ZERO).await, long);
    let lowered = column(&place, "lowered_us").await;
    eventually("the shorter life", async || {
        keep(Duration::ZERO).await.is_zero().then_some(())
    })
    .await;
    let beat = beat(&*store).await;
    assert_eq!(beat.clock_floor, lowered.after(long));
    assert!(beat.time.since(beat.clock_floor) >= margin);
}

async fn a_clock_behind_what_gates_have_forgotten_signs_everyone_out_once(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let revoked = open(&*store, &sign_in("t", "u")).await;
    let living = open(&*store, &sign_in("t", "v")).await;
    apply(&*store, revoke(&[&revoked])).await;
    turn_twice(&*store).await;
    assert!(!beat(&*store).await.is_set_back());
    assert_eq!(answer_set_back(&*store).await, 0, "the clock is right");
    set_the_clock_back_by_an_hour(&place).await;
    assert!(beat(&*store).await.is_set_back());
    assert!(
        accepts(&replay(&*store).await, &revoked.subject),
        "forgotten"
    );
    let between = open(&*store, &sign_in("t", "w")).await;

    let mut answering = JoinSet::new();
    for _ in 0..3 {
        let other = place.store().await;
        answering.spawn(async move { answer_set_back(&*other).await });
    }
    let answers = within("all authorities", answering.join_all()).await;
    assert_eq!(answers.iter().sum::<u32>(), 1, "{answers:?}");

    let after = beat(&*store).await;
    assert!(!after.is_set_back());
    assert_eq!(after.clock_floor, Micros(0));
    let later = open(&*store, &sign_in("t", "u")).await;
    let view = replay(&*store).await;
    for ended in [&revoked, &living, &between] {
        assert!(!accepts(&view, &ended.subject));
    }
    assert!(accepts(&view, &later.subject));
    let end = session(&*store, &living).await.end.expect("it ended");
    assert_eq!(end.cause, Cause::Recovery);

    let of_everyone = AuditFilter {
        tenant_id: None,
        action: Some("everyone.sign_out".into()),
        ..everything("t")
    };
    let events = trail_of(&*store, &of_everyone).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].actor.name, "authority");
    assert_eq!(events[0].details["cause"], "clock_set_back");
}

async fn a_sign_out_after_a_set_back_is_kept_until_the_tokens_before_it_have_expired(
    engine: Engine,
) {
    let place = engine.place().await;
    let store = place.store().await;
    let ended = open(&*store, &sign_in("t", "u")).await;
    turn_twice(&*store).await;
    set_the_clock_back_by_an_hour(&place).await;
    assert_eq!(answer_set_back(&*store).await, 1);

    // The turns of the clock that was ahead date the next one: it is not due by the clock that is right.
    let count = "UPDATE installation SET turn_counted_us = 7200000000";
    query(&place, count, &[]).await;
    assert_eq!(turn(&*store).await, 0);
    assert!(!accepts(&replay(&*store).await, &ended.subject));
}

/// Creates API keys that are revoked, have expired and are forgotten.
async fn forgotten_keys(store: &dyn Store, number: usize) -> Vec<ApiKey> {
    let expires = beat(store).await.time.after(Duration::from_millis(1_500));
    let mut keys = Vec::new();
    for _ in 0..number {
        let new = NewApiKey {
            expires: Some(expires),
            ..api_keys::new("t", "u")
        };
        keys.push(api_keys::create(store, &new).await);
    }
    let revocations: Vec<_> = keys.iter().map(api_keys::revocation).collect();
    for outcome in append(store, &revocations).await {
        assert_eq!(outcome.expect("applied").changed, 1, "too slow: it expired");
    }
    eventually("the keys expire", async || {
        (beat(store).await.time > expires).then_some(())
    })
    .await;
    while apply(store, entry(Mutation::ForgetApiKeys(Duration::ZERO)))
        .await
        .changed
        > 0
    {}
    keys
}

async fn api_keys_that_gates_have_forgotten_are_revoked_again_after_a_set_back(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let key = forgotten_keys(&*store, 1).await.remove(0);
    let expired = key.expires.expect("it expires");
    assert_eq!(beat(&*store).await.clock_floor, expired);
    assert!(
        api_keys::accepts(&replay(&*store).await, &key.subject),
        "forgotten"
    );
    set_the_clock_back_by_an_hour(&place).await;
    assert!(beat(&*store).await.is_set_back());
    assert_eq!(answer_set_back(&*store).await, 2, "the key, and everyone");
    assert!(!api_keys::accepts(&replay(&*store).await, &key.subject));
    assert_eq!(beat(&*store).await.clock_floor, Micros(0));
}

async fn nothing_is_proved_until_the_last_of_many_forgotten_api_keys_is_revoked_again(
    engine: Engine,
) {
    let place = engine.place().await;
    let store = place.store().await;
    let living = open(&*store, &sign_in("t", "v")).await;
    // Rows of their own: as many keys as do not fit into one entry would expire before they are all revoked.
    let keys = forgotten_keys(&*store, 1).await;
    let copies = "INSERT INTO api_keys (tenant_id, key_id, serial, owner_id, owner_serial, tenant_serial, \
             opened_revision, name, scopes, audiences, created_us, expires_us, end_event, forgotten_us) \
         SELECT tenant_id, $1, serial + $2, owner_id, owner_serial, tenant_serial, opened_revision, name, scopes, \
             audiences, created_us, expires_us, end_event, forgotten_us FROM api_keys WHERE key_id = $3";
    let more = Mutation::FORGOTTEN_MAX;
    for number in 1..=more {
        let mut id = keys[0].id.to_bytes();
        id[12..].copy_from_slice(&number.to_be_bytes());
        let original = keys[0].id.to_bytes();
        let values = [id[..].into(), i64::from(number).into(), original[..].into()];
        query(&place, copies, &values).await;
    }
    set_the_clock_back_by_an_hour(&place).await;

    assert_eq!(answer_set_back(&*store).await, Mutation::FORGOTTEN_MAX);
    assert!(beat(&*store).await.is_set_back(), "one key is missing");
    assert!(accepts(&replay(&*store).await, &living.subject));
    assert_eq!(
        answer_set_back(&*store).await,
        2,
        "the last key, and everyone"
    );
    assert!(!beat(&*store).await.is_set_back());
    let view = replay(&*store).await;
    assert!(!accepts(&view, &living.subject));
    for number in 0..=more {
        let mut subject = keys[0].subject;
        subject.serial.0 += u64::from(number);
        assert!(!api_keys::accepts(&view, &subject), "{number}");
    }
}

crate::on_every_engine! {
    two_steps_of_the_clock_turn_nothing,
    time_is_counted_once_and_never_across_a_turn,
    a_clock_that_was_ahead_delays_turns_until_its_tokens_have_run_out,
    keys_that_were_made_by_a_clock_ahead_sign_at_once_and_are_corrected_in_their_order,
    a_stolen_key_that_signs_is_replaced_in_one_revision,
    a_stolen_key_that_does_not_sign_goes_without_a_successor,
    one_authority_writes_a_checkpoint_and_only_when_enough_has_changed,
    a_turn_raises_the_floor_of_the_clock_to_the_end_of_the_tokens_it_forgets,
    a_life_that_was_shortened_raises_the_floor_to_the_end_of_the_longer_tokens,
    a_clock_behind_what_gates_have_forgotten_signs_everyone_out_once,
    a_sign_out_after_a_set_back_is_kept_until_the_tokens_before_it_have_expired,
    api_keys_that_gates_have_forgotten_are_revoked_again_after_a_set_back,
    nothing_is_proved_until_the_last_of_many_forgotten_api_keys_is_revoked_again,
}
