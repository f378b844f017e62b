//! Contexts: which authority, and where the credential comes from.

use std::{fs, os::unix::fs::PermissionsExt};

use portcullis_tests::{
    authority::{ADMIN, SUPPORT, TENANT, write_private},
    process::binary,
};

use super::CommandLine;

fn set_mode(file: &std::path::Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("a mode");
}

fn mode(file: &std::path::Path) -> u32 {
    fs::metadata(file).expect("a file").permissions().mode() & 0o777
}

#[tokio::test]
async fn contexts_are_made_used_shown_and_removed() {
    let line = CommandLine::start().await;
    fs::remove_file(line.contexts()).expect("removed");
    line.run(&["sessions", "list"])
        .await
        .failed(2, &["no context is chosen", "context set"]);

    let address = line.authority.endpoint();
    let set = [
        "context",
        "set",
        "desk",
        "--address",
        &address,
        "--tenant",
        TENANT,
        "--credential-stdin",
    ];
    let made = line.run_with(&set, &[], ADMIN).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let kept = line.file("credentials/desk.bearer");
    assert_eq!((mode(&line.contexts()), mode(&kept)), (0o600, 0o600));
    assert_eq!(line.run(&["sessions", "list"]).await.code, Some(0));

    let shown = line.run(&["context", "show", "-o", "json"]).await.json();
    assert_eq!(shown["name"], "desk");
    for form in ["table", "json", "yaml"] {
        let listed = line.run(&["context", "list", "-o", form]).await;
        assert!(listed.stdout.contains("desk"), "{listed:?}");
        assert!(!listed.stdout.contains(ADMIN), "{listed:?}");
    }
    let file = fs::read_to_string(line.contexts()).expect("contexts");
    assert!(!file.contains(ADMIN), "{file}");

    line.run(&["context", "use", "other"])
        .await
        .failed(3, &["no context other"]);
    line.run(&["sessions", "list", "--context", "other"])
        .await
        .failed(3, &["context list"]);
    let removed = line.run(&["context", "remove", "desk"]).await;
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert!(!kept.exists());
}

#[tokio::test]
async fn a_credential_comes_from_a_file_the_environment_or_a_helper() {
    let line = CommandLine::start().await;
    let address = line.authority.endpoint();
    let file = line.file("admin.bearer");
    let file = file.to_str().expect("a path");
    let helper = format!("cat {file}");
    for (name, flag, value) in [
        ("by-file", "--credential-file", file),
        ("by-env", "--credential-env", "THE_BEARER"),
        ("by-helper", "--credential-helper", &helper),
    ] {
        let set = [
            "context",
            "set",
            name,
            "--address",
            &address,
            "--tenant",
            TENANT,
            flag,
            value,
        ];
        assert_eq!(line.run(&set).await.code, Some(0), "{name}");
        let list = ["sessions", "list", "--context", name];
        let ran = line.run_with(&list, &[("THE_BEARER", ADMIN)], "").await;
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
    }
    let by_variable = [("PORTCULLIS_CONTEXT", "by-env"), ("THE_BEARER", "wrong")];
    let refused = line.run_with(&["sessions", "list"], &by_variable, "").await;
    refused.failed(4, &["credentials invalid", "context show"]);
    line.run(&["sessions", "list", "--context", "by-env"])
        .await
        .failed(2, &["THE_BEARER", "not set"]);
    for (helper, words) in [
        ("false", "failed"),
        ("no-such-program", "cannot be started"),
        ("true", "no credential"),
    ] {
        let set = ["context", "set", "by-helper", "--credential-helper", helper];
        assert_eq!(line.run(&set).await.code, Some(0));
        line.run(&["sessions", "list", "--context", "by-helper"])
            .await
            .failed(2, &[words]);
    }
}

#[tokio::test]
async fn files_that_others_may_read_or_change_are_refused() {
    let line = CommandLine::start().await;
    let list = ["sessions", "list"];
    set_mode(&line.contexts(), 0o640);
    line.run(&list)
        .await
        .failed(2, &["contexts.toml", "0640", "chmod 600"]);
    set_mode(&line.contexts(), 0o600);
    set_mode(&line.file("admin.bearer"), 0o604);
    line.run(&list)
        .await
        .failed(2, &["admin.bearer", "0604", "chmod 600"]);
    set_mode(&line.file("admin.bearer"), 0o400);
    assert_eq!(line.run(&list).await.code, Some(0));

    // What is no file of contexts says so, and shows nothing of itself.
    write_private(&line.contexts(), "[contexts.a]\nadress = \"hunter2\"\n");
    let bad = line.run(&list).await;
    bad.failed(2, &["contexts.toml", "adress"]);
    assert!(!bad.stderr.contains("hunter2"), "{bad:?}");
}

#[tokio::test]
async fn no_credential_crosses_a_network_in_clear_or_stands_in_arguments() {
    let line = CommandLine::start().await;
    let set = [
        "context",
        "set",
        "far",
        "--address",
        "http://192.0.2.1:7400",
    ];
    line.run(&set)
        .await
        .failed(2, &["http and not a loopback address", "--insecure"]);
    let set = [
        "context",
        "set",
        "far",
        "--address",
        "https://192.0.2.1:7400",
    ];
    line.run(&set).await.failed(2, &["needs ca_file"]);
    let help = line.run(&["context", "set", "--help"]).await;
    for flag in ["--bearer", "--token", "--password", "--credential "] {
        assert!(!help.stdout.contains(flag), "{flag}: {help:?}");
    }
}

#[tokio::test]
async fn a_role_that_is_too_small_is_denied_and_an_authority_that_is_away_is_unavailable() {
    let mut line = CommandLine::start().await;
    let session = line.open("ada", "ada").await;
    let end = [
        "sessions",
        "end",
        &session,
        "--reason",
        "x",
        "--yes",
        "--context",
        "support",
    ];
    line.run(&end)
        .await
        .failed(4, &["permission denied", "--context"]);
    let list = ["sessions", "list", "--context", "other"];
    line.run(&list).await.failed(4, &["permission denied"]);
    line.run(&["sessions", "list", "--network", "nowhere"])
        .await
        .failed(2, &["filter.network"]);

    line.authority.stop().await;
    let away = line.run(&["sessions", "list"]).await;
    away.failed(
        6,
        &["no authority answers at http://127.0.0.1", "context show"],
    );
    assert!(!away.stderr.contains(SUPPORT) && !away.stderr.contains(ADMIN));
}

#[tokio::test]
async fn a_reader_that_has_enough_ends_a_command_quietly() {
    let line = CommandLine::start().await;
    for user in 0..20 {
        line.open(&format!("user-{user}"), "x").await;
    }
    let mut shell = tokio::process::Command::new("/bin/sh");
    let words = format!("{} sessions list -o json | head -c 1", binary().display());
    shell.args(["-c", &words]);
    line.set_environment(&mut shell);
    let ran = super::finish(shell, "").await;
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (Some(0), "[", "")
    );
}
