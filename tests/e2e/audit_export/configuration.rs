//! Configurations that cannot be used are named before anything starts.

use std::fs;

use portcullis_authority::{
    Authority,
    config::{AuditExportConfig, Config, ExportStart, FileExportConfig},
};
use portcullis_tests::{
    audit_export::{syslog, to_file, to_syslog, to_webhook},
    authority::{config, write_private},
};
use serde_json::json;

use super::beside_data;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The error of a check and of a start, which is the same.
async fn refused(config: &Config) -> String {
    let checked = portcullis_authority::check(config)
        .await
        .expect_err("a problem");
    let started = Authority::start(config.clone()).await.err();
    let started = started.expect("the same problem");
    assert_eq!(checked.to_string(), started.to_string());
    checked.to_string()
}

#[tokio::test]
async fn a_file_that_an_export_needs_and_cannot_use_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = config(directory.path());
    let (good, public) = (beside_data(&config, "good"), beside_data(&config, "public"));
    let (short, missing) = (
        beside_data(&config, "short"),
        beside_data(&config, "no/file"),
    );
    write_private(&good, SECRET);
    fs::write(&public, SECRET).expect("written");
    write_private(&short, "whsec_c2hvcnQ=");
    let url = "http://127.0.0.1:9/audit";
    let mut tls = to_webhook("siem", "https://hooks.example.org/audit", &good);
    let webhook = tls.webhook.as_mut().expect("set");
    // A file that is there and has no certificate.
    webhook.ca_file = Some(good.clone());
    let logs = syslog(json!({"address": "logs.example.org:6514", "ca_file": missing}));

    for (number, (export, key)) in [
        (to_file("archive", &missing), "audit_exports[0].file.path"),
        (
            to_file("archive", directory.path()),
            "audit_exports[0].file.path",
        ),
        (
            to_webhook("siem", url, &missing),
            "audit_exports[0].webhook.secret_files[0]",
        ),
        (
            to_webhook("siem", url, &public),
            "audit_exports[0].webhook.secret_files[0]",
        ),
        (
            to_webhook("siem", url, &short),
            "audit_exports[0].webhook.secret_files[0]",
        ),
        (tls, "audit_exports[0].webhook.ca_file"),
        (to_syslog("siem", logs), "audit_exports[0].syslog.ca_file"),
        (
            AuditExportConfig {
                name: "two words".into(),
                ..to_file("archive", &good)
            },
            "audit_exports[0].name",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        // An engine closes a moment after its authority.
        let data = directory.path().join(format!("data-{number}"));
        config.store.url = format!("sqlite:{}", data.display());
        config.audit_exports = vec![export];
        let said = refused(&config).await;
        assert!(said.starts_with(&format!("{key}: ")), "{said}");
        assert!(!said.contains("whsec_c2"), "{said}");
    }

    config.audit_exports = vec![
        AuditExportConfig {
            start: ExportStart::Now,
            ..to_webhook("siem", url, &good)
        },
        AuditExportConfig {
            file: Some(FileExportConfig {
                path: beside_data(&config, "audit.jsonl"),
            }),
            ..to_file("archive", &good)
        },
    ];
    portcullis_authority::check(&config).await.expect("good");
    assert!(
        !beside_data(&config, "audit.jsonl").exists(),
        "a check makes nothing"
    );
}
