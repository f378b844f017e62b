//! Events of sign-ins and refreshes, which ride in a batch of the log.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use portcullis_authority::{
    domain::{AuditEvent, Mutation, Outcome},
    store::{
        Appended, Store,
        sql::{Backend, Lane},
    },
};
use portcullis_contract::{delta, id::EventId, position::Revision};
use portcullis_tests::{
    audit::{defer, defer_as, everything, list},
    calls::{append, apply, head, open},
    fault::Point,
    given::{record, revoke, sign_in, sign_out},
    replay::{is_alive, replay},
    wait::within,
};
use tokio::task::JoinSet;

use crate::Engine;

/// The audit rows of one entry that are written with it. The others wait.
const AT_ONCE_MAX: usize = 64;

async fn waits(store: &dyn Store) -> bool {
    store.has_pending_events().await.expect("an answer")
}

fn ids(events: &[AuditEvent]) -> Vec<[u8; 16]> {
    events
        .iter()
        .map(|event| event.position.event.to_bytes())
        .collect()
}

async fn assert_fits(store: &dyn Store) {
    let verdict = store
        .verify_audit_trail(Revision(0), 100_000)
        .await
        .expect("an answer")
        .expect("the beginning");
    assert_eq!((verdict.fault, verdict.through), (None, verdict.head));
}

async fn waiting_events_are_recorded_in_the_trail_and_the_chain(engine: Engine) {
    let place = engine.place().await;
    let (store, engine) = (place.store().await, place.engine().await);
    assert!(!waits(&*store).await);
    assert_eq!(
        apply(&*store, record()).await,
        Outcome {
            revision: Revision(0),
            changed: 0
        },
        "nothing waits"
    );
    let event = defer(&engine, "t", "u").await;
    assert!(waits(&*store).await && list(&*store, &everything("t")).await.is_empty());

    assert_eq!(
        apply(&*store, record()).await,
        Outcome {
            revision: Revision(1),
            changed: 1
        }
    );
    assert!(!waits(&*store).await);
    let events = list(&*store, &everything("t")).await;
    let [recorded] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (recorded.position.event, recorded.position.at.0),
        (event, 1_000_000)
    );
    assert_eq!(
        (recorded.action.as_str(), recorded.user_id.as_str()),
        ("session.create", "u")
    );
    let actor = &recorded.actor;
    assert_eq!(
        [&actor.name, &actor.via, &actor.ip],
        ["user:u", "service:login", "192.0.2.1"]
    );
    assert_eq!(
        recorded.details.get("country").map(String::as_str),
        Some("CH")
    );
    assert_eq!(recorded.revision, Revision(1));
    let batches = store.tail(Revision(0), 1).await.expect("a tail");
    assert!(
        delta::decode(&batches[0].frame.delta)
            .expect("a delta")
            .is_empty(),
        "nothing for gates to do"
    );
    assert_eq!(
        replay(&*store).await.position(),
        store.head().await.expect("a head")
    );
    assert_fits(&*store).await;
}

async fn a_batch_of_revocations_records_waiting_events_too(engine: Engine) {
    let place = engine.place().await;
    let (store, engine) = (place.store().await, place.engine().await);
    let opened = open(&*store, &sign_in("t", "u")).await;
    defer(&engine, "t", "u").await;
    let outcomes = append(&*store, &[revoke(&[&opened]), record(), record()]).await;
    let outcome = |changed| {
        Ok(Outcome {
            revision: Revision(1),
            changed,
        })
    };
    // The sign-in's own event, and the one more.
    assert_eq!(outcomes, [outcome(1), outcome(2), outcome(0)]);
    assert!(!is_alive(&*store, &opened).await);
    assert_eq!(list(&*store, &everything("t")).await.len(), 3);
    assert_fits(&*store).await;
}

async fn a_large_sign_out_records_a_part_of_its_rows_at_once(engine: Engine) {
    let store = engine.place().await.store().await;
    let mut sessions = Vec::new();
    for _ in 0..AT_ONCE_MAX + 3 {
        sessions.push(open(&*store, &sign_in("t", "u")).await);
    }
    while waits(&*store).await {
        apply(&*store, record()).await;
    }
    let sign_ins = list(&*store, &everything("t")).await.len();

    let all: Vec<_> = sessions.iter().collect();
    apply(&*store, revoke(&all)).await;
    assert!(!is_alive(&*store, &sessions[AT_ONCE_MAX + 2]).await);
    let at_once = list(&*store, &everything("t")).await.len() - sign_ins;
    assert_eq!(at_once, AT_ONCE_MAX, "a batch stays short");

    assert!(waits(&*store).await);
    assert_eq!(apply(&*store, record()).await.changed, 3);
    assert!(!waits(&*store).await);
    let recorded = list(&*store, &everything("t")).await.len() - sign_ins;
    assert_eq!(recorded, AT_ONCE_MAX + 3);
    assert_fits(&*store).await;
}

async fn one_batch_takes_so_many_and_the_oldest(engine: Engine) {
    let place = engine.place().await;
    let (store, engine) = (place.store().await, place.engine().await);
    let mut deferred = Vec::new();
    for _ in 0..Mutation::RECORDED_MAX + 5 {
        deferred.push(defer(&engine, "t", "u").await.to_bytes());
    }
    assert_eq!(
        apply(&*store, record()).await.changed,
        Mutation::RECORDED_MAX
    );
    let first = ids(&list(&*store, &everything("t")).await);
    deferred.sort_unstable();
    assert!(
        first
            .iter()
            .rev()
            .eq(&deferred[..Mutation::RECORDED_MAX as usize])
    );
    assert_eq!(
        apply(&*store, record()).await,
        Outcome {
            revision: Revision(2),
            changed: 5
        }
    );
    assert!(!waits(&*store).await);
    assert_fits(&*store).await;
}

async fn an_event_that_the_trail_has_does_not_keep_the_others_out(engine: Engine) {
    let place = engine.place().await;
    let (store, engine) = (place.store().await, place.engine().await);
    let known = defer(&engine, "t", "u").await;
    apply(&*store, record()).await;
    defer_as(&engine, known, &["t", "a", "b", "c", "d", "e", "f"]).await;
    let other = defer(&engine, "t", "v").await;
    let outcomes = append(&*store, &[record(), sign_out("t", &["w"])]).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.expect("applied").changed == 1)
    );
    assert!(!waits(&*store).await);
    let events = list(&*store, &everything("t")).await;
    assert_eq!(
        events
            .iter()
            .filter(|event| [known, other].contains(&event.position.event))
            .count(),
        2
    );
    assert!(
        events.iter().all(|event| event.action != "a"),
        "what was written first stands"
    );
}

async fn a_batch_that_failed_anywhere_is_repeated_without_losing_or_recording_twice(
    engine: Engine,
) {
    let place = engine.place().await;
    let (store, faults) = place.faulty_store().await;
    let (witness, engine) = (place.store().await, place.engine().await);
    let mut deferred = BTreeSet::new();
    for point in Point::all() {
        for user in ["u", "v", "w"] {
            deferred.insert(defer(&engine, "t", user).await.to_bytes());
        }
        let before = head(&*witness).await;
        let entries = [record()];
        faults.fail(Lane::Append, point);
        let Err(error) = store.append(&entries).await else {
            break;
        };
        assert!(error.is_retryable(), "at {point:?}: {error}");
        append(&*store, &entries).await;
        assert_eq!(
            head(&*witness).await,
            before.next(),
            "one batch, one revision, at {point:?}"
        );
        let recorded = ids(&list(&*witness, &everything("t")).await);
        assert_eq!(recorded.len(), deferred.len(), "at {point:?}");
        assert!(
            recorded.into_iter().collect::<BTreeSet<_>>() == deferred,
            "at {point:?}"
        );
    }
    assert!(head(&*witness).await.0 > 10, "the transaction has points");
    assert_fits(&*witness).await;
}

async fn two_authorities_that_record_at_once_are_not_in_each_others_way(engine: Engine) {
    for point in Point::all() {
        let place = engine.place().await;
        let ((store, faults), (other, other_faults)) =
            (place.faulty_store().await, place.faulty_store().await);
        let engine = place.engine().await;
        for user in ["u", "v", "w"] {
            defer(&engine, "t", user).await;
        }
        let first = async move { store.append(&[record(), sign_out("other", &["a"])]).await };
        let appender = Arc::clone(&other);
        let second = async move {
            appender
                .append(&[sign_out("other", &["a"]), record()])
                .await
        };
        let lane = Lane::Append;
        let both = place
            .overlap((&faults, lane, point), first, (&other_faults, lane), second)
            .await;
        let Some((first, second)) = both else { return };
        let recorded =
            |appended: Appended, index: usize| appended.outcomes[index].expect("applied").changed;
        let (first, second) = (first.expect("no conflict"), second.expect("no conflict"));
        assert_eq!(
            recorded(first, 0) + recorded(second, 1),
            3,
            "held at {point:?}"
        );
        assert_eq!(
            list(&*other, &everything("t")).await.len(),
            3,
            "held at {point:?}"
        );
        assert_fits(&*other).await;
    }
}

/// Lets events wait until `done`.
async fn sign_ins(engine: Arc<dyn Backend>, done: Arc<AtomicBool>) -> Vec<EventId> {
    let mut deferred = Vec::new();
    while !done.load(Ordering::SeqCst) && deferred.len() < 3_000 {
        deferred.push(defer(&engine, "t", "u").await);
    }
    deferred
}

/// Takes what waits, batch after batch, with a revocation between.
async fn records(store: Arc<dyn Store>, number: usize) {
    for round in 0..15 {
        let entries = [record(), sign_out("other", &[&format!("u{number}")])];
        append(&*store, &entries[usize::from(round % 3 == 0)..]).await;
        append(&*store, &entries[..1]).await;
    }
}

async fn several_authorities_record_each_event_once(engine: Engine) {
    let place = engine.place().await;
    let done = Arc::new(AtomicBool::new(false));
    let (mut writing, mut recording) = (JoinSet::new(), JoinSet::new());
    for number in 0..4 {
        let (store, faults) = place.faulty_store().await;
        faults.shuffle(rand::random());
        recording.spawn(records(store, number));
        if number < 2 {
            writing.spawn(sign_ins(place.engine().await, Arc::clone(&done)));
        }
    }
    within("all authorities", recording.join_all()).await;
    done.store(true, Ordering::SeqCst);
    let deferred = within("all sign-ins", writing.join_all()).await.concat();

    let store = place.store().await;
    while waits(&*store).await {
        apply(&*store, record()).await;
    }
    let recorded = ids(&list(&*store, &everything("t")).await);
    assert_eq!(recorded.len(), deferred.len());
    let deferred: BTreeSet<_> = deferred.into_iter().map(EventId::to_bytes).collect();
    assert_eq!(recorded.into_iter().collect::<BTreeSet<_>>(), deferred);
    assert_fits(&*store).await;
}

crate::on_every_engine! {
    waiting_events_are_recorded_in_the_trail_and_the_chain,
    a_batch_of_revocations_records_waiting_events_too,
    a_large_sign_out_records_a_part_of_its_rows_at_once,
    one_batch_takes_so_many_and_the_oldest,
    an_event_that_the_trail_has_does_not_keep_the_others_out,
    a_batch_that_failed_anywhere_is_repeated_without_losing_or_recording_twice,
    two_authorities_that_record_at_once_are_not_in_each_others_way,
    several_authorities_record_each_event_once,
}
