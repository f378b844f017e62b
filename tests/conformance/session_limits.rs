//! The number of a user's sessions and the version of the policy, decided in the transaction that opens a session.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{FutureExt, future::join_all};
use portcullis_authority::{
    domain::{
        EXCESS_SESSIONS_MAX, Entry, OTHER_SESSIONS_MAX, Policy, Profile, Session, SessionFilter,
        SessionLimit, SessionState, SignIn, SignInOutcome, policy::AtLimit,
    },
    store::{SignInError, Store, sql::Lane},
};
use portcullis_contract::id::SessionId;
use portcullis_tests::{
    audit::{everything, list as list_events},
    calls::{append, apply, list, open},
    fault::Point,
    given::{disable, enable, record, revoke, sign_in, sign_out, tenant, user},
    place::Place,
    rows::set_policy,
    wait::within,
};
use tokio::task::JoinSet;

use crate::Engine;

/// A sign-in of a user who may have so many sessions.
fn limited(user_id: &str, sessions_max: u32, at_limit: AtLimit) -> SignIn {
    SignIn {
        session_limit: Some(SessionLimit {
            sessions_max,
            at_limit,
        }),
        ..sign_in("t", user_id)
    }
}

async fn active(store: &dyn Store, user_id: &str) -> Vec<Session> {
    let filter = SessionFilter {
        user_id: Some(user(user_id)),
        state: Some(SessionState::Active),
        ..SessionFilter::of(tenant("t"))
    };
    list(store, &filter).await
}

fn ids(sessions: &[Session]) -> BTreeSet<[u8; 16]> {
    let mut ids = BTreeSet::new();
    for session in sessions {
        ids.insert(session.id.to_bytes());
    }
    ids
}

/// The ids of the `count` sessions that opened last.
fn newest(opened: &[SignInOutcome], count: usize) -> BTreeSet<[u8; 16]> {
    let mut by_serial = BTreeMap::new();
    for outcome in opened {
        let session = &outcome.session;
        by_serial.insert(session.subject.serial, session.id.to_bytes());
    }
    by_serial.into_values().rev().take(count).collect()
}

/// The actions of the trail, once all events that wait are in it.
async fn actions(store: &dyn Store) -> Vec<String> {
    apply(store, record()).await;
    let events = list_events(store, &everything("t")).await;
    events.into_iter().map(|event| event.action).collect()
}

/// Ends the sessions that an outcome names, as the use case does.
async fn end_excess(store: &dyn Store, outcome: &SignInOutcome) {
    for id in &outcome.excess {
        let session = Session {
            id: *id,
            ..outcome.session.clone()
        };
        apply(store, revoke(&[&session])).await;
    }
}

/// Opens `count` sessions of one user at once, in turns at both stores.
async fn at_once(
    stores: &[Arc<dyn Store>; 2],
    new: &SignIn,
    count: usize,
) -> Vec<Result<SignInOutcome, SignInError>> {
    let mut opening = JoinSet::new();
    for number in 0..count {
        let store = Arc::clone(&stores[number % 2]);
        let new = SignIn {
            id: SessionId::generate(),
            ..new.clone()
        };
        opening.spawn(async move {
            let opened = store.sign_in(&new).await;
            if let Ok(outcome) = &opened {
                end_excess(&*store, outcome).await;
            }
            opened
        });
    }
    within("all sign-ins", opening.join_all()).await
}

async fn exactly_as_many_stay_as_are_allowed(engine: Engine, at_limit: AtLimit, known: bool) {
    let place = engine.place().await;
    let stores = [place.store().await, place.store().await];
    let store = &*stores[0];
    let mut accepted = 0;
    for (round, (count, sessions_max)) in [(2, 1); 40].into_iter().chain([(25, 3)]).enumerate() {
        let name = format!("u{round}");
        if known {
            let first = open(store, &sign_in("t", &name)).await;
            apply(store, revoke(&[&first])).await;
            accepted += 1;
        }
        let mut opened = Vec::new();
        for outcome in at_once(&stores, &limited(&name, sessions_max, at_limit), count).await {
            match outcome {
                Ok(outcome) => opened.push(outcome),
                Err(error) => {
                    assert!(matches!(error, SignInError::SessionLimit), "{error}");
                    assert_eq!(at_limit, AtLimit::Refuse);
                }
            }
        }
        let stay = sessions_max as usize;
        let expected = match at_limit {
            AtLimit::Refuse => stay,
            AtLimit::EndOldest => count,
        };
        assert_eq!(opened.len(), expected, "round {round}");
        assert_eq!(
            ids(&active(store, &name).await),
            newest(&opened, stay),
            "round {round}: those that opened last stay"
        );
        accepted += opened.len();
    }
    let created = actions(store).await;
    let created = created.iter().filter(|action| *action == "session.create");
    assert_eq!(
        created.count(),
        accepted,
        "a refused sign-in leaves no trace"
    );
}

async fn at_once_as_many_known_users_sign_in_as_there_is_room_for(engine: Engine) {
    exactly_as_many_stay_as_are_allowed(engine, AtLimit::Refuse, true).await;
}

async fn at_once_as_many_unknown_users_sign_in_as_there_is_room_for(engine: Engine) {
    exactly_as_many_stay_as_are_allowed(engine, AtLimit::Refuse, false).await;
}

async fn at_once_the_newest_sessions_of_known_users_stay(engine: Engine) {
    exactly_as_many_stay_as_are_allowed(engine, AtLimit::EndOldest, true).await;
}

async fn at_once_the_newest_sessions_of_unknown_users_stay(engine: Engine) {
    exactly_as_many_stay_as_are_allowed(engine, AtLimit::EndOldest, false).await;
}

/// The order of the ids is that of the clocks of authorities, which may differ.
async fn the_newest_is_the_last_that_opened_and_not_the_greatest_id(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let with_id = |byte: u8, new: SignIn| SignIn {
        id: SessionId::from_bytes([byte; 16]),
        ..new
    };
    for byte in [9, 8, 7] {
        open(&*store, &with_id(byte, sign_in("t", "u"))).await;
    }
    let new = with_id(6, limited("u", 2, AtLimit::EndOldest));
    let outcome = store
        .sign_in(&new)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let excess: Vec<_> = outcome.excess.iter().map(|id| id.to_bytes()).collect();
    assert_eq!(excess, [[8; 16], [9; 16]], "newest first");

    // The sweep ends the same ones.
    let mut policy = Policy::default();
    policy.limits.sessions_max = Some(2);
    set_policy(&place, "t", &policy).await;
    let walk = store.policy_walk(None, 9).await.expect("an answer");
    let mut surplus = Vec::new();
    for session in walk.expect("a walk").sessions {
        if session.surplus {
            surplus.push(session.id.to_bytes());
        }
    }
    assert_eq!(surplus, [[8; 16], [9; 16]]);
}

/// The sessions of a user at the limit, each as one case: whether it takes a place.
async fn only_other_active_sessions_take_a_place(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let refused_at_2 = |replaces| SignIn {
        replaces,
        ..limited("u", 2, AtLimit::Refuse)
    };
    open(&*store, &sign_in("t", "another")).await;
    let elsewhere = SignIn {
        tenant_id: tenant("elsewhere"),
        ..sign_in("t", "u")
    };
    open(&*store, &elsewhere).await;
    let ended = open(&*store, &sign_in("t", "u")).await;
    apply(&*store, revoke(&[&ended])).await;
    for _ in 0..2 {
        open(&*store, &sign_in("t", "u")).await;
    }
    apply(&*store, sign_out("t", &["u"])).await;

    let first = open(&*store, &refused_at_2(None)).await;
    let second = store.sign_in(&refused_at_2(None)).await;
    assert_eq!(
        second
            .unwrap_or_else(|error| panic!("{error}"))
            .other_sessions,
        1
    );
    let third = store.sign_in(&refused_at_2(None)).await;
    assert!(matches!(third, Err(SignInError::SessionLimit)));

    // A replaced session makes room, once.
    let replacing = store.sign_in(&refused_at_2(Some(first.id))).await;
    let replacing = replacing.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        replacing.other_sessions, 1,
        "without the one that is replaced"
    );
    let again = store.sign_in(&refused_at_2(Some(first.id))).await;
    assert!(matches!(again, Err(SignInError::SessionLimit)));
    apply(&*store, revoke(&[&first, &replacing.session])).await;
    open(&*store, &refused_at_2(None)).await;
}

async fn other_sessions_are_counted_up_to_a_number(engine: Engine) {
    let store = engine.place().await.store().await;
    let mut counted = Vec::new();
    for _ in 0..OTHER_SESSIONS_MAX + 3 {
        let opened = store.sign_in(&sign_in("t", "u")).await;
        counted.push(
            opened
                .unwrap_or_else(|error| panic!("{error}"))
                .other_sessions,
        );
    }
    let expected: Vec<_> = (0..OTHER_SESSIONS_MAX + 3)
        .map(|others| others.min(OTHER_SESSIONS_MAX + 1))
        .collect();
    assert_eq!(counted, expected);

    // One sign-in names so many that one entry of the log can end.
    let new = limited("u", 1, AtLimit::EndOldest);
    let outcome = store
        .sign_in(&new)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(outcome.excess.len(), EXCESS_SESSIONS_MAX as usize);
    end_excess(&*store, &outcome).await;
    let rest = store.excess_sessions(&new).await.expect("an answer");
    assert_eq!(rest.len(), 3);
    let newer = open(&*store, &sign_in("t", "u")).await;
    let rest = store.excess_sessions(&new).await.expect("an answer");
    assert!(
        rest.len() == 3 && !rest.contains(&newer.id),
        "it ends no newer one"
    );
}

/// Who repeats a sign-in gets its session, whatever has changed since, and who may not sign in leaves nothing.
async fn a_sign_in_under_another_policy_changes_nothing(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let repeated = |name: &str| SignIn {
        request: Some(("r".into(), [1; 32])),
        ..sign_in("t", name)
    };
    let first = open(&*store, &repeated("u")).await;
    set_policy(&place, "t", &Policy::default()).await;
    let (_, version) = store
        .policy(&tenant("t"))
        .await
        .expect("an answer")
        .expect("a policy");

    let renamed = |name: &str| SignIn {
        profile: Profile {
            user_name: "another name".into(),
            ..Profile::default()
        },
        ..sign_in("t", name)
    };
    for stale in [sign_in("t", "u"), renamed("u"), sign_in("t", "new")] {
        let refused = store.sign_in(&stale).await;
        assert!(matches!(refused, Err(SignInError::PolicyChanged)));
        let current = SignIn {
            policy_version: version + 1,
            ..stale
        };
        let refused = store.sign_in(&current).await;
        assert!(
            matches!(refused, Err(SignInError::PolicyChanged)),
            "nor of a later one"
        );
    }
    let known = store
        .user(&tenant("t"), &user("u"))
        .await
        .expect("an answer");
    assert_eq!(known.expect("a user").profile.user_name, "");
    let unknown = store
        .user(&tenant("t"), &user("new"))
        .await
        .expect("an answer");
    assert!(unknown.is_none());

    let again = store.sign_in(&repeated("u")).await;
    let again = again.unwrap_or_else(|error| panic!("{error}"));
    assert!(again.session.id == first.id && !again.is_new);
    let current = SignIn {
        policy_version: version,
        ..renamed("new")
    };
    open(&*store, &current).await;
    let created = actions(&*store).await;
    assert_eq!(created, ["session.create"; 2]);
}

/// A group has members of every kind; each gets its own answer.
async fn refused_sign_ins_fail_alone_in_a_group(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let full = limited("full", 1, AtLimit::Refuse);
    let kept = SignIn {
        request: Some(("kept".into(), [1; 32])),
        ..full.clone()
    };
    let first = open(&*store, &kept).await;
    open(&*store, &sign_in("t", "off")).await;
    apply(&*store, disable("t", "off")).await;
    let mut all = Vec::new();
    for number in 0..4 {
        for new in [
            full.clone(),
            kept.clone(),
            sign_in("t", "off"),
            limited("room", 2, AtLimit::Refuse),
            limited("new", 2, AtLimit::EndOldest),
            sign_in("t", &format!("free{number}")),
            SignIn {
                policy_version: 7,
                ..sign_in("t", "late")
            },
        ] {
            all.push(SignIn {
                id: SessionId::generate(),
                ..new
            });
        }
    }
    let opened = join_all(all.iter().map(|new| store.sign_in(new))).await;
    let mut in_room = 0;
    for (new, opened) in all.iter().zip(&opened) {
        match (new.user_id.as_str(), opened) {
            ("full", Ok(again)) => {
                assert!(new.request.is_some() && again.session.id == first.id);
            }
            ("full", Err(SignInError::SessionLimit)) => assert!(new.request.is_none()),
            ("off", Err(SignInError::UserDisabled))
            | ("late", Err(SignInError::PolicyChanged))
            | ("room", Err(SignInError::SessionLimit)) => {}
            ("room", Ok(_)) => in_room += 1,
            ("new", Ok(outcome)) => end_excess(&*store, outcome).await,
            (_, Ok(outcome)) => assert_eq!(outcome.session.id, new.id),
            (name, Err(error)) => panic!("{name}: {error}"),
        }
    }
    assert_eq!(in_room, 2);
    for (name, count) in [
        ("room", 2),
        ("new", 2),
        ("full", 1),
        ("off", 0),
        ("late", 0),
    ] {
        assert_eq!(active(&*store, name).await.len(), count, "{name}");
    }
}

/// A place that a sign-in of the same group was to take, and did not, is there for the next one.
async fn a_place_that_is_not_taken_in_a_group_is_there_for_the_next(engine: Engine) {
    let place = engine.place().await;
    let (store, faults) = place.faulty_store().await;
    for name in ["u", "first"] {
        open(&*store, &sign_in("t", name)).await;
    }
    let requested = |id: &str, digest: u8| SignIn {
        request: Some((id.into(), [digest; 32])),
        ..limited("u", 3, AtLimit::Refuse)
    };
    let group = [requested("a", 1), requested("a", 2), requested("b", 1)];
    // The others wait for a sign-in that is held, and make a group or two.
    let hold = faults.pause(Lane::Write, Point::Before(0));
    let held = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { open(&*store, &sign_in("t", "first")).await })
    };
    let mut calls = Box::pin(join_all(group.iter().map(|new| store.sign_in(new))));
    assert!((&mut calls).now_or_never().is_none());
    drop(hold);
    within("the held sign-in", held).await.expect("no panic");
    let answers = within("the group", calls).await;
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert!(matches!(answers[1], Err(SignInError::RequestReused)));
    assert_eq!(active(&*store, "u").await.len(), 3);
    let full = store.sign_in(&limited("u", 3, AtLimit::Refuse)).await;
    assert!(matches!(full, Err(SignInError::SessionLimit)));
}

/// Sign-ins with a limit lock their users before they insert, the others after, and batches lock several: in any
/// overlap each ends, and none is the victim of a circle.
async fn sign_ins_and_batches_over_the_same_users_do_not_wait_in_a_circle(engine: Engine) {
    let place = engine.place().await;
    let ((one, faults), (other, other_faults)) =
        (place.faulty_store().await, place.faulty_store().await);
    for name in ["a", "b"] {
        open(&*one, &sign_in("t", name)).await;
    }
    type Group = fn() -> Vec<SignIn>;
    let limited_group: Group = || {
        vec![
            limited("b", 5_000, AtLimit::EndOldest),
            limited("a", 5_000, AtLimit::Refuse),
            sign_in("t", "a"),
        ]
    };
    let free_group: Group = || vec![sign_in("t", "b"), sign_in("t", "a")];
    let mut points = 0;
    for second in [limited_group, free_group] {
        for point in Point::all() {
            let signing = sign_in_all(&one, limited_group());
            let first = (&faults, Lane::Write, point);
            let both = place.overlap(
                first,
                signing,
                (&other_faults, Lane::Write),
                sign_in_all(&other, second()),
            );
            if both.await.is_none() {
                break;
            }
            points += 1;
        }
    }
    let batch =
        || -> Vec<Entry> { vec![enable("t", "b"), disable("t", "a"), sign_out("t", &["b"])] };
    for point in Point::all() {
        let store = Arc::clone(&other);
        let appending = async move { store.append(&batch()).await.expect("no circle") };
        let first = (&faults, Lane::Write, point);
        let both = place.overlap(
            first,
            sign_in_all(&one, limited_group()),
            (&other_faults, Lane::Append),
            appending,
        );
        let reached = both.await.is_some();
        append(&*one, &[enable("t", "a")]).await;
        if !reached {
            break;
        }
        points += 1;
    }
    assert!(points >= 6, "the transactions have points");
}

/// Signs all in at once. Disabled users may be refused; nothing else may fail.
fn sign_in_all(
    store: &Arc<dyn Store>,
    group: Vec<SignIn>,
) -> impl Future<Output = ()> + Send + 'static {
    let store = Arc::clone(store);
    async move {
        for opened in join_all(group.iter().map(|new| store.sign_in(new))).await {
            match opened {
                Ok(_) | Err(SignInError::UserDisabled) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A repeated sign-in whose answer was lost anywhere names the sessions that its first call had named.
async fn a_sign_in_that_failed_anywhere_is_repeated_within_the_limit(engine: Engine) {
    let place = engine.place().await;
    let (store, faults) = place.faulty_store().await;
    for at_limit in [AtLimit::Refuse, AtLimit::EndOldest] {
        for (number, point) in Point::all().enumerate() {
            let name = format!("{at_limit:?}{number}");
            if at_limit == AtLimit::EndOldest {
                open(&*store, &sign_in("t", &name)).await;
            }
            let new = SignIn {
                request: Some((name.clone(), [1; 32])),
                ..limited(&name, 1, at_limit)
            };
            faults.fail(Lane::Write, point);
            let failed = store.sign_in(&new).await;
            let again = SignIn {
                id: SessionId::generate(),
                ..new
            };
            let outcome = store.sign_in(&again).await;
            let outcome = outcome.unwrap_or_else(|error| panic!("at {point:?}: {error}"));
            end_excess(&*store, &outcome).await;
            let left = active(&*store, &name).await;
            assert_eq!(ids(&left), ids(&[outcome.session]), "at {point:?}");
            if failed.is_ok() {
                break;
            }
        }
    }
}

/// The statements of one sign-in of a known user. Each costs the database work, and most a round trip.
async fn a_sign_in_takes_few_statements(engine: Engine) {
    let place: Place = engine.place().await;
    let (store, plans) = place.planned_store().await;
    let cases = [
        ("without a limit", sign_in("t", "u"), 3),
        ("refused at a limit", limited("u", 9, AtLimit::Refuse), 3),
        ("ends the oldest", limited("u", 9, AtLimit::EndOldest), 4),
    ];
    open(&*store, &sign_in("t", "u")).await;
    for (name, new, expected) in cases {
        drop(plans.take());
        open(&*store, &new).await;
        let statements = plans.take();
        // A user with a limit is locked, where others may write.
        let locks = usize::from(new.session_limit.is_some() && !place.has_one_writer());
        assert_eq!(
            statements.len(),
            expected + locks,
            "{name}: {statements:#?}"
        );
        for (sql, plan) in statements {
            assert!(
                !plan.contains("SCAN sessions") && !plan.contains("Seq Scan on sessions"),
                "{name}: {sql}\n{plan}"
            );
        }
    }
}

crate::on_every_engine! {
    at_once_as_many_known_users_sign_in_as_there_is_room_for,
    at_once_as_many_unknown_users_sign_in_as_there_is_room_for,
    at_once_the_newest_sessions_of_known_users_stay,
    at_once_the_newest_sessions_of_unknown_users_stay,
    the_newest_is_the_last_that_opened_and_not_the_greatest_id,
    only_other_active_sessions_take_a_place,
    other_sessions_are_counted_up_to_a_number,
    a_sign_in_under_another_policy_changes_nothing,
    refused_sign_ins_fail_alone_in_a_group,
    a_place_that_is_not_taken_in_a_group_is_there_for_the_next,
    sign_ins_and_batches_over_the_same_users_do_not_wait_in_a_circle,
    a_sign_in_that_failed_anywhere_is_repeated_within_the_limit,
    a_sign_in_takes_few_statements,
}
