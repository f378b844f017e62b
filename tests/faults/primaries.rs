//! A primary that lost its standby, and one that was replaced and does not know it.

use std::time::{Duration, Instant};

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, TENANT, TestAuthority, ready, session_id},
    gate::rejection,
    postgres::Cluster,
};
use tokio::time::timeout;

use crate::measure::{DEFAULT_STALENESS, STALENESS, Scene, last};

/// How long the last standby is gone.
const GONE_SECONDS: u64 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_last_standby_is_gone_nothing_is_acknowledged_and_gates_say_503() {
    let primary = Cluster::start(&[]).await;
    let mut standby = primary.synchronous_standby("standby1").await;
    let authority = TestAuthority::postgres(&primary.url()).await;
    let scene = Scene {
        gate: ready(authority.gate().max_staleness(STALENESS)).await,
        endpoints: vec![authority.endpoint()],
        staleness: STALENESS,
    };
    let fault = async || {
        standby.kill().await;
        last(GONE_SECONDS).await;
        standby.run().await;
    };
    let seen = scene
        .go_through(
            &format!("the last standby gone for {GONE_SECONDS} s"),
            fault,
        )
        .await;
    assert!(seen.silent >= Duration::from_secs(GONE_SECONDS), "{seen}");
    assert!(!seen.away.is_zero(), "no beat returns: {seen}");
}

/// An authority and its gate stay with the old primary, which nobody has told that it was replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_of_an_isolated_old_primary_admits_nothing_past_the_bound() {
    let primary = Cluster::start(&[]).await;
    let standby = primary.synchronous_standby("standby1").await;
    let old = TestAuthority::postgres(&primary.url()).await;
    let gate = ready(old.gate().max_staleness(STALENESS)).await;
    let (revoked, living) = (old.sign_in("bob").await, old.sign_in("ada").await);
    assert_eq!(rejection(&gate, &revoked.access_token), None);

    // The standby becomes primary and follows nobody. The old one runs on, with its authority and its gate.
    standby.promote().await;
    let mut moved = old.config.clone();
    moved.store.url = standby.url();
    let new = TestAuthority::with(|config| {
        config.store.url = moved.store.url.clone();
        config.keys.master_key_file = moved.keys.master_key_file.clone();
    })
    .await;
    new.revoke(&revoked).await;
    let acknowledged = Instant::now();
    let mut admitted = Duration::ZERO;
    let mut away = None;
    while acknowledged.elapsed() < 2 * STALENESS {
        let after = acknowledged.elapsed();
        if gate.check(&revoked.access_token).is_ok() {
            admitted = after;
            assert!(after <= STALENESS, "admitted after {after:?}");
        }
        if let Some(refused) = rejection(&gate, &living.access_token) {
            assert!(refused.is_unavailable(), "{refused:?}");
            away.get_or_insert(after);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!(
        "an isolated old primary: its gate admits the revoked token for {admitted:?}, and says 503 from {away:?} on"
    );
    assert!(away.is_some(), "its gate cannot know");

    // Nothing that clients of the old one ask for is acknowledged.
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(&living),
        ..Default::default()
    };
    let answer = timeout(
        DEFAULT_STALENESS,
        old.sessions(ADMIN).revoke_session(request),
    )
    .await;
    assert!(
        !matches!(answer, Ok(Ok(_))),
        "an isolated primary acknowledged"
    );
}
