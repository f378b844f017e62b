//! Searches leave room for everybody else, and gates say why they are cut off.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use portcullis_authority::config::Config;
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, AUDIENCE, GATEWAY, ISSUER, LOGIN, TENANT, TestAuthority, reason, sign_in},
    lines::Lines,
    postgres::{Schema, fresh_schema, shared},
    rows::behind,
    wait::{eventually, within},
};
use portcullis_validator::{Builder, Validator};
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
