//! Exports of the audit trail for the configuration of a test.

use std::path::Path;

use portcullis_authority::config::{
    AuditExportConfig, FileExportConfig, SyslogExportConfig, WebhookExportConfig,
};
use serde_json::{Value, json};

fn defaults<T: serde::de::DeserializeOwned>(set: Value) -> T {
    serde_json::from_value(set).expect("a table")
}

fn export(name: &str) -> AuditExportConfig {
    defaults(json!({"name": name}))
}

/// An export to a file.
#[must_use]
pub fn to_file(name: &str, path: &Path) -> AuditExportConfig {
    AuditExportConfig {
        file: Some(FileExportConfig { path: path.into() }),
        ..export(name)
    }
}

/// An export to a webhook on this machine, with one secret.
#[must_use]
pub fn to_webhook(name: &str, url: &str, secret_file: &Path) -> AuditExportConfig {
    let webhook: WebhookExportConfig = defaults(json!({
        "url": url,
        "secret_files": [secret_file],
    }));
    AuditExportConfig {
        webhook: Some(webhook),
        ..export(name)
    }
}

/// An export to a syslog server.
#[must_use]
pub fn to_syslog(name: &str, syslog: SyslogExportConfig) -> AuditExportConfig {
    AuditExportConfig {
        syslog: Some(syslog),
        ..export(name)
    }
}

/// The settings of a syslog server by their names.
#[must_use]
pub fn syslog(set: Value) -> SyslogExportConfig {
    defaults(set)
}
