//! The export to a webhook.

use std::{path::PathBuf, time::Duration};

use portcullis_authority::config::{AuditExportConfig, Config};
use portcullis_tests::{
    audit_export::to_webhook,
    authority::{ADMIN, OTHER_ADMIN, TENANT, TestAuthority, write_private},
    postgres::{Schema, fresh_schema, shared},
    wait::eventually,
    webhook::{Received, WebhookReceiver, verify},
};
use serde_json::Value;

use super::{beside_data, key, metric_is, sign_out, sign_out_users, signed_out};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn secret_file(config: &Config, name: &str, secret: &str) -> PathBuf {
    let file = beside_data(config, name);
    write_private(&file, secret);
    file
}

/// An export to a receiver, with short pauses.
fn export(config: &Config, receiver: &WebhookReceiver) -> AuditExportConfig {
    let file = secret_file(config, "webhook.secret", SECRET);
    let mut export = to_webhook("siem", &receiver.url(), &file);
    let webhook = export.webhook.as_mut().expect("set");
    webhook.retry_pause_max = Duration::from_secs(1);
    webhook.timeout = Duration::from_secs(5);
    export
}

async fn authority(
    receiver: &WebhookReceiver,
    change: impl FnOnce(&mut AuditExportConfig),
) -> TestAuthority {
    TestAuthority::with(|config| {
        let mut export = export(config, receiver);
        change(&mut export);
        config.audit_exports = vec![export];
    })
    .await
}

fn events(requests: &[Received]) -> Vec<Value> {
    requests.iter().map(Received::event).collect()
}

/// Waits until the receiver has taken the sign-outs of these users.
async fn the_receiver_has(receiver: &WebhookReceiver, users: usize) -> Vec<Received> {
    eventually("the sign-outs at the receiver", async || {
        let taken = receiver.taken();
        (signed_out(&events(&taken)).len() >= users).then_some(taken)
    })
    .await
}

#[tokio::test]
async fn each_event_is_a_request_that_the_library_of_the_specification_verifies() {
    let receiver = WebhookReceiver::start().await;
    let authority = TestAuthority::with(|config| {
        let mut export = export(config, &receiver);
        let webhook = export.webhook.as_mut().expect("set");
        let new = secret_file(config, "new.secret", NEW_SECRET);
        webhook.secret_files.push(new);
        config.audit_exports = vec![export];
    })
    .await;
    let hostile = "Zoë \"said\" \u{202e}\\";
    sign_out(authority.users(ADMIN), TENANT, "zoë", hostile).await;
    let users = sign_out_users(&authority, "user", 4).await;
    let taken = the_receiver_has(&receiver, 1 + users.len()).await;

    let first = taken.iter().find(|it| it.event()["target"] == "zoë");
    let first = first.expect("there").clone();
    let body: Value = serde_json::from_str(&first.body).expect("JSON");
    assert_eq!(body["type"], "user.sign_out");
    assert_eq!(body["timestamp"], body["data"]["time"]);
    assert_eq!(body["data"]["reason"], hostile);
    assert_eq!(first.header("content-type"), "application/json");
    let (_, id, ordinal) = key(&first.event());
    assert_eq!(first.header("webhook-id"), format!("{id}_{ordinal}"));

    let mut forged = first.clone();
    forged.body = forged.body.replace("zoë", "eve");
    let mut old = first.clone();
    old.headers
        .insert("webhook-timestamp".into(), "1600000000".into());
    let mut requests: Vec<_> = taken.iter().map(|it| (SECRET, it.clone())).collect();
    requests.extend(taken.iter().map(|it| (NEW_SECRET, it.clone())));
    let good = requests.len();
    requests.push((SECRET, forged));
    requests.push((SECRET, old));
    requests.push(("whsec_b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcg==", first));
    let said = verify(&requests).await;
    assert_eq!(said.len(), requests.len());
    assert!(said[..good].iter().all(|it| it == "ok"), "{said:?}");
    assert!(said[good..].iter().all(|it| it != "ok"), "{said:?}");
}

#[tokio::test]
async fn what_is_refused_is_repeated_and_the_order_of_a_tenant_kept() {
    let receiver = WebhookReceiver::start().await;
    for (status, retry_after) in [(500, None), (302, None), (404, None), (429, Some(3))] {
        receiver.answer_next(status, retry_after);
    }
    // One tenant's, so that one follows the other.
    let authority = authority(&receiver, |it| it.tenants = vec![TENANT.into()]).await;
    let users = sign_out_users(&authority, "user", 5).await;
    let taken = the_receiver_has(&receiver, users.len()).await;
    assert_eq!(signed_out(&events(&taken)), users);

    let received = receiver.received();
    let refused: Vec<_> = received.iter().filter(|it| it.answered >= 300).collect();
    let answered: Vec<_> = refused.iter().map(|it| it.answered).collect();
    assert_eq!(answered, [500, 302, 404, 429]);
    // The same event under the same id, until it is taken.
    let first = received[0].header("webhook-id");
    assert!(
        received[..5]
            .iter()
            .all(|it| it.header("webhook-id") == first)
    );
    let pause = received[4].at - received[3].at;
    assert!(pause >= Duration::from_millis(2_900), "{pause:?}");
}

async fn dead_letters(schema: &Schema) -> Vec<String> {
    let admin = shared().await.admin().await;
    let sql = format!(
        "SELECT problem FROM {}.audit_dead_letters ORDER BY event_id, ordinal",
        schema.name
    );
    let rows = admin.query(&sql, &[]).await.expect("rows");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn what_is_never_taken_becomes_a_dead_letter_and_can_be_delivered_later() {
    let receiver = WebhookReceiver::start().await;
    receiver.decide(|event| (event["tenant_id"] == "other").then_some(422));
    let schema = fresh_schema().await;
    let authority = TestAuthority::with(|config| {
        config.store.url = schema.url.clone();
        let mut export = export(config, &receiver);
        let webhook = export.webhook.as_mut().expect("set");
        webhook.give_up_after = Duration::from_secs(2);
        config.audit_exports = vec![export];
    })
    .await;
    for user in ["eve0", "eve1"] {
        sign_out(authority.users(OTHER_ADMIN), "other", user, "a test").await;
    }
    let users = sign_out_users(&authority, "ada", 3).await;
    let taken = the_receiver_has(&receiver, users.len()).await;
    assert_eq!(signed_out(&events(&taken)), users);
    eventually("dead letters", async || {
        (dead_letters(&schema).await == ["answered 422", "answered 422"]).then_some(())
    })
    .await;
    let metric = "portcullis_audit_export_dead_letters";
    metric_is(&authority, metric, "siem", 2.0).await;
    metric_is(&authority, "portcullis_audit_export_behind", "siem", 0.0).await;

    // The receiver takes one of them by now, and an operator asks for both.
    receiver.decide(|event| (event["target"] == "eve0").then_some(400));
    let admin = shared().await.admin().await;
    let again = format!("UPDATE {}.audit_dead_letters SET due = 1", schema.name);
    admin.batch_execute(&again).await.expect("due");
    eventually("one dead letter", async || {
        (dead_letters(&schema).await == ["answered 400"]).then_some(())
    })
    .await;
    let taken = signed_out(&events(&receiver.taken()));
    assert!(taken.contains(&"eve1".to_owned()) && !taken.contains(&"eve0".to_owned()));
    metric_is(&authority, metric, "siem", 1.0).await;
}

#[tokio::test]
async fn the_events_of_one_tenant_do_not_wait_for_those_of_another() {
    let receiver = WebhookReceiver::start().await;
    receiver.decide(|event| (event["tenant_id"] == "other").then_some(503));
    let mut authority = TestAuthority::sqlite().await;
    // Together, so that one read has the events of both.
    sign_out(authority.users(OTHER_ADMIN), "other", "eve", "a test").await;
    let users = sign_out_users(&authority, "ada", 3).await;
    authority.stop().await;
    let export = export(&authority.config, &receiver);
    authority.config.audit_exports = vec![export];
    authority.start().await;
    let taken = the_receiver_has(&receiver, users.len()).await;
    assert_eq!(signed_out(&events(&taken)), users);
}

#[tokio::test]
async fn a_receiver_that_is_gone_stops_the_export_until_an_operator_lets_it_go_on() {
    let receiver = WebhookReceiver::start().await;
    receiver.decide(|_| Some(410));
    let schema = fresh_schema().await;
    let first = TestAuthority::with(|config| {
        config.store.url = schema.url.clone();
        let export = export(config, &receiver);
        config.audit_exports = vec![AuditExportConfig {
            tenants: vec![TENANT.into()],
            ..export
        }];
    })
    .await;
    let users = sign_out_users(&first, "user", 2).await;
    metric_is(&first, "portcullis_audit_export_stopped", "siem", 1.0).await;
    let asked = receiver.received().len();
    assert_eq!(asked, 1);

    // Neither this authority nor another one asks again.
    let second = first.replica().await;
    metric_is(&second, "portcullis_audit_export_stopped", "siem", 1.0).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(receiver.received().len(), asked);

    receiver.decide(|_| None);
    let admin = shared().await.admin().await;
    let go_on = format!("UPDATE {}.audit_exports SET stopped_us = NULL", schema.name);
    admin.batch_execute(&go_on).await.expect("it goes on");
    let taken = the_receiver_has(&receiver, users.len()).await;
    assert_eq!(signed_out(&events(&taken)), users);
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_given_up_in_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let held = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.push(connection);
        }
    });
    let authority = TestAuthority::with(|config| {
        let file = secret_file(config, "webhook.secret", SECRET);
        let mut export = to_webhook("siem", &format!("http://{address}/audit"), &file);
        let webhook = export.webhook.as_mut().expect("set");
        webhook.timeout = Duration::from_secs(1);
        webhook.retry_pause_max = Duration::from_secs(1);
        webhook.give_up_after = Duration::from_secs(2);
        config.audit_exports = vec![export];
    })
    .await;
    sign_out_users(&authority, "user", 1).await;
    eventually("a dead letter", async || {
        let scraped =
            portcullis_tests::telemetry::Scraped::of(authority.config.server.http_listen).await;
        let label = [("portcullis_export", "siem")];
        let letters = scraped.value("portcullis_audit_export_dead_letters", &label)?;
        (letters >= 1.0).then_some(())
    })
    .await;
    held.abort();
}
