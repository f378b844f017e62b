//! Generations: what the view forgets and the rows do not.

use std::time::Duration;

use portcullis_authority::{
    domain::{Entry, Mutation, Outcome},
    store::sql::Lane,
};
use portcullis_contract::position::Revision;
use portcullis_tests::{
    calls::{append, apply, head, open, session},
    given::{entry, revoke, sign_in, sign_out},
    replay::{accepts, is_alive, replay},
    wait::within,
};
use tokio::task::JoinSet;

use crate::Engine;

const HOUR: Duration = Duration::from_secs(3600);

fn turn(life: Duration) -> Entry {
    turn_with(life, Duration::ZERO)
}

fn turn_with(life: Duration, margin: Duration) -> Entry {
    entry(Mutation::Turn { life, margin })
}

async fn a_turn_waits_for_its_period(engine: Engine) {
    let store = engine.place().await.store().await;
    assert_eq!(
        apply(&*store, turn(Duration::ZERO)).await,
        Outcome {
            revision: Revision(1),
            changed: 1
        }
    );
    assert_eq!(
        apply(&*store, turn(HOUR)).await,
        Outcome {
            revision: Revision(1),
            changed: 0
        }
    );
    let early = apply(&*store, turn_with(HOUR / 2, HOUR / 2)).await;
    assert_eq!(early.changed, 0, "the margin is part of it");
    assert_eq!(head(&*store).await, Revision(1), "nothing was changed");
    assert_eq!(
        apply(&*store, turn(Duration::ZERO)).await.revision,
        Revision(2)
    );
    assert_eq!(replay(&*store).await.turns(), 2);
}

async fn two_turns_forget_in_the_view_and_never_in_the_rows(engine: Engine) {
    let store = engine.place().await.store().await;
    let (revoked, cut) = (
        open(&*store, &sign_in("t", "u")).await,
        open(&*store, &sign_in("t", "v")).await,
    );
    append(&*store, &[revoke(&[&revoked]), sign_out("t", &["v"])]).await;
    apply(&*store, turn(Duration::ZERO)).await;
    assert!(
        !is_alive(&*store, &revoked).await && !is_alive(&*store, &cut).await,
        "one turn forgets nothing"
    );
    apply(&*store, turn(Duration::ZERO)).await;
    let view = replay(&*store).await;
    for forgotten in [&revoked, &cut] {
        assert!(
            accepts(&view, &forgotten.subject),
            "its tokens have run out"
        );
        let end = session(&*store, forgotten)
            .await
            .end
            .expect("the rows remember");
        assert_eq!(end.revision, Revision(1));
    }
}

async fn concurrent_turns_happen_once(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let long_ago = "UPDATE installation SET last_turn_us = 0, turn_counted_us = 3600000000";
    let mut connection = place
        .engine()
        .await
        .connection(Lane::Write)
        .await
        .expect("a connection");
    connection
        .query(long_ago, &[])
        .await
        .expect("the last turn was long ago");
    drop(connection);
    let mut turning = JoinSet::new();
    for seed in 0..5 {
        let (store, faults) = place.faulty_store().await;
        faults.shuffle(seed);
        turning.spawn(async move { apply(&*store, turn(HOUR)).await.changed });
    }
    let changed: u32 = within("all turns", turning.join_all()).await.iter().sum();
    assert_eq!(changed, 1);
    assert_eq!(replay(&*store).await.turns(), 1);
}

crate::on_every_engine! {
    a_turn_waits_for_its_period,
    two_turns_forget_in_the_view_and_never_in_the_rows,
    concurrent_turns_happen_once,
}
