//! The export to a webhook.

use std::{path::PathBuf, time::Duration};

use portcullis_authority::config::{AuditExportConfig, Config};
use portcullis_contract::v1;
use portcullis_tests::{
    audit_export::to_webhook,
    authority::{ADMIN, OPERATOR, OTHER_ADMIN, TENANT, TestAuthority, reason, write_private},
    postgres::{Schema, fresh_schema, shared},
    wait::eventually,
    webhook::{Received, WebhookReceiver, verify},
};
use serde_json::Value;

use super::{beside_data, key, metric_is, sign_out, sign_out_users, signed_out};
use crate::command_line::CommandLine;

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
    let retry = v1::RetryDeadLettersRequest {
        export: "siem".into(),
        reason: "repaired".into(),
        ..Default::default()
    };
    let retried = authority.audit(OPERATOR).retry_dead_letters(retry).await;
    let retried = retried.expect("retried").into_inner();
    assert_eq!(retried.changed, 2);
    // The other one may have been refused again by now.
    assert!(retried.remaining <= 1, "{retried:?}");
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

/// An authority whose receiver refuses the sign-outs of some users, with this many dead letters.
async fn with_dead_letters(receiver: &WebhookReceiver, users: usize) -> CommandLine {
    receiver.decide(|event| (event["action"] == "user.sign_out").then_some(422));
    let line = CommandLine::start_with(|config| {
        let mut export = export(config, receiver);
        let webhook = export.webhook.as_mut().expect("set");
        webhook.give_up_after = Duration::from_secs(1);
        config.audit_exports = vec![export];
    })
    .await;
    sign_out_users(&line.authority, "user", users).await;
    let metric = "portcullis_audit_export_dead_letters";
    metric_is(&line.authority, metric, "siem", users as f64).await;
    line
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_lists_retries_and_drops_dead_letters_by_commands() {
    let receiver = WebhookReceiver::start().await;
    let line = with_dead_letters(&receiver, 3).await;
    let operator = ["--context", "operator"];
    let run = async |words: &[&str]| {
        let words = [&["audit", "dead-letters"], words, &operator[..]].concat();
        line.run(&words).await
    };
    let listed = run(&["list", "siem", "-o", "json"]).await.json();
    let listed = listed.as_array().expect("letters");
    assert_eq!(listed.len(), 3);
    for letter in listed {
        assert_eq!(letter["problem"], "answered 422");
        assert_eq!(letter["tenant_id"], TENANT);
    }
    let names = run(&["list", "siem", "-o", "name"]).await;
    let names: Vec<_> = names.words().iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), 3);
    assert!(
        run(&["list", "other", "-o", "name"])
            .await
            .words()
            .is_empty()
    );

    // One is given up. Without consent nothing is, and a dry run changes nothing.
    let one = ["drop", "siem", "--event", &names[0], "--reason", "no use"];
    run(&one).await.failed(2, &["--yes"]);
    assert_eq!(
        run(&[&one[..], &["--dry-run"]].concat()).await.code,
        Some(0)
    );
    assert_eq!(run(&["list", "-o", "name"]).await.words().len(), 3);
    let dropped = run(&[&one[..], &["--yes"]].concat()).await;
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    assert!(dropped.stderr.contains("1 dead letters"), "{dropped:?}");

    // The others are delivered, out of order.
    receiver.decide(|_| None);
    let retried = run(&["retry", "siem", "--reason", "repaired"]).await;
    assert_eq!(retried.code, Some(0), "{retried:?}");
    eventually("no dead letter", async || {
        let left = run(&["list", "siem", "-o", "name"]).await;
        left.words().is_empty().then_some(())
    })
    .await;
    assert_eq!(signed_out(&events(&receiver.taken())).len(), 2);

    // Each letter has a row with the operator's reason.
    let request = v1::ListAuditEventsRequest::default();
    let events = line
        .authority
        .audit(OPERATOR)
        .list_audit_events(request)
        .await;
    let events = events.expect("events").into_inner().events;
    for (action, reason, count) in [
        ("dead_letter.drop", "no use", 1),
        ("dead_letter.retry", "repaired", 2),
    ] {
        let found: Vec<_> = events.iter().filter(|it| it.action == action).collect();
        assert_eq!(found.len(), count, "{action}: {events:?}");
        for event in found {
            assert_eq!(
                (&*event.reason, &*event.actor),
                (reason, "service:operator")
            );
            let name = event.target.strip_prefix("siem/").expect("the export");
            assert!(names.iter().any(|it| it == name), "{name}: {names:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_in_pages_and_bad_fields_are_named() {
    let receiver = WebhookReceiver::start().await;
    let line = with_dead_letters(&receiver, 3).await;
    let mut audit = line.authority.audit(OPERATOR);
    let mut request = v1::ListDeadLettersRequest {
        page_size: 2,
        ..Default::default()
    };
    let page = audit.list_dead_letters(request.clone()).await;
    let page = page.expect("a page").into_inner();
    assert_eq!(page.letters.len(), 2);
    // The token is of this list.
    request.page_token = page.next_page_token;
    let other = v1::ListDeadLettersRequest {
        export: "siem".into(),
        ..request.clone()
    };
    let refused = audit.list_dead_letters(other).await.expect_err("another");
    assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID");
    let last = audit.list_dead_letters(request).await;
    let last = last.expect("a page").into_inner();
    assert_eq!((last.letters.len(), &*last.next_page_token), (1, ""));

    let drop =
        |export: &str, letters: Vec<v1::DeadLetterName>, reason: &str| v1::DropDeadLettersRequest {
            export: export.into(),
            letters,
            reason: reason.into(),
        };
    let bad = v1::DeadLetterName {
        event_id: "x".into(),
        ordinal: 0,
    };
    for (request, field) in [
        (drop("", vec![], "x"), "export: required"),
        (drop("siem", vec![], ""), "reason: "),
        (
            drop("siem", vec![bad.clone()], "x"),
            "letters[0].event_id: must",
        ),
        (drop("siem", vec![bad; 101], "x"), "letters: must"),
    ] {
        let refused = audit.drop_dead_letters(request).await.expect_err(field);
        assert!(refused.message().starts_with(field), "{refused:?}");
    }
    let left = audit.list_dead_letters(v1::ListDeadLettersRequest::default());
    assert_eq!(left.await.expect("a page").into_inner().letters.len(), 3);
    let by_admin = line.authority.audit(ADMIN);
    let by_admin = { by_admin }
        .list_dead_letters(v1::ListDeadLettersRequest::default())
        .await;
    assert_eq!(
        reason(&by_admin.expect_err("no operator")),
        "PERMISSION_DENIED"
    );
}

/// An export to a receiver with TLS, whose certificates are judged by this authority.
fn over_tls(config: &Config, receiver: &WebhookReceiver, authority: &str) -> AuditExportConfig {
    let mut export = export(config, receiver);
    let ca_file = beside_data(config, "ca.pem");
    std::fs::write(&ca_file, authority).expect("written");
    export.webhook.as_mut().expect("set").ca_file = Some(ca_file);
    export
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_with_a_certificate_of_the_authority_gets_events_over_tls_only() {
    let (receiver, certificate) = WebhookReceiver::start_with_tls().await;
    let (_, other) = WebhookReceiver::start_with_tls().await;

    // Another authority signed the certificate: nothing is sent, and it is tried again.
    let mut authority = TestAuthority::with(|config| {
        config.audit_exports = vec![over_tls(config, &receiver, &other)];
    })
    .await;
    let users = sign_out_users(&authority, "user", 3).await;
    eventually("three attempts", async || {
        (receiver.connections().len() >= 3).then_some(())
    })
    .await;
    assert!(receiver.received().is_empty(), "a request came");
    authority.stop().await;

    // The right one: all of them, in their order.
    let export = over_tls(&authority.config, &receiver, &certificate);
    authority.config.audit_exports = vec![export];
    authority.start().await;
    let taken = the_receiver_has(&receiver, users.len()).await;
    assert_eq!(signed_out(&events(&taken)), users);
    let said = verify(&[(SECRET, taken[0].clone())]).await;
    assert_eq!(said, ["ok"]);
    // 22 is a handshake of TLS. A request in plain would begin with its method.
    for begin in receiver.connections() {
        assert_eq!(begin.first(), Some(&22), "{begin:?}");
    }
}
