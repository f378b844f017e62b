//! A new history.

use portcullis_authority::{
    domain::{Cause, Session, SessionState},
    store::{LogBatch, Recovered, Store, sql::Lane},
};
use portcullis_contract::{
    position::{Chain, Incarnation, Position, Revision},
    view::View,
};
use portcullis_tests::{
    calls::{apply, open, session},
    fault::Point,
    given::{revoke, sign_in, sign_out},
    replay::{accepts, replay},
};

use crate::Engine;

const STRIDE: u64 = 1 << 32;
const NEW: Incarnation = Incarnation([9; 16]);

async fn recover(store: &dyn Store, sign_out: bool) -> Recovered {
    let checkpoint =
        |recovered: &Recovered| Ok((format!("{:?}", recovered.head).into(), vec![1].into()));
    store
        .recover(NEW, sign_out, &checkpoint)
        .await
        .expect("a new history")
}

/// The view of the new history, as its first checkpoint has it.
fn recovered_view(old: &View, recovered: &Recovered) -> View {
    let revision = Revision(recovered.frame.revision.0 - 1);
    let base = Position {
        incarnation: recovered.head.incarnation,
        revision,
        chain: recovered.old.chain,
    };
    old.rebased(base)
        .apply(&recovered.frame)
        .expect("the first batch applies")
}

async fn is_active(store: &dyn Store, session: &Session) -> bool {
    let (row, now) = store
        .session(&session.tenant_id, session.id)
        .await
        .expect("an answer")
        .expect("a session");
    row.state(now) == SessionState::Active
}

async fn a_recovery_begins_a_history_that_no_one_can_take_for_the_old_one(engine: Engine) {
    for signs_out in [true, false] {
        let place = engine.place().await;
        let store = place.store().await;
        let (revoked, other) = (
            open(&*store, &sign_in("t", "u")).await,
            open(&*store, &sign_in("t", "v")).await,
        );
        apply(&*store, revoke(&[&revoked])).await;
        let (before, old_view) = (store.head().await.expect("a head"), replay(&*store).await);
        let recovered = recover(&*store, signs_out).await;

        assert_eq!(recovered.old, before);
        assert_eq!(store.head().await.expect("a head"), recovered.head);
        assert_eq!(
            (recovered.head.incarnation, recovered.head.revision.0),
            (NEW, before.revision.0 + STRIDE)
        );
        let first = LogBatch {
            frame: recovered.frame.clone(),
            position: recovered.head,
        };
        assert_eq!(
            store.tail(before.revision, 10).await.expect("a tail"),
            [first]
        );
        assert_eq!(
            store.chain(recovered.head.revision).await.expect("a chain"),
            Some(recovered.head.chain)
        );
        assert_eq!(
            store.chain(before.revision.next()).await.expect("none"),
            None
        );
        let view = recovered_view(&old_view, &recovered);
        assert_eq!(view.position(), recovered.head);
        for (session, lives) in [(&revoked, false), (&other, !signs_out)] {
            assert_eq!(
                is_active(&*store, session).await,
                lives,
                "sign_out: {signs_out}"
            );
            assert_eq!(
                accepts(&view, &session.subject),
                lives,
                "sign_out: {signs_out}"
            );
        }
        let checkpoints = store.checkpoints().await.expect("checkpoints");
        assert_eq!(checkpoints[0].0, format!("{:?}", recovered.head));
        if signs_out {
            let end = session(&*store, &other).await.end.expect("an end");
            assert_eq!(
                (end.cause, end.revision),
                (Cause::Recovery, recovered.head.revision)
            );
        }
    }
}

async fn a_new_history_goes_on(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let old = open(&*store, &sign_in("t", "u")).await;
    apply(&*store, sign_out("t", &["gone"])).await;
    let old_view = replay(&*store).await;
    let recovered = recover(&*store, true).await;

    let (known, unknown) = (
        open(&*store, &sign_in("t", "u")).await,
        open(&*store, &sign_in("new", "w")).await,
    );
    for session in [&known, &unknown] {
        assert!(
            session.subject.serial.0 > old.subject.serial.0 + STRIDE - 1,
            "no serial is used twice"
        );
        assert_eq!(session.subject.opened, recovered.head.revision);
        assert!(is_active(&*store, session).await);
    }
    assert_eq!(known.subject.user, old.subject.user);
    assert!(unknown.subject.user.0 >= old.subject.user.0 + STRIDE);
    assert!(unknown.subject.tenant.0 >= old.subject.tenant.0 + STRIDE);

    let next = apply(&*store, sign_out("t", &["u"])).await.revision;
    assert_eq!(next, recovered.head.revision.next());
    let batches = store
        .tail(recovered.head.revision, 10)
        .await
        .expect("a tail");
    let view = recovered_view(&old_view, &recovered)
        .apply(&batches[0].frame)
        .expect("the log goes on");
    assert_eq!(view.position(), store.head().await.expect("a head"));
    assert!(!accepts(&view, &known.subject) && accepts(&view, &unknown.subject));
}

async fn an_empty_history_can_be_recovered(engine: Engine) {
    let store = engine.place().await.store().await;
    let recovered = recover(&*store, true).await;
    assert_eq!(
        (recovered.old.revision, recovered.old.chain),
        (Revision(0), Chain::default())
    );
    assert_eq!(recovered.head.revision, Revision(STRIDE));
    assert_eq!(store.head().await.expect("a head"), recovered.head);
    let session = open(&*store, &sign_in("t", "u")).await;
    assert!(session.subject.serial.0 >= STRIDE);
    assert!(is_active(&*store, &session).await);
}

async fn a_batch_that_races_a_recovery_is_of_the_old_history_or_of_the_new_one(engine: Engine) {
    for point in Point::all() {
        let place = engine.place().await;
        let ((store, faults), (other, other_faults)) =
            (place.faulty_store().await, place.faulty_store().await);
        apply(&*store, sign_out("t", &["u"])).await;
        let recovering = async move { recover(&*store, true).await };
        let appender = other.clone();
        let appending = async move { apply(&*appender, sign_out("t", &["v"])).await.revision };
        let first = (&faults, Lane::Append, point);
        let both = place
            .overlap(first, recovering, (&other_faults, Lane::Append), appending)
            .await;
        let Some((recovered, appended)) = both else {
            return;
        };

        let chain = async |revision| other.chain(revision).await.expect("a chain");
        assert_eq!(
            chain(recovered.old.revision).await,
            Some(recovered.old.chain),
            "held at {point:?}"
        );
        assert_eq!(
            chain(recovered.head.revision).await,
            Some(recovered.head.chain),
            "held at {point:?}"
        );
        assert!(
            appended == recovered.old.revision || appended == recovered.head.revision.next(),
            "held at {point:?}"
        );
        let batches = other
            .tail(recovered.old.revision, 10)
            .await
            .expect("a tail");
        assert_eq!(batches[0].frame, recovered.frame, "held at {point:?}");
    }
}

crate::on_every_engine! {
    a_recovery_begins_a_history_that_no_one_can_take_for_the_old_one,
    a_new_history_goes_on,
    an_empty_history_can_be_recovered,
    a_batch_that_races_a_recovery_is_of_the_old_history_or_of_the_new_one,
}
