//! The master key and the secrets of tokens are replaced while two authorities serve: no call fails, and no gate forgets.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::{FutureExt, future::BoxFuture};
use portcullis_authority::{
    Authority, StartError, check,
    config::{Config, MasterKeySource},
    keys::{MasterKey, MasterKeyId, SecretsError, Unsealable},
    open_store,
    store::StoreError,
};
use portcullis_contract::{
    position::Revision,
    v1::{self, session_service_client::SessionServiceClient},
};
use portcullis_tests::{
    authority::{
        ADMIN, AUDIENCE, GATEWAY, ISSUER, LOGIN, OPERATOR, TENANT, TestAuthority, ready, reason,
        sign_in, transport, write_private,
    },
    gate::{refused, verdict},
    postgres,
    serve::Serve,
    wait::{eventually, within},
};
use portcullis_validator::{Rejection, Validator};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::command_line::CommandLine;

/// The time between the creation of a secret or a key and its first use.
const DELAY: Duration = Duration::from_secs(1);
const WORKERS: usize = 3;

/// Short delays, and a log that is trimmed to its checkpoints, so that every start needs one.
fn quick(config: &mut Config) {
    config.watch.staleness_max = DELAY;
    config.keys.activation_delay = DELAY;
    config.log.checkpoint_interval = Duration::from_millis(200);
    config.log.checkpoint_batches_min = 1;
    config.log.resume_window = Duration::ZERO;
}

/// A key in a file of its own.
struct KeyFile {
    file: PathBuf,
    id: MasterKeyId,
}

impl KeyFile {
    fn new(line: &CommandLine, name: &str) -> Self {
        let key = MasterKey::generate();
        let file = line.file(name);
        write_private(&file, &key.to_base64());
        Self { file, id: key.id() }
    }

    /// The key of an authority that was started already.
    fn of(config: &Config) -> Self {
        let file = config.keys.master_key_file.clone();
        let text = std::fs::read_to_string(&file).expect("a key file");
        let key = MasterKey::from_base64(&text).expect("a key");
        Self { file, id: key.id() }
    }
}

/// Lets an authority seal by one key and open with others too.
fn configure(config: &mut Config, current: &KeyFile, others: &[&KeyFile]) {
    config.keys.master_key_file.clone_from(&current.file);
    config.keys.other_master_keys.clear();
    for other in others {
        config.keys.other_master_keys.push(MasterKeySource {
            file: Some(other.file.clone()),
            ..MasterKeySource::default()
        });
    }
}

async fn restart(authority: &mut TestAuthority, current: &KeyFile, others: &[&KeyFile]) {
    configure(&mut authority.config, current, others);
    authority.stop().await;
    authority.start().await;
}

/// Two authorities over one database, and a command line at the first.
struct Pair {
    line: CommandLine,
    other: TestAuthority,
}

impl Pair {
    async fn start() -> Self {
        let url = postgres::fresh_url().await;
        let line = CommandLine::start_with(|config| {
            config.store.url = url;
            quick(config);
        })
        .await;
        let other = line.authority.replica().await;
        Self { line, other }
    }

    fn endpoints(&self) -> [String; 2] {
        [self.line.authority.endpoint(), self.other.endpoint()]
    }

    /// A gate that watches both.
    async fn gate(&self) -> Validator {
        let [one, other] = self.endpoints();
        let builder = Validator::builder(one)
            .endpoint(other)
            .bearer(GATEWAY)
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .max_staleness(DELAY);
        ready(builder).await
    }

    /// Restarts one authority after the other with these keys.
    async fn restart(&mut self, current: &KeyFile, others: &[&KeyFile]) {
        restart(&mut self.line.authority, current, others).await;
        restart(&mut self.other, current, others).await;
    }

    /// Makes a signing key at each authority, so that each opens what the other sealed.
    async fn rotate_signing_keys(&self) {
        for authority in [&self.line.authority, &self.other] {
            rotate_signing_key(authority).await;
        }
    }
}

async fn rotate_signing_key(authority: &TestAuthority) {
    let request = v1::RotateSigningKeyRequest {
        reason: "rotation".into(),
        ..Default::default()
    };
    let rotated = authority.keys(OPERATOR).rotate_signing_key(request).await;
    rotated.expect("rotated");
}

async fn listed(authority: &TestAuthority) -> v1::ListSecretsResponse {
    let request = v1::ListSecretsRequest {};
    let listed = authority.keys(OPERATOR).list_secrets(request).await;
    listed.expect("listed").into_inner()
}

/// The number of values that a master key has sealed.
async fn sealed(authority: &TestAuthority, id: MasterKeyId) -> u64 {
    let keys = listed(authority).await.master_keys;
    let key = keys.iter().find(|key| key.id == id.to_string());
    key.map_or(0, |key| key.sealed_count)
}

async fn rotate(authority: &TestAuthority, kind: v1::SecretKind) -> v1::Secret {
    let request = v1::RotateSecretRequest {
        kind: kind.into(),
        reason: "yearly".into(),
    };
    let rotated = authority.keys(OPERATOR).rotate_secret(request).await;
    let rotated = rotated.expect("rotated").into_inner();
    rotated.secret.expect("a secret")
}

async fn retire(
    authority: &TestAuthority,
    kind: v1::SecretKind,
    number: u32,
    force: bool,
) -> Result<v1::Secret, Status> {
    let request = v1::RetireSecretRequest {
        kind: kind.into(),
        number,
        reason: "old".into(),
        force,
    };
    let retired = authority.keys(OPERATOR).retire_secret(request).await?;
    Ok(retired.into_inner().secret.expect("a secret"))
}

/// Waits until a secret makes tokens.
async fn making(authority: &TestAuthority, kind: v1::SecretKind, number: u32) {
    eventually("the new secret to make tokens", async || {
        let secrets = listed(authority).await.secrets;
        let making = secrets.iter().any(|secret| {
            secret.kind() == kind
                && secret.number == number
                && secret.state() == v1::SecretState::Making
        });
        making.then_some(())
    })
    .await;
}

/// The number of the secret that made a refresh token.
fn number_of(refresh_token: &str) -> u8 {
    let text = refresh_token.strip_prefix("prt_").expect("a refresh token");
    URL_SAFE_NO_PAD.decode(text).expect("base64")[0]
}

async fn refresh_at(endpoint: &str, token: &str) -> Result<v1::RefreshSessionResponse, Status> {
    let request = v1::RefreshSessionRequest {
        tenant_id: TENANT.into(),
        refresh_token: token.into(),
        ..Default::default()
    };
    let mut client = SessionServiceClient::new(transport(endpoint, LOGIN));
    let refreshed = client.refresh_session(request).await?;
    Ok(refreshed.into_inner())
}

async fn sign_in_at(endpoint: &str, user: &str) -> Result<v1::CreateSessionResponse, Status> {
    let mut client = SessionServiceClient::new(transport(endpoint, LOGIN));
    Ok(client.create_session(sign_in(user)).await?.into_inner())
}

/// Makes a call at one authority, or at the other while the first restarts. Whatever else fails it fails the test.
async fn call<T>(
    endpoints: &[String; 2],
    first: usize,
    call: impl Fn(String) -> BoxFuture<'static, Result<T, Status>>,
) -> T {
    let mut last = None;
    for turn in 0..6 {
        match call(endpoints[(first + turn) % 2].clone()).await {
            Ok(answer) => return answer,
            Err(status) if is_restarting(&status) => last = Some(status),
            Err(status) => panic!("a call failed: {status:?}"),
        }
    }
    panic!("no authority answers: {last:?}");
}

/// Returns true for an answer that sends a client to another authority: draining, or a connection that closed.
fn is_restarting(status: &Status) -> bool {
    let answered = status.get_details_error_info().is_some();
    !answered || status.code() == Code::Unavailable
}

/// Signs in, refreshes and checks tokens until it is stopped. Returns how often.
async fn work(
    worker: usize,
    endpoints: [String; 2],
    gate: Validator,
    stop: CancellationToken,
    rounds: Arc<AtomicU64>,
) {
    let user = format!("worker-{worker}");
    let mut round = worker;
    while !stop.is_cancelled() {
        let sign_in = |at: String| {
            let user = user.clone();
            async move { sign_in_at(&at, &user).await }.boxed()
        };
        let created = call(&endpoints, round, sign_in).await;
        let mut refresh_token = created.refresh_token;
        for step in 1..=3 {
            let refresh = |at: String| {
                let token = refresh_token.clone();
                async move { refresh_at(&at, &token).await }.boxed()
            };
            let refreshed = call(&endpoints, round + step, refresh).await;
            let admitted = verdict(&gate, &refreshed.access_token).await;
            assert_eq!(admitted, None, "a gate refuses a good token");
            refresh_token = refreshed.refresh_token;
        }
        round += 1;
        rounds.fetch_add(1, Ordering::SeqCst);
    }
}

struct Load {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    rounds: Arc<AtomicU64>,
}

impl Load {
    fn start(pair: &Pair, gate: &Validator) -> Self {
        let stop = CancellationToken::new();
        let rounds = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        for worker in 0..WORKERS {
            tasks.push(tokio::spawn(work(
                worker,
                pair.endpoints(),
                gate.clone(),
                stop.clone(),
                Arc::clone(&rounds),
            )));
        }
        Self {
            stop,
            tasks,
            rounds,
        }
    }

    /// Waits until every worker has gone on for a while.
    async fn goes_on(&self) {
        let goal = self.rounds.load(Ordering::SeqCst) + 2 * WORKERS as u64;
        eventually("the load to go on", async || {
            let failed = self.tasks.iter().any(JoinHandle::is_finished);
            assert!(!failed, "a worker has ended");
            (self.rounds.load(Ordering::SeqCst) >= goal).then_some(())
        })
        .await;
    }

    async fn end(self) -> u64 {
        self.stop.cancel();
        for task in self.tasks {
            within("a worker to end", task)
                .await
                .expect("no call failed");
        }
        self.rounds.load(Ordering::SeqCst)
    }
}

/// The command that seals everything by the current master key.
const RESEAL: [&str; 6] = [
    "keys",
    "reseal",
    "--reason",
    "yearly",
    "--context",
    "operator",
];

/// Fails unless the authority is ready, and says nothing about its keys or its history.
async fn is_well(authority: &TestAuthority) {
    let answer = authority.http("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for condition in ["keys", "history", "feed"] {
        assert!(!answer.contains(&format!("{condition}:")), "{answer}");
    }
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
        .args([
            "keys",
            "reseal",
            "--step",
            "1",
            "--reason",
            "yearly",
            "--context",
            "operator",
        ])
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

    let reseal = [
        "keys",
        "reseal",
        "--reason",
        "yearly",
        "--context",
        "operator",
    ];
    assert_eq!(line.run(&reseal).await.code, Some(0));
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
async fn a_token_of_a_secret_that_an_authority_has_not_read_yet_is_good_there() {
    let pair = Pair::start().await;
    let mut slow = pair.other;
    // Its own delay decides how often it reads the secrets by itself: every 15 s.
    slow.config.keys.activation_delay = Duration::from_secs(3600);
    slow.config.log.checkpoint_interval = Duration::from_secs(3600);
    slow.stop().await;
    slow.start().await;
    let first = slow.sign_in("ada").await;
    assert!(
        refresh_at(&slow.endpoint(), &first.refresh_token)
            .await
            .is_ok()
    );

    rotate(&pair.line.authority, v1::SecretKind::Refresh).await;
    making(&pair.line.authority, v1::SecretKind::Refresh, 2).await;
    let session = pair.line.authority.sign_in("ada").await;
    assert_eq!(number_of(&session.refresh_token), 2);
    let refreshed = refresh_at(&slow.endpoint(), &session.refresh_token).await;
    assert!(refreshed.is_ok(), "{refreshed:?}");

    // A number that nobody has made is refused like any forged token.
    let forged = renumbered(&session.refresh_token, 9);
    let refused = refresh_at(&slow.endpoint(), &forged).await;
    assert_eq!(
        reason(&refused.expect_err("forged")),
        "REFRESH_TOKEN_INVALID"
    );
}

fn renumbered(token: &str, number: u8) -> String {
    let text = token.strip_prefix("prt_").expect("a refresh token");
    let mut bytes = URL_SAFE_NO_PAD.decode(text).expect("base64");
    bytes[0] = number;
    format!("prt_{}", URL_SAFE_NO_PAD.encode(bytes))
}

#[tokio::test]
async fn a_retired_secret_ends_the_sessions_that_depend_on_it_and_only_when_told() {
    let pair = Pair::start().await;
    let (one, other) = (&pair.line.authority, &pair.other);
    let kind = v1::SecretKind::Refresh;
    let old = one.sign_in("ada").await;
    let in_use = retire(one, kind, 1, true)
        .await
        .expect_err("it makes tokens");
    assert_eq!(reason(&in_use), "SECRET_IN_USE");
    let absent = retire(one, kind, 7, true).await.expect_err("there is none");
    assert_eq!(reason(&absent), "SECRET_NOT_FOUND");

    rotate(one, kind).await;
    making(one, kind, 2).await;
    let new = one.sign_in("bob").await;
    let needed = retire(one, kind, 1, false).await.expect_err("ada needs it");
    assert_eq!(reason(&needed), "FORCE_REQUIRED");
    let run = [
        "keys",
        "retire-secret",
        "refresh",
        "1",
        "--reason",
        "old",
        "--yes",
    ];
    let run = [&run[..], &["--context", "operator"]].concat();
    pair.line.run(&run).await.failed(5, &["--end-sessions"]);
    let forced = [&run[..], &["--end-sessions"]].concat();
    let ended = pair.line.run(&forced).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let refused = refresh_at(&one.endpoint(), &old.refresh_token).await;
    assert_eq!(
        reason(&refused.expect_err("retired")),
        "REFRESH_TOKEN_INVALID"
    );
    eventually("the other authority to follow", async || {
        let refused = refresh_at(&other.endpoint(), &old.refresh_token)
            .await
            .err()?;
        // Until then it is exchanged, and repeated within the grace.
        (reason(&refused) == "REFRESH_TOKEN_INVALID").then_some(())
    })
    .await;
    for authority in [one, other] {
        let refreshed = refresh_at(&authority.endpoint(), &new.refresh_token).await;
        assert!(refreshed.is_ok(), "{refreshed:?}");
    }
    assert_eq!(
        retire(other, kind, 1, false).await.expect("it is").state(),
        v1::SecretState::Retired
    );

    let events = v1::ListAuditEventsRequest::default();
    let events = one.audit(OPERATOR).list_audit_events(events).await;
    let events = events.expect("events").into_inner().events;
    for (action, target) in [("secret.add", "refresh-2"), ("secret.retire", "refresh-1")] {
        let found = events
            .iter()
            .find(|event| event.action == action && event.target == target);
        assert!(found.is_some(), "{action}: {events:?}");
    }
}

#[tokio::test]
async fn a_page_token_of_the_secret_before_is_good_until_that_is_retired() {
    let pair = Pair::start().await;
    let (one, other) = (&pair.line.authority, &pair.other);
    for _ in 0..3 {
        one.sign_in("ada").await;
    }
    let page = async |authority: &TestAuthority, token: &str| {
        let request = v1::ListSessionsRequest {
            tenant_id: TENANT.into(),
            page_size: 1,
            page_token: token.into(),
            ..Default::default()
        };
        let listed = authority.sessions(ADMIN).list_sessions(request).await;
        listed.map(|listed| listed.into_inner().next_page_token)
    };
    let old = page(one, "").await.expect("a page");
    rotate(one, v1::SecretKind::Pages).await;
    making(one, v1::SecretKind::Pages, 2).await;
    // The same position has another token once the new secret makes them.
    let new = eventually("tokens of the new secret", async || {
        let token = page(one, "").await.expect("a page");
        (token != old).then_some(token)
    })
    .await;
    for authority in [one, other] {
        assert!(page(authority, &old).await.is_ok());
        assert!(page(authority, &new).await.is_ok());
    }
    retire(one, v1::SecretKind::Pages, 1, false)
        .await
        .expect("retired");
    let refused = page(one, &old).await.expect_err("retired");
    assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID");
    assert!(page(one, &new).await.is_ok());
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

#[tokio::test]
async fn each_bad_field_is_named() {
    let authority = TestAuthority::sqlite().await;
    let mut keys = authority.keys(OPERATOR);
    let rotate = v1::RotateSecretRequest::default();
    let refused = keys.rotate_secret(rotate).await.expect_err("no kind");
    assert!(
        refused.message().starts_with("kind: required"),
        "{refused:?}"
    );
    let rotate = v1::RotateSecretRequest {
        kind: v1::SecretKind::Refresh.into(),
        reason: String::new(),
    };
    let refused = keys.rotate_secret(rotate).await.expect_err("no reason");
    assert!(refused.message().starts_with("reason: "), "{refused:?}");
    for number in [0, 256] {
        let refused = retire(&authority, v1::SecretKind::Pages, number, false).await;
        let refused = refused.expect_err("no number");
        assert!(refused.message().starts_with("number: must"), "{refused:?}");
    }
    let reseal = v1::ResealSecretsRequest {
        reason: "x".into(),
        values_max: 65,
    };
    let refused = keys.reseal_secrets(reseal).await.expect_err("too many");
    assert!(
        refused.message().starts_with("values_max: must"),
        "{refused:?}"
    );
    let by_admin = authority
        .keys(ADMIN)
        .list_secrets(v1::ListSecretsRequest {})
        .await;
    assert_eq!(
        reason(&by_admin.expect_err("no operator")),
        "PERMISSION_DENIED"
    );
}
