//! Batches that want the same rows, and callers who give up at any moment.

use std::{sync::Arc, time::Duration};

use portcullis_authority::{
    domain::{AuditFilter, Entry, Mutation, Policy, Session},
    store::{Store, sql::Lane},
};
use portcullis_contract::position::Revision;
use portcullis_tests::{
    audit::{everything, list},
    calls::{append, apply, open, session},
    fault::Point,
    given::{disable, enable, entry, record, revoke, sign_in, sign_out, sign_out_tenant, tenant},
    replay::{accepts, replay},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::timeout;

use crate::Engine;

/// Two batches over the users `a` and `b`, whose entries come in opposite orders.
fn opposites() -> [[Vec<Entry>; 2]; 4] {
    let both = |of: fn(&str, &str) -> Entry| {
        [
            vec![of("t", "a"), of("t", "b")],
            vec![of("t", "b"), of("t", "a")],
        ]
    };
    [
        both(enable),
        both(disable),
        both(|tenant, user| sign_out(tenant, &[user])),
        [
            vec![enable("t", "b"), disable("t", "a"), sign_out_tenant("s")],
            vec![sign_out_tenant("s"), enable("t", "a"), disable("t", "b")],
        ],
    ]
}

async fn batches_that_want_the_same_rows_wait_for_each_other_and_never_in_a_circle(engine: Engine) {
    let place = engine.place().await;
    let ((one, faults), (other, other_faults)) =
        (place.faulty_store().await, place.faulty_store().await);
    for case in 0..opposites().len() {
        for point in Point::all() {
            append(&*one, &[disable("t", "a"), disable("t", "b")]).await;
            let [batch, opposite] = opposites()[case].clone();
            let appending = |store: &Arc<dyn Store>, batch: Vec<Entry>| {
                let store = Arc::clone(store);
                // Not repeated: a circle would be a conflict.
                async move { store.append(&batch).await }
            };
            let (first, second) = (
                (&faults, Lane::Append, point),
                (&other_faults, Lane::Append),
            );
            let both = place
                .overlap(
                    first,
                    appending(&one, batch),
                    second,
                    appending(&other, opposite),
                )
                .await;
            let Some((first, second)) = both else { break };
            for appended in [first, second] {
                let appended =
                    appended.unwrap_or_else(|error| panic!("case {case} at {point:?}: {error}"));
                assert!(appended.outcomes.iter().all(Result::is_ok));
            }
        }
    }
}

/// Whoever waits for a row that another is ending finds it ended.
async fn sessions_that_two_authorities_end_at_once_end_once(engine: Engine) {
    let place = engine.place().await;
    let ((one, faults), (other, other_faults)) =
        (place.faulty_store().await, place.faulty_store().await);
    let mut points = 0;
    for point in Point::all() {
        let sessions = [
            open(&*one, &sign_in("t", "a")).await,
            open(&*one, &sign_in("t", "b")).await,
        ];
        let ending = |store: &Arc<dyn Store>, sessions: [&Session; 2]| {
            let (store, batch) = (
                Arc::clone(store),
                sessions.map(|session| revoke(&[session])),
            );
            async move { store.append(&batch).await.expect("no circle").outcomes }
        };
        let (first, second) = (
            (&faults, Lane::Append, point),
            (&other_faults, Lane::Append),
        );
        let [a, b] = &sessions;
        let both = place
            .overlap(first, ending(&one, [a, b]), second, ending(&other, [b, a]))
            .await;
        let Some((first, second)) = both else { break };
        points += 1;
        let outcomes: Vec<_> = first
            .into_iter()
            .chain(second)
            .map(|outcome| outcome.expect("it is there"))
            .collect();
        assert_eq!(
            outcomes.iter().map(|outcome| outcome.changed).sum::<u32>(),
            2,
            "at {point:?}: {outcomes:?}"
        );
        for ended in &sessions {
            let end = session(&*one, ended)
                .await
                .end
                .expect("it has ended")
                .revision;
            assert!(
                outcomes.iter().all(|outcome| outcome.revision >= end),
                "everyone waits for what ended it"
            );
            let events = AuditFilter {
                user_id: Some(ended.user_id.clone()),
                ..everything("t")
            };
            let events = list(&*one, &events).await;
            let ends = events.iter().filter(|event| {
                event.target == ended.id.to_string() && event.action == "session.revoke"
            });
            assert_eq!(ends.count(), 1, "at {point:?}");
        }
    }
    assert!(points >= 4, "the transaction has points");
}

/// Whoever waits for a lock may wait for the COMMIT of an earlier attempt at the same.
async fn a_batch_that_is_repeated_while_it_commits_is_answered_as_it_was(engine: Engine) {
    let place = engine.place().await;
    let ((one, faults), (other, other_faults)) =
        (place.faulty_store().await, place.faulty_store().await);
    let policy = |version| Mutation::SetPolicy {
        tenant: tenant("t"),
        policy: Box::new(Policy::default()),
        expected: version,
    };
    for kind in 0..3 {
        for (number, point) in Point::all().enumerate() {
            let opened = open(&*one, &sign_in("t", "a")).await;
            let version = one
                .policy(&tenant("t"))
                .await
                .expect("an answer")
                .map_or(0, |(_, version)| version);
            let entries = match kind {
                0 => vec![revoke(&[&opened])],
                // Beside another, it is looked up after the tenant's row.
                1 => vec![sign_out("t", &[&format!("u{number}")]), revoke(&[&opened])],
                _ => vec![entry(policy(version))],
            };
            let appending = |store: &Arc<dyn Store>| {
                let (store, batch) = (Arc::clone(store), entries.clone());
                async move { append(&*store, &batch).await }
            };
            let (first, second) = (
                (&faults, Lane::Append, point),
                (&other_faults, Lane::Append),
            );
            let both = place
                .overlap(first, appending(&one), second, appending(&other))
                .await;
            let Some((first, second)) = both else { break };
            assert_eq!(first.last(), second.last(), "{kind} at {point:?}");
            assert!(
                matches!(first.last(), Some(Ok(outcome)) if outcome.changed == 1),
                "{first:?}"
            );
        }
    }
}

/// A batch over sessions that have ended holds them, and nothing that is locked before sessions.
async fn a_batch_that_changes_nothing_is_in_no_circle(engine: Engine) {
    let place = engine.place().await;
    let ((one, faults), (other, other_faults)) =
        (place.faulty_store().await, place.faulty_store().await);
    for point in Point::all() {
        let ended = open(&*one, &sign_in("t", "a")).await;
        apply(&*one, revoke(&[&ended])).await;
        let appending = |store: &Arc<dyn Store>, batch: Vec<Entry>| {
            let store = Arc::clone(store);
            async move { store.append(&batch).await.expect("no circle").outcomes }
        };
        let (first, second) = (
            (&faults, Lane::Append, point),
            (&other_faults, Lane::Append),
        );
        let (nothing, recording) = (vec![revoke(&[&ended])], vec![record(), revoke(&[&ended])]);
        let both = place
            .overlap(
                first,
                appending(&one, nothing),
                second,
                appending(&other, recording),
            )
            .await;
        if both.is_none() {
            break;
        }
    }
}

#[expect(clippy::print_stdout, reason = "a failure is repeated by its seed")]
async fn callers_who_give_up_at_any_moment_leave_whole_batches(engine: Engine) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let place = engine.place().await;
    let (store, faults) = place.faulty_store().await;
    faults.shuffle(seed);
    let (witness, mut patience_max) = (place.store().await, Duration::from_millis(100));
    let mut pairs = Vec::new();
    for number in 0..40 {
        let pair = [
            open(&*store, &sign_in("t", "u")).await,
            open(&*store, &sign_in("t", "u")).await,
        ];
        let entries = [
            revoke(&[&pair[0]]),
            sign_out("t", &[&format!("n{number}")]),
            revoke(&[&pair[1]]),
        ];
        let patience = random.random_range(Duration::ZERO..patience_max);
        let done = timeout(patience, store.append(&entries)).await.is_ok();
        // About half of them shall be done, however busy the machine is.
        patience_max = if done {
            patience_max * 4 / 5
        } else {
            patience_max * 5 / 4
        };
        pairs.push(pair);
    }
    apply(&*store, sign_out("t", &["last"])).await;
    let (mut whole, view) = (0, replay(&*witness).await);
    for [one, other] in &pairs {
        let ends = [
            session(&*witness, one).await.end,
            session(&*witness, other).await.end,
        ];
        let revisions = ends.map(|end| end.map(|end| end.revision));
        assert_eq!(revisions[0], revisions[1], "a batch is done or not");
        assert_eq!(accepts(&view, &one.subject), revisions[0].is_none());
        whole += u64::from(revisions[0].is_some());
    }
    assert_eq!(
        view.position().revision,
        Revision(whole + 1),
        "each batch that was done has one revision"
    );
    assert!(whole > 0 && whole < 40, "{whole} of 40 were done");
}

crate::on_every_engine! {
    batches_that_want_the_same_rows_wait_for_each_other_and_never_in_a_circle,
    sessions_that_two_authorities_end_at_once_end_once,
    a_batch_that_is_repeated_while_it_commits_is_answered_as_it_was,
    a_batch_that_changes_nothing_is_in_no_circle,
    callers_who_give_up_at_any_moment_leave_whole_batches,
}
