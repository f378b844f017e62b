//! A real Envoy that asks the sidecar, started from `deploy/envoy-ext-authz.yaml`.

use std::path::Path;

use http::StatusCode;
use portcullis_tests::{
    authority::TestAuthority,
    gateways::{Running, ext_authz, program::envoys},
    sidecar::{SidecarConfig, TestSidecar},
    upstream::Upstream,
    visitor::{Answer, Visit},
    wait::eventually,
};
use rustix::process::Signal;

fn config(authority: &TestAuthority, socket: &Path) -> SidecarConfig {
    let mut config = SidecarConfig::new(&authority.endpoint());
    config.ext_authz = format!("listen = \"unix:{}\"\n", socket.display());
    config.forward_auth.clear();
    config
}

/// Visits until the sidecar can tell.
async fn settled(envoy: &Running, visit: &Visit) -> Answer {
    eventually("a verdict", async || {
        let answer = visit.http1(envoy.address).await?;
        (answer.status != StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await
}

#[tokio::test]
async fn every_supported_envoy_does_as_the_sidecar_says() {
    let authority = TestAuthority::sqlite().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = directory.path().join("authz.sock");
    let _sidecar = TestSidecar::ready_with(&config(&authority, &socket)).await;
    let upstream = Upstream::start().await;
    for program in envoys() {
        let envoy = ext_authz::start(&program, &socket, upstream.address()).await;
        let ada = authority.sign_in("ada").await;
        let visit = Visit::get("/orders?page=2")
            .bearer(&ada.access_token)
            .header("X-Portcullis-User", "root")
            .header("x-portcullis-user", "root")
            .header("X-Portcullis-Roles", "root")
            .header("X_Portcullis_User", "root")
            .header("X-Kept", "1");
        let admitted = settled(&envoy, &visit).await;
        assert_eq!(
            admitted.status,
            StatusCode::OK,
            "{program}: {}",
            envoy.output()
        );
        let echo = admitted.echo();
        assert_eq!(echo.target, "/orders?page=2");
        assert_eq!(echo.value("x-portcullis-user"), Some("ada"), "{echo:?}");
        assert_eq!(echo.value("x-kept"), Some("1"));
        for removed in ["x-portcullis-roles", "x_portcullis_user", "authorization"] {
            assert_eq!(echo.values(removed), [""; 0], "{program}: {removed}");
        }

        // A cookie that is not text does not reach the answer of the sidecar, and the request goes on.
        let cookies = [
            b"session=",
            ada.access_token.as_bytes(),
            b"; a=1; city=Z\xfcrich",
        ]
        .concat();
        let latin = settled(&envoy, &Visit::get("/").header("Cookie", cookies)).await;
        assert_eq!(latin.status, StatusCode::OK, "{program}: {latin:?}");
        assert_eq!(latin.echo().value("cookie"), Some("a=1"));

        let missing = settled(&envoy, &Visit::get("/")).await;
        assert_eq!(missing.status, StatusCode::UNAUTHORIZED);
        assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
        assert_eq!(missing.header("cache-control"), Some("no-store"));
        assert!(missing.text().contains("\"missing\""), "{}", missing.text());

        let bob = authority.sign_in("bob").await;
        let two = Visit::get("/")
            .header("Cookie", format!("session={}", ada.access_token))
            .header("Cookie", format!("session={}", bob.access_token));
        let ambiguous = settled(&envoy, &two).await;
        assert_eq!(ambiguous.status, StatusCode::UNAUTHORIZED);
        assert!(
            ambiguous.text().contains("malformed"),
            "{}",
            ambiguous.text()
        );

        authority.revoke(&ada).await;
        let refused = eventually("Envoy to refuse", async || {
            let answer = settled(&envoy, &visit).await;
            (answer.status != StatusCode::OK).then_some(answer)
        })
        .await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert!(refused.text().contains("revoked"), "{}", refused.text());
    }
}

/// Whatever happens to the sidecar, nobody passes who would not pass with it.
#[tokio::test]
async fn without_an_answer_of_the_sidecar_envoy_refuses() {
    let authority = TestAuthority::sqlite().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = directory.path().join("authz.sock");
    let config = config(&authority, &socket);
    let upstream = Upstream::start().await;
    let newest = &envoys()[0];
    let envoy = ext_authz::start(newest, &socket, upstream.address()).await;
    let ada = authority.sign_in("ada").await;
    let visit = Visit::get("/").bearer(&ada.access_token).mark("refused");
    let refused = async || {
        let answer = visit.http1(envoy.address).await.expect("an answer");
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(upstream.reached("refused"), 0);
    };
    // Not started yet.
    refused().await;

    let mut sidecar = TestSidecar::ready_with(&config).await;
    let good = Visit::get("/").bearer(&ada.access_token);
    assert_eq!(settled(&envoy, &good).await.status, StatusCode::OK);
    // Hanging.
    sidecar.hang().await;
    refused().await;
    sidecar.go_on();
    assert_eq!(settled(&envoy, &good).await.status, StatusCode::OK);
    // Killed. Its socket stays behind, and the next one takes it over.
    sidecar.kill().await;
    assert!(socket.exists());
    refused().await;
    let sidecar = TestSidecar::ready_with(&config).await;
    assert_eq!(settled(&envoy, &good).await.status, StatusCode::OK);
    // Ended in order.
    sidecar.signal(Signal::TERM);
    drop(sidecar);
    refused().await;
}
