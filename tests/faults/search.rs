//! Searches leave room for everybody else, forged tokens cost a gate little, and gates say why they are cut off.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use portcullis_authority::{
    config::Config,
    installation::recover::{RecoverError, recover},
    keys::MasterKey,
    open_store, read_master_key,
    store::{Recovered, sql::Lane},
};
use portcullis_contract::{position::Position, v1};
use portcullis_tests::{
    authority::{
        ADMIN, AUDIENCE, GATEWAY, ISSUER, LOGIN, TENANT, TestAuthority, ready, reason, sign_in,
    },
    calls::apply,
    fault::Point,
    given::sign_out,
    lines::Lines,
    place::Place,
    postgres::{Schema, fresh_schema, shared},
    rows::behind,
    wait::{eventually, within},
};
use portcullis_validator::{Builder, Rejection, RequestInfo, Validator};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, Status};

/// What a gate logs of its connection.
const GATE_LINES: &str = "portcullis_validator=debug";

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn certificate_authority(name: &str) -> Issuer {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("a certificate")
}

/// Makes an authority speak TLS with a certificate for `host`.
fn speak_tls(config: &mut Config, issuer: &Issuer, host: &str) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([host.to_owned()]).expect("a host");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    let directory = config.keys.master_key_file.parent().expect("a directory");
    config.server.tls_certificate_file = Some(write(directory, "server.pem", &certificate.pem()));
    config.server.tls_key_file = Some(write(directory, "server.key", &key.serialize_pem()));
}

fn write(directory: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let file = directory.join(name);
    fs::write(&file, text).expect("a file");
    file
}

fn gate(scheme: &str, address: SocketAddr) -> Builder {
    Validator::builder(format!("{scheme}://localhost:{}", address.port()))
        .bearer(GATEWAY)
        .issuer(ISSUER)
        .audience(AUDIENCE)
}

/// Starts a gate that cannot connect, waits until it tried several times, and returns the one cause that it logged.
async fn cause_of(builder: Builder, scheme: &str, address: SocketAddr) -> String {
    let lines = Lines::capture(GATE_LINES);
    let endpoint = format!("{scheme}://localhost:{}", address.port());
    let seen = lines.with(&["WARN", &endpoint]).len();
    let tried = lines.with(&["still cannot follow", &endpoint]).len();
    let gate = builder.start().expect("good settings");
    eventually("three attempts", async || {
        let tries = lines.with(&["still cannot follow", &endpoint]).len();
        (tries >= tried + 2).then_some(())
    })
    .await;
    drop(gate);
    let warned = lines.with(&["WARN", &endpoint, "cannot follow the authority"]);
    assert_eq!(warned.len(), seen + 1, "{warned:?}");
    warned.last().expect("a line").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_says_once_why_it_cannot_connect() {
    let issuer = certificate_authority("ours");
    let other = certificate_authority("other");
    let encrypted = TestAuthority::with(|config| speak_tls(config, &issuer, "localhost")).await;
    let misnamed = TestAuthority::with(|config| speak_tls(config, &issuer, "else.test")).await;
    let plain = TestAuthority::sqlite().await;
    let address = |authority: &TestAuthority| authority.config.server.grpc_listen;
    let tls = |authority: &TestAuthority, issuer: &Issuer| {
        gate("https", address(authority)).ca_certificate(issuer.pem())
    };

    let cause = cause_of(tls(&encrypted, &other), "https", address(&encrypted)).await;
    assert!(cause.contains("UnknownIssuer"), "wrong CA: {cause}");

    let cause = cause_of(tls(&misnamed, &issuer), "https", address(&misnamed)).await;
    assert!(cause.contains("not valid for name"), "wrong name: {cause}");

    let cause = cause_of(
        gate("http", address(&encrypted)),
        "http",
        address(&encrypted),
    )
    .await;
    assert!(cause.contains("https"), "plain text to TLS: {cause}");

    let cause = cause_of(tls(&plain, &issuer), "https", address(&plain)).await;
    assert!(
        cause.contains("InvalidContentType"),
        "TLS to plain text: {cause}"
    );

    let bearer = gate("http", address(&plain)).bearer("no-such-bearer");
    let cause = cause_of(bearer, "http", address(&plain)).await;
    assert!(cause.contains("Unauthenticated"), "wrong bearer: {cause}");
    assert!(!cause.contains("no-such-bearer"), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_says_when_it_is_connected_again() {
    let lines = Lines::capture(GATE_LINES);
    let mut authority = TestAuthority::sqlite().await;
    let address = authority.config.server.grpc_listen;
    let endpoint = format!("http://localhost:{}", address.port());
    authority.stop().await;

    let cause = cause_of(gate("http", address), "http", address).await;
    assert!(cause.contains("Connection refused"), "{cause}");
    let _gate = gate("http", address).start().expect("good settings");

    authority.start().await;
    eventually("a line about the connection", async || {
        let connected = lines.with(&["INFO", &endpoint, "follows the authority"]);
        (connected.len() == 1).then_some(())
    })
    .await;
}

/// Makes lists of API keys take long for [`TENANT`], and for no other.
const SLOW_ON_POSTGRES: [&str; 3] = [
    "ALTER TABLE api_keys RENAME TO api_keys_table",
    "CREATE FUNCTION is_read_slowly() RETURNS boolean LANGUAGE plpgsql VOLATILE AS \
         $$ BEGIN PERFORM pg_sleep(300); RETURN true; END $$",
    "CREATE VIEW api_keys AS SELECT * FROM api_keys_table WHERE tenant_id <> 'acme' OR is_read_slowly()",
];
const SLOW_ON_SQLITE: [&str; 2] = [
    "ALTER TABLE api_keys RENAME TO api_keys_table",
    "CREATE VIEW api_keys AS SELECT * FROM api_keys_table WHERE tenant_id <> 'acme' OR 0 < \
         (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000000000) SELECT count(*) FROM c)",
];
/// Searches of one tenant at a time.
const CROWD: usize = 60;

/// An authority whose lists of API keys take long.
struct Slow {
    authority: TestAuthority,
    /// Of PostgreSQL.
    schema: Option<Schema>,
}

impl Slow {
    async fn sqlite(search_timeout: Duration) -> Self {
        let authority = TestAuthority::with(|config| config.store.search_timeout = search_timeout);
        Self::new(authority.await, None).await
    }

    async fn postgres(search_timeout: Duration) -> Self {
        let schema = fresh_schema().await;
        let url = schema.url.clone();
        let authority = TestAuthority::with(|config| {
            config.store.url = url;
            config.store.search_timeout = search_timeout;
        });
        Self::new(authority.await, Some(schema)).await
    }

    async fn new(authority: TestAuthority, schema: Option<Schema>) -> Self {
        let request = v1::CreateApiKeyRequest {
            tenant_id: TENANT.into(),
            owner_user_id: "ada".into(),
            name: "a key".into(),
            ..Default::default()
        };
        let created = authority.api_keys(ADMIN).create_api_key(request).await;
        created.expect("a key");
        let statements: &[_] = match schema {
            Some(_) => &SLOW_ON_POSTGRES,
            None => &SLOW_ON_SQLITE,
        };
        for statement in statements {
            behind(&authority, statement).await;
        }
        Self { authority, schema }
    }

    async fn list_keys(&self) -> Result<(), Status> {
        list_keys(&self.authority).await
    }

    /// Starts [`CROWD`] searches.
    async fn crowd(&self) -> JoinSet<()> {
        let mut crowd = JoinSet::new();
        for _ in 0..CROWD {
            let mut client = self.authority.api_keys(ADMIN);
            crowd.spawn(async move {
                // It ends with the test.
                let _ = client.list_api_keys(key_list()).await;
            });
        }
        if self.schema.is_some() {
            eventually("searches to run", async || {
                (self.backends("AND wait_event = 'PgSleep'").await > 0).then_some(())
            })
            .await;
        }
        crowd
    }

    /// Backends of the authority.
    async fn backends(&self, and: &str) -> usize {
        let name = &self.schema.as_ref().expect("of PostgreSQL").name;
        let sql = format!(
            "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = '{name}' {and}"
        );
        let count = shared().await.admin().await.text(&sql).await;
        count.parse().expect("a number")
    }

    /// The connections of all pools: sessions, searches, appender, beat and feed.
    fn connections_max(&self) -> usize {
        let store = &self.authority.config.store;
        store.connections_max + store.search_connections_max + 3
    }
}

fn key_list() -> v1::ListApiKeysRequest {
    v1::ListApiKeysRequest {
        tenant_id: TENANT.into(),
        ..Default::default()
    }
}

async fn list_keys(authority: &TestAuthority) -> Result<(), Status> {
    let listed = authority.api_keys(ADMIN).list_api_keys(key_list()).await;
    listed.map(drop)
}

async fn list_sessions(authority: &TestAuthority, tenant: &str) -> Result<(), Status> {
    let request = v1::ListSessionsRequest {
        tenant_id: tenant.into(),
        ..Default::default()
    };
    let listed = authority.sessions(ADMIN).list_sessions(request).await;
    listed.map(drop)
}

/// Signs in, refreshes and signs out, as a tenant that searches nothing.
async fn live_a_day(authority: &TestAuthority, number: usize) {
    let request = v1::CreateSessionRequest {
        tenant_id: "quiet".into(),
        ..sign_in(&format!("user-{number}"))
    };
    let created = authority.sessions(LOGIN).create_session(request).await;
    let created = created.expect("a sign-in").into_inner();
    let request = v1::RefreshSessionRequest {
        tenant_id: "quiet".into(),
        refresh_token: created.refresh_token,
        ..Default::default()
    };
    let refreshed = authority.sessions(LOGIN).refresh_session(request).await;
    refreshed.expect("a refresh");
    let request = v1::RevokeSessionRequest {
        tenant_id: "quiet".into(),
        session_id: created.session.expect("a session").id,
        ..Default::default()
    };
    let revoked = authority.sessions(ADMIN).revoke_session(request).await;
    revoked.expect("a revocation");
}

async fn others_go_on(slow: &Slow) {
    let crowd = slow.crowd().await;
    within("the quiet tenant's calls", async {
        for number in 0..10 {
            live_a_day(&slow.authority, number).await;
        }
        let listed = list_sessions(&slow.authority, "quiet").await;
        listed.expect("another tenant's list");
    })
    .await;
    if slow.schema.is_some() {
        let running = slow.backends("AND wait_event = 'PgSleep'").await;
        assert_eq!(running, 2, "half of the connections for searches");
    }
    drop(crowd);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_of_one_tenant_keep_nobody_else_waiting() {
    let slow = Slow::postgres(Duration::from_secs(60)).await;
    others_go_on(&slow).await;
    others_go_on(&Slow::sqlite(Duration::from_secs(60)).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_that_takes_too_long_says_what_to_do() {
    let limit = Duration::from_millis(300);
    for slow in [Slow::postgres(limit).await, Slow::sqlite(limit).await] {
        let refused = within("the limit", slow.list_keys()).await;
        let refused = refused.expect_err("too slow");
        assert_eq!(refused.code(), Code::DeadlineExceeded);
        assert_eq!(reason(&refused), "SEARCH_TOO_SLOW");
        assert!(refused.message().contains("narrow it"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_goes_away_ends_its_statement() {
    let slow = Slow::postgres(Duration::from_secs(60)).await;
    for _ in 0..3 * slow.authority.config.store.search_connections_max {
        assert_abandoned(&slow).await;
        assert!(slow.backends("").await <= slow.connections_max());
    }
    eventually("all statements to end", async || {
        (slow.backends("AND wait_event = 'PgSleep'").await == 0).then_some(())
    })
    .await;
    let listed = within("a list", list_sessions(&slow.authority, TENANT)).await;
    listed.expect("the places are free");

    // A reader that went on would keep the same tenant's next search waiting.
    let slow = Slow::sqlite(Duration::from_secs(60)).await;
    for _ in 0..4 {
        assert_abandoned(&slow).await;
    }
    let listed = within("a list", list_sessions(&slow.authority, TENANT)).await;
    listed.expect("the places are free");
}

/// Starts a search and gives it up.
async fn assert_abandoned(slow: &Slow) {
    let given_up = timeout(Duration::from_millis(200), slow.list_keys()).await;
    assert!(given_up.is_err(), "the search was not slow");
}

/// A genuine token with another signature.
fn forged(token: &str, number: usize) -> String {
    let (message, _) = token.rsplit_once('.').expect("a token");
    format!("{message}.{number:085x}A")
}

fn client(last: u8) -> RequestInfo<'static> {
    RequestInfo {
        ip: Some(IpAddr::from([192, 0, 2, last])),
        ..RequestInfo::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_tokens_of_one_source_cost_a_gate_little_and_nobody_else_anything() {
    let authority = TestAuthority::sqlite().await;
    let gate = ready(authority.gate().forged_tokens_max(1, 1_000)).await;
    let known = authority.sign_in("ada").await.access_token;
    let new = authority.sign_in("bob").await.access_token;
    let attacker = client(1);
    assert!(gate.check_request(&known, &attacker).is_ok());

    for number in 0..1_000 {
        let refused = gate.check_request(&forged(&known, number), &attacker);
        let refused = refused.expect_err("a forged token");
        let expected = [Rejection::BadSignature, Rejection::Busy];
        assert!(expected.contains(&refused), "{refused}");
    }
    let verdicts = gate.statistics().verdicts;
    let checked = verdicts.rejected(&Rejection::BadSignature);
    // A burst of five, and one for each second that the loop took.
    assert!((5..100).contains(&checked), "{checked} were checked");

    assert!(gate.check_request(&known, &attacker).is_ok());
    assert!(gate.check_request(&new, &client(2)).is_ok());
    let another = authority.sign_in("cid").await.access_token;
    let busy = gate.check_request(&another, &attacker).map(drop);
    assert_eq!(busy, Err(Rejection::Busy));
    eventually("the attacker's neighbour to be let in", async || {
        gate.check_request(&another, &attacker).ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_token_that_comes_again_is_refused_unchecked_for_what_it_is() {
    let authority = TestAuthority::sqlite().await;
    let gate = ready(authority.gate().forged_tokens_max(1, 1_000)).await;
    let forged = forged(&authority.sign_in("ada").await.access_token, 1);
    for _ in 0..1_000 {
        let refused = gate.check_request(&forged, &client(1)).map(drop);
        assert_eq!(refused, Err(Rejection::BadSignature));
    }
}

async fn recover_beside(
    authority: &TestAuthority,
    master: &MasterKey,
) -> Result<Recovered, RecoverError> {
    let store = open_store(&authority.config.store).await.expect("opens");
    recover(&*store, master, false).await
}

async fn head(authority: &TestAuthority) -> Position {
    let store = open_store(&authority.config.store).await.expect("opens");
    store.head().await.expect("a head")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_is_refused_while_an_authority_beats() {
    let mut authority = TestAuthority::postgres(&fresh_schema().await.url).await;
    let master = read_master_key(&authority.config.keys.master_key_file).expect("a key");
    let _gate = authority.ready_gate().await;
    authority.sign_in("ada").await;
    let before = head(&authority).await;

    let refused = recover_beside(&authority, &master).await;
    let refused = refused.expect_err("an authority is running").to_string();
    assert!(refused.contains("stop every authority"), "{refused}");
    assert_eq!(head(&authority).await.incarnation, before.incarnation);

    authority.stop().await;
    let refused = recover_beside(&authority, &master).await;
    assert!(refused.is_err(), "it has beaten just now");
    // As if half a minute had passed.
    behind(
        &authority,
        "UPDATE authority_beat SET beat_us = beat_us - 31000000",
    )
    .await;
    let recovered = recover_beside(&authority, &master).await.expect("recovers");
    assert_ne!(recovered.head.incarnation, before.incarnation);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_with_another_master_key_changes_nothing() {
    for mut authority in [
        TestAuthority::sqlite().await,
        TestAuthority::postgres(&fresh_schema().await.url).await,
    ] {
        authority.stop().await;
        behind(&authority, "DELETE FROM authority_beat").await;
        let before = head(&authority).await;
        let refused = recover_beside(&authority, &MasterKey::generate()).await;
        let refused = refused.expect_err("another key").to_string();
        assert!(refused.contains("keys.master_key_file"), "{refused}");
        assert_eq!(head(&authority).await, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_notices_what_was_appended_after_it_read_the_log() {
    let place = Place::postgres().await;
    let (store, faults) = place.faulty_store().await;
    apply(&*store, sign_out("t", &["u"])).await;
    let mut hold = faults.pause(Lane::Append, Point::Before(0));
    let recovering = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { recover(&*store, &MasterKey::generate(), false).await })
    };
    assert!(hold.reached().await, "the log was read");
    let running = place.store().await;
    let revision = apply(&*running, sign_out("t", &["v"])).await.revision;
    drop(hold);

    let refused = recovering.await.expect("no panic");
    let refused = refused.expect_err("something was appended").to_string();
    assert!(refused.contains("the log grew"), "{refused}");
    assert_eq!(running.head().await.expect("a head").revision, revision);
}
