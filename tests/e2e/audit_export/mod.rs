//! Exports of the audit trail, with the real receivers: at least once, in the order of the log, by one authority at a time.

mod claims;
mod configuration;
mod file;
mod syslog;
mod webhook;

use std::{
    fs,
    path::{Path, PathBuf},
};

use portcullis_authority::config::Config;
use portcullis_contract::v1::{self, user_service_client::UserServiceClient};
use portcullis_tests::{
    authority::{ADMIN, TENANT, TestAuthority, Transport},
    telemetry::Scraped,
    wait::eventually,
};
use serde_json::Value;

/// A file beside the data of a test's authority.
fn beside_data(config: &Config, name: &str) -> PathBuf {
    let directory = config.keys.master_key_file.parent().expect("a directory");
    directory.join(name)
}

/// The events that a file has, as they stand there. The last line may not be whole yet.
fn read_lines(path: &Path) -> Vec<Value> {
    let written = fs::read_to_string(path).unwrap_or_default();
    let whole = written.rfind('\n').map_or("", |end| &written[..=end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

/// Signs a user out who need not be there.
async fn sign_out(mut users: UserServiceClient<Transport>, tenant: &str, user: &str, reason: &str) {
    let request = v1::ForceSignOutRequest {
        tenant_id: tenant.into(),
        user_ids: vec![user.into()],
        reason: reason.into(),
        ..Default::default()
    };
    users.force_sign_out(request).await.expect("a sign-out");
}

/// Signs users of the tenant out, one after the other, and returns their ids.
async fn sign_out_users(authority: &TestAuthority, name: &str, count: usize) -> Vec<String> {
    let mut users = Vec::new();
    for number in 0..count {
        let user = format!("{name}{number}");
        sign_out(authority.users(ADMIN), TENANT, &user, "a test").await;
        users.push(user);
    }
    users
}

/// The users that events sign out, in the order of the events.
fn signed_out(events: &[Value]) -> Vec<String> {
    let mut users = Vec::new();
    for event in events {
        if event["action"] == "user.sign_out" {
            users.push(event["target"].as_str().expect("a text").to_owned());
        }
    }
    users
}

/// What makes an event the same as another.
fn key(event: &Value) -> (u64, String, u64) {
    (
        event["revision"].as_u64().expect("a number"),
        event["id"].as_str().expect("a text").to_owned(),
        event["ordinal"].as_u64().expect("a number"),
    )
}

/// Waits until a file has the sign-outs of these users, each once and in this order.
async fn the_file_has(path: &Path, users: &[String]) {
    eventually("the sign-outs in the file", async || {
        (signed_out(&read_lines(path)).len() >= users.len()).then_some(())
    })
    .await;
    assert_eq!(signed_out(&read_lines(path)), users);
}

/// Waits until a metric of an export has a value.
async fn metric_is(authority: &TestAuthority, name: &str, export: &str, value: f64) {
    eventually(name, async || {
        let scraped = Scraped::of(authority.config.server.http_listen).await;
        let shown = scraped.value(name, &[("portcullis_export", export)])?;
        (shown == value).then_some(())
    })
    .await;
}
