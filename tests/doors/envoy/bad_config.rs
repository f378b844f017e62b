//! A wrong configuration stops the start, and the log names its key.

use std::process::Stdio;

use portcullis_tests::{
    gateways::envoy::{EnvoyConfig, EnvoyOptions, command},
    wait::within,
};
use serde_json::json;
use tokio::process::Command;

use super::setting::{Setting, newest};

pub async fn a_wrong_configuration_stops_the_start_and_names_the_key() {
    let setting = Setting::new().await;
    type Change = fn(&mut EnvoyConfig);
    let cases: [(&str, Change); 5] = [
        ("authority.issuer", |config| {
            config.at("/authority")["issuer"] = json!("");
        }),
        ("isuer", |config| {
            config.at("/authority")["isuer"] = json!("a");
        }),
        ("rules", |config| {
            config.at("/rules")["rules"] = json!([{ "path": "a", "access": "public" }]);
        }),
        ("acess", |config| {
            config.at("/rules")["rules"] = json!([{ "path": "/a", "acess": "public" }]);
        }),
        (
            "authority.ca_certificate_file: must be a readable file of text: /none",
            |config| {
                config.at("/authority")["ca_certificate_file"] = json!("/none");
            },
        ),
    ];
    for (key, change) in cases {
        let mut config = setting.config();
        change(&mut config);
        let (ended, written) = run(&config).await;
        assert_ne!(ended, Some(0), "{key}: {written}");
        assert!(
            written.contains("portcullis: ") && written.contains(key),
            "{key}: {written}"
        );
    }
    // The file as it is passes the check, without an authority.
    let (ended, written) = run(&setting.config()).await;
    assert_eq!(ended, Some(0), "{written}");
}

/// Has Envoy check a configuration: its exit code and what it wrote.
async fn run(config: &EnvoyConfig) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut options = EnvoyOptions::default();
    options
        .arguments
        .extend(["--mode".into(), "validate".into()]);
    let mut command = Command::from(command(&newest(), config, &options, directory.path()));
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = within("Envoy to end", output).await.expect("it runs");
    let written = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&written).into_owned(),
    )
}
