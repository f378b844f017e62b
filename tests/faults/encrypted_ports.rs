//! TLS on the HTTP port and to the OTLP receiver, and metrics on a port of their own.

use std::{net::SocketAddr, path::Path, sync::Arc};

use portcullis_authority::{check, config::Config};
use portcullis_tests::{
    authority::{TestAuthority, config},
    serve::{answer, get},
    telemetry::Receiver,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName},
};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::tls::{
    Issuer, certificate_authority, client_certificate, far, server_certificate, speak_tls, write,
};

/// The whole answer to `GET path` over TLS from `localhost`.
async fn get_securely(address: SocketAddr, issuer: &Issuer, path: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TcpStream::connect(address).await?;
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn metrics_on_a_port_of_their_own_are_nowhere_else() {
    let authority = TestAuthority::with(|config| {
        config.server.metrics_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let server = &authority.config.server;
    let metrics = server.metrics_listen.expect("bound");
    assert!(
        get(metrics, "/metrics")
            .await
            .contains("portcullis_unready")
    );
    for (address, path) in [
        (server.http_listen, "/metrics"),
        (metrics, "/.well-known/jwks.json"),
        (metrics, "/readyz"),
    ] {
        let answer = answer(address, path).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    assert!(get(server.http_listen, "/readyz").await.contains("ready"));
    assert!(
        get(server.http_listen, "/.well-known/jwks.json")
            .await
            .contains("keys")
    );
}

#[tokio::test]
async fn the_http_port_and_the_metrics_speak_tls_when_they_are_told_to() {
    let issuer = certificate_authority("servers");
    let authority = TestAuthority::with(|config| {
        speak_tls(config, &issuer, "localhost");
        config.server.http_tls = true;
        config.server.metrics_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let http = authority.config.server.http_listen;
    let metrics = authority.config.server.metrics_listen.expect("bound");
    let keys = get_securely(http, &issuer, "/.well-known/jwks.json").await;
    assert!(keys.expect("an answer").contains("\"keys\""));
    let text = get_securely(metrics, &issuer, "/metrics").await;
    assert!(text.expect("an answer").contains("portcullis_unready"));
    let stranger = certificate_authority("another");
    assert!(get_securely(http, &stranger, "/readyz").await.is_err());
    // In plain text there is no answer.
    let mut plain = TcpStream::connect(http).await.expect("connects");
    plain
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
}

#[tokio::test]
async fn plain_http_beyond_this_machine_has_to_be_asked_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let beyond: SocketAddr = ([0, 0, 0, 0], 0).into();
    let refused = |change: &dyn Fn(&mut Config)| {
        let mut config = config(directory.path());
        change(&mut config);
        config.check().map_err(|error| error.key)
    };
    let listen = |config: &mut Config| config.server.http_listen = beyond;
    let metrics = |config: &mut Config| config.server.metrics_listen = Some(beyond);
    assert_eq!(refused(&listen), Err("server.http_listen".to_owned()));
    assert_eq!(refused(&metrics), Err("server.metrics_listen".to_owned()));
    let tls_without_files = |config: &mut Config| config.server.http_tls = true;
    assert_eq!(
        refused(&tls_without_files),
        Err("server.http_tls".to_owned())
    );
    for allow in [
        |config: &mut Config| config.server.insecure = true,
        |config: &mut Config| {
            let issuer = certificate_authority("servers");
            speak_tls(config, &issuer, "localhost");
            config.server.http_tls = true;
        },
    ] {
        let both = |config: &mut Config| {
            listen(config);
            metrics(config);
            allow(config);
        };
        assert_eq!(refused(&both), Ok(()));
    }
    let to = |endpoint: &'static str, insecure: bool| {
        move |config: &mut Config| {
            config.telemetry.otlp_endpoint = Some(endpoint.into());
            config.telemetry.otlp_insecure = insecure;
        }
    };
    let key = Err("telemetry.otlp_endpoint".to_owned());
    assert_eq!(refused(&to("http://collector.internal:4317", false)), key);
    assert_eq!(refused(&to("http://collector.internal:4317", true)), Ok(()));
    assert_eq!(refused(&to("http://[::1]:4317", false)), Ok(()));
    let key = Err("telemetry.otlp_ca_file".to_owned());
    assert_eq!(refused(&to("https://collector.internal:4317", false)), key);
}

/// Settings of telemetry for a receiver with TLS that asks for a certificate.
fn send_to(config: &mut Config, directory: &Path, receiver: &Receiver, ca: &str, issuer: &Issuer) {
    let client = client_certificate(issuer, &["authority.internal"], far());
    config.telemetry.otlp_endpoint = Some(receiver.endpoint.clone());
    config.telemetry.otlp_ca_file = Some(write(directory, "otlp-ca.pem", ca));
    config.telemetry.otlp_certificate_file = Some(write(directory, "otlp.pem", &client.pem));
    config.telemetry.otlp_key_file = Some(write(directory, "otlp.key", &client.key));
}

async fn receiver(servers: &Issuer, clients: &Issuer) -> Receiver {
    let certificate = server_certificate(servers, "localhost");
    let identity = Identity::from_pem(&certificate.pem, &certificate.key);
    let clients = Certificate::from_pem(clients.pem());
    Receiver::start_with_tls(
        ServerTlsConfig::new()
            .identity(identity)
            .client_ca_root(clients),
    )
    .await
}

#[tokio::test]
async fn telemetry_is_sent_over_tls_to_a_receiver_that_is_verified_and_verifies() {
    let (servers, clients) = (certificate_authority("s"), certificate_authority("c"));
    let files = tempfile::tempdir().expect("a directory");
    let receiver = receiver(&servers, &clients).await;

    let mut authority = TestAuthority::with(|config| {
        send_to(config, files.path(), &receiver, &servers.pem(), &clients);
    })
    .await;
    // The last metrics are sent at the end.
    authority.stop().await;
    let names = receiver.metric_names();
    assert!(
        names.iter().any(|name| name == "portcullis.unready"),
        "{names:?}"
    );
}

#[tokio::test]
async fn telemetry_is_not_sent_to_a_receiver_of_another_authority() {
    let (servers, clients) = (certificate_authority("s"), certificate_authority("c"));
    let files = tempfile::tempdir().expect("a directory");
    let receiver = receiver(&servers, &clients).await;
    let other = certificate_authority("another").pem();
    let mut authority = TestAuthority::with(|config| {
        send_to(config, files.path(), &receiver, &other, &clients);
    })
    .await;
    authority.stop().await;
    assert_eq!(receiver.metric_names(), Vec::<String>::new());

    let mut config = authority.config.clone();
    write(files.path(), "otlp-ca.pem", "no certificate");
    let refused = check(&config).await.expect_err("refused").to_string();
    assert!(refused.starts_with("telemetry.otlp_ca_file"), "{refused}");
    config.telemetry.otlp_ca_file = Some(files.path().join("absent.pem"));
    let refused = check(&config).await.expect_err("refused").to_string();
    assert!(refused.starts_with("telemetry.otlp_ca_file"), "{refused}");
}
