//! The export to a file.

use std::{fs, os::unix::fs::PermissionsExt};

use portcullis_contract::v1;
use portcullis_tests::{
    audit_export::to_file,
    authority::{ADMIN, OPERATOR, OTHER_ADMIN, TENANT, TestAuthority},
    postgres::fresh_schema,
    telemetry::Scraped,
    wait::eventually,
};
use serde_json::Value;

use super::{
    beside_data, key, metric_is, read_lines, sign_out, sign_out_users, signed_out, the_file_has,
};
use crate::command_line::CommandLine;

async fn on_both(story: impl AsyncFn(Option<String>)) {
    story(None).await;
    story(Some(fresh_schema().await.url)).await;
}

/// An authority with an export to `audit.jsonl` beside its data.
async fn authority(url: Option<String>) -> TestAuthority {
    TestAuthority::with(|config| {
        if let Some(url) = url {
            config.store.url = url;
        }
        let path = beside_data(config, "audit.jsonl");
        config.audit_exports = vec![to_file("archive", &path)];
    })
    .await
}

#[tokio::test]
async fn a_file_has_the_whole_trail_once_and_in_the_order_of_the_log() {
    on_both(async |url| {
        let authority = authority(url).await;
        let path = beside_data(&authority.config, "audit.jsonl");
        for user in ["ada", "bob"] {
            authority.sign_in(user).await;
        }
        let users = sign_out_users(&authority, "user", 30).await;
        the_file_has(&path, &users).await;
        // Sign-ins enter the trail a moment later. The file also has the events of no tenant.
        let lines = eventually("all events", async || {
            let events = authority.trail().await;
            let created = events.iter().filter(|it| it.action == "session.create");
            let is_whole = created.count() == 2;
            let lines = read_lines(&path);
            let exported: Vec<_> = lines.iter().map(key).collect();
            let is_exported = |event: &v1::AuditEvent| {
                let mut exported = exported.iter();
                exported
                    .any(|(_, id, ordinal)| *id == event.id && *ordinal == u64::from(event.ordinal))
            };
            (is_whole && events.iter().all(is_exported)).then_some(lines)
        })
        .await;

        let keys: Vec<_> = lines.iter().map(key).collect();
        assert!(keys.is_sorted_by(|one, other| one < other), "{keys:#?}");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o137, 0, "{mode:o}");
        metric_is(&authority, "portcullis_audit_export_behind", "archive", 0.0).await;
        metric_is(
            &authority,
            "portcullis_audit_export_lag_seconds",
            "archive",
            0.0,
        )
        .await;
        let count = lines.len() as f64;
        metric_is(
            &authority,
            "portcullis_audit_export_delivered_total",
            "archive",
            count,
        )
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_line_is_what_the_command_line_prints() {
    let line = CommandLine::start_with(|config| {
        let path = beside_data(config, "audit.jsonl");
        config.audit_exports = vec![to_file("archive", &path)];
    })
    .await;
    let hostile = "Zoë \"said\" \u{202e}\\";
    let users = line.authority.users(ADMIN);
    sign_out(users, TENANT, "ada", hostile).await;
    let path = beside_data(&line.authority.config, "audit.jsonl");
    the_file_has(&path, &["ada".to_owned()]).await;

    let exported = read_lines(&path);
    let exported: Vec<&Value> = exported
        .iter()
        .filter(|event| event["action"] == "user.sign_out")
        .collect();
    let printed = line
        .json(&["audit", "list", "--action", "user.sign_out"])
        .await;
    let printed = printed.as_array().expect("a list");
    assert_eq!(exported, printed.iter().collect::<Vec<_>>());
    assert_eq!(exported[0]["reason"], hostile);
}

#[tokio::test]
async fn an_authority_that_starts_again_goes_on_where_it_stopped() {
    on_both(async |url| {
        let mut authority = authority(url).await;
        let path = beside_data(&authority.config, "audit.jsonl");
        let mut users = sign_out_users(&authority, "before", 3).await;
        the_file_has(&path, &users).await;
        authority.stop().await;
        authority.start().await;
        users.extend(sign_out_users(&authority, "after", 3).await);
        the_file_has(&path, &users).await;
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_rotated_or_removed_is_begun_anew_and_nothing_is_lost() {
    let authority = authority(None).await;
    let path = beside_data(&authority.config, "audit.jsonl");
    let mut rotated = Vec::new();
    let mut written = 0;
    for round in 0..3 {
        let users = sign_out_users(&authority, &format!("round{round}-"), 2).await;
        the_file_has(&path, &users).await;
        written += read_lines(&path).len();
        is_delivered(&authority, written).await;
        let aside = beside_data(&authority.config, &format!("audit.jsonl.{round}"));
        fs::rename(&path, &aside).expect("renamed");
        rotated.push((aside, users));
    }
    for (aside, users) in rotated {
        assert_eq!(signed_out(&read_lines(&aside)), users);
    }
}

/// Waits until the writer has looked where its file is after so many lines. Before that a removal counts as a rotation in
/// the middle of a write, and the events are written again.
async fn is_delivered(authority: &TestAuthority, lines: usize) {
    let lines = u32::try_from(lines).expect("few");
    let delivered = "portcullis_audit_export_delivered_total";
    metric_is_at_least(authority, delivered, lines.into()).await;
}

async fn metric_is_at_least(authority: &TestAuthority, name: &str, least: f64) {
    eventually(name, async || {
        let scraped = Scraped::of(authority.config.server.http_listen).await;
        let shown = scraped.value(name, &[("portcullis_export", "archive")])?;
        (shown >= least).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_export_that_cannot_write_goes_on_when_it_can() {
    let authority = TestAuthority::with(|config| {
        let directory = beside_data(config, "logs");
        fs::create_dir(&directory).expect("made");
        config.audit_exports = vec![to_file("archive", &directory.join("audit.jsonl"))];
    })
    .await;
    let path = beside_data(&authority.config, "logs/audit.jsonl");
    let mut users = sign_out_users(&authority, "before", 1).await;
    the_file_has(&path, &users).await;
    is_delivered(&authority, read_lines(&path).len()).await;
    // A directory stands where the file would be made.
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("made");
    users = sign_out_users(&authority, "missed", 2).await;
    metric_is_at_least(&authority, "portcullis_audit_export_failures_total", 1.0).await;
    fs::remove_dir(&path).expect("removed");
    the_file_has(&path, &users).await;
}

#[tokio::test]
async fn an_export_of_some_tenants_has_no_event_of_others() {
    let authority = TestAuthority::with(|config| {
        let own = to_file("own", &beside_data(config, "own.jsonl"));
        let all = to_file("all", &beside_data(config, "all.jsonl"));
        let own = portcullis_authority::config::AuditExportConfig {
            tenants: vec!["other".into()],
            ..own
        };
        config.audit_exports = vec![own, all];
    })
    .await;
    sign_out_users(&authority, "ada", 2).await;
    sign_out(authority.users(OTHER_ADMIN), "other", "eve", "a test").await;
    let rotate = v1::RotateSigningKeyRequest {
        reason: "yearly".into(),
        ..Default::default()
    };
    let rotated = authority.keys(OPERATOR).rotate_signing_key(rotate).await;
    rotated.expect("rotated");

    let all = beside_data(&authority.config, "all.jsonl");
    eventually("the event of the installation", async || {
        let lines = read_lines(&all);
        lines
            .iter()
            .any(|event| event["reason"] == "yearly")
            .then_some(())
    })
    .await;
    assert_eq!(signed_out(&read_lines(&all)), ["ada0", "ada1", "eve"]);
    let own = beside_data(&authority.config, "own.jsonl");
    the_file_has(&own, &["eve".to_owned()]).await;
    let lines = read_lines(&own);
    assert!(lines.iter().all(|event| event["tenant_id"] == "other"));
    // The events of others do not hold it back.
    metric_is(&authority, "portcullis_audit_export_behind", "own", 0.0).await;
}

#[tokio::test]
async fn an_export_may_begin_with_the_next_event() {
    let mut authority = TestAuthority::sqlite().await;
    sign_out_users(&authority, "early", 2).await;
    authority.stop().await;
    let path = beside_data(&authority.config, "audit.jsonl");
    let mut export = to_file("archive", &path);
    export.start = portcullis_authority::config::ExportStart::Now;
    authority.config.audit_exports = vec![export];
    authority.start().await;
    metric_is(&authority, "portcullis_audit_export_behind", "archive", 0.0).await;
    let users = sign_out_users(&authority, "late", 2).await;
    the_file_has(&path, &users).await;
}
