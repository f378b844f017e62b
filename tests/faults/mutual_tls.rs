//! A service is known by its certificate, and certificates are replaced while everything runs.

use std::time::{Duration, SystemTime};

use portcullis_authority::config::{CallerConfig, Config, Role};
use portcullis_contract::v1::{
    self, revocation_service_client::RevocationServiceClient,
    session_service_client::SessionServiceClient,
};
use portcullis_tests::{
    authority::{
        AUDIENCE, GATEWAY, ISSUER, LOGIN, OPERATOR, TestAuthority, digest, ready, reason, sign_in,
    },
    gate::rejection,
    lines::Lines,
    telemetry::Scraped,
    wait::eventually,
};
use portcullis_validator::{Builder, TlsFiles, Validator};
use tempfile::TempDir;
use tonic::{
    Request, Status,
    transport::{self, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::{
    gate_log::LINES,
    tls::{
        Certificate, Issuer, certificate_authority, client_certificate, far, server_certificate,
        speak_tls, verify_clients, write,
    },
};

const EDGE: &str = "spiffe://example.org/edge";
const BOTH: &str = "both.example.org";
const BOTH_BEARER: &str = "both-bearer";
const WATCHER: &str = "watcher.example.org";

fn caller(name: &str, san: &str, bearer: Option<&str>, role: Role) -> CallerConfig {
    CallerConfig {
        name: name.into(),
        bearer_sha256: bearer.map(digest),
        san: Some(san.into()),
        roles: vec![role],
        tenant: None,
        bearers: Vec::new(),
    }
}

/// An authority that speaks TLS, and knows three services by their certificates.
async fn authority(servers: &Issuer, clients: &Issuer) -> TestAuthority {
    TestAuthority::with(|config| {
        speak_tls(config, servers, "localhost");
        verify_clients(config, clients);
        config.callers.extend([
            caller("edge", EDGE, None, Role::Operator),
            caller("both", BOTH, Some(BOTH_BEARER), Role::Operator),
            caller("watcher", WATCHER, None, Role::Gateway),
        ]);
    })
    .await
}

fn endpoint(authority: &TestAuthority) -> String {
    format!(
        "https://localhost:{}",
        authority.config.server.grpc_listen.port()
    )
}

/// A connection that shows a certificate, or none.
async fn connect(
    authority: &TestAuthority,
    servers: &Issuer,
    shown: Option<&Certificate>,
) -> Result<Channel, transport::Error> {
    let ca = transport::Certificate::from_pem(servers.pem());
    let mut tls = ClientTlsConfig::new().ca_certificate(ca);
    if let Some(certificate) = shown {
        tls = tls.identity(Identity::from_pem(&certificate.pem, &certificate.key));
    }
    let endpoint = Endpoint::from_shared(endpoint(authority)).expect("an endpoint");
    endpoint.tls_config(tls)?.connect().await
}

/// Asks what only an operator may ask.
async fn list_validators(
    channel: Channel,
    bearer: &str,
) -> Result<v1::ListValidatorsResponse, Status> {
    let mut request = Request::new(v1::ListValidatorsRequest {});
    if !bearer.is_empty() {
        let value = format!("Bearer {bearer}").parse().expect("a header");
        request.metadata_mut().insert("authorization", value);
    }
    let mut client = RevocationServiceClient::new(channel);
    Ok(client.list_validators(request).await?.into_inner())
}

async fn access_token(authority: &TestAuthority, servers: &Issuer) -> String {
    let channel = connect(authority, servers, None).await.expect("connects");
    let mut request = Request::new(sign_in("ada"));
    let value = format!("Bearer {LOGIN}").parse().expect("a header");
    request.metadata_mut().insert("authorization", value);
    let mut client = SessionServiceClient::new(channel);
    let created = client.create_session(request).await;
    created.expect("a sign-in").into_inner().access_token
}

/// The names of a certificate, or no certificate; a bearer; and the reason of the refusal, if it is refused.
type Case<'a> = (Option<&'a [&'a str]>, &'a str, Result<(), &'a str>);

#[tokio::test]
async fn a_caller_is_found_by_its_certificate_and_a_bearer_beside_it_must_agree() {
    let (servers, clients) = (
        certificate_authority("servers"),
        certificate_authority("clients"),
    );
    let authority = authority(&servers, &clients).await;
    let token = access_token(&authority, &servers).await;

    let invalid = Err("CREDENTIALS_INVALID");
    let cases: [Case<'_>; 14] = [
        (None, "", Err("CREDENTIALS_MISSING")),
        (None, OPERATOR, Ok(())),
        (Some(&[EDGE]), "", Ok(())),
        (Some(&["Both.Example.ORG"]), "", Ok(())),
        (Some(&["else.example.org", BOTH]), "", Ok(())),
        (Some(&["spiffe://example.org/Edge"]), "", invalid),
        (Some(&["*.example.org"]), "", invalid),
        (Some(&[]), "", invalid),
        (Some(&[EDGE, BOTH]), "", invalid),
        (Some(&[WATCHER]), "", Err("PERMISSION_DENIED")),
        // A bearer decides, also beside a certificate that names nobody. One of another service is refused.
        (Some(&["else.example.org"]), OPERATOR, Ok(())),
        (Some(&[BOTH]), BOTH_BEARER, Ok(())),
        (Some(&[EDGE]), BOTH_BEARER, invalid),
        // A user calls with their own token over a service's connection, and has no more rights by it.
        (Some(&[EDGE]), &token, Err("PERMISSION_DENIED")),
    ];
    for (names, bearer, expected) in cases {
        let certificate = names.map(|names| client_certificate(&clients, names, far()));
        let channel = connect(&authority, &servers, certificate.as_ref()).await;
        let answer = list_validators(channel.expect("connects"), bearer).await;
        let answer = answer.map(drop).map_err(|status| reason(&status));
        let expected = expected.map_err(str::to_owned);
        assert_eq!(answer, expected, "{names:?} with {bearer:.14}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_of_the_authority_or_has_expired_makes_no_connection() {
    let (servers, clients) = (
        certificate_authority("servers"),
        certificate_authority("clients"),
    );
    let other = certificate_authority("clients");
    let authority = authority(&servers, &clients).await;
    let expired = client_certificate(
        &clients,
        &[EDGE],
        SystemTime::now() - Duration::from_secs(60),
    );
    let of_server = server_certificate(&clients, "both.example.org");
    for (why, shown) in [
        (
            "of another issuer",
            client_certificate(&other, &[EDGE], far()),
        ),
        ("expired", expired),
        ("for servers", of_server),
    ] {
        let answer = match connect(&authority, &servers, Some(&shown)).await {
            Ok(channel) => list_validators(channel, "").await,
            // With TLS 1.3 a client may learn of it at its first call only.
            Err(_) => continue,
        };
        let status = answer.expect_err(why);
        assert!(
            std::error::Error::source(&status).is_some(),
            "{why} was answered: {status:?}"
        );
    }
}

fn gate(authority: &TestAuthority) -> Builder {
    Validator::builder(endpoint(authority))
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .max_staleness(Duration::from_secs(1))
}

/// The streams that the authority has, by when they began.
async fn streams(authority: &TestAuthority, servers: &Issuer) -> Vec<(String, SystemTime)> {
    let channel = connect(authority, servers, None).await.expect("connects");
    let listed = list_validators(channel, OPERATOR).await.expect("a list");
    let mut streams = Vec::new();
    for gate in listed.validators {
        let since = gate.connect_time.expect("a time");
        streams.push((gate.caller, SystemTime::try_from(since).expect("a time")));
    }
    streams
}

/// A directory with the files of a gate's TLS.
struct GateFiles(TempDir);

impl GateFiles {
    fn new(servers: &Issuer, certificate: &Certificate) -> Self {
        let files = Self(tempfile::tempdir().expect("a directory"));
        files.write("ca.pem", &servers.pem());
        files.replace(certificate);
        files
    }

    fn write(&self, name: &str, text: &str) {
        write(self.0.path(), name, text);
    }

    fn replace(&self, certificate: &Certificate) {
        self.write("gate.key", &certificate.key);
        self.write("gate.pem", &certificate.pem);
    }

    fn named(&self) -> TlsFiles {
        let file = |name: &str| self.0.path().join(name);
        TlsFiles::new(file("ca.pem")).client_certificate(file("gate.pem"), file("gate.key"))
    }
}

#[tokio::test]
async fn a_gate_with_a_certificate_needs_no_bearer() {
    let (servers, clients) = (
        certificate_authority("servers"),
        certificate_authority("clients"),
    );
    let authority = authority(&servers, &clients).await;
    let shown = client_certificate(&clients, &[WATCHER], far());
    let gate = gate(&authority)
        .ca_certificate(servers.pem())
        .client_certificate(shown.pem, shown.key);
    let gate = ready(gate).await;
    let token = access_token(&authority, &servers).await;
    assert_eq!(rejection(&gate, &token), None);
    let (caller, _) = &streams(&authority, &servers).await[0];
    assert_eq!(caller, "watcher");
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_named_at_the_start() {
    let issuer = certificate_authority("servers");
    let good = client_certificate(&issuer, &[WATCHER], far());
    let other = client_certificate(&issuer, &[WATCHER], far());
    let builder = || {
        Validator::builder("https://localhost:1")
            .issuer(ISSUER)
            .audience(AUDIENCE)
    };
    let plain = Validator::builder("http://localhost:1")
        .issuer(ISSUER)
        .audience(AUDIENCE);
    let files = TlsFiles::new("/nonexistent/ca.pem");
    for (setting, refused) in [
        ("ca_certificate", builder().ca_certificate("no PEM")),
        (
            "client_certificate",
            builder().client_certificate("no PEM", good.key.clone()),
        ),
        (
            "client_certificate",
            builder().client_certificate(good.pem.clone(), "no PEM"),
        ),
        (
            "client_certificate",
            builder().client_certificate(good.pem.clone(), other.key),
        ),
        (
            "client_certificate",
            plain.client_certificate(good.pem, good.key),
        ),
        ("tls_files", builder().tls_files(files)),
    ] {
        let error = refused.start().err().expect("refused");
        assert_eq!(error.setting, setting, "{error}");
        assert!(!error.problem.contains("BEGIN"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_takes_a_new_certificate_before_the_old_one_ends_and_refuses_nothing() {
    let lines = Lines::capture(LINES);
    let (servers, clients) = (
        certificate_authority("servers"),
        certificate_authority("clients"),
    );
    let authority = authority(&servers, &clients).await;
    let token = access_token(&authority, &servers).await;
    let short = client_certificate(
        &clients,
        &[WATCHER],
        SystemTime::now() + Duration::from_secs(6),
    );
    let files = GateFiles::new(&servers, &short);
    let gate = ready(gate(&authority).tls_files(files.named())).await;
    let (_, first) = streams(&authority, &servers).await[0];

    // A file that cannot be used changes nothing, however often it is read.
    let unused = "the new TLS files are not used";
    let before = lines.with(&["portcullis_validator", unused]).len();
    files.write("gate.pem", "not yet written");
    let refused = eventually("the bad file to be seen", async || {
        assert_eq!(rejection(&gate, &token), None);
        let seen = lines.with(&["portcullis_validator", unused]);
        (seen.len() > before).then_some(seen)
    })
    .await;
    assert_eq!(refused.len(), before + 1, "{refused:?}");

    files.replace(&client_certificate(&clients, &[WATCHER], far()));
    eventually("a stream with the new certificate", async || {
        assert_eq!(rejection(&gate, &token), None);
        let streams = streams(&authority, &servers).await;
        (streams.first()?.1 > first).then_some(())
    })
    .await;
    let seen = lines.with(&["portcullis_validator", unused]).len();
    assert_eq!(seen, before + 1, "it was reported again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_with_the_certificate_that_it_was_made_with() {
    let lines = Lines::capture(LINES);
    let (servers, clients) = (
        certificate_authority("servers"),
        certificate_authority("clients"),
    );
    let authority = authority(&servers, &clients).await;
    let short = client_certificate(
        &clients,
        &[WATCHER],
        SystemTime::now() + Duration::from_secs(4),
    );
    let files = GateFiles::new(&servers, &short);
    let gate = ready(gate(&authority).tls_files(files.named())).await;
    files.write("gate.pem", "a successor that cannot be used");
    eventually("the gate to be cut off", async || {
        (!gate.is_ready()).then_some(())
    })
    .await;
    assert!(streams(&authority, &servers).await.is_empty());
    // The cause alone is that of the connection. The line names the files too, because they were reported long ago.
    eventually("the line to name the files", async || {
        let said = lines.with(&["cannot follow the authority", "has no certificate chain"]);
        (!said.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_takes_new_files_without_a_restart_and_keeps_its_streams() {
    let lines = Lines::capture(LINES);
    let (servers, clients) = (
        certificate_authority("servers"),
        certificate_authority("clients"),
    );
    let authority = authority(&servers, &clients).await;
    let gate = ready(
        gate(&authority)
            .ca_certificate(servers.pem())
            .bearer(GATEWAY),
    )
    .await;
    let begun = streams(&authority, &servers).await;

    // A file that cannot be used is reported once, and the one before stays.
    let unused = "the new TLS files are not used";
    let before = lines.with(&["portcullis_authority", unused]).len();
    let key_file = authority
        .config
        .server
        .tls_key_file
        .as_ref()
        .expect("a file");
    let directory = key_file.parent().expect("a directory");
    write(directory, "server.key", "-----BEGIN hunter2");
    eventually("the bad file to be seen", async || {
        let seen = lines.with(&["portcullis_authority", unused]).len();
        (seen > before).then_some(())
    })
    .await;
    assert!(!lines.text().contains("hunter2"));
    let shown = client_certificate(&clients, &[EDGE], far());
    let channel = connect(&authority, &servers, Some(&shown)).await;
    list_validators(channel.expect("connects"), "")
        .await
        .expect("served as before");

    // New files of new issuers: of the server's certificate, and of clients'.
    let (new_servers, new_clients) = (certificate_authority("new"), certificate_authority("new"));
    let certificate = server_certificate(&new_servers, "localhost");
    write(directory, "server.key", &certificate.key);
    write(directory, "server.pem", &certificate.pem);
    write(directory, "clients.pem", &new_clients.pem());
    let new_shown = client_certificate(&new_clients, &[EDGE], far());
    eventually("the new files to be taken", async || {
        let channel = connect(&authority, &new_servers, Some(&new_shown)).await;
        list_validators(channel.ok()?, "").await.ok()
    })
    .await;
    let refused = match connect(&authority, &new_servers, Some(&shown)).await {
        Ok(channel) => list_validators(channel, "").await.is_err(),
        Err(_) => true,
    };
    assert!(refused, "a client of the old issuer connects");
    assert_eq!(
        streams(&authority, &new_servers).await,
        begun,
        "the stream was dropped"
    );
    assert!(gate.is_ready());
    let seen = lines.with(&["portcullis_authority", unused]).len();
    assert!(seen <= before + 3, "reported again and again: {seen}");
}

#[tokio::test]
async fn a_caller_with_a_certificate_is_refused_where_nobody_verifies_it() {
    let config = Config {
        callers: vec![caller("edge", EDGE, None, Role::Gateway)],
        ..Config::default()
    };
    let error = config.check().expect_err("refused");
    assert_eq!(error.key, "callers[0].san");
    assert!(
        error.problem.contains("server.tls_client_ca_file"),
        "{error}"
    );
}

/// The gauge is of the files in use: of the first certificate that ends, and of the new ones after a replacement.
#[tokio::test]
async fn the_metrics_say_when_the_certificates_in_use_end() {
    const FILE: &str = "portcullis_file";
    let issuer = certificate_authority("one");
    let soon = client_certificate(&issuer, &["localhost"], far());
    let authority = TestAuthority::with(|config| {
        speak_tls(config, &issuer, "localhost");
        verify_clients(config, &issuer);
        let directory = config.keys.master_key_file.parent().expect("a directory");
        write(directory, "server.pem", &soon.pem);
        write(directory, "server.key", &soon.key);
    })
    .await;
    let remaining = async |file: &str| {
        let scraped = Scraped::of(authority.config.server.http_listen).await;
        scraped.value(
            "portcullis_tls_certificate_remaining_seconds",
            &[(FILE, file)],
        )
    };
    let first = remaining("tls_certificate_file").await.expect("a gauge");
    assert!((3_500.0..=3_600.0).contains(&first), "{first}");
    let issuers = remaining("tls_client_ca_file").await.expect("a gauge");
    assert!(issuers > 1e6, "{issuers}");

    // A chain ends with its first certificate that ends.
    let directory = authority.config.keys.master_key_file.parent();
    let directory = directory.expect("a directory");
    let long = server_certificate(&issuer, "localhost");
    let sooner = SystemTime::now() + Duration::from_secs(1_800);
    let sooner = client_certificate(&issuer, &["localhost"], sooner);
    write(directory, "server.key", &long.key);
    write(
        directory,
        "server.pem",
        &format!("{}{}", long.pem, sooner.pem),
    );
    eventually("the gauge of the chain", async || {
        (remaining("tls_certificate_file").await? <= 1_800.0).then_some(())
    })
    .await;
    write(directory, "server.pem", &long.pem);
    eventually("the gauge of the new certificate", async || {
        (remaining("tls_certificate_file").await? > 1e6).then_some(())
    })
    .await;
}
