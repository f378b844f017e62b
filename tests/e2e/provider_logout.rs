//! Back-channel logout of OpenID Connect: a provider's logout token ends the sessions that it names.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use portcullis_authority::config::{Config, IdentityProviderConfig};
use portcullis_contract::v1::{self, SessionEndCause as Cause};
use portcullis_tests::{
    authority::{
        ADMIN, GATEWAY, LOGIN, TENANT, TestAuthority, session_id, sign_in, violations,
        write_private,
    },
    browser::Page,
    forms::{json, post},
    gate::{refused, rejection, verdict},
    ports::free_port,
    postgres::fresh_url,
    standards::Script,
    wait::eventually,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, pki_types::PrivateKeyDer},
};

const LOGOUT: &str = "/oidc/backchannel-logout";
const IDP: &str = "https://idp.test";
const CLIENT: &str = "portcullis";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn provider(change: impl FnOnce(&mut Value)) -> IdentityProviderConfig {
    let mut config = json!({ "issuer": IDP, "client_id": CLIENT });
    change(&mut config);
    serde_json::from_value(config).expect("a provider")
}

/// A key of a provider, with the id by which tokens name it.
struct Key {
    id: &'static str,
    key: EncodingKey,
}

impl Key {
    fn new(id: &'static str) -> Self {
        let pair = KeyPair::generate().expect("a key");
        Self {
            id,
            key: EncodingKey::from_ec_der(pair.serialized_der()),
        }
    }

    fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256).expect("a key");
        jwk.common.key_id = Some(self.id.into());
        serde_json::to_value(jwk).expect("JSON")
    }

    /// A logout token of now with some claims of the test's own. Null removes one.
    fn token(&self, own: Value) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a time")
            .as_secs();
        let mut claims = json!({
            "iss": IDP,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 120,
            "jti": format!("{:032x}", rand::random::<u128>()),
            "events": { EVENT: {} },
        });
        let members = claims.as_object_mut().expect("an object");
        let Value::Object(own) = own else {
            panic!("not an object");
        };
        for (name, value) in own {
            match value {
                Value::Null => members.remove(&name),
                value => members.insert(name, value),
            };
        }
        let header = Header {
            typ: Some("logout+jwt".into()),
            kid: Some(self.id.into()),
            ..Header::new(Algorithm::ES256)
        };
        encode(&header, &claims, &self.key).expect("signs")
    }
}

/// A key, and a file that has it as a JWK set.
fn key_in_file(directory: &TempDir) -> (Key, String) {
    let key = Key::new("k1");
    let path = directory.path().join("jwks.json");
    std::fs::write(&path, json!({ "keys": [key.jwk()] }).to_string()).expect("written");
    (key, path.to_str().expect("text").to_owned())
}

async fn log_out(authority: &TestAuthority, token: &str) -> Page {
    let form = [("logout_token", token)];
    post(authority.config.server.http_listen, LOGOUT, "", &form).await
}

async fn assert_logged_out(authority: &TestAuthority, token: &str) {
    let page = log_out(authority, token).await;
    assert_eq!((page.status, page.body.as_str()), (200, ""));
    assert_eq!(page.header("cache-control"), "no-store");
}

async fn assert_refused(authority: &TestAuthority, token: &str, problem: &str) {
    let page = log_out(authority, token).await;
    assert_eq!(page.status, 400, "{}", page.body);
    assert_eq!(page.header("cache-control"), "no-store");
    let body = json(&page);
    assert_eq!(body["error"], "invalid_request");
    let description = body["error_description"].as_str().expect("text");
    assert!(description.contains(problem), "{description}");
}

/// Signs a user in by a session of the provider.
async fn sign_in_by(
    authority: &TestAuthority,
    tenant: &str,
    user: &str,
    (session, subject): (&str, &str),
) -> v1::CreateSessionResponse {
    let request = v1::CreateSessionRequest {
        tenant_id: tenant.into(),
        identity_provider: Some(v1::ProviderSession {
            issuer: IDP.into(),
            session_id: session.into(),
            subject: subject.into(),
        }),
        ..sign_in(user)
    };
    let created = authority.sessions(LOGIN).create_session(request).await;
    created.expect("a sign-in").into_inner()
}

async fn session_of(
    authority: &TestAuthority,
    tenant: &str,
    created: &v1::CreateSessionResponse,
) -> v1::Session {
    let request = v1::GetSessionRequest {
        tenant_id: tenant.into(),
        session_id: session_id(created),
    };
    let found = authority.sessions(ADMIN).get_session(request).await;
    found
        .expect("found")
        .into_inner()
        .session
        .expect("a session")
}

async fn is_active(
    authority: &TestAuthority,
    tenant: &str,
    created: &v1::CreateSessionResponse,
) -> bool {
    let session = session_of(authority, tenant, created).await;
    session.state() == v1::SessionState::Active
}

#[tokio::test]
async fn a_real_provider_signs_its_user_out_and_a_gate_refuses() {
    let mut idp = Script::node("provider.js", "").await;
    let named = idp.obey(&json!({ "command": "issuer" })).await;
    let authority = TestAuthority::with(|config| {
        config.identity_providers = vec![provider(|provider| {
            provider["issuer"] = named["issuer"].clone();
            provider["client_id"] = named["client_id"].clone();
            provider["jwks_url"] = named["jwks_uri"].clone();
        })];
    })
    .await;
    let uri = format!("http://{}{LOGOUT}", authority.config.server.http_listen);
    idp.obey(&json!({ "command": "start", "backchannel_logout_uri": uri }))
        .await;

    let gate = authority.ready_gate().await;
    let mut opened = Vec::new();
    for user in ["ada", "ben"] {
        let claims = idp
            .obey(&json!({ "command": "sign_in", "user": user }))
            .await;
        let text = |name: &str| claims[name].as_str().expect("a claim").to_owned();
        let request = v1::CreateSessionRequest {
            identity_provider: Some(v1::ProviderSession {
                issuer: text("iss"),
                session_id: text("sid"),
                subject: text("sub"),
            }),
            ..sign_in(user)
        };
        let created = authority.sessions(LOGIN).create_session(request).await;
        opened.push(created.expect("a sign-in").into_inner());
    }
    let [ada, ben] = [&opened[0], &opened[1]];
    assert_eq!(verdict(&gate, &ada.access_token).await, None);

    let answer = idp
        .obey(&json!({ "command": "sign_out", "user": "ada" }))
        .await;
    assert_eq!(answer["sent"], json!(["success"]));
    refused(&gate, &ada.access_token).await;
    assert_eq!(verdict(&gate, &ben.access_token).await, None);

    let end = session_of(&authority, TENANT, ada)
        .await
        .end
        .expect("it ended");
    assert_eq!(end.cause(), Cause::IdentityProvider);
    let actor = format!("idp:{}", named["issuer"].as_str().expect("text"));
    assert_eq!(
        (end.actor, end.reason.as_str()),
        (actor.clone(), "back-channel logout")
    );
    let request = v1::ListAuditEventsRequest {
        tenant_id: TENANT.into(),
        ..Default::default()
    };
    let listed = authority.audit(ADMIN).list_audit_events(request).await;
    let events = listed.expect("a list").into_inner().events;
    let is_it = |event: &&v1::AuditEvent| event.actor == actor && event.action == "session.revoke";
    assert_eq!(events.iter().filter(is_it).count(), 1);
}

/// An authority that trusts one provider, whose key is in a file.
async fn with_file(
    change: impl FnOnce(&mut Value),
    store: impl FnOnce(&mut Config),
) -> (TestAuthority, Key, TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (key, path) = key_in_file(&directory);
    let authority = TestAuthority::with(|config| {
        config.identity_providers = vec![provider(|provider| {
            provider["jwks_file"] = path.into();
            change(provider);
        })];
        store(config);
    })
    .await;
    (authority, key, directory)
}

#[tokio::test]
async fn a_token_ends_the_sessions_that_it_names_and_no_others() {
    let (authority, key, _directory) = with_file(|_| {}, |_| {}).await;
    ends_what_it_names(&authority, &key).await;
}

#[tokio::test]
async fn a_token_ends_the_sessions_that_it_names_on_postgresql() {
    let url = fresh_url().await;
    let (authority, key, _directory) = with_file(|_| {}, |config| config.store.url = url).await;
    ends_what_it_names(&authority, &key).await;
}

async fn ends_what_it_names(authority: &TestAuthority, key: &Key) {
    let open = async |tenant: &str, user: &str, named: (&str, &str)| {
        sign_in_by(authority, tenant, user, named).await
    };
    let laptop = open(TENANT, "ada", ("s1", "u1")).await;
    let phone = open(TENANT, "ada", ("s2", "u1")).await;
    let nameless = open(TENANT, "ada", ("", "u1")).await;
    let elsewhere = open("other", "ada-2", ("s1", "u1")).await;
    let stranger = open(TENANT, "eve", ("s3", "u2")).await;
    let without = authority.sign_in("zoe").await;

    // The provider does not know tenants, so all that was opened by its session ends, and the sessions of the subject whose
    // session nobody knows.
    assert_logged_out(authority, &key.token(json!({ "sid": "s1", "sub": "u1" }))).await;
    for ended in [
        (TENANT, &laptop),
        (TENANT, &nameless),
        ("other", &elsewhere),
    ] {
        assert!(!is_active(authority, ended.0, ended.1).await);
    }
    for alive in [&phone, &stranger, &without] {
        assert!(is_active(authority, TENANT, alive).await);
    }
    // A subject alone is all of its sessions. Nobody's session is a success too.
    assert_logged_out(authority, &key.token(json!({ "sub": "u1" }))).await;
    assert!(!is_active(authority, TENANT, &phone).await);
    assert_logged_out(authority, &key.token(json!({ "sid": "nobody's" }))).await;
    assert_logged_out(authority, &key.token(json!({ "sid": "s3" }))).await;
    assert!(!is_active(authority, TENANT, &stranger).await);
    assert!(is_active(authority, TENANT, &without).await);
}

#[tokio::test]
async fn a_provider_of_one_tenant_ends_nothing_in_another() {
    let (authority, key, _directory) =
        with_file(|provider| provider["tenant"] = TENANT.into(), |_| {}).await;
    let own = sign_in_by(&authority, TENANT, "ada", ("s1", "u1")).await;
    let other = sign_in_by(&authority, "other", "ada", ("s1", "u1")).await;
    assert_logged_out(&authority, &key.token(json!({ "sid": "s1", "sub": "u1" }))).await;
    assert!(!is_active(&authority, TENANT, &own).await);
    assert!(is_active(&authority, "other", &other).await);
}

#[tokio::test]
async fn a_token_counts_once_at_all_authorities() {
    let url = fresh_url().await;
    let (authority, key, _directory) = with_file(|_| {}, |config| config.store.url = url).await;
    let replica = authority.replica().await;
    let token = key.token(json!({ "sub": "u1" }));
    assert_logged_out(&authority, &token).await;
    // A copy of the token must not sign out a person who came back.
    let again = sign_in_by(&authority, TENANT, "ada", ("s2", "u1")).await;
    for repeated in [&authority, &replica] {
        assert_refused(repeated, &token, "jti: the token was used before").await;
    }
    assert!(is_active(&authority, TENANT, &again).await);
}

#[tokio::test]
async fn a_bad_token_ends_nothing_and_says_why() {
    let (authority, key, _directory) = with_file(|_| {}, |_| {}).await;
    let created = sign_in_by(&authority, TENANT, "ada", ("s1", "u1")).await;
    let named = |name: &str, value: Value| {
        let mut claims = json!({ "sid": "s1", "sub": "u1" });
        claims[name] = value;
        key.token(claims)
    };
    let forged = Key::new("k1").token(json!({ "sid": "s1" }));
    let unknown = Key::new("k2").token(json!({ "sid": "s1" }));
    let cases = [
        (String::new(), "logout_token: required"),
        ("a.b.c".to_owned(), "malformed"),
        (created.access_token.clone(), "iss:"),
        (forged, "signature"),
        (unknown, "kid:"),
        (named("nonce", json!("n")), "nonce:"),
        (named("events", json!({})), "events:"),
        (named("iat", json!(1)), "iat:"),
        (named("exp", json!(1)), "exp:"),
        (named("jti", Value::Null), "jti:"),
        (named("aud", json!("another")), "aud:"),
        (named("iss", json!("https://another.test")), "iss:"),
    ];
    for (token, problem) in &cases {
        assert_refused(&authority, token, problem).await;
    }
    assert!(is_active(&authority, TENANT, &created).await);
    let answer = authority.http(LOGOUT).await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

#[tokio::test]
async fn without_providers_there_is_no_such_path() {
    let authority = TestAuthority::sqlite().await;
    let page = log_out(&authority, &Key::new("k1").token(json!({ "sid": "s1" }))).await;
    assert_eq!(page.status, 404);
}

#[tokio::test]
async fn the_session_at_the_provider_is_kept_and_shown_to_staff_and_the_user() {
    let authority = TestAuthority::sqlite().await;
    let created = sign_in_by(&authority, TENANT, "ada", ("s1", "u1")).await;
    let kept = session_of(&authority, TENANT, &created)
        .await
        .identity_provider;
    let kept = kept.expect("kept");
    assert_eq!(
        (
            kept.issuer.as_str(),
            kept.session_id.as_str(),
            kept.subject.as_str()
        ),
        (IDP, "s1", "u1")
    );
    let ask = v1::IntrospectTokenRequest {
        tenant_id: TENANT.into(),
        token: created.access_token.clone(),
        ..Default::default()
    };
    let answer = authority.sessions(GATEWAY).introspect_token(ask).await;
    let seen = answer
        .expect("an answer")
        .into_inner()
        .session
        .expect("a session");
    assert_eq!(seen.identity_provider, None, "a gate does not need it");
    let own = v1::GetSessionRequest {
        session_id: session_id(&created),
        ..Default::default()
    };
    let own = authority
        .sessions(&created.access_token)
        .get_session(own)
        .await;
    let own = own.expect("found").into_inner().session.expect("a session");
    assert!(own.identity_provider.is_some());

    let bad = v1::CreateSessionRequest {
        identity_provider: Some(v1::ProviderSession {
            issuer: String::new(),
            session_id: "s".repeat(257),
            subject: String::new(),
        }),
        ..sign_in("ada")
    };
    let refusal = authority.sessions(LOGIN).create_session(bad).await;
    let fields = violations(&refusal.expect_err("refused"));
    assert_eq!(
        fields,
        ["identity_provider.issuer", "identity_provider.session_id"]
    );
    let nobody = v1::CreateSessionRequest {
        identity_provider: Some(v1::ProviderSession {
            issuer: IDP.into(),
            ..Default::default()
        }),
        ..sign_in("ada")
    };
    let refusal = authority.sessions(LOGIN).create_session(nobody).await;
    let fields = violations(&refusal.expect_err("refused"));
    assert_eq!(fields, ["identity_provider.session_id"]);
}

/// A provider's server of keys, over TLS.
struct KeyServer {
    address: SocketAddr,
    document: Arc<Mutex<String>>,
    ca: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl KeyServer {
    async fn start(document: &Value) -> Self {
        let mut authority = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().expect("a key");
        let ca = authority
            .self_signed(&authority_key)
            .expect("a certificate")
            .pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().expect("a key");
        let own = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let own = own.signed_by(&key, &issuer).expect("a certificate");
        let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], private)
            .expect("they belong together");

        let document = Arc::new(Mutex::new(document.to_string()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(serve_keys(
            listener,
            TlsAcceptor::from(Arc::new(config)),
            Arc::clone(&document),
        ));
        Self {
            address,
            document,
            ca,
            task,
        }
    }

    fn replace(&self, document: &Value) {
        *self.document.lock().expect("whole") = document.to_string();
    }
}

/// Answers every request with the document.
async fn serve_keys(listener: TcpListener, tls: TlsAcceptor, document: Arc<Mutex<String>>) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let Ok(mut stream) = tls.accept(stream).await else {
            continue;
        };
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => request.push(byte),
                Err(_) => break,
            }
        }
        let body = document.lock().expect("whole").clone();
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        // The authority may have gone away.
        let _sent = stream.write_all(answer.as_bytes()).await;
        let _closed = stream.shutdown().await;
    }
}

#[tokio::test]
async fn keys_are_fetched_over_tls_and_follow_a_rotation() {
    let (first, second) = (Key::new("k1"), Key::new("k2"));
    let keys = KeyServer::start(&json!({ "keys": [first.jwk()] })).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let ca = directory.path().join("ca.pem");
    write_private(&ca, &keys.ca);
    let url = format!("https://localhost:{}/jwks", keys.address.port());
    let authority = TestAuthority::with(|config| {
        config.identity_providers = vec![provider(|provider| {
            provider["jwks_url"] = url.into();
            provider["jwks_ca_file"] = ca.to_str().expect("text").into();
        })];
    })
    .await;

    let created = sign_in_by(&authority, TENANT, "ada", ("s1", "u1")).await;
    let gate = authority.ready_gate().await;
    assert_logged_out(&authority, &first.token(json!({ "sid": "s1" }))).await;
    refused(&gate, &created.access_token).await;

    // A key that is not known yet is looked for, but not with every token that names one.
    keys.replace(&json!({ "keys": [second.jwk()] }));
    let created = sign_in_by(&authority, TENANT, "ada", ("s2", "u1")).await;
    let token = second.token(json!({ "sid": "s2" }));
    assert_refused(&authority, &token, "kid:").await;
    eventually("the new key", async || {
        (log_out(&authority, &token).await.status == 200).then_some(())
    })
    .await;
    refused(&gate, &created.access_token).await;
    // The old one was withdrawn.
    let created = sign_in_by(&authority, TENANT, "ada", ("s3", "u1")).await;
    assert_refused(&authority, &first.token(json!({ "sid": "s3" })), "kid:").await;
    assert_eq!(rejection(&gate, &created.access_token), None);
}

#[tokio::test]
async fn keys_from_a_server_that_nobody_vouches_for_are_not_used() {
    let key = Key::new("k1");
    let keys = KeyServer::start(&json!({ "keys": [key.jwk()] })).await;
    let other = KeyServer::start(&json!({ "keys": [] })).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let ca = directory.path().join("ca.pem");
    // The certificate of another authority.
    write_private(&ca, &other.ca);
    let down = free_port();
    for url in [
        format!("https://localhost:{}/jwks", keys.address.port()),
        format!("https://localhost:{down}/jwks"),
    ] {
        let authority = TestAuthority::with(|config| {
            config.identity_providers = vec![provider(|provider| {
                provider["jwks_url"] = url.clone().into();
                provider["jwks_ca_file"] = ca.to_str().expect("text").into();
            })];
        })
        .await;
        let page = log_out(&authority, &key.token(json!({ "sid": "s1" }))).await;
        assert_eq!(page.status, 503, "{}", page.body);
        assert_eq!(json(&page)["error"], "temporarily_unavailable");
        assert_eq!(page.header("retry-after"), "1");
    }
}
