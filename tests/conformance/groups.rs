//! Calls that wait together share a commit, and with it the wait for the disk.

use std::collections::BTreeSet;

use futures::{FutureExt, future::join_all};
use portcullis_authority::store::{RefreshOutcome, sql::Lane};
use portcullis_tests::{
    calls::{open, rotate},
    fault::{Faults, Point},
    given::sign_in,
};

use crate::Engine;

const CALLS: usize = 32;

/// Has all calls wait for the first one; their answers, and how many commits they took.
async fn together<T>(faults: &Faults, calls: Vec<impl Future<Output = T>>) -> (Vec<T>, usize) {
    let before = faults.commits(Lane::Write);
    let mut hold = faults.pause(Lane::Write, Point::Before(0));
    let mut calls = Box::pin(join_all(calls));
    assert!((&mut calls).now_or_never().is_none());
    assert!(hold.reached().await);
    drop(hold);
    let answers = calls.await;
    (answers, faults.commits(Lane::Write) - before)
}

async fn sign_ins_and_refreshes_that_wait_together_share_commits(engine: Engine) {
    let place = engine.place().await;
    let (store, faults) = place.faulty_store().await;
    let users: Vec<_> = (0..CALLS).map(|number| format!("u{number}")).collect();
    let sign_ins: Vec<_> = users.iter().map(|user| sign_in("t", user)).collect();
    let opening = sign_ins.iter().map(|new| open(&*store, new)).collect();
    let (opened, commits) = together(&faults, opening).await;
    // PostgreSQL locks the rows of new users in transactions of their own.
    if place.has_one_writer() {
        assert!(commits <= CALLS / 2, "{commits} commits of new users");
    }

    let again: Vec<_> = users.iter().map(|user| sign_in("t", user)).collect();
    let opening = again.iter().map(|new| open(&*store, new)).collect();
    let (known, commits) = together(&faults, opening).await;
    assert!(commits <= CALLS / 2, "{commits} commits of known users");
    let serials: BTreeSet<_> = opened
        .iter()
        .chain(&known)
        .map(|session| session.subject.serial.0)
        .collect();
    assert_eq!(serials.len(), 2 * CALLS, "each has a serial of its own");

    let refreshing = opened.iter().map(|one| rotate(&*store, one, 0)).collect();
    let (rotated, commits) = together(&faults, refreshing).await;
    assert!(commits <= CALLS / 2, "{commits} commits of refreshes");
    let all_won = rotated
        .iter()
        .all(|one| matches!(one, RefreshOutcome::Won(..)));
    assert!(all_won);
}

crate::on_every_engine! {
    sign_ins_and_refreshes_that_wait_together_share_commits,
}
