//! Lists and details, in every form.

use std::process::Stdio;

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, LOGIN, TENANT, sign_in},
    wait::within,
};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::CommandLine;

/// Text that would turn a line around, or hide in it.
const HOSTILE: &str = "ada\u{202e}gpj.\u{200b}exe\u{2066}";

fn is_raw(text: &str) -> bool {
    text.chars()
        .any(|c| (c.is_control() && c != '\n') || HOSTILE_CHARACTERS.contains(&c))
}

const HOSTILE_CHARACTERS: [char; 3] = ['\u{202e}', '\u{200b}', '\u{2066}'];

#[tokio::test]
async fn sessions_are_listed_in_every_form() {
    let line = CommandLine::start().await;
    let (first, second) = (line.open("ada", "ada").await, line.open("bob", "bob").await);

    let table = line.run(&["sessions", "list"]).await;
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{table:?}");
    assert!(lines[0].starts_with("SESSION"), "{table:?}");
    // Newest first.
    assert!(
        lines[1].starts_with(&second) && lines[1].contains("bob"),
        "{table:?}"
    );

    let names = line
        .run(&["sessions", "list", "-o", "name", "--user", "ada"])
        .await;
    assert_eq!(names.words(), [first.as_str()]);

    let json = line.json(&["sessions", "list"]).await;
    assert_eq!(json[0]["id"], *second);
    assert_eq!(json[0]["state"], "SESSION_STATE_ACTIVE");
    // A field with its default is there, and a number is one.
    assert_eq!(json[0]["remember_me"], false);
    assert_eq!(json[0]["actions"], 0);

    let yaml = line.run(&["sessions", "list", "-o", "yaml"]).await;
    let read: Value = serde_saphyr::from_str(&yaml.stdout).expect("YAML");
    assert_eq!(read[1]["id"], *first);

    let shown = line.run(&["sessions", "show", &first]).await;
    for word in [
        "session",
        &first,
        "ada",
        "sign-ins of the device",
        "requests",
    ] {
        assert!(shown.stdout.contains(word), "{word}: {shown:?}");
    }
}

#[tokio::test]
async fn a_limit_bounds_a_list_and_says_that_there_is_more() {
    let line = CommandLine::start().await;
    for user in 0..5 {
        line.open(&format!("user-{user}"), "x").await;
    }
    let listed = line
        .run(&["sessions", "list", "-o", "name", "--limit", "3"])
        .await;
    assert_eq!(listed.words().len(), 3);
    assert!(listed.stderr.contains("more than 3"), "{listed:?}");
    let users = line
        .run(&["users", "list", "-o", "name", "--limit", "5"])
        .await;
    assert_eq!(users.words().len(), 5);
    assert_eq!(users.stderr, "");
    line.run(&["users", "list", "--limit", "0"])
        .await
        .failed(2, &["--limit"]);
}

#[tokio::test]
async fn hostile_names_and_reasons_reach_no_terminal_raw() {
    let line = CommandLine::start().await;
    let mut request = sign_in("ada");
    request.user = Some(v1::SessionUser {
        id: HOSTILE.into(),
        user_name: HOSTILE.into(),
        given_name: HOSTILE.into(),
        family_name: HOSTILE.into(),
        ..Default::default()
    });
    request.client = Some(v1::Client {
        user_agent: HOSTILE.into(),
        app_name: HOSTILE.into(),
        ..Default::default()
    });
    let created = line.authority.sessions(LOGIN).create_session(request).await;
    let session = created
        .expect("a sign-in")
        .into_inner()
        .session
        .expect("a session");
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session.id.clone(),
        reason: HOSTILE.into(),
        user_message: HOSTILE.into(),
        ..Default::default()
    };
    let revoked = line.authority.sessions(ADMIN).revoke_session(request).await;
    revoked.expect("ended");

    for command in [
        &["sessions", "list", "--ended"][..],
        &["sessions", "show", &session.id],
        &["users", "list", "--signed-out"],
        &["audit", "list"],
    ] {
        for form in ["table", "json", "yaml"] {
            let mut arguments = command.to_vec();
            arguments.extend(["-o", form]);
            let ran = line.run(&arguments).await;
            assert_eq!(ran.code, Some(0), "{ran:?}");
            assert!(ran.stdout.contains("ada"), "{ran:?}");
            assert!(
                !is_raw(&ran.stdout) && !is_raw(&ran.stderr),
                "{arguments:?}: {ran:?}"
            );
        }
        let json = line.json(command).await.to_string();
        assert!(
            json.contains(HOSTILE),
            "the reader gets every character: {json}"
        );
    }
    let csv = line.run(&["audit", "export", "--format", "csv"]).await;
    assert!(
        csv.stdout.contains("\\u{202e}") && !is_raw(&csv.stdout),
        "{csv:?}"
    );

    // The error names what was typed.
    let missing = line.run(&["users", "show", "no\u{202e}body"]).await;
    missing.failed(3, &["user not found"]);
    let terminal = line
        .run_in_terminal("users list --signed-out -o name", "")
        .await;
    assert!(terminal.stdout.contains("\\u{202e}"), "{terminal:?}");
}

#[tokio::test]
async fn users_and_their_roles_are_shown() {
    let line = CommandLine::start().await;
    line.open("ada", "ada@example.com").await;
    let listed = line.json(&["users", "list", "--person", "love"]).await;
    assert_eq!(listed[0]["user"]["id"], "ada");
    assert_eq!(listed[0]["sessions"], 1);
    let shown = line.run(&["users", "show", "ada"]).await;
    for word in ["Ada Lovelace", "ada@example.com", "none"] {
        assert!(shown.stdout.contains(word), "{word}: {shown:?}");
    }
    let roles = [
        "users",
        "roles",
        "ada",
        "--set",
        "admin,support",
        "--reason",
        "new job",
    ];
    line.run(&roles).await.failed(2, &["no terminal", "--yes"]);
    // The last administrator could not give the role back.
    let bob = [
        "users", "roles", "bob", "--set", "admin", "--reason", "lead", "--yes",
    ];
    line.open("bob", "bob").await;
    assert_eq!(line.run(&bob).await.code, Some(0));
    let mut confirmed = roles.to_vec();
    confirmed.push("--yes");
    let set = line.json(&confirmed).await;
    assert_eq!(set["roles"].as_array().map(Vec::len), Some(2));
    let cleared = line
        .json(&[
            "users", "roles", "ada", "--set", "support", "--reason", "left", "--yes",
        ])
        .await;
    assert_eq!(cleared["roles"][0], "USER_ROLE_SUPPORT");
    let shown = line.run(&["users", "roles", "ada"]).await;
    assert!(shown.stdout.contains("support"), "{shown:?}");
}

#[tokio::test]
async fn the_trail_is_listed_followed_exported_and_verified() {
    let line = CommandLine::start().await;
    let session = line.open("ada", "ada").await;
    let end = [
        "sessions",
        "end",
        &session,
        "--reason",
        "=stolen()",
        "--yes",
    ];
    assert_eq!(line.run(&end).await.code, Some(0));

    let listed = line
        .json(&["audit", "list", "--action", "session.revoke"])
        .await;
    assert_eq!(listed[0]["target"], *session);
    assert_eq!(listed[0]["actor"], "service:admin");
    assert_eq!(listed[0]["reason"], "=stolen()");
    let none = line
        .run(&["audit", "list", "--until", "2000-01-01", "-o", "name"])
        .await;
    assert_eq!(none.words(), Vec::<&str>::new());

    let lines = line
        .run(&["audit", "export", "--action", "session.revoke"])
        .await;
    let event: Value = serde_json::from_str(lines.stdout.trim()).expect("one line of JSON");
    assert_eq!(event["target"], *session);
    let csv = line
        .run(&[
            "audit",
            "export",
            "--action",
            "session.revoke",
            "--format",
            "csv",
        ])
        .await;
    assert!(csv.stdout.starts_with("time,tenant_id,action"), "{csv:?}");
    assert!(
        csv.stdout.contains(",'=stolen(),"),
        "no spreadsheet runs it: {csv:?}"
    );

    let file = line.file("trail.jsonl");
    let export = ["audit", "export", "--file", file.to_str().expect("a path")];
    assert_eq!(line.run(&export).await.code, Some(0));
    line.run(&export).await.failed(2, &["File exists"]);

    let verified = line
        .json(&["audit", "verify", "--context", "operator"])
        .await;
    assert_eq!(verified["sound"], true);
    assert!(verified["verified"].as_u64() > Some(0), "{verified}");
    line.run(&["audit", "verify"])
        .await
        .failed(4, &["permission denied", "--context"]);
    let installation = ["audit", "list", "--installation", "--context", "operator"];
    assert_eq!(line.run(&installation).await.code, Some(0));
}

#[tokio::test]
async fn follow_prints_what_happens_and_nothing_twice() {
    let line = CommandLine::start().await;
    let old = line.open("old", "old").await;
    let mut follow = line
        .command()
        .args([
            "audit",
            "follow",
            "--action",
            "session.revoke",
            "-o",
            "json",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut notes = BufReader::new(follow.stderr.take().expect("piped")).lines();
    let begun = within("it follows", notes.next_line()).await;
    assert!(begun.expect("text").expect("a line").contains("following"));

    let mut printed = BufReader::new(follow.stdout.take().expect("piped")).lines();
    let second = line.open("second", "second").await;
    for id in [old, second] {
        let ended = ["sessions", "end", &id, "--reason", "test", "--yes"];
        assert_eq!(line.run(&ended).await.code, Some(0));
        let next = within("the event", printed.next_line()).await;
        let event: Value =
            serde_json::from_str(&next.expect("text").expect("a line")).expect("JSON");
        assert_eq!(event["target"], *id);
    }
}
