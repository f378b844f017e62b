//! Answers that are lost, and callers who go away, at every point of a transaction.

use std::{sync::Arc, time::Duration};

use portcullis_authority::{
    domain::{ClientInfo, Entry, SessionFilter, SignIn},
    store::{
        RefreshOutcome, SignInError, Store,
        sql::{Backend, Lane, ONLY, Value},
    },
};
use portcullis_tests::{
    calls::{append, apply, apply_again, head, list, open, proof_of, rotate, session},
    fault::Point,
    given::{revoke, sign_in, sign_out},
    replay::is_alive,
};
use tokio::time::timeout;

use crate::Engine;

/// Less than the 2 s after which PostgreSQL ends a transaction that was left.
const LOCK_LEFT: Duration = Duration::from_millis(1_900);

async fn audit_rows(engine: &Arc<dyn Backend>, entry: &Entry) -> i64 {
    let mut connection = engine.connection(Lane::Read).await.expect("a connection");
    let sql = "SELECT count(*) FROM audit_events WHERE event_id = $1";
    let rows = connection
        .query(sql, &[Value::from(&entry.event_id.to_bytes()[..])])
        .await;
    rows.expect("a count")[0].int(ONLY).expect("a number")
}

async fn an_append_that_failed_anywhere_is_repeated_without_doing_anything_twice(engine: Engine) {
    let place = engine.place().await;
    let (store, faults) = place.faulty_store().await;
    let (witness, engine) = (place.store().await, place.engine().await);
    for (number, point) in Point::all().enumerate() {
        let known = open(&*store, &sign_in("t", "known")).await;
        let before = head(&*witness).await;
        let entries = [sign_out("t", &[&format!("new{number}")]), revoke(&[&known])];
        faults.fail(Lane::Append, point);
        let Err(error) = store.append(&entries).await else {
            break;
        };
        assert!(error.is_retryable(), "at {point:?}: {error}");
        let between = head(&*witness).await;
        let outcomes = append(&*store, &entries).await;
        let after = head(&*witness).await;
        assert_eq!(
            after,
            before.next(),
            "one batch, one revision, at {point:?}"
        );
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.expect("applied").revision == after)
        );
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.expect("applied").changed == 1)
        );
        assert!(between == before || between == after);
        assert!(!is_alive(&*witness, &known).await);
        for entry in &entries {
            assert_eq!(audit_rows(&engine, entry).await, 1, "at {point:?}");
        }
    }
    assert!(head(&*witness).await.0 > 10, "the transaction has points");
}

async fn an_append_whose_commit_was_lost_is_answered_by_its_revision_though_others_came_after(
    engine: Engine,
) {
    let place = engine.place().await;
    let (store, faults) = place.faulty_store().await;
    let lost = sign_out("t", &["u"]);
    faults.fail(Lane::Append, Point::AfterCommit);
    assert!(store.append(std::slice::from_ref(&lost)).await.is_err());
    apply(&*store, sign_out("t", &["u", "v"])).await;
    let outcomes = append(&*store, &[sign_out("t", &["w"]), lost.clone()]).await;
    let revisions: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.expect("applied").revision.0)
        .collect();
    assert_eq!(revisions, [3, 1]);
    assert_eq!(apply_again(&*store, &lost).await.revision.0, 1);
    assert_eq!(head(&*store).await.0, 3);
}

async fn sessions_of(store: &dyn Store, new: &SignIn) -> usize {
    let filter = SessionFilter {
        user_id: Some(new.user_id.clone()),
        ..SessionFilter::of(new.tenant_id.clone())
    };
    list(store, &filter).await.len()
}

async fn a_sign_in_that_failed_anywhere_is_repeated_without_opening_two_sessions(engine: Engine) {
    let place = engine.place().await;
    let (store, faults) = place.faulty_store().await;
    let mut points = 0;
    for (number, point) in Point::all().enumerate() {
        let new = SignIn {
            request: Some(("r".into(), [1; 32])),
            ..sign_in(&format!("t{number}"), "u")
        };
        faults.fail(Lane::Write, point);
        let Err(error) = store.sign_in(&new).await else {
            break;
        };
        assert!(
            matches!(error, SignInError::Store(error) if error.is_retryable()),
            "at {point:?}"
        );
        // A caller that repeats the whole call has a new session id.
        let again = SignIn {
            id: sign_in("t", "u").id,
            ..new.clone()
        };
        let opened = open(&*store, &again).await;
        assert!(opened.id == new.id || opened.id == again.id);
        assert_eq!(open(&*store, &new).await.id, opened.id);
        assert_eq!(sessions_of(&*store, &new).await, 1, "at {point:?}");
        points += 1;
    }
    assert!(points > 10, "the transaction has points");
}

async fn a_refresh_whose_answer_was_lost_has_happened_once(engine: Engine) {
    let place = engine.place().await;
    let (store, faults) = place.faulty_store().await;
    let mut lost = 0;
    for point in Point::all() {
        let opened = open(&*store, &sign_in("t", "u")).await;
        faults.fail(Lane::Write, point);
        if store
            .refresh(
                &opened.tenant_id,
                opened.id,
                0,
                proof_of(&opened),
                &ClientInfo::default(),
            )
            .await
            .is_ok()
        {
            break;
        }
        let row = match rotate(&*store, &opened, 0).await {
            RefreshOutcome::Won(row, _) => row,
            RefreshOutcome::Lost(row, _) => {
                lost += 1;
                row
            }
            RefreshOutcome::NotFound => panic!("it is there"),
        };
        assert_eq!(row.generation, 1, "at {point:?}");
        assert!(row.rotated.is_some());
    }
    assert_eq!(lost, 1, "the answer of the commit");
}

async fn a_cancelled_append_leaves_no_lock_and_no_partial_change(engine: Engine) {
    let place = engine.place().await;
    let (store, faults) = place.faulty_store().await;
    let other = place.store().await;
    let mut points = 0;
    for point in Point::all() {
        let opened = open(&*other, &sign_in("t", "u")).await;
        let before = head(&*other).await;
        let mut hold = faults.pause(Lane::Append, point);
        let entries = [revoke(&[&opened]), sign_out("t", &["new"])];
        let calling = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.append(&entries).await }
        });
        if !hold.reached().await {
            break;
        }
        calling.abort();
        assert!(calling.await.is_err_and(|error| error.is_cancelled()));
        drop(hold);
        points += 1;

        let next = timeout(LOCK_LEFT, apply(&*other, sign_out("t", &["next"]))).await;
        let next = next
            .unwrap_or_else(|_| panic!("a lock is left at {point:?}"))
            .revision;
        let happened = session(&*other, &opened).await.end.is_some();
        assert_eq!(next.0, before.0 + 1 + u64::from(happened), "at {point:?}");
        assert_eq!(is_alive(&*other, &opened).await, !happened);
        let same = timeout(LOCK_LEFT, apply(&*store, sign_out("t", &["same"]))).await;
        assert!(
            same.is_ok(),
            "the caller's own authority goes on at {point:?}"
        );
    }
    assert!(points > 10, "the transaction has points");
}

crate::on_every_engine! {
    an_append_that_failed_anywhere_is_repeated_without_doing_anything_twice,
    an_append_whose_commit_was_lost_is_answered_by_its_revision_though_others_came_after,
    a_sign_in_that_failed_anywhere_is_repeated_without_opening_two_sessions,
    a_refresh_whose_answer_was_lost_has_happened_once,
    a_cancelled_append_leaves_no_lock_and_no_partial_change,
}
