//! What ends something: by whom, of whom, and with what answer.

use portcullis_tests::{
    authority::{AUDIENCE, GATEWAY, ISSUER, TENANT, ready},
    gate::applied,
    proxy::{Link, Proxy},
};
use portcullis_validator::Validator;

use super::CommandLine;

const REASON: [&str; 3] = ["--reason", "a test", "--yes"];

fn ending<'w>(words: &[&'w str]) -> Vec<&'w str> {
    [words, &REASON].concat()
}

#[tokio::test]
async fn a_session_ends_by_its_id_and_gates_know_it() {
    let line = CommandLine::start().await;
    let gate = line.authority.ready_gate().await;
    let session = line.open("ada", "ada").await;

    let outcome = line.json(&ending(&["sessions", "end", &session])).await;
    assert_eq!(outcome["sessions_ended"], 1);
    let revision = outcome["revision"].as_u64().expect("a revision");
    assert_eq!(outcome["gates"], 1);
    applied(&gate, revision).await;

    let shown = line.run(&["sessions", "show", &session]).await;
    for word in ["revoked", "administrator", "service:admin", "a test"] {
        assert!(shown.stdout.contains(word), "{word}: {shown:?}");
    }
    // Again: it has ended already.
    let again = line.json(&ending(&["sessions", "end", &session])).await;
    assert_eq!(again["sessions_ended"], 0);
    let unknown = ending(&["sessions", "end", "ses_01h455vb4pex5vsknk084sn02q"]);
    line.run(&unknown).await.failed(3, &["session not found"]);
}

#[tokio::test]
async fn sessions_end_of_a_user_and_by_conditions() {
    let line = CommandLine::start().await;
    let kept = line.open("ada", "ada").await;
    for _ in 0..3 {
        line.open("ada", "ada").await;
        line.open("bob", "robert").await;
    }

    let others = line
        .run(&ending(&[
            "sessions", "end", "--user", "ada", "--keep", &kept,
        ]))
        .await;
    assert_eq!(others.code, Some(0), "{others:?}");
    let left = line
        .run(&["sessions", "list", "--user", "ada", "-o", "name"])
        .await;
    assert_eq!(left.words(), [kept.as_str()]);

    let matching = line
        .json(&ending(&["sessions", "end", "--user-name", "robert"]))
        .await;
    assert_eq!(matching["sessions_ended"], 3);
    assert_eq!(line.active().await, 1);

    line.run(&ending(&["sessions", "end"]))
        .await
        .failed(2, &["no condition", "tenants sign-out"]);
    let both = ending(&["sessions", "end", &kept, "--user", "ada"]);
    line.run(&both).await.failed(2, &["not both"]);
}

#[tokio::test]
async fn users_are_signed_out_disabled_and_enabled() {
    let line = CommandLine::start().await;
    line.open("ada", "ada").await;
    line.open("ada", "ada").await;
    line.open("bob", "bob").await;

    let outcome = line
        .run(&ending(&["users", "sign-out", "ada", "typo", "-o", "json"]))
        .await;
    assert_eq!(outcome.json()["sessions_ended"], 2);
    assert!(
        outcome.stderr.contains("typo has never signed in"),
        "{outcome:?}"
    );

    let disabled = line.run(&ending(&["users", "disable", "bob"])).await;
    assert!(disabled.stdout.contains("bob disabled"), "{disabled:?}");
    let listed = line.json(&["users", "list", "--signed-out"]).await;
    let states = listed.as_array().expect("a list").iter();
    let disabled: Vec<_> = states
        .filter(|user| user["user"].get("disable_time").is_some())
        .map(|user| user["user"]["id"].clone())
        .collect();
    assert_eq!(disabled, ["bob"]);
    let enabled = line
        .json(&["users", "enable", "bob", "--reason", "a mistake"])
        .await;
    assert!(enabled.get("disable_time").is_none(), "{enabled}");
    let unknown = ["users", "enable", "nobody", "--reason", "x"];
    line.run(&unknown).await.failed(3, &["user not found"]);

    let both = ending(&["users", "sign-out", "bob", "--disable", "-o", "name"]);
    let revision = line.run(&both).await;
    assert!(revision.words()[0].parse::<u64>().is_ok(), "{revision:?}");
}

#[tokio::test]
async fn a_tenant_is_signed_out_by_its_name() {
    let line = CommandLine::start().await;
    line.open("ada", "ada").await;
    line.open("bob", "bob").await;
    line.run(&["tenants", "sign-out", "--reason", "x", "--yes"])
        .await
        .failed(2, &["<TENANT>"]);
    let outcome = line.json(&ending(&["tenants", "sign-out", TENANT])).await;
    assert_eq!(outcome["sessions_ended"], 2);
    assert_eq!(line.active().await, 0);
}

/// What the administrator has done. Sign-ins enter the trail a moment later.
const TRAIL: [&str; 6] = ["audit", "list", "-o", "name", "--actor", "service:admin"];

#[tokio::test]
async fn a_dry_run_shows_and_ends_nothing() {
    let line = CommandLine::start().await;
    let session = line.open("ada", "ada").await;
    line.open("bob", "bob").await;
    let key = [
        "api-keys", "create", "--owner", "ada", "--name", "nightly", "-o", "name",
    ];
    let key = line.run(&key).await.words()[0].to_owned();
    let signing = ["keys", "list", "--context", "operator", "-o", "name"];
    let signing = line.run(&signing).await.words()[0].to_owned();
    let before = line.run(&TRAIL).await;

    for command in [
        &["sessions", "end", session.as_str()][..],
        &["sessions", "end", "--user", "ada"],
        &["sessions", "end", "--user", "ada", "--keep", &session],
        &["users", "sign-out", "ada"],
        &["users", "sign-out", "ada", "--disable"],
        &["users", "disable", "ada"],
        &["users", "enable", "ada"],
        &["users", "roles", "ada", "--set", "admin"],
        &["tenants", "sign-out", TENANT],
        &["api-keys", "revoke", &key],
        &["keys", "retire", &signing, "--context", "operator"],
        &["keys", "distrust", &signing, "--context", "operator"],
        &["policy", "set", "--sessions-max", "1"],
        &["policy", "preset", "nist_800_63b_aal3"],
    ] {
        let mut arguments = command.to_vec();
        arguments.push("--dry-run");
        let ran = line.run(&arguments).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(!ran.stdout.is_empty(), "{arguments:?}: {ran:?}");
    }
    let preview = line
        .json(&["tenants", "sign-out", TENANT, "--dry-run"])
        .await;
    assert_eq!(preview["sessions"], 2);

    let after = line.run(&TRAIL).await;
    assert_eq!(before.stdout, after.stdout);
    assert_eq!(line.active().await, 2);
}

#[tokio::test]
async fn the_state_of_things_is_a_conflict() {
    let line = CommandLine::start().await;
    line.open("ada", "ada").await;
    let set = ending(&["users", "roles", "ada", "--set", "admin"]);
    assert_eq!(line.run(&set).await.code, Some(0));
    // The last administrator of the tenant.
    let disable = ending(&["users", "disable", "ada"]);
    line.run(&disable).await.failed(5, &["last administrator"]);

    let signing = ["keys", "list", "--context", "operator", "-o", "json"];
    let keys = line.run(&signing).await.json();
    let current = keys.as_array().expect("keys").iter().find(|key| {
        key["state"] == "SIGNING_KEY_STATE_SIGNING"
            && key["credential"] == "CREDENTIAL_KIND_SESSION"
    });
    let current = current.expect("a key that signs")["id"]
        .as_str()
        .expect("an id");
    let retire = ending(&["keys", "retire", current, "--context", "operator"]);
    line.run(&retire)
        .await
        .failed(5, &["signing key in use", "keys distrust"]);
}

#[tokio::test]
async fn api_keys_are_made_shown_and_revoked() {
    let line = CommandLine::start().await;
    let create = [
        "api-keys",
        "create",
        "--owner",
        "ada",
        "--name",
        "nightly",
        "--scopes",
        "read,write",
        "--expires-in",
        "90d",
    ];
    let created = line.json(&create).await;
    let secret = created["secret"].as_str().expect("a secret").to_owned();
    let id = created["api_key"]["id"].as_str().expect("an id").to_owned();
    assert!(secret.len() > 100, "{created}");
    let listed = line.run(&["api-keys", "list"]).await;
    assert!(listed.stdout.contains("read write"), "{listed:?}");
    let shown = line.run(&["api-keys", "show", &id]).await;
    assert!(
        shown.stdout.contains("nightly") && !shown.stdout.contains(&secret),
        "{shown:?}"
    );

    // To a file that nobody else reads, and not to the terminal.
    let file = line.file("key.secret");
    let path = file.to_str().expect("a path");
    let create = [
        "api-keys",
        "create",
        "--owner",
        "ada",
        "--name",
        "b",
        "--secret-file",
        path,
    ];
    let quiet = line.run(&create).await;
    assert_eq!(quiet.code, Some(0), "{quiet:?}");
    let kept = std::fs::read_to_string(&file).expect("a secret");
    assert!(!quiet.stdout.contains(&kept) && kept.len() > 100);
    line.run(&create).await.failed(2, &["exists already"]);

    let revoked = line.run(&ending(&["api-keys", "revoke", &id])).await;
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    let state = line.json(&["api-keys", "list", "--ended"]).await;
    let ended = state
        .as_array()
        .expect("keys")
        .iter()
        .find(|key| key["id"] == *id);
    assert_eq!(ended.expect("the key")["state"], "API_KEY_STATE_REVOKED");
    let unknown = ending(&["api-keys", "revoke", "key_01h455vb4pex5vsknk084sn02q"]);
    line.run(&unknown).await.failed(3, &["API key not found"]);
}

#[tokio::test]
async fn a_command_that_waits_ends_when_every_gate_enforces() {
    let line = CommandLine::start().await;
    let gate = line.authority.ready_gate().await;
    let session = line.open("ada", "ada").await;
    let outcome = line
        .json(&ending(&["sessions", "end", &session, "--wait"]))
        .await;
    assert_eq!(outcome["enforced"], true);
    assert_eq!(
        (&outcome["gates"], &outcome["confirmed"]),
        (&1.into(), &1.into())
    );
    drop(gate);
}

#[tokio::test]
async fn a_change_that_is_not_enforced_in_time_is_durable_and_has_a_code_of_its_own() {
    let line = CommandLine::start().await;
    let proxy = Proxy::start(line.authority.config.server.grpc_listen).await;
    let frozen = Validator::builder(format!("http://{}", proxy.address()))
        .bearer(GATEWAY)
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .name("frozen");
    let frozen = ready(frozen).await;
    line.open("ada", "ada").await;
    proxy.set(Link::BLACK_HOLE);

    let sign_out = ending(&["users", "sign-out", "ada", "--wait=200ms", "-o", "json"]);
    let ran = line.run(&sign_out).await;
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert!(
        ran.stderr.contains("durable") && ran.stderr.contains("1 of 1 gates"),
        "{ran:?}"
    );
    let outcome: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(
        (&outcome["enforced"], &outcome["sessions_ended"]),
        (&false.into(), &1.into())
    );
    assert_eq!(line.active().await, 0);
    drop(frozen);
}
