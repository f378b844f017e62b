//! What a shell completes, as it asks for it.

use portcullis_contract::v1;
use portcullis_tests::authority::{LOGIN, sign_in};

use super::CommandLine;

/// Asks as fish does: the words so far, the last of them incomplete.
async fn complete(line: &CommandLine, words: &[&str]) -> Vec<String> {
    let mut arguments = vec!["--", "portcullis"];
    arguments.extend(words);
    let ran = line.run_with(&arguments, &[("COMPLETE", "fish")], "").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.stdout.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn users_tenants_and_contexts_come_from_the_server_and_the_file() {
    let line = CommandLine::start().await;
    line.open("ada", "ada@example.com").await;
    line.open("adam", "adam").await;
    line.open("bob", "bob").await;
    line.open("evil\u{202e}", "evil").await;

    let mut users = complete(&line, &["users", "show", "ad"]).await;
    users.sort();
    let ids: Vec<&str> = users
        .iter()
        .filter_map(|line| line.split('\t').next())
        .collect();
    assert_eq!(ids, ["ada", "adam"], "{users:?}");
    assert!(
        users[0].contains("ada@example.com Ada Lovelace"),
        "{users:?}"
    );
    // A name that would turn the prompt around is not offered.
    assert!(complete(&line, &["users", "show", "evil"]).await.is_empty());
    // As another caller, who may not.
    let denied = complete(&line, &["users", "--context", "login", "show", ""]).await;
    assert!(
        denied.iter().all(|line| !line.starts_with("ada")),
        "{denied:?}"
    );

    let contexts = complete(&line, &["sessions", "list", "--context", "o"]).await;
    assert!(
        contexts.iter().any(|line| line.starts_with("operator")),
        "{contexts:?}"
    );
    let tenants = complete(&line, &["tenants", "sign-out", "ac"]).await;
    assert!(
        tenants.iter().any(|line| line.starts_with("acme")),
        "{tenants:?}"
    );
    // The authority's own tenants too, for a credential that may list them.
    let elsewhere = v1::CreateSessionRequest {
        tenant_id: "northwind".into(),
        ..sign_in("ada")
    };
    let mut sessions = line.authority.sessions(LOGIN);
    sessions.create_session(elsewhere).await.expect("a sign-in");
    let listed = complete(&line, &["tenants", "sign-out", "nor"]).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    let denied = ["tenants", "--context", "login", "sign-out", "nor"];
    assert!(complete(&line, &denied).await.is_empty());
    let commands = complete(&line, &["sess"]).await;
    assert!(
        commands.iter().any(|line| line.starts_with("sessions")),
        "{commands:?}"
    );
}

#[tokio::test]
async fn completions_are_quiet_when_the_authority_is_away() {
    let mut line = CommandLine::start().await;
    line.authority.stop().await;
    let ran = line
        .run_with(
            &["--", "portcullis", "users", "show", ""],
            &[("COMPLETE", "fish")],
            "",
        )
        .await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
}

#[tokio::test]
async fn a_shell_is_told_how_to_ask() {
    let line = CommandLine::start().await;
    for (shell, word) in [
        ("bash", "complete "),
        ("zsh", "compdef"),
        ("fish", "complete "),
    ] {
        let ran = line.run_with(&[], &[("COMPLETE", shell)], "").await;
        assert!(
            ran.code == Some(0) && ran.stdout.contains(word),
            "{shell}: {ran:?}"
        );
    }
}
