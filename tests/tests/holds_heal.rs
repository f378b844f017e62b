//! The authority heals by itself, and tells the truth about what it cannot heal.

use std::{sync::Arc, time::Duration};

use portcullis_authority::store::{
    Store,
    postgres::{Postgres, PostgresOptions},
    sql::Lane,
};
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, TENANT, TestAuthority, ready, session_id},
    calls::apply,
    fault::{Faults, Point},
    gate::{applied, refused, rejection},
    given::sign_out,
    place::Place,
    postgres::{Cluster, url_of_primary},
    wait::{eventually, within},
};
use portcullis_validator::Rejection;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

async fn revoke(authority: &TestAuthority, session: &v1::CreateSessionResponse) -> u64 {
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(session),
        ..Default::default()
    };
    let revoked = authority
        .sessions(ADMIN)
        .revoke_session(request)
        .await
        .expect("revoked")
        .into_inner();
    revoked.enforcement.expect("an enforcement").revision
}

/// Waits until `/readyz` says what `text` says.
async fn readyz(authority: &TestAuthority, text: &str) -> String {
    eventually(&format!("/readyz to say `{text}`"), async || {
        let answer = authority.http("/readyz").await;
        answer.contains(text).then_some(answer)
    })
    .await
}

/// gRPC health of a service; the code when there is none.
async fn health(authority: &TestAuthority, service: &str) -> Result<ServingStatus, Code> {
    let mut client = HealthClient::new(authority.transport(""));
    let request = HealthCheckRequest {
        service: service.into(),
    };
    let answer = client
        .check(request)
        .await
        .map_err(|status| status.code())?;
    Ok(answer.into_inner().status())
}

/// The standby is promoted without the last batch, and has `batches` of its own when the authority turns to it.
async fn lose_a_batch_and_write(batches: usize) {
    let mut primary = Cluster::start(&[]).await;
    let standby = primary.asynchronous_standby("standby1").await;
    let authority = TestAuthority::postgres(&url_of_primary(&[&primary, &standby])).await;
    let gate = authority.ready_gate().await;
    let (lost, kept, later) = (
        authority.sign_in("lost").await,
        authority.sign_in("kept").await,
        authority.sign_in("later").await,
    );
    standby.stop_following(&primary).await;
    let last = revoke(&authority, &lost).await;
    applied(&gate, last).await;

    // While the authority still works with the old primary, another one works with the new.
    standby.promote().await;
    let other = Postgres::open(&standby.url(), &PostgresOptions::default()).await;
    let other = other.expect("opens");
    let mut head = 0;
    for user in ["kept", "another", "a third"].iter().take(batches) {
        head = apply(&other, sign_out(TENANT, &[user])).await.revision.0;
    }
    assert_eq!(
        head,
        last + batches as u64 - 1,
        "the standby has lost one batch"
    );
    primary.kill().await;

    assert_eq!(
        refused(&gate, &kept.access_token).await,
        Rejection::SignedOut
    );
    eventually("the gate to be fresh again", async || {
        gate.check(&later.access_token).is_ok().then_some(())
    })
    .await;
    assert_eq!(
        rejection(&gate, &lost.access_token),
        Some(Rejection::Revoked),
        "what the gate saw revoked stays revoked"
    );
    assert_eq!(gate.statistics().forks, 1);
    // The log goes on, and gates learn of it.
    let revision = revoke(&authority, &later).await;
    applied(&gate, revision).await;
    assert_eq!(
        rejection(&gate, &later.access_token),
        Some(Rejection::Revoked)
    );
    ready(authority.gate().name("new gate")).await;
    readyz(&authority, "ready\n").await;
}

#[tokio::test]
async fn a_failover_that_lost_a_batch_is_a_fork_when_the_new_head_has_the_same_revision() {
    lose_a_batch_and_write(1).await;
}

#[tokio::test]
async fn a_failover_that_lost_a_batch_is_a_fork_when_the_new_head_is_higher() {
    lose_a_batch_and_write(3).await;
}

async fn faulty(
    change: impl FnOnce(&mut portcullis_authority::config::Config),
) -> (Place, TestAuthority, Faults) {
    let place = Place::postgres().await;
    let (store, faults) = place.faulty_store().await;
    let store: Arc<dyn Store> = store;
    let authority = TestAuthority::over(store, |config| {
        config.readiness.beat_interval = Duration::from_millis(50);
        config.readiness.beat_age_max = Duration::from_millis(500);
        config.readiness.feed_lag_max = Duration::from_millis(500);
        change(config);
    })
    .await;
    (place, authority, faults)
}

#[tokio::test]
async fn a_background_task_that_panics_makes_the_authority_not_ready_and_ends_it() {
    let tasks = [
        (Lane::Feed, "feed"),
        (Lane::Beat, "beat"),
        (Lane::Append, "appender"),
    ];
    for (lane, name) in tasks {
        let (_place, authority, faults) = faulty(|_| {}).await;
        readyz(&authority, "200 OK").await;
        faults.panic(lane, Point::Before(0));
        if lane == Lane::Append {
            // The sign-in's events go into the log.
            authority.sign_in("ada").await;
        }
        let reason = within("the authority has to end", authority.failed()).await;
        assert_eq!(reason, format!("the task `{name}` panicked"));
        let answer = readyz(&authority, "503").await;
        assert!(answer.contains(&reason), "{answer}");
        eventually("gRPC health to say so", async || {
            (health(&authority, "").await == Ok(ServingStatus::NotServing)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_feed_that_cannot_follow_a_store_that_answers_ends_the_authority() {
    let (_place, authority, faults) = faulty(|config| {
        config.readiness.feed_stuck_max = Duration::from_secs(1);
    })
    .await;
    faults.cut_off(Lane::Feed);
    readyz(&authority, "feed: the log was not followed").await;
    let reason = within("the authority has to end", authority.failed()).await;
    assert!(reason.contains("although the store answers"), "{reason}");
}

#[tokio::test]
async fn a_store_that_is_away_makes_the_authority_not_ready_until_it_is_back() {
    let (_place, authority, faults) = faulty(|config| {
        config.readiness.feed_stuck_max = Duration::from_secs(1);
    })
    .await;
    let service = "portcullis.v1.SessionService";
    assert_eq!(
        health(&authority, service).await,
        Ok(ServingStatus::Serving)
    );
    assert_eq!(health(&authority, "a.Stranger").await, Err(Code::NotFound));
    // Nobody probes: the authority beats by itself.
    faults.cut_off(Lane::Beat);
    faults.cut_off(Lane::Feed);
    let answer = readyz(&authority, "beat: no beat succeeded").await;
    assert!(answer.contains("503"), "{answer}");
    for service in ["", service] {
        let status = health(&authority, service).await;
        assert_eq!(status, Ok(ServingStatus::NotServing));
    }
    assert!(authority.http("/healthz").await.contains("200 OK"));
    let metrics = authority.http("/metrics").await;
    let unready = metrics
        .lines()
        .find(|line| line.starts_with("portcullis_unready{") && line.contains("\"beat\""));
    assert!(
        unready.is_some_and(|line| line.ends_with(" 1")),
        "{metrics}"
    );
    faults.mend(Lane::Beat);
    faults.mend(Lane::Feed);
    readyz(&authority, "200 OK").await;
    eventually("gRPC health to say so", async || {
        (health(&authority, service).await == Ok(ServingStatus::Serving)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_disk_that_takes_no_write_makes_the_authority_not_ready() {
    let authority = TestAuthority::with(|config| {
        config.readiness.beat_interval = Duration::from_millis(50);
        config.readiness.beat_age_max = Duration::from_millis(500);
    })
    .await;
    readyz(&authority, "200 OK").await;
    let mut file = authority.config.store.url["sqlite:".len()..].to_owned();
    file.push_str("/portcullis.db");
    // Reads go on; another process has the only write lock.
    let blocker = rusqlite::Connection::open(file).expect("the database opens");
    eventually("the write lock", async || {
        blocker.execute_batch("BEGIN IMMEDIATE").ok()
    })
    .await;
    readyz(&authority, "writes: the store took no write").await;
    blocker.execute_batch("ROLLBACK").expect("released");
    readyz(&authority, "200 OK").await;
}
