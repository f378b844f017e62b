//! The door for Envoy, asked as Envoy asks.

use portcullis_tests::{
    authority::TestAuthority,
    sidecar::{SidecarConfig, TestSidecar},
    wait::eventually,
};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::wire::{
    Attributes, CheckRequest, CheckResponse, HttpAttributes, HttpRequest, check, merged, raw, send,
};

fn channel(sidecar: &TestSidecar) -> Channel {
    Endpoint::from_shared(format!("http://{}", sidecar.ext_authz))
        .expect("an endpoint")
        .connect_lazy()
}

/// Sends a check until the sidecar can tell.
async fn settled(sidecar: &TestSidecar, check: &CheckRequest) -> CheckResponse {
    let channel = channel(sidecar);
    eventually("the sidecar to be fresh", async || {
        let answer = send(channel.clone(), check.clone())
            .await
            .expect("an answer");
        (answer.admits() || answer.denied_status() != 503).then_some(answer)
    })
    .await
}

#[tokio::test]
async fn envoy_is_told_who_calls_and_what_to_remove() {
    let authority = TestAuthority::sqlite().await;
    let sidecar = TestSidecar::ready(&authority).await;
    let ada = authority.sign_in("ada").await;
    let bearer = format!("Bearer {}", ada.access_token);
    let check = raw(
        "/orders?page=2",
        &[
            ("authorization", bearer.as_bytes()),
            ("x-portcullis-roles", b"root"),
            ("x_portcullis_user", b"root"),
        ],
    );

    let answer = settled(&sidecar, &check).await;
    assert!(answer.admits(), "{answer:?}");
    let ok = answer.ok.expect("headers");
    assert_eq!(ok.header("x-portcullis-user").as_deref(), Some("ada"));
    let removed = &ok.headers_to_remove;
    for name in ["authorization", "x-portcullis-roles", "x_portcullis_user"] {
        assert!(removed.iter().any(|removed| removed == name), "{removed:?}");
    }
    // Envoy removes after it has set.
    assert!(!removed.iter().any(|name| name == "x-portcullis-user"));
    // Envoy may be configured to show a part of the headers only.
    assert!(removed.iter().any(|name| name == "x-portcullis-api-key"));

    authority.revoke(&ada).await;
    let refused = eventually("the sidecar to refuse", async || {
        let answer = settled(&sidecar, &check).await;
        (!answer.admits()).then_some(answer)
    })
    .await;
    assert_eq!(
        (refused.denied_status(), refused.reason()),
        (401, "revoked".into())
    );
}

/// Nothing but a whole description of a request with a good credential admits, and every refusal says what it is.
#[tokio::test]
async fn a_check_that_lacks_something_is_refused() {
    let authority = TestAuthority::sqlite().await;
    let sidecar = TestSidecar::ready(&authority).await;
    let ada = authority.sign_in("ada").await;
    let bearer = format!("Bearer {}", ada.access_token);
    let good = merged("/", &[("authorization", &bearer)]);
    assert!(settled(&sidecar, &good).await.admits());

    let change = |change: fn(&mut HttpRequest)| {
        let mut bad = good.clone();
        let attributes = bad.attributes.as_mut().expect("there");
        let http = attributes.request.as_mut().expect("there").http.as_mut();
        change(http.expect("there"));
        bad
    };
    let no_http = CheckRequest {
        attributes: Some(Attributes {
            request: Some(HttpAttributes { http: None }),
            ..Attributes::default()
        }),
    };
    let no_request = CheckRequest {
        attributes: Some(Attributes::default()),
    };
    for (bad, status, reason) in [
        (CheckRequest { attributes: None }, 400, "unreadable"),
        (no_request, 400, "unreadable"),
        (no_http, 400, "unreadable"),
        (check(HttpRequest::default()), 400, "unreadable"),
        (change(|http| http.method.clear()), 400, "unreadable"),
        (change(|http| http.path.clear()), 400, "unreadable"),
        (change(|http| http.host.clear()), 400, "no_host"),
        (change(|http| http.host = "a b".into()), 400, "invalid_host"),
        (
            change(|http| http.path = "https://shop.example/".into()),
            400,
            "target_not_a_path",
        ),
        (
            change(|http| http.path = "shop.example:443".into()),
            400,
            "target_not_a_path",
        ),
        (
            change(|http| {
                http.headers.insert("a b".into(), String::new());
            }),
            400,
            "unreadable",
        ),
        (
            change(|http| {
                http.headers.insert("a".into(), "b\r\nc: d".into());
            }),
            400,
            "unreadable",
        ),
        (
            change(|http| {
                http.headers.insert("a".into(), "b".repeat(64 << 10));
            }),
            431,
            "head_too_large",
        ),
        (change(|http| http.headers.clear()), 401, "missing"),
        // Envoy merges what a client sends twice.
        (
            change(|http| {
                let bearer = http.headers["authorization"].clone();
                http.headers
                    .insert("authorization".into(), format!("{bearer},Bearer a.b.c"));
            }),
            401,
            "malformed",
        ),
    ] {
        let answer = settled(&sidecar, &bad).await;
        assert_eq!(answer.denied_status(), status, "{bad:?}");
        assert_eq!(answer.reason(), reason, "{bad:?}");
    }
}

#[tokio::test]
async fn two_credentials_are_refused_however_envoy_sends_them() {
    let authority = TestAuthority::sqlite().await;
    let sidecar = TestSidecar::ready(&authority).await;
    let ada = authority.sign_in("ada").await;
    let bob = authority.sign_in("bob").await;
    let (ada, bob) = (&ada.access_token, &bob.access_token);

    let cookie = |token: &str| format!("session={token}");
    let once = raw("/", &[("cookie", cookie(ada).as_bytes())]);
    assert!(settled(&sidecar, &once).await.admits());
    let twice_the_same = raw(
        "/",
        &[
            ("cookie", cookie(ada).as_bytes()),
            ("cookie", cookie(ada).as_bytes()),
        ],
    );
    assert!(settled(&sidecar, &twice_the_same).await.admits());

    let two_headers = raw(
        "/",
        &[
            ("cookie", cookie(ada).as_bytes()),
            ("cookie", cookie(bob).as_bytes()),
        ],
    );
    let one_header = format!("session={ada}; session={bob}");
    let by_comma = format!("session={ada}; theme=dark,session={bob}");
    for check in [
        two_headers,
        raw("/", &[("cookie", one_header.as_bytes())]),
        merged("/", &[("cookie", &one_header)]),
        merged("/", &[("cookie", &by_comma)]),
    ] {
        let answer = settled(&sidecar, &check).await;
        assert_eq!(answer.denied_status(), 401, "{check:?}");
        assert_eq!(answer.reason(), "malformed", "{check:?}");
    }
}

#[tokio::test]
async fn grpc_health_tells_whether_it_can_decide() {
    let authority = TestAuthority::sqlite().await;
    let ready = TestSidecar::ready(&authority).await;
    let lonely = TestSidecar::start(&SidecarConfig::new("http://127.0.0.1:1")).await;
    let status = async |sidecar: &TestSidecar, service: &str| {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let answer = HealthClient::new(channel(sidecar)).check(request).await;
        answer.map(|answer| answer.into_inner().status())
    };
    for service in ["", "envoy.service.auth.v3.Authorization"] {
        eventually("the sidecar to serve", async || {
            let status = status(&ready, service).await.ok()?;
            (status == ServingStatus::Serving).then_some(())
        })
        .await;
        eventually("the lonely one to say so", async || {
            let status = status(&lonely, service).await.ok()?;
            (status == ServingStatus::NotServing).then_some(())
        })
        .await;
    }
    let unknown = status(&ready, "another").await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::NotFound);
}
