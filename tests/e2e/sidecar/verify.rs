//! `/verify`, the door of NGINX, Caddy, Traefik and HAProxy.

use http::StatusCode;
use portcullis_tests::{
    authority::{TENANT, TestAuthority},
    sidecar::{Ask, SidecarConfig, TestSidecar},
    wait::eventually,
};

use super::{ask, settled};

/// The identity of a session without roles.
const IDENTITY: [&str; 3] = [
    "x-portcullis-tenant",
    "x-portcullis-user",
    "x-portcullis-session",
];

#[tokio::test]
async fn a_session_is_admitted_until_it_is_revoked() {
    let authority = TestAuthority::sqlite().await;
    let sidecar = TestSidecar::ready(&authority).await;
    let ada = authority.sign_in("ada").await;

    let bearer = format!("Bearer {}", ada.access_token);
    let check = Ask::verify("GET", "/").header("Authorization", &bearer);
    let admitted = settled(&sidecar, &check).await;
    assert_eq!(admitted.status, StatusCode::OK, "{admitted:?}");
    assert_eq!(admitted.header("x-portcullis-user"), Some("ada"));
    assert_eq!(admitted.header("x-portcullis-tenant"), Some(TENANT));
    assert_eq!(admitted.header("cache-control"), Some("no-store"));

    authority.revoke(&ada).await;
    let refused = eventually("the sidecar to refuse", async || {
        let answer = settled(&sidecar, &check).await;
        (answer.status != StatusCode::OK).then_some(answer)
    })
    .await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.reason(), "revoked");
    assert!(refused.header("www-authenticate").is_some(), "{refused:?}");
    assert_eq!(refused.header("x-portcullis-user"), None);
}

/// Gateways remove a header that the answer lacks. Traefik copies empty ones, and NGINX reads twins as one variable.
#[tokio::test]
async fn an_admission_has_the_headers_of_the_upstream_and_no_others() {
    let authority = TestAuthority::sqlite().await;
    let sidecar = TestSidecar::ready(&authority).await;
    let ada = authority.sign_in("ada").await;
    let cookie = format!("theme=dark; session={}", ada.access_token);

    for flavour in [Ask::verify("GET", "/"), Ask::nginx("GET", "/")] {
        let spoofed = flavour
            .header("Cookie", &cookie)
            .header("X-Portcullis-Api-Key", "spoofed")
            .header("X-Portcullis-Roles", "root")
            .header("X-Portcullis_User", "root")
            .header("X_Portcullis_User", "root");
        let answer = settled(&sidecar, &spoofed).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let identity: Vec<&str> = answer
            .headers
            .keys()
            .map(http::HeaderName::as_str)
            .filter(|name| name.starts_with("x"))
            .collect();
        assert_eq!(identity, IDENTITY, "{answer:?}");
        assert_eq!(answer.header("x-portcullis-user"), Some("ada"));
        assert_eq!(answer.header("portcullis-decision"), Some("allow"));
        // The request had none, so the upstream gets none.
        assert_eq!(answer.header("authorization"), None);
        // And without the credential, which no rule forwards.
        assert_eq!(answer.header("cookie"), Some("theme=dark"));
    }
}

#[tokio::test]
async fn a_refusal_has_the_form_that_its_gateway_passes_on() {
    let authority = TestAuthority::sqlite().await;
    let sidecar = TestSidecar::ready(&authority).await;
    // Nobody is there to tell this one anything.
    let mut lonely = SidecarConfig::new("http://127.0.0.1:1");
    lonely.ext_authz.clear();
    let lonely = TestSidecar::start(&lonely).await;

    let plain = ask(&sidecar, Ask::verify("GET", "/")).await;
    assert_eq!(plain.status, StatusCode::UNAUTHORIZED);
    assert_eq!(plain.reason(), "missing");
    assert_eq!(plain.header("x-portcullis-status"), None);
    let unready = ask(
        &lonely,
        Ask::verify("GET", "/").header("authorization", "Bearer a.b.c"),
    )
    .await;
    assert_eq!(unready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(unready.header("retry-after"), Some("1"));

    // NGINX makes a 500 of any other status than 401 and 403, and the configuration reads the true one from a header.
    let nginx = ask(&sidecar, Ask::nginx("GET", "/")).await;
    assert_eq!(nginx.status, StatusCode::UNAUTHORIZED);
    assert_eq!(nginx.header("x-portcullis-status"), Some("401"));
    let unready = ask(
        &lonely,
        Ask::nginx("GET", "/").header("authorization", "Bearer a.b.c"),
    )
    .await;
    assert_eq!(unready.status, StatusCode::FORBIDDEN);
    assert_eq!(unready.header("x-portcullis-status"), Some("503"));
    assert_eq!(unready.header("retry-after"), Some("1"));
}

/// A check that does not describe a request matches no rule for certain, so it is refused, whatever its token is.
#[tokio::test]
async fn a_check_without_its_description_is_refused() {
    let authority = TestAuthority::sqlite().await;
    let sidecar = TestSidecar::ready(&authority).await;
    let ada = authority.sign_in("ada").await;
    let bearer = format!("Bearer {}", ada.access_token);
    let check = |path: &str, headers: &[(&str, &str)]| {
        let mut check = Ask::new(path).header("Authorization", &bearer);
        for (name, value) in headers {
            check = check.header(name, value);
        }
        check
    };

    const METHOD: (&str, &str) = ("X-Forwarded-Method", "GET");
    const URI: (&str, &str) = ("X-Forwarded-Uri", "/");
    const HOST: (&str, &str) = ("X-Forwarded-Host", "shop.example");
    let good = settled(&sidecar, &check("/verify", &[METHOD, URI, HOST])).await;
    assert_eq!(good.status, StatusCode::OK, "{good:?}");

    for (headers, reason) in [
        (vec![], "unreadable"),
        (vec![URI, HOST], "unreadable"),
        (vec![("X-Forwarded-Method", "G T"), URI, HOST], "unreadable"),
        (vec![METHOD, HOST], "unreadable"),
        (vec![METHOD, ("X-Forwarded-Uri", ""), HOST], "unreadable"),
        (vec![METHOD, URI], "no_host"),
        (vec![METHOD, URI, ("X-Forwarded-Host", "")], "no_host"),
        (
            vec![METHOD, URI, ("X-Forwarded-Host", "a b")],
            "invalid_host",
        ),
        // The client sent one, and the gateway added its own.
        (vec![METHOD, URI, URI, HOST], "unreadable"),
        (vec![METHOD, URI, HOST, HOST], "unreadable"),
        (vec![METHOD, METHOD, URI, HOST], "unreadable"),
        // Not a path, which rules could be about.
        (
            vec![METHOD, ("X-Forwarded-Uri", "https://shop.example/"), HOST],
            "target_not_a_path",
        ),
        (
            vec![METHOD, ("X-Forwarded-Uri", "shop.example:443"), HOST],
            "target_not_a_path",
        ),
        (
            vec![METHOD, ("X-Forwarded-Uri", "*"), HOST],
            "target_not_a_path",
        ),
        // Another gateway's family, which this one would let through from a client.
        (
            vec![
                ("X-Original-Method", "GET"),
                ("X-Original-URI", "/"),
                ("X-Original-Host", "shop.example"),
            ],
            "unreadable",
        ),
    ] {
        let refused = ask(&sidecar, check("/verify", &headers)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{headers:?}");
        assert_eq!(refused.reason(), reason, "{headers:?}");
    }
    let refused = ask(&sidecar, check("/verify/nginx", &[METHOD, URI, HOST])).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.header("x-portcullis-status"), Some("400"));
    assert_eq!(refused.header("x-portcullis-reason"), Some("unreadable"));
    // The operator is told what is missing.
    eventually("the log to say it", async || {
        let log = sidecar.log();
        log.contains("the check has no x-forwarded-method")
            .then_some(())
    })
    .await;

    // A gateway with a wrong address refuses everybody: nothing but a door answers with a 2xx.
    for path in [
        "/",
        "/verify/",
        "/Verify",
        "/verify/caddy",
        "//verify",
        "/metrics",
    ] {
        let refused = ask(&sidecar, check(path, &[METHOD, URI, HOST])).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{path}");
    }
}
