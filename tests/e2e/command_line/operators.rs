//! What operators do: signing keys and gates.

use portcullis_tests::authority::TENANT;
use serde_json::Value;

use super::CommandLine;

const OPERATOR: [&str; 2] = ["--context", "operator"];

fn by_operator<'w>(words: &[&'w str]) -> Vec<&'w str> {
    [words, &OPERATOR].concat()
}

fn signing_key(keys: &Value, state: &str) -> Option<String> {
    let mut ours = keys
        .as_array()
        .expect("keys")
        .iter()
        .filter(|key| key["credential"] == "CREDENTIAL_KIND_SESSION" && key["state"] == state);
    ours.next()
        .map(|key| key["id"].as_str().expect("an id").to_owned())
}

#[tokio::test]
async fn keys_are_rotated_retired_and_distrusted() {
    let line = CommandLine::start().await;
    let list = by_operator(&["keys", "list"]);
    let first = signing_key(&line.json(&list).await, "SIGNING_KEY_STATE_SIGNING").expect("a key");

    let rotated = line
        .run(&by_operator(&["keys", "rotate", "--reason", "yearly"]))
        .await;
    assert!(
        rotated.stdout.contains("pending") && rotated.stderr.contains("it signs from"),
        "{rotated:?}"
    );
    let pending = signing_key(&line.json(&list).await, "SIGNING_KEY_STATE_PENDING").expect("a key");

    let retire = by_operator(&[
        "keys",
        "retire",
        &pending,
        "--reason",
        "not needed",
        "--yes",
    ]);
    let retired = line.run(&retire).await;
    assert_eq!(retired.code, Some(0), "{retired:?}");
    assert_eq!(
        signing_key(&line.json(&list).await, "SIGNING_KEY_STATE_RETIRED"),
        Some(pending)
    );

    let distrust = by_operator(&["keys", "distrust", &first, "--reason", "stolen", "--yes"]);
    let distrusted = line.run(&distrust).await;
    assert_eq!(distrusted.code, Some(0), "{distrusted:?}");
    assert!(
        distrusted.stderr.contains("signs in its place"),
        "{distrusted:?}"
    );
    let now = signing_key(&line.json(&list).await, "SIGNING_KEY_STATE_SIGNING").expect("a key");
    assert_ne!(now, first);

    let unknown = by_operator(&["keys", "retire", "none", "--reason", "x", "--yes"]);
    line.run(&unknown)
        .await
        .failed(3, &["signing key not found"]);
    line.run(&["keys", "list"])
        .await
        .failed(4, &["permission denied"]);
}

#[tokio::test]
async fn api_keys_end_with_their_signing_key_only_when_that_is_said() {
    let line = CommandLine::start().await;
    let create = ["api-keys", "create", "--owner", "ada", "--name", "nightly"];
    assert_eq!(line.run(&create).await.code, Some(0));
    let keys = line.json(&by_operator(&["keys", "list"])).await;
    let of_api_keys = keys.as_array().expect("keys").iter().find(|key| {
        key["credential"] == "CREDENTIAL_KIND_API_KEY"
            && key["state"] == "SIGNING_KEY_STATE_SIGNING"
    });
    let id = of_api_keys.expect("a key")["id"].as_str().expect("an id");

    let distrust = by_operator(&["keys", "distrust", id, "--reason", "stolen", "--yes"]);
    line.run(&distrust)
        .await
        .failed(5, &["1 API keys", "--end-api-keys"]);
    let forced = [&distrust[..], &["--end-api-keys"]].concat();
    let ended = line.run(&forced).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("1 API keys ended"), "{ended:?}");
}

#[tokio::test]
async fn gates_are_listed_and_watched_until_they_have_dropped_a_session() {
    let line = CommandLine::start().await;
    let none = line.json(&by_operator(&["gates", "list"])).await;
    assert_eq!(none, serde_json::json!([]));

    let _gate = line.authority.ready_gate().await;
    let listed = line.run(&by_operator(&["gates", "list"])).await;
    for word in ["test gate", "strict", "s old"] {
        assert!(listed.stdout.contains(word), "{word}: {listed:?}");
    }

    let session = line.open("ada", "ada").await;
    let end = [
        "sessions", "end", &session, "--reason", "x", "--yes", "-o", "name",
    ];
    let revision = line.run(&end).await.words()[0].to_owned();
    let watch = by_operator(&["gates", "watch", "--revision", &revision]);
    let watched = line.run(&watch).await;
    assert_eq!(watched.code, Some(0), "{watched:?}");
    assert!(watched.stdout.contains("test gate"), "{watched:?}");
    assert!(
        watched.stderr.contains("1 gates have revision"),
        "{watched:?}"
    );
}

#[tokio::test]
async fn a_gate_that_does_not_confirm_in_time_has_an_exit_code_of_its_own() {
    let line = CommandLine::start().await;
    let _gate = line.authority.ready_gate().await;
    let watch = by_operator(&[
        "gates",
        "watch",
        "--revision",
        "1000000",
        "--timeout",
        "300ms",
    ]);
    line.run(&watch)
        .await
        .failed(7, &["not confirmed by test gate", "stale"]);
}

#[tokio::test]
async fn tenants_are_listed_for_callers_of_the_whole_installation() {
    let line = CommandLine::start().await;
    line.open("ada", "ada").await;
    for context in ["operator", "admin", "support"] {
        let arguments = ["tenants", "list", "--context", context, "-o", "name"];
        assert_eq!(line.run(&arguments).await.words(), [TENANT], "{context}");
    }
    let json = line.json(&["tenants", "list"]).await;
    assert_eq!(json[0]["id"], TENANT);
    let denied = line.run(&["tenants", "list", "--context", "other"]).await;
    denied.failed(4, &[]);
}
