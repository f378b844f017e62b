//! The authority heals by itself, and tells the truth about what it cannot heal.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis_authority::{
    domain::current_key,
    installation::recover::recover,
    keys::{open_signer, read_master_keys},
    open_store,
    store::{
        KeyStore, Store,
        postgres::{Postgres, PostgresOptions},
        sql::Lane,
    },
};
use portcullis_contract::{key::CredentialKind, position::Revision, token::Claims, v1};
use portcullis_tests::{
    authority::{ADMIN, ISSUER, LOGIN, OPERATOR, TENANT, TestAuthority, ready, reason, session_id},
    calls::apply,
    fault::{Faults, Point},
    gate::{applied, refused, rejection},
    given::sign_out,
    place::Place,
    postgres::{self, Cluster, url_of_primary},
    rows::behind,
    wait::{eventually, within},
};
use portcullis_validator::{Rejection, Validator};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt;

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

/// Waits until gRPC health says this of a service. A busy machine may miss a beat.
async fn serves(authority: &TestAuthority, service: &str, status: ServingStatus) {
    eventually("gRPC health to say so", async || {
        (health(authority, service).await == Ok(status)).then_some(())
    })
    .await;
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
    // Until their events are in the trail, a batch of them may be lost as well.
    let events = "SELECT 'waiting' FROM audit_outbox";
    eventually("the sign-ins are in the trail", async || {
        behind(&authority, events).await.is_none().then_some(())
    })
    .await;
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

    eventually("the gate to have the new history", async || {
        (rejection(&gate, &kept.access_token) == Some(Rejection::SignedOut)).then_some(())
    })
    .await;
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
        serves(&authority, "", ServingStatus::NotServing).await;
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
    serves(&authority, service, ServingStatus::Serving).await;
    assert_eq!(health(&authority, "a.Stranger").await, Err(Code::NotFound));
    // Nobody probes: the authority beats by itself.
    faults.cut_off(Lane::Beat);
    faults.cut_off(Lane::Feed);
    let answer = readyz(&authority, "beat: no beat succeeded").await;
    assert!(answer.contains("503"), "{answer}");
    for service in ["", service] {
        serves(&authority, service, ServingStatus::NotServing).await;
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
    serves(&authority, service, ServingStatus::Serving).await;
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

async fn keys(authority: &TestAuthority) -> Vec<v1::SigningKey> {
    let listed = authority
        .keys(OPERATOR)
        .list_signing_keys(v1::ListSigningKeysRequest {})
        .await;
    listed.expect("listed").into_inner().keys
}

/// A token that the thief of every key of the store makes of a good one: no revocation of its session covers it.
async fn forge(authority: &TestAuthority, claims: &Claims) -> String {
    let master = read_master_keys(&authority.config.keys).await;
    let master = master.expect("a master key");
    let store = Postgres::open(&authority.config.store.url, &PostgresOptions::default()).await;
    let (keys, now) = store.expect("opens").keys().await.expect("keys");
    let stolen = current_key(&keys, CredentialKind::Session, now).expect("a key");
    let mut claims = claims.clone();
    claims.subject.opened = Revision(u64::MAX >> 1);
    claims.expires_at += 300;
    let signer = open_signer(&master, stolen).expect("the key opens");
    signer.sign(ISSUER, &claims).expect("signed")
}

#[tokio::test]
async fn a_stolen_key_that_signs_is_distrusted_at_once_and_sign_ins_go_on() {
    let one = TestAuthority::postgres(&postgres::fresh_url().await).await;
    let other = one.replica().await;
    let gates = [one.ready_gate().await, other.ready_gate().await];
    let before = one.sign_in("ada").await;
    let identity = gates[0].check(&before.access_token).expect("good");
    let forged = forge(&one, &identity).await;
    for gate in &gates {
        assert!(gate.check(&forged).is_ok(), "the thief has the key");
    }
    let signing = keys(&one)
        .await
        .into_iter()
        .find(|key| key.credential() == v1::CredentialKind::Session)
        .expect("a key");
    let mut request = v1::RetireSigningKeyRequest {
        key_id: signing.id.clone(),
        reason: "stolen".into(),
        ..Default::default()
    };
    let refused_call = one.keys(OPERATOR).retire_signing_key(request.clone()).await;
    assert_eq!(reason(&refused_call.expect_err("it signs")), "KEY_IN_USE");

    request.emergency = true;
    let retired = one.keys(OPERATOR).retire_signing_key(request).await;
    let acknowledged = Instant::now();
    let retired = retired.expect("retired").into_inner();
    for gate in &gates {
        for token in [&forged, &before.access_token] {
            assert_eq!(refused(gate, token).await, Rejection::DistrustedKey);
        }
    }
    println!("refused at all gates after {:?}", acknowledged.elapsed());
    assert_eq!(
        retired.key.expect("a key").state(),
        v1::SigningKeyState::Retired
    );
    let successor = retired.successor.expect("a successor");
    assert_eq!(successor.state(), v1::SigningKeyState::Signing);
    assert!(retired.sessions_must_refresh && retired.api_keys_ended == 0);

    // Sign-ins and refreshes work at once, and at every authority as soon as it has the revision.
    let after = one.sign_in("bob").await;
    assert!(gates[0].check(&after.access_token).is_ok());
    eventually("the other authority signs with the new key", async || {
        let token = other.sign_in("eve").await.access_token;
        gates[1].check(&token).is_ok().then_some(())
    })
    .await;
    let refresh = v1::RefreshSessionRequest {
        tenant_id: TENANT.into(),
        refresh_token: before.refresh_token,
        ..Default::default()
    };
    let refreshed = one.sessions(LOGIN).refresh_session(refresh).await;
    let refreshed = refreshed.expect("refreshed").into_inner();
    assert!(gates[0].check(&refreshed.access_token).is_ok());
}

#[tokio::test]
async fn an_emergency_retirement_can_be_repeated_and_replaces_the_key_once() {
    let authority = TestAuthority::sqlite().await;
    let request = v1::RetireSigningKeyRequest {
        key_id: keys(&authority)
            .await
            .into_iter()
            .find(|key| key.credential() == v1::CredentialKind::Session)
            .expect("a key")
            .id,
        reason: "stolen".into(),
        emergency: true,
        ..Default::default()
    };
    let mut client = authority.keys(OPERATOR);
    let first = client.retire_signing_key(request.clone()).await;
    assert!(first.expect("retired").into_inner().successor.is_some());
    let after_first = keys(&authority).await.len();

    let again = client.retire_signing_key(request).await;
    let again = again.expect("retired already").into_inner();
    assert_eq!(again.successor, None);
    assert_eq!(
        again.key.expect("a key").state(),
        v1::SigningKeyState::Retired
    );
    assert_eq!(keys(&authority).await.len(), after_first);
}

#[tokio::test]
async fn a_key_that_signed_api_keys_goes_only_by_force_and_says_how_many_end() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    authority.sign_in("ada").await;
    let request = v1::CreateApiKeyRequest {
        tenant_id: TENANT.into(),
        owner_user_id: "ada".into(),
        name: "a program".into(),
        ..Default::default()
    };
    let created = authority.api_keys(ADMIN).create_api_key(request).await;
    let secret = created.expect("created").into_inner().secret;
    assert!(gate.check_api_key(&secret).is_ok());
    let signing = keys(&authority)
        .await
        .into_iter()
        .find(|key| key.credential() == v1::CredentialKind::ApiKey)
        .expect("a key");
    let mut request = v1::RetireSigningKeyRequest {
        key_id: signing.id,
        reason: "stolen".into(),
        emergency: true,
        ..Default::default()
    };
    let mut client = authority.keys(OPERATOR);
    let refused_call = client.retire_signing_key(request.clone()).await;
    let status = refused_call.expect_err("an API key would end");
    assert_eq!(reason(&status), "FORCE_REQUIRED");
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.metadata["api_keys"], "1");
    assert!(gate.check_api_key(&secret).is_ok());

    request.force = true;
    let retired = client.retire_signing_key(request).await;
    let retired = retired.expect("retired").into_inner();
    assert_eq!(retired.api_keys_ended, 1);
    assert!(!retired.sessions_must_refresh);
    eventually("the API key is refused", async || {
        let rejection = gate.check_api_key(&secret).err();
        (rejection == Some(Rejection::DistrustedKey)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn keys_of_a_clock_that_was_ahead_sign_and_are_healed() {
    let url = postgres::fresh_url().await;
    let mut authority = TestAuthority::with(|config| {
        config.store.url = url;
        config.log.checkpoint_interval = Duration::from_millis(200);
    })
    .await;
    authority.stop().await;
    let ahead = "UPDATE signing_keys SET created_us = created_us + 86400000000, \
                 signs_from_us = signs_from_us + 86400000000";
    behind(&authority, ahead).await;
    authority.start().await;
    let gate = authority.ready_gate().await;
    let session = authority.sign_in("ada").await;
    assert!(gate.check(&session.access_token).is_ok());
    let ahead = "SELECT 'ahead'::text FROM signing_keys \
                 WHERE created_us > extract(epoch FROM now()) * 1000000 + 60000000";
    eventually("the keys are corrected", async || {
        behind(&authority, ahead).await.is_none().then_some(())
    })
    .await;
    assert!(
        gate.check(&authority.sign_in("bob").await.access_token)
            .is_ok()
    );
}

#[tokio::test]
async fn two_authorities_do_not_count_the_same_time_twice() {
    let url = postgres::fresh_url().await;
    let begun = Instant::now();
    let mut one = TestAuthority::with(|config| {
        config.store.url = url;
        config.log.checkpoint_interval = Duration::from_millis(100);
    })
    .await;
    let mut other = one.replica().await;
    let mut before = wait_for_a_second_more(&one, 0, begun).await;
    // Whichever of them counts, the other goes on.
    other.stop().await;
    before = wait_for_a_second_more(&one, before, begun).await;
    other.start().await;
    one.stop().await;
    wait_for_a_second_more(&other, before, begun).await;
}

/// Waits until a second more than `before`, in microseconds, is counted towards the next turn: never more than has
/// passed.
async fn wait_for_a_second_more(authority: &TestAuthority, before: u64, begun: Instant) -> u64 {
    let sql = "SELECT turn_counted_us::text FROM installation";
    eventually("time is counted", async || {
        let text = behind(authority, sql).await.expect("a row");
        let counted: u64 = text.parse().expect("a number");
        assert!(
            Duration::from_micros(counted) <= begun.elapsed(),
            "{counted}"
        );
        (counted > before + 1_000_000).then_some(counted)
    })
    .await
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

/// Waits until a beat has named a head that is not below the revision.
async fn proven(authority: &TestAuthority, gate: &Validator, revision: u64) {
    eventually("a probe of the gate at the revision", async || {
        let request = v1::ListValidatorsRequest::default();
        let mut revocations = authority.revocations(OPERATOR);
        let listed = revocations.list_validators(request).await.expect("a list");
        let validators = listed.into_inner().validators;
        let has_applied = |validator: &v1::ValidatorStatus| validator.applied_revision >= revision;
        validators.iter().any(has_applied).then_some(())
    })
    .await;
    // That probe was sent at the revision: the next two proofs answer it or a later one.
    let mut position = gate.position();
    for _ in 0..2 {
        position.mark_unchanged();
        within("a proof", position.changed())
            .await
            .expect("the gate runs");
    }
}

#[tokio::test]
async fn a_restore_without_recover_makes_the_authority_not_ready_until_it_is_run() {
    let mut authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let session = authority.sign_in("ada").await;
    authority.stop().await;
    let data = authority.config.store.url["sqlite:".len()..].to_owned();
    let (data, backup) = (
        PathBuf::from(&data),
        PathBuf::from(format!("{data}.backup")),
    );
    copy(&data, &backup);
    authority.start().await;
    let revision = revoke(&authority, &session).await;
    applied(&gate, revision).await;
    proven(&authority, &gate, revision).await;
    authority.stop().await;
    std::fs::remove_dir_all(&data).expect("removed");
    std::fs::rename(&backup, &data).expect("restored");
    authority.start().await;

    let answer = readyz(&authority, "history: ").await;
    assert!(answer.contains("run `portcullis recover`"), "{answer}");
    serves(&authority, "", ServingStatus::NotServing).await;
    within("the gate is served", gate.ready()).await;
    assert_eq!(
        rejection(&gate, &session.access_token),
        Some(Rejection::Revoked)
    );

    authority.stop().await;
    let master = read_master_keys(&authority.config.keys).await;
    let master = master.expect("a master key");
    let store = open_store(&authority.config.store).await.expect("opens");
    let recovered = recover(&*store, &master, true).await;
    recovered.expect("recovered");
    drop(store);
    authority.start().await;
    within("the gate is served", gate.ready()).await;
    eventually("the gate has the new history", async || {
        gate.check(&authority.sign_in("bob").await.access_token)
            .is_ok()
            .then_some(())
    })
    .await;
    readyz(&authority, "200 OK").await;
}
