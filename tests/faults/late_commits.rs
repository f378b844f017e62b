//! Commits of the log that come late, and whose answers are lost.

use std::time::Duration;

use futures::future::join_all;
use portcullis_authority::store::sql::Lane;
use portcullis_contract::{
    delta::{self, Change},
    position::Revision,
    v1,
};
use portcullis_tests::{
    authority::{ADMIN, TENANT, TestAuthority, session_id},
    fault::Point,
    place::Place,
    wait::{eventually, within},
};

/// The time of each of two tries: less than a commit may take before its revocations are said again, and together
/// more.
const TRY: Duration = Duration::from_secs(16);

#[tokio::test]
async fn a_late_commit_whose_answer_was_lost_is_said_again() {
    let places = [Place::sqlite().await, Place::postgres().await];
    join_all(places.map(lose_the_answer_of_a_late_commit)).await;
}

async fn lose_the_answer_of_a_late_commit(place: Place) {
    let (store, faults) = place.faulty_store().await;
    let authority = TestAuthority::over(store, |config| {
        config.log.append_timeout = Duration::from_secs(20);
    })
    .await;
    let created = authority.sign_in("u").await;

    // The sign-in's own event goes into the trail first, in a batch that this test must not meet.
    let witness = place.store().await;
    eventually("the event is in the trail", async || {
        let pending = witness.has_pending_events().await.expect("an answer");
        (!pending).then_some(())
    })
    .await;

    // The first try is applied, but its answer comes late and is lost.
    let mut hold = faults.pause(Lane::Append, Point::AfterCommit);
    faults.fail(Lane::Append, Point::AfterCommit);
    let mut sessions = authority.sessions(ADMIN);
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(&created),
        ..Default::default()
    };
    let revoking = tokio::spawn(async move { sessions.revoke_session(request).await });
    assert!(hold.reached().await);
    let mut again = faults.pause(Lane::Append, Point::Before(0));
    // The time that passes is what is tested.
    tokio::time::sleep(TRY).await;
    drop(hold);
    // The second try finds that it was done, and is not late by itself.
    assert!(again.reached().await);
    tokio::time::sleep(TRY).await;
    drop(again);

    let revoked = within("the answer", revoking).await.expect("no panic");
    let enforcement = revoked.expect("revoked").into_inner().enforcement;
    let acknowledged = enforcement.expect("an enforcement").revision;
    let batches = witness.tail(Revision(0), 100).await.expect("a tail");
    let mut saying = Vec::new();
    for batch in batches {
        let changes = delta::decode(&batch.frame.delta).expect("a delta");
        if changes
            .iter()
            .any(|change| matches!(change, Change::Revoke { .. }))
        {
            saying.push(batch.frame.revision.0);
        }
    }
    assert_eq!(saying.len(), 2, "said, and said again");
    assert_eq!(
        saying[1], acknowledged,
        "whoever waits, waits for the second"
    );
}
