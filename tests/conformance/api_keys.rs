//! API keys: made and ended through the log, and decided by rows as by the view.

use std::{sync::Arc, time::Duration};

use portcullis_authority::{
    domain::{ApiKey, ApiKeyFilter, ApiKeyState, EntryError, Micros, Mutation, NewApiKey, Outcome},
    store::{Recovered, Store, sql::Lane},
};
use portcullis_contract::{
    delta,
    id::ApiKeyId,
    key::CredentialKind,
    position::{Incarnation, Position, Revision},
};
use portcullis_tests::{
    api_keys::{accepts, create, creation, current, is_alive, new, revocation, try_create},
    audit::{everything, list as trail_of},
    calls::{append, apply, apply_again, head, open},
    fault::Point,
    given::{disable, enable, entry, sign_in, sign_out, sign_out_tenant, tenant, user},
    replay::replay,
    wait::eventually,
};

use crate::Engine;

async fn now(store: &dyn Store) -> Micros {
    store.keys().await.expect("the time").1
}

async fn a_key_is_kept_as_it_was_given(engine: Engine) {
    let store = engine.place().await.store().await;
    apply(&*store, sign_out("t", &["someone"])).await;
    let session = open(&*store, &sign_in("t", "u")).await;
    let expires = Some(now(&*store).await.after(Duration::from_secs(3600)));
    let given = NewApiKey {
        name: "nightly \u{1f319} build".into(),
        scopes: vec!["read".into(), "write:all".into()],
        audiences: vec!["a".into(), "b".into()],
        expires,
        ..new("t", "u")
    };
    let key = create(&*store, &given).await;
    assert_eq!(
        (key.id, &key.tenant_id, &key.owner_id),
        (given.id, &given.tenant_id, &given.owner_id)
    );
    assert_eq!(
        (&key.name, &key.scopes, &key.audiences),
        (&given.name, &given.scopes, &given.audiences)
    );
    assert_eq!(
        (key.expires, key.last_used, key.requests_24h, key.ended),
        (expires, None, 0, None)
    );
    assert_eq!(
        (key.subject.user, key.subject.tenant),
        (session.subject.user, session.subject.tenant)
    );
    assert_eq!(
        key.subject.opened,
        Revision(1),
        "the head that was there before"
    );
    assert_eq!(head(&*store).await, Revision(2));
    let later = open(&*store, &sign_in("t", "u")).await;
    assert!(
        key.subject.serial > session.subject.serial && later.subject.serial > key.subject.serial,
        "one sequence"
    );
    assert!(is_alive(&*store, &key).await);
    assert!(
        store
            .api_key(&tenant("other"), key.id)
            .await
            .expect("an answer")
            .is_none()
    );
}

async fn a_repeated_entry_makes_one_key(engine: Engine) {
    let store = engine.place().await.store().await;
    let given = new("t", "u");
    let creating = creation(&given);
    let first = apply_again(&*store, &creating).await;
    assert_eq!(
        first,
        Outcome {
            revision: Revision(1),
            changed: 1
        }
    );
    assert_eq!(apply_again(&*store, &creating).await, first);
    assert_eq!(all(&*store, "t", None, true).await, [given.id]);
    let batches = store.tail(Revision(0), 1).await.expect("a tail");
    assert!(
        delta::decode(&batches[0].frame.delta)
            .expect("a delta")
            .is_empty(),
        "it revokes nothing"
    );
}

async fn an_unknown_owner_is_created_and_a_disabled_owner_gets_no_key(engine: Engine) {
    let store = engine.place().await.store().await;
    create(&*store, &new("t", "u")).await;
    assert!(
        store
            .user(&tenant("t"), &user("u"))
            .await
            .expect("an answer")
            .is_some()
    );
    apply(&*store, disable("t", "u")).await;
    let refused = new("t", "u");
    assert_eq!(
        try_create(&*store, &refused).await.err(),
        Some(EntryError::UserDisabled)
    );
    assert!(
        store
            .api_key(&refused.tenant_id, refused.id)
            .await
            .expect("an answer")
            .is_none()
    );
    let both = append(&*store, &[creation(&new("t", "v")), disable("t", "v")]).await;
    assert_eq!(both[0], Err(EntryError::UserDisabled));
    assert!(both[1].is_ok());
    apply(&*store, enable("t", "u")).await;
    assert!(is_alive(&*store, &create(&*store, &new("t", "u")).await).await);
}

async fn a_key_is_ended_once(engine: Engine) {
    let store = engine.place().await.store().await;
    let (one, two) = (
        create(&*store, &new("t", "u")).await,
        create(&*store, &new("t", "u")).await,
    );
    let ended = append(&*store, &[revocation(&one), revocation(&one)]).await;
    assert_eq!(
        ended[0],
        Ok(Outcome {
            revision: Revision(3),
            changed: 1
        })
    );
    assert_eq!(
        ended[1],
        Ok(Outcome {
            revision: Revision(3),
            changed: 0
        })
    );
    assert_eq!(
        apply(&*store, revocation(&one)).await,
        Outcome {
            revision: Revision(3),
            changed: 0
        }
    );
    assert!(!is_alive(&*store, &one).await && is_alive(&*store, &two).await);
    let (row, state) = current(&*store, &one).await;
    assert!(row.ended.is_some() && state == ApiKeyState::Revoked);

    let elsewhere = ApiKey {
        tenant_id: tenant("other"),
        ..two.clone()
    };
    let unknown = ApiKey {
        id: ApiKeyId::generate(),
        ..two.clone()
    };
    let outcomes = append(
        &*store,
        &[
            revocation(&elsewhere),
            revocation(&unknown),
            revocation(&two),
        ],
    )
    .await;
    assert_eq!(outcomes[..2], [Err(EntryError::ApiKeyNotFound); 2]);
    assert!(outcomes[2].is_ok() && !is_alive(&*store, &two).await);
}

async fn the_trail_names_the_creator_revoker_and_owner_of_a_key(engine: Engine) {
    let store = engine.place().await.store().await;
    let key = create(&*store, &new("t", "u")).await;
    apply(&*store, revocation(&key)).await;
    apply(&*store, revocation(&key)).await;
    let trail = trail_of(&*store, &everything("t")).await;
    let told: Vec<_> = trail
        .iter()
        .map(|event| (event.action.as_str(), event.actor.name.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("api_key.revoke", "service:test"),
            ("api_key.create", "service:test")
        ]
    );
    assert!(
        trail
            .iter()
            .all(|event| event.target == key.id.to_string() && event.user_id == "u")
    );
}

async fn revoked_and_cut_off_api_keys_survive_every_turn(engine: Engine) {
    let store = engine.place().await.store().await;
    let (revoked, cut) = (
        create(&*store, &new("t", "u")).await,
        create(&*store, &new("t", "v")).await,
    );
    append(&*store, &[revocation(&revoked), disable("t", "v")]).await;
    for _ in 0..3 {
        apply(
            &*store,
            entry(Mutation::Turn {
                life: Duration::ZERO,
                margin: Duration::ZERO,
            }),
        )
        .await;
    }
    assert_eq!(replay(&*store).await.turns(), 3);
    assert!(!is_alive(&*store, &revoked).await && !is_alive(&*store, &cut).await);
}

async fn signing_out_ends_no_key_and_disabling_ends_all_of_the_owner_for_good(engine: Engine) {
    let store = engine.place().await.store().await;
    let (key, other) = (
        create(&*store, &new("t", "u")).await,
        create(&*store, &new("t", "v")).await,
    );
    for cut in [
        sign_out("t", &["u"]),
        sign_out_tenant("t"),
        entry(Mutation::SignOutEveryone),
    ] {
        apply(&*store, cut).await;
        assert!(is_alive(&*store, &key).await);
    }
    apply(&*store, disable("t", "u")).await;
    assert!(!is_alive(&*store, &key).await && is_alive(&*store, &other).await);
    apply(&*store, enable("t", "u")).await;
    assert!(!is_alive(&*store, &key).await, "enabling revives nothing");
    assert!(
        is_alive(&*store, &create(&*store, &new("t", "u")).await).await,
        "a new key lives"
    );
    assert_eq!(
        apply(&*store, revocation(&key)).await.changed,
        0,
        "it has ended already"
    );
}

async fn disabling_counts_in_a_batch_with_a_sign_out_of_the_same_user(engine: Engine) {
    for swapped in [false, true] {
        let store = engine.place().await.store().await;
        let key = create(&*store, &new("t", "u")).await;
        let mut both = [sign_out("t", &["u"]), disable("t", "u")];
        if swapped {
            both.reverse();
        }
        append(&*store, &both).await;
        assert!(!is_alive(&*store, &key).await);
    }
}

async fn erasing_a_user_ends_their_keys(engine: Engine) {
    let store = engine.place().await.store().await;
    let key = create(&*store, &new("t", "u")).await;
    let other = create(&*store, &new("t", "v")).await;
    let erasure = Mutation::EraseUser {
        tenant: tenant("t"),
        user: user("u"),
    };
    apply(&*store, entry(erasure)).await;
    assert!(!is_alive(&*store, &key).await && is_alive(&*store, &other).await);
}

async fn revoking_an_api_key_revokes_no_session_with_its_serial(engine: Engine) {
    let store = engine.place().await.store().await;
    let key = create(&*store, &new("t", "u")).await;
    apply(&*store, revocation(&key)).await;
    let view = replay(&*store).await;
    assert!(view.is_revoked(CredentialKind::ApiKey, &key.subject));
    assert!(!view.is_revoked(CredentialKind::Session, &key.subject));
}

async fn expired(store: &dyn Store, owner: &str) -> ApiKey {
    let expires = Some(now(store).await.after(Duration::from_millis(5)));
    let key = create(
        store,
        &NewApiKey {
            expires,
            ..new("t", owner)
        },
    )
    .await;
    eventually("the key expires", async || {
        (current(store, &key).await.1 == ApiKeyState::Expired).then_some(())
    })
    .await;
    key
}

async fn an_expired_api_key_stays_expired_when_it_is_revoked(engine: Engine) {
    let store = engine.place().await.store().await;
    let key = expired(&*store, "u").await;
    assert_eq!(apply(&*store, revocation(&key)).await.changed, 0);
    apply(&*store, disable("t", "u")).await;
    let (row, state) = current(&*store, &key).await;
    assert_eq!((row.ended, state), (None, ApiKeyState::Expired));
}

async fn list(
    store: &dyn Store,
    filter: &ApiKeyFilter,
    before: Option<ApiKeyId>,
    limit: u32,
) -> Vec<ApiKeyId> {
    let (keys, _) = store
        .list_api_keys(filter, before, limit)
        .await
        .expect("a list");
    keys.iter().map(|key| key.id).collect()
}

async fn all(
    store: &dyn Store,
    tenant_id: &str,
    owner: Option<&str>,
    show_ended: bool,
) -> Vec<ApiKeyId> {
    let filter = ApiKeyFilter {
        tenant_id: tenant(tenant_id),
        owner_id: owner.map(user),
        show_ended,
    };
    list(store, &filter, None, 100).await
}

async fn keys_are_listed_by_tenant_and_owner_and_the_ended_ones_when_asked_for(engine: Engine) {
    let store = engine.place().await.store().await;
    let expired = expired(&*store, "a").await;
    let (revoked, cut) = (
        create(&*store, &new("t", "a")).await,
        create(&*store, &new("t", "c")).await,
    );
    let (one, two) = (
        create(&*store, &new("t", "a")).await,
        create(&*store, &new("t", "b")).await,
    );
    let elsewhere = create(&*store, &new("other", "a")).await;
    append(&*store, &[revocation(&revoked), disable("t", "c")]).await;
    assert_eq!(
        all(&*store, "t", None, false).await,
        [two.id, one.id],
        "newest first"
    );
    assert_eq!(all(&*store, "t", Some("a"), false).await, [one.id]);
    assert_eq!(all(&*store, "t", Some("c"), false).await, []);
    assert_eq!(
        all(&*store, "t", None, true).await,
        [two.id, one.id, cut.id, revoked.id, expired.id]
    );
    assert_eq!(
        all(&*store, "t", Some("a"), true).await,
        [one.id, revoked.id, expired.id]
    );
    assert_eq!(all(&*store, "other", None, true).await, [elsewhere.id]);
    assert_eq!(all(&*store, "nowhere", None, true).await, []);
}

async fn pages_cover_each_key_once_while_others_come(engine: Engine) {
    let store = engine.place().await.store().await;
    let mut there = Vec::new();
    for _ in 0..7 {
        there.insert(0, create(&*store, &new("t", "u")).await.id);
    }
    let filter = ApiKeyFilter {
        tenant_id: tenant("t"),
        owner_id: None,
        show_ended: false,
    };
    let (mut pages, mut before) = (Vec::new(), None);
    loop {
        let page = list(&*store, &filter, before, 3).await;
        create(&*store, &new("t", "u")).await;
        let Some(last) = page.last() else { break };
        before = Some(*last);
        pages.extend(page);
    }
    assert_eq!(pages, there);
}

async fn a_recovery_cuts_keys_off_unless_told_otherwise(engine: Engine) {
    for signs_out in [true, false] {
        let store = engine.place().await.store().await;
        let (revoked, other) = (
            create(&*store, &new("t", "u")).await,
            create(&*store, &new("t", "u")).await,
        );
        apply(&*store, revocation(&revoked)).await;
        let old = replay(&*store).await;
        let checkpoint =
            |recovered: &Recovered| Ok((format!("{:?}", recovered.head).into(), vec![1].into()));
        let recovered = store
            .recover(Incarnation([9; 16]), signs_out, &checkpoint)
            .await
            .expect("a new history");
        let before = Revision(recovered.frame.revision.0 - 1);
        let base = Position {
            revision: before,
            chain: recovered.old.chain,
            ..recovered.head
        };
        let view = old
            .rebased(base)
            .apply(&recovered.frame)
            .expect("the first batch applies");
        for (key, lives) in [(&revoked, false), (&other, !signs_out)] {
            assert_eq!(
                current(&*store, key).await.1 == ApiKeyState::Active,
                lives,
                "sign_out: {signs_out}"
            );
            assert_eq!(accepts(&view, &key.subject), lives, "sign_out: {signs_out}");
        }
        let later = create(&*store, &new("t", "u")).await;
        assert!(
            later.subject.serial.0 > other.subject.serial.0 + u64::from(u32::MAX),
            "no serial is used twice"
        );
        assert_eq!(current(&*store, &later).await.1, ApiKeyState::Active);
    }
}

/// A key that is made while its owner is disabled, each held at every point of its transaction.
async fn a_key_that_races_the_disabling_of_its_owner_is_refused_or_dead(engine: Engine) {
    for creation_is_held in [true, false] {
        let place = engine.place().await;
        let ((one, faults), (two, other_faults)) =
            (place.faulty_store().await, place.faulty_store().await);
        let mut points = 0;
        for (number, point) in Point::all().enumerate() {
            let owner = format!("u{number}");
            open(&*one, &sign_in("t", &owner)).await;
            let (creator, given) = (Arc::clone(&one), new("t", &owner));
            let creating = async move { try_create(&*creator, &given).await };
            let (disabler, disabling) = (Arc::clone(&two), disable("t", &owner));
            let disabling = async move { apply(&*disabler, disabling).await };
            let (ours, theirs) = ((&faults, Lane::Append), (&other_faults, Lane::Append));
            let made = if creation_is_held {
                place
                    .overlap((ours.0, ours.1, point), creating, theirs, disabling)
                    .await
                    .map(|(made, _)| made)
            } else {
                place
                    .overlap((theirs.0, theirs.1, point), disabling, ours, creating)
                    .await
                    .map(|(_, made)| made)
            };
            let Some(made) = made else { break };
            points += 1;
            if let Ok(key) = made {
                assert!(!is_alive(&*one, &key).await, "held at {point:?}");
            }
        }
        assert!(points >= 6, "the transaction has points");
    }
}

async fn an_api_key_change_that_failed_anywhere_can_be_repeated(engine: Engine) {
    let place = engine.place().await;
    let (store, faults) = place.faulty_store().await;
    for point in Point::all() {
        let ending = create(&*store, &new("t", "u")).await;
        let given = new("t", "u");
        let entries = [creation(&given), revocation(&ending)];
        let before = head(&*store).await;
        faults.fail(Lane::Append, point);
        let Err(error) = store.append(&entries).await else {
            break;
        };
        assert!(error.is_retryable(), "at {point:?}: {error}");
        let once = Ok(Outcome {
            revision: before.next(),
            changed: 1,
        });
        assert_eq!(append(&*store, &entries).await, [once; 2], "at {point:?}");
        assert_eq!(head(&*store).await, before.next(), "at {point:?}");
        let (made, _) = store
            .api_key(&given.tenant_id, given.id)
            .await
            .expect("an answer")
            .expect("a key");
        assert!(
            is_alive(&*store, &made).await && !is_alive(&*store, &ending).await,
            "at {point:?}"
        );
    }
    assert!(head(&*store).await.0 > 20, "the transaction has points");
}

crate::on_every_engine! {
    a_key_is_kept_as_it_was_given,
    a_repeated_entry_makes_one_key,
    an_unknown_owner_is_created_and_a_disabled_owner_gets_no_key,
    a_key_is_ended_once,
    the_trail_names_the_creator_revoker_and_owner_of_a_key,
    revoked_and_cut_off_api_keys_survive_every_turn,
    signing_out_ends_no_key_and_disabling_ends_all_of_the_owner_for_good,
    disabling_counts_in_a_batch_with_a_sign_out_of_the_same_user,
    erasing_a_user_ends_their_keys,
    revoking_an_api_key_revokes_no_session_with_its_serial,
    an_expired_api_key_stays_expired_when_it_is_revoked,
    keys_are_listed_by_tenant_and_owner_and_the_ended_ones_when_asked_for,
    pages_cover_each_key_once_while_others_come,
    a_recovery_cuts_keys_off_unless_told_otherwise,
    a_key_that_races_the_disabling_of_its_owner_is_refused_or_dead,
    an_api_key_change_that_failed_anywhere_can_be_repeated,
}
