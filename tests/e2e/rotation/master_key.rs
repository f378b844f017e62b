//! The master key: replaced while two authorities serve, and everything that it sealed with it. No call fails, and no gate
//! forgets.

use std::path::PathBuf;

use portcullis_authority::{
    Authority, StartError, check,
    config::{Config, MasterKeySource},
    keys::{MasterKey, MasterKeyId, SecretsError, Unsealable},
    open_store,
    store::StoreError,
};
use portcullis_contract::{position::Revision, v1};
use portcullis_tests::{
    authority::{OPERATOR, TestAuthority, ready, reason, write_private},
    gate::{refused, verdict},
    postgres,
    serve::Serve,
    wait::eventually,
};
use portcullis_validator::Rejection;
use serde_json::Value;

use super::{
    DELAY, KeyFile, Pair, configure, listed, load::Load, making, number_of, quick, refresh_at,
    restart, rotate, rotate_signing_key, sign_in_at,
};
use crate::command_line::CommandLine;

/// The command that seals everything by the current master key.
const RESEAL: [&str; 6] = [
    "keys",
    "reseal",
    "--reason",
    "yearly",
    "--context",
    "operator",
];

/// The number of values that a master key has sealed.
async fn sealed(authority: &TestAuthority, id: MasterKeyId) -> u64 {
    let keys = listed(authority).await.master_keys;
    let key = keys.iter().find(|key| key.id == id.to_string());
    key.map_or(0, |key| key.sealed_count)
}

/// Waits until the authority is ready, and says nothing about its keys or its history. On a busy machine its feed may be
/// late for a moment.
async fn is_well(authority: &TestAuthority) {
    eventually("the authority to be well", async || {
        let answer = authority.http("/readyz").await;
        let conditions = ["keys:", "history:", "feed:"];
        let is_well = answer.starts_with("HTTP/1.1 200")
            && !conditions
                .iter()
                .any(|condition| answer.contains(condition));
        is_well.then_some(())
    })
    .await;
}

/// Waits until the beginning of the log is in a checkpoint alone.
async fn trim_log(authority: &TestAuthority) {
    let store = open_store(&authority.config.store).await.expect("opens");
    eventually("the log to be trimmed", async || {
        let session = authority.sign_in("passer-by").await;
        authority.revoke(&session).await;
        let tail = store.tail(Revision(0), 1).await;
        matches!(tail, Err(StoreError::Trimmed)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_key_and_the_refresh_secret_are_replaced_under_load() {
    let mut pair = Pair::start().await;
    let old = KeyFile::of(&pair.line.authority.config);
    let new = KeyFile::new(&pair.line, "new.key");
    let gate = pair.gate().await;
    let veterans = [
        pair.line.authority.sign_in("veteran").await,
        pair.other.sign_in("veteran").await,
    ];
    let revoked = pair.other.sign_in("revoked").await;
    pair.other.revoke(&revoked).await;
    assert_eq!(
        refused(&gate, &revoked.access_token).await,
        Rejection::Revoked
    );
    let load = Load::start(&pair, &gate);
    load.goes_on().await;

    // 1. The new key beside the old one, at one authority after the other.
    pair.restart(&old, &[&new]).await;
    pair.rotate_signing_keys().await;
    // 2. The new key seals. In between one authority seals by the old key and the other by the new one.
    restart(&mut pair.line.authority, &new, &[&old]).await;
    pair.rotate_signing_keys().await;
    load.goes_on().await;
    restart(&mut pair.other, &new, &[&old]).await;
    assert!(sealed(&pair.other, old.id).await > 3);
    assert!(sealed(&pair.other, new.id).await > 0);

    // Meanwhile the refresh secret is replaced too. No token is refused while both are in use.
    let secret = rotate(&pair.line.authority, v1::SecretKind::Refresh).await;
    assert_eq!(
        (secret.number, secret.state()),
        (2, v1::SecretState::Pending)
    );
    load.goes_on().await;
    making(&pair.other, v1::SecretKind::Refresh, 2).await;
    load.goes_on().await;
    for authority in [&pair.line.authority, &pair.other] {
        let session = authority.sign_in("newcomer").await;
        assert_eq!(number_of(&session.refresh_token), 2);
    }

    // 3. Everything is sealed by the new key.
    let ended = pair.line.run(&RESEAL).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains(&new.id.to_string()), "{ended:?}");
    assert_eq!(sealed(&pair.other, old.id).await, 0);
    pair.rotate_signing_keys().await;
    load.goes_on().await;

    // 4. The old key is dropped. Each start needs a checkpoint, because the log is trimmed.
    pair.restart(&new, &[]).await;
    load.goes_on().await;
    for authority in [&pair.line.authority, &pair.other] {
        is_well(authority).await;
    }
    assert!(load.end().await > 0);

    // Old refresh tokens are good, at either authority, and no gate has forgotten.
    for (index, veteran) in veterans.iter().enumerate() {
        assert_eq!(number_of(&veteran.refresh_token), 1);
        let at = &pair.endpoints()[1 - index];
        let refreshed = refresh_at(at, &veteran.refresh_token).await;
        let refreshed = refreshed.expect("an old token is good");
        assert_eq!(number_of(&refreshed.refresh_token), 2);
        assert_eq!(verdict(&gate, &refreshed.access_token).await, None);
    }
    let fresh = pair.gate().await;
    for gate in [&gate, &fresh] {
        assert_eq!(
            refused(gate, &revoked.access_token).await,
            Rejection::Revoked
        );
    }

    // With the old key alone nothing starts any more, and the error names both keys.
    let mut config = pair.other.config.clone();
    configure(&mut config, &old, &[]);
    pair.other.stop().await;
    let Err(refused) = Authority::start(config).await else {
        panic!("an authority started without the key");
    };
    let text = refused.to_string();
    let StartError::Secrets(SecretsError::Unsealable { problem, .. }) = refused else {
        panic!("another error: {text}");
    };
    let Unsealable::OtherKey {
        sealed_by,
        configured,
    } = problem
    else {
        panic!("another problem: {text}");
    };
    assert_eq!((sealed_by, configured.0), (new.id, vec![old.id]));
    assert!(
        text.contains(&new.id.to_string()) && text.contains(&old.id.to_string()),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reseal_that_was_killed_goes_on_where_it_was() {
    let mut pair = Pair::start().await;
    let old = KeyFile::of(&pair.line.authority.config);
    let new = KeyFile::new(&pair.line, "new.key");
    for _ in 0..40 {
        rotate_signing_key(&pair.line.authority).await;
    }
    pair.restart(&old, &[&new]).await;
    pair.restart(&new, &[&old]).await;
    let all = sealed(&pair.other, old.id).await;
    assert!(all > 40);

    // One value a step, so that there is time to kill it between two of them.
    let mut resealing = pair
        .line
        .command()
        .args(RESEAL)
        .args(["--step", "1"])
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    eventually("a first value to be resealed", async || {
        (sealed(&pair.other, old.id).await < all).then_some(())
    })
    .await;
    // SIGKILL.
    resealing.kill().await.expect("killed");
    let left = sealed(&pair.other, old.id).await;
    assert!(left > 0 && left < all, "{left} of {all} are left");

    // Half-way everything works, also a start.
    restart(&mut pair.other, &new, &[&old]).await;
    pair.rotate_signing_keys().await;

    let ended = pair.line.run(&RESEAL).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(sealed(&pair.other, old.id).await, 0);
    pair.restart(&new, &[]).await;
    for authority in [&pair.line.authority, &pair.other] {
        authority.sign_in("ada").await;
        is_well(authority).await;
    }
}

#[tokio::test]
async fn an_authority_without_a_key_says_which_one() {
    let url = postgres::fresh_url().await;
    let mut line = CommandLine::start_with(|config| {
        config.store.url = url;
        quick(config);
    })
    .await;
    let revoked = line.authority.sign_in("revoked").await;
    line.authority.revoke(&revoked).await;
    trim_log(&line.authority).await;
    // No checkpoint is written from now on, so each start needs one that the old key vouched for.
    line.authority.config.log.checkpoint_batches_min = 1_000_000;
    let old = KeyFile::of(&line.authority.config);
    let new = KeyFile::new(&line, "new.key");
    // Nobody gave the old key: nothing is changed, and the command to repair it is in the error.
    let mut config = line.authority.config.clone();
    configure(&mut config, &new, &[]);
    line.authority.stop().await;
    let Err(failure) = Authority::start(config).await else {
        panic!("an authority started without the key");
    };
    let text = failure.to_string();
    for word in [
        &old.id.to_string(),
        &new.id.to_string(),
        "keys.other_master_keys",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }

    restart(&mut line.authority, &new, &[&old]).await;
    let keys = line
        .json(&["keys", "master", "--context", "operator"])
        .await;
    let states: Vec<_> = keys
        .as_array()
        .expect("keys")
        .iter()
        .map(|key| (key["id"].as_str().unwrap_or_default(), &key["state"]))
        .collect();
    let current = Value::from("MASTER_KEY_STATE_CURRENT");
    let other = Value::from("MASTER_KEY_STATE_OTHER");
    assert_eq!(
        states,
        [
            (&new.id.to_string()[..], &current),
            (&old.id.to_string()[..], &other)
        ]
    );
    let remarks = check(&line.authority.config).await.expect("good");
    let remark = remarks
        .iter()
        .find(|remark| remark.contains("keys.other_master_keys"));
    let remark = remark.expect("a remark");
    assert!(
        remark.contains(&new.id.to_string()) && remark.contains(&old.id.to_string()),
        "{remark}"
    );

    assert_eq!(line.run(&RESEAL).await.code, Some(0));
    let events = v1::ListAuditEventsRequest::default();
    let events = line
        .authority
        .audit(OPERATOR)
        .list_audit_events(events)
        .await;
    let events = events.expect("events").into_inner().events;
    let targets: Vec<_> = events
        .iter()
        .filter(|event| event.action == "secret.reseal")
        .filter(|event| event.details["master_key"] == new.id.to_string())
        .map(|event| &event.target[..])
        .collect();
    assert!(
        targets.contains(&"refresh-1") && targets.contains(&"pages-1"),
        "{targets:?}"
    );
    restart(&mut line.authority, &new, &[]).await;
    line.authority.sign_in("ada").await;
    let gate = ready(line.authority.gate().max_staleness(DELAY)).await;
    let refused = refused(&gate, &revoked.access_token).await;
    assert_eq!(
        refused,
        Rejection::Revoked,
        "the view came from the checkpoint"
    );
}

#[tokio::test]
async fn a_value_of_a_key_that_an_authority_lacks_is_not_resealed() {
    let pair = Pair::start().await;
    let old = KeyFile::of(&pair.line.authority.config);
    let foreign = KeyFile::new(&pair.line, "foreign.key");
    let mut stranger = pair.other;
    // It seals by a key that the other authority was never given.
    restart(&mut stranger, &foreign, &[&old]).await;
    rotate_signing_key(&stranger).await;

    let request = v1::ResealSecretsRequest {
        reason: "yearly".into(),
        values_max: 0,
    };
    let refused = pair
        .line
        .authority
        .keys(OPERATOR)
        .reseal_secrets(request)
        .await
        .expect_err("the key is unknown");
    assert_eq!(reason(&refused), "MASTER_KEY_UNKNOWN");
    assert!(
        refused.message().contains(&foreign.id.to_string()),
        "{refused:?}"
    );
    let keys = listed(&pair.line.authority).await.master_keys;
    let unknown = keys.iter().find(|key| key.id == foreign.id.to_string());
    let unknown = unknown.expect("it is listed");
    assert_eq!(unknown.state(), v1::MasterKeyState::Unknown);
    // It goes on signing by the keys that it has, and says what is wrong.
    eventually("the condition", async || {
        let answer = pair.line.authority.http("/readyz").await;
        answer.contains(&foreign.id.to_string()).then_some(())
    })
    .await;
    pair.line.authority.sign_in("ada").await;
}

#[tokio::test]
async fn a_damaged_value_is_named_and_does_not_hold_up_the_others() {
    let schema = postgres::fresh_schema().await;
    let mut line = CommandLine::start_with(|config| {
        config.store.url = schema.url.clone();
        quick(config);
    })
    .await;
    let old = KeyFile::of(&line.authority.config);
    let new = KeyFile::new(&line, "new.key");
    let request = v1::RotateSigningKeyRequest {
        reason: "to be damaged".into(),
        ..Default::default()
    };
    let mut keys = line.authority.keys(OPERATOR);
    let rotated = keys.rotate_signing_key(request).await;
    let damaged = rotated.expect("rotated").into_inner().key;
    let damaged = damaged.expect("a key").id;
    rotate_signing_key(&line.authority).await;
    // It is retired, so that no authority has to open it.
    let retire = v1::RetireSigningKeyRequest {
        key_id: damaged.clone(),
        reason: "to be damaged".into(),
        emergency: true,
        ..Default::default()
    };
    keys.retire_signing_key(retire).await.expect("retired");
    restart(&mut line.authority, &new, &[&old]).await;
    // Somebody writes into the database: the last byte of the sealed key.
    let admin = postgres::shared().await.admin().await;
    let flip = format!(
        "UPDATE {}.signing_keys SET sealed = set_byte(sealed, length(sealed) - 1, 255 - get_byte(sealed, length(sealed) - 1)) \
         WHERE key_id = '{damaged}'",
        schema.name
    );
    assert_eq!(admin.execute(&flip, &[]).await.expect("written"), 1);

    // One value a step: the damaged one is met in the first steps, and the others are resealed all the same.
    let step = [&RESEAL[..], &["--step", "1"]].concat();
    line.run(&step)
        .await
        .failed(1, &[&damaged, "does not open"]);
    assert_eq!(sealed(&line.authority, old.id).await, 1);
    assert!(sealed(&line.authority, new.id).await > 3);
}

#[tokio::test]
async fn keys_come_from_a_credential_of_systemd_and_from_a_command() {
    let directory = tempfile::tempdir().expect("a directory");
    let old = MasterKey::generate();
    write_private(&directory.path().join("old.key"), &old.to_base64());
    let new = MasterKey::generate().to_base64();
    let store = directory.path().join("data");
    let variable = directory.path().display().to_string();
    let credentials = [("CREDENTIALS_DIRECTORY", variable.as_str())];
    let by = |config: &mut Config, credential: Option<&str>, command: Vec<String>| {
        config.store.url = format!("sqlite:{}", store.display());
        config.keys.master_key_file = PathBuf::new();
        config.keys.master_key_credential = credential.map(str::to_owned);
        config.keys.master_key_command = command;
    };

    let mut first = Serve::start_with_variables(&credentials, |config| {
        by(config, Some("old.key"), Vec::new());
    })
    .await;
    let session = sign_in_at(&first.endpoint(), "ada")
        .await
        .expect("a sign-in");
    assert!(first.terminate().await.success());

    // The same store, by a command that prints the new key, and the credential beside it.
    let second = Serve::start_with_variables(&credentials, |config| {
        let print = ["/bin/echo".to_owned(), new.to_string()];
        by(config, None, print.to_vec());
        config.keys.other_master_keys.push(MasterKeySource {
            credential: Some("old.key".to_owned()),
            ..MasterKeySource::default()
        });
    })
    .await;
    let refreshed = refresh_at(&second.endpoint(), &session.refresh_token).await;
    assert!(refreshed.is_ok(), "{refreshed:?}");
    let written = second.log();
    assert!(!written.contains(new.as_str()), "the log has the key");
}
