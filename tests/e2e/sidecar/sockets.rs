//! Unix sockets, TLS, and the bound of connections.

use std::os::unix::{fs::PermissionsExt, net::UnixListener};

use http::StatusCode;
use portcullis_tests::{
    authority::TestAuthority,
    sidecar::{Ask, SidecarConfig, TestSidecar, run},
    wait::within,
};
use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use super::wire;

#[tokio::test]
async fn a_unix_socket_has_its_mode_and_leaves_nothing_behind() {
    let authority = TestAuthority::sqlite().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("verify.sock");
    let mut config = SidecarConfig::new(&authority.endpoint());
    config.ext_authz.clear();
    config.forward_auth = format!(
        "listen = \"unix:{}\"\nsocket_mode = \"0606\"\n",
        path.display()
    );

    // A socket that a killed process left.
    drop(UnixListener::bind(&path).expect("a socket"));
    let mut sidecar = TestSidecar::ready_with(&config).await;
    let mode = std::fs::metadata(&path)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o606);
    let answer = Ask::verify("GET", "/").send(&sidecar.forward_auth).await;
    assert_eq!(answer.expect("an answer").status, StatusCode::UNAUTHORIZED);

    // Nobody takes a socket from a process that serves it.
    let second = run(&config.to_toml(), &[], &[]).await;
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(
        second.stderr.contains("another process listens there"),
        "{second:?}"
    );
    let answer = Ask::verify("GET", "/").send(&sidecar.forward_auth).await;
    assert_eq!(answer.expect("an answer").status, StatusCode::UNAUTHORIZED);

    sidecar.signal(Signal::TERM);
    assert!(sidecar.ended().await.success());
    assert!(!path.exists());
    let left: Vec<_> = std::fs::read_dir(directory.path())
        .expect("there")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_kept() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("precious");
    std::fs::write(&path, "data").expect("written");
    let mut config = SidecarConfig::new("http://127.0.0.1:1");
    config.ext_authz = format!("listen = \"unix:{}\"\n", path.display());
    let refused = run(&config.to_toml(), &[], &[]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("ext_authz.listen"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "data");
}

#[tokio::test]
async fn a_listener_speaks_tls() {
    let authority = TestAuthority::sqlite().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["sidecar.test".to_owned()]).expect("a host");
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    let write = |name: &str, text: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).expect("written");
        file.display().to_string()
    };
    let mut config = SidecarConfig::new(&authority.endpoint());
    // With TLS an address beyond loopback needs no `insecure`.
    config.ext_authz = format!(
        "listen = \"0.0.0.0:0\"\ntls_certificate_file = {:?}\ntls_key_file = {:?}\n",
        write("chain.pem", &certificate),
        write("key.pem", &key.serialize_pem()),
    );
    let sidecar = TestSidecar::ready_with(&config).await;

    let (_, port) = sidecar.ext_authz.split_once(':').expect("a port");
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&certificate))
        .domain_name("sidecar.test");
    let channel = Endpoint::from_shared(format!("https://127.0.0.1:{port}"))
        .expect("an endpoint")
        .tls_config(tls)
        .expect("TLS")
        .connect_lazy();
    let answer = wire::send(channel, wire::raw("/", &[]))
        .await
        .expect("an answer");
    assert_eq!(answer.denied_status(), 401);
    let plain = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).expect("an endpoint");
    assert!(
        plain.connect().await.is_err() || {
            let channel = plain.connect_lazy();
            wire::send(channel, wire::raw("/", &[])).await.is_err()
        }
    );
}

#[tokio::test]
async fn connections_are_bounded_and_more_wait() {
    let authority = TestAuthority::sqlite().await;
    let mut config = SidecarConfig::new(&authority.endpoint());
    config.limits = "connections_max = 2\nidle_timeout = \"60s\"\n".to_owned();
    let sidecar = TestSidecar::ready_with(&config).await;
    let open = async || {
        TcpStream::connect(&sidecar.forward_auth)
            .await
            .expect("connects")
    };
    let (mut first, _second) = (open().await, open().await);
    first.write_all(b"GET").await.expect("sent");

    let check = Ask::verify("GET", "/");
    let mut third = Box::pin(check.send(&sidecar.forward_auth));
    // Health and metrics have a bound of their own.
    assert!(sidecar.operation("/livez").await.is_some());
    assert!(futures::poll!(third.as_mut()).is_pending());
    drop(first);
    let answer = within("the third connection", third)
        .await
        .expect("an answer");
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}
