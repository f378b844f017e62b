//! Who may pass.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::Method;
use portcullis_contract::{
    id::TenantId,
    key::{Algorithm, CredentialKind, KeyId, PrivateKey},
    rejection::Rejection,
    token::{Claims, Signer},
};
use portcullis_gate::{Access, Allow, Gate, Rule, Rules, Subject};
use portcullis_validator_core::{Engine, Mode, Settings};

use crate::world::{AUDIENCE, HOST, ISSUER, World, get, unix_seconds};

/// A rule for each kind of access, and a path without one.
fn rules() -> Rules {
    Rules {
        cookie: Some("session".into()),
        rules: vec![
            Rule::new("/public", Access::Public),
            Rule::new("/session", Access::Session),
            Rule::new("/key", Access::ApiKey),
            Rule::new("/either", Access::Either),
        ],
        ..Rules::default()
    }
}

#[test]
fn each_credential_passes_where_it_is_asked_for() {
    let world = World::new();
    let gate = world.gate(&rules());
    let foreign_key = Signer::new(
        KeyId::parse("sessions").expect("an id"),
        PrivateKey::generate(Algorithm::Ed25519),
    );
    let unknown_key = Signer::new(
        KeyId::parse("nobody").expect("an id"),
        PrivateKey::generate(Algorithm::Ed25519),
    );
    let claims = claims_of(&world);
    let live = world.token(|_| {});
    let api_key = world.api_key(|_| {});
    let now = unix_seconds();
    let expired = world.token(|claims| {
        claims.issued_at = now - 100;
        claims.expires_at = now - 1;
    });
    let future = world.token(|claims| {
        claims.issued_at = now + 1_000;
        claims.expires_at = now + 2_000;
    });
    let other_audience = world.token(|claims| claims.audiences = vec!["another".into()]);
    let forged = foreign_key.sign(ISSUER, &claims).expect("signs");
    let unknown = unknown_key.sign(ISSUER, &claims).expect("signs");
    let huge = format!("{}.a.b", "x".repeat(9_000));
    let cases = [
        // The credential, then the verdict at a rule for sessions, for API keys, for either.
        ("", ["missing", "missing", "missing"]),
        (&live, ["allowed", "wrong_type", "allowed"]),
        (&api_key, ["wrong_type", "allowed", "allowed"]),
        (&expired, ["expired", "wrong_type", "expired"]),
        (&future, ["not_yet_valid", "wrong_type", "not_yet_valid"]),
        (
            &other_audience,
            ["wrong_audience", "wrong_type", "wrong_audience"],
        ),
        (&forged, ["bad_signature", "wrong_type", "bad_signature"]),
        (&unknown, ["unknown_key", "wrong_type", "unknown_key"]),
        ("a.b.c", ["malformed", "malformed", "malformed"]),
        ("abc", ["malformed", "malformed", "malformed"]),
        (&huge, ["oversized", "oversized", "oversized"]),
    ];
    for (credential, expected) in cases {
        let paths = ["/session", "/key", "/either"];
        for (path, expected) in paths.into_iter().zip(expected) {
            let request = get(path);
            let in_header = match credential {
                "" => request.clone(),
                _ => request.clone().bearer(credential),
            };
            assert_eq!(in_header.verdict(&gate), expected, "{path} {credential}");
            let in_cookie = request.header("cookie", &format!("a=1; session={credential}"));
            assert_eq!(in_cookie.verdict(&gate), expected, "{path} {credential}");
        }
        let public = get("/public").bearer(credential);
        assert!(matches!(public.allowed(&gate).subject, Subject::Anyone));
        let unmatched = get("/elsewhere").bearer(credential).verdict(&gate);
        let at_session = get("/session").bearer(credential).verdict(&gate);
        assert_eq!(
            unmatched, at_session,
            "without a rule a session is required"
        );
    }
}

fn claims_of(world: &World) -> Claims {
    let mut copy = None;
    world.token(|claims| copy = Some(claims.clone()));
    copy.expect("claims")
}

#[test]
fn revoked_credentials_pass_nowhere() {
    for credential in [CredentialKind::Session, CredentialKind::ApiKey] {
        let mut world = World::new();
        let gate = world.gate(&rules());
        let (token, path) = match credential {
            CredentialKind::Session => (world.token(|_| {}), "/session"),
            CredentialKind::ApiKey => (world.api_key(|_| {}), "/key"),
        };
        for path in [path, "/either"] {
            assert_eq!(get(path).bearer(&token).verdict(&gate), "allowed");
        }
        world.revoke(credential);
        world.prove();
        for path in [path, "/either"] {
            assert_eq!(get(path).bearer(&token).verdict(&gate), "revoked");
        }
    }
}

#[test]
fn a_gate_that_cannot_know_refuses_all_but_public_requests() {
    let (engine, _reports) = Engine::new(Settings::new(ISSUER, AUDIENCE)).expect("settings");
    let gate = Gate::new(Arc::new(engine), &rules()).expect("rules");
    let token = World::new().token(|_| {});
    for path in ["/session", "/key", "/either", "/elsewhere"] {
        let deny = get(path).bearer(&token).denied(&gate);
        assert_eq!(
            (deny.status.as_u16(), deny.reason),
            (503, "unready"),
            "{path}"
        );
    }
    assert_eq!(get("/public").verdict(&gate), "allowed");
}

#[test]
fn a_good_credential_meets_the_demands_of_the_rule_or_is_refused() {
    let world = World::new();
    let gate = world.gate_of(
        r#"
        acr_order = ["low", "mid", "high"]
        rules = [
            { path = "/tenant", access = "either", tenants = ["acme", "umbrella"] },
            { path = "/scope", access = "either", scopes = ["orders:read", "orders:write"] },
            { path = "/acr", access = "either", acr = "mid" },
            { path = "/amr", access = "session", amr = ["otp", "pwd"] },
            { path = "/age", access = "session", max_age = "5m" },
            { path = "/all", access = "session", tenants = ["acme"], acr = "mid", amr = ["otp"], max_age = "5m" },
        ]
        "#,
    );
    let now = unix_seconds();
    type Change = fn(&mut Claims);
    let of_others: Change = |claims| claims.tenant_id = TenantId::parse("initech").expect("an id");
    let of_umbrella: Change =
        |claims| claims.tenant_id = TenantId::parse("umbrella").expect("an id");
    let cases: [(&str, Change, &str); 20] = [
        ("/tenant", |_| {}, "allowed"),
        ("/tenant", of_umbrella, "allowed"),
        ("/tenant", of_others, "tenant"),
        ("/scope", |_| {}, "allowed"),
        ("/acr", |_| {}, "acr"),
        ("/acr", |claims| claims.acr = "mid".into(), "allowed"),
        ("/acr", |claims| claims.acr = "high".into(), "allowed"),
        ("/acr", |claims| claims.acr = "higher".into(), "acr"),
        ("/acr", |claims| claims.acr = "High".into(), "acr"),
        ("/acr", |claims| claims.acr = String::new(), "acr"),
        ("/amr", |_| {}, "amr"),
        ("/amr", |claims| claims.amr = vec!["otp".into()], "amr"),
        ("/amr", |claims| claims.amr = vec!["otp pwd".into()], "amr"),
        (
            "/amr",
            |claims| claims.amr = vec!["pwd".into(), "hwk".into(), "otp".into()],
            "allowed",
        ),
        ("/age", |_| {}, "allowed"),
        ("/age", |claims| claims.auth_time -= 290, "allowed"),
        ("/age", |claims| claims.auth_time -= 310, "max_age"),
        ("/age", |claims| claims.auth_time = 0, "max_age"),
        ("/age", |claims| claims.auth_time += 1_000, "allowed"),
        ("/all", of_others, "tenant"),
    ];
    for (path, change, expected) in cases {
        let token = world.token(change);
        assert_eq!(get(path).bearer(&token).verdict(&gate), expected, "{path}");
    }
    assert!(now > 0);

    for (path, scopes, expected) in [
        (
            "/scope",
            &["orders:read", "orders:write", "x"][..],
            "allowed",
        ),
        ("/scope", &["orders:read"], "scope"),
        ("/scope", &["orders:rea", "orders:writ"], "scope"),
        ("/scope", &[], "scope"),
        ("/acr", &[], "allowed"),
    ] {
        let key = world.api_key(|key| {
            key.scopes = scopes.iter().map(ToString::to_string).collect();
        });
        let verdict = get(path).bearer(&key).verdict(&gate);
        assert_eq!(verdict, expected, "{path} {scopes:?}");
    }
    let of_others = world.api_key(|key| key.tenant_id = TenantId::parse("Acme").expect("an id"));
    assert_eq!(get("/tenant").bearer(&of_others).verdict(&gate), "tenant");
}

#[test]
fn without_an_order_only_the_same_acr_is_enough() {
    let world = World::new();
    let gate = world.gate_of("rules = [{ path = '/', access = 'session', acr = 'mid' }]");
    for (acr, expected) in [("mid", "allowed"), ("high", "acr"), ("", "acr")] {
        let token = world.token(|claims| claims.acr = acr.into());
        assert_eq!(get("/").bearer(&token).verdict(&gate), expected, "{acr}");
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let world = World::new();
    let gate = world.gate_of(&format!(
        r#"
        rules = [
            {{ host = "{HOST}", path = "/a", methods = ["GET"], access = "public" }},
            {{ host = "*.example.com", path = "/a", access = "api_key" }},
            {{ path = "/a/{{x}}", access = "public" }},
        ]
        "#
    ));
    for (method, host, path, expected) in [
        ("GET", HOST, "/a", "allowed"),
        ("HEAD", HOST, "/a?x", "allowed"),
        ("GET", "APP.EXAMPLE.COM.:8080", "/a", "allowed"),
        ("POST", HOST, "/a", "wrong_type"),
        ("QUERY", HOST, "/a", "wrong_type"),
        ("GET", "b.example.com", "/a", "wrong_type"),
        ("GET", "example.org", "/a", "no rule"),
        ("GET", "example.org", "/a/b", "allowed"),
        ("DELETE", HOST, "/a/b", "allowed"),
        ("GET", HOST, "/A", "wrong_type"),
        ("GET", HOST, "/a/", "wrong_type"),
        ("get", HOST, "/a", "invalid_method"),
    ] {
        let mut request = get(path).method(method);
        request.authority = host.into();
        if expected == "no rule" {
            assert_eq!(request.verdict(&gate), "missing");
            request = request.bearer(&world.token(|_| {}));
            assert!(matches!(
                request.allowed(&gate).subject,
                Subject::Session(_)
            ));
            continue;
        }
        if expected == "wrong_type" {
            // Only a rule for API keys says this about a session.
            request = request.bearer(&world.token(|_| {}));
        }
        assert_eq!(request.verdict(&gate), expected, "{method} {host} {path}");
    }
}

#[test]
fn a_strict_rule_of_a_best_effort_gate_refuses_and_ends_without_a_proof() {
    let world = World::in_mode(Mode::BestEffort {
        stale_max: Duration::from_secs(600),
    });
    let gate = world.gate_of(
        r#"
        rules = [
            { path = "/strict", access = "either", mode = "strict" },
            { path = "/lax", access = "either", mode = "best_effort" },
        ]
        "#,
    );
    let mut credentials = Vec::new();
    let mut admissions: Vec<(&str, Allow)> = Vec::new();
    for token in [world.token(|_| {}), world.api_key(|_| {})] {
        for path in ["/strict", "/lax"] {
            // Another proof may be needed on a slow machine.
            admissions.push((path, get(path).bearer(&token).allowed(&gate)));
        }
        credentials.push(token);
    }
    let other = get("/other").bearer(&credentials[0]).allowed(&gate);
    admissions.push(("/other", other));
    world.wait_until_stale();

    for token in &credentials {
        let deny = get("/strict").bearer(token).denied(&gate);
        assert_eq!((deny.status.as_u16(), deny.reason), (503, "stale"));
        assert_eq!(get("/lax").bearer(token).verdict(&gate), "allowed");
    }
    for (path, allow) in admissions {
        assert_eq!(allow.strict, path == "/strict");
        let mut ended = allow.ended().expect("a credential");
        let polled = Pin::new(&mut ended).poll(&mut Context::from_waker(Waker::noop()));
        match path {
            "/strict" => assert!(matches!(polled, Poll::Ready(Rejection::Stale { .. }))),
            _ => assert_eq!(polled, Poll::Pending, "{path}"),
        }
    }
}

#[test]
fn a_rule_loosens_no_strict_gate() {
    let world = World::new();
    let rules = Rules::from_toml(
        "rules = [{ path = '/a', access = 'session' }, { path = '/b', access = 'session', mode = 'best_effort' }]",
    )
    .expect("rules");
    let error = Gate::new(Arc::clone(&world.engine), &rules)
        .err()
        .expect("refused");
    assert_eq!(error.key, "rules[1].mode");
}

#[test]
fn a_stream_ends_with_its_credential() {
    let mut world = World::new();
    let gate = world.gate(&rules());
    let allow = get("/session").bearer(&world.token(|_| {})).allowed(&gate);
    let mut ended = allow.ended().expect("a session");
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(Pin::new(&mut ended).poll(&mut context), Poll::Pending);
    world.revoke(CredentialKind::Session);
    assert_eq!(
        Pin::new(&mut ended).poll(&mut context),
        Poll::Ready(Rejection::Revoked)
    );
    assert!(get("/public").allowed(&gate).ended().is_none());
}

#[test]
fn use_is_reported_with_the_address_that_trusted_proxies_tell_and_not_in_the_background() {
    let mut world = World::new();
    let gate = world.gate_of(
        r#"
        trusted_proxies = ["192.0.2.0/24"]
        rules = [{ path = "/poll", access = "session", background = true }]
        "#,
    );
    let token = world.token(|_| {});
    let request = |path| {
        get(path)
            .bearer(&token)
            .header("x-forwarded-for", "198.51.100.1, 203.0.113.9")
    };
    request("/poll").allowed(&gate);
    let mut reported = |expected: Option<(u32, &str, &str)>| {
        let activities = world.reports.begin_round().next_batch().take_activities();
        let found = activities
            .first()
            .map(|one| (one.requests, one.ip.as_str(), one.last_page.as_str()));
        assert_eq!(found, expected);
    };
    reported(None);
    request("/orders/7?secret=x").allowed(&gate);
    request("/poll").allowed(&gate);
    reported(Some((1, "203.0.113.9", "/orders/7")));
}

#[test]
fn preflights_pass_where_a_rule_says_so() {
    let world = World::new();
    let gate = world.gate_of(
        r#"
        rules = [
            { path = "/open", methods = ["PUT"], access = "session", pass_preflights = true },
            { path = "/open", access = "api_key" },
            { path = "/closed", access = "session" },
        ]
        "#,
    );
    let preflight = |path: &str, asked: &str| {
        get(path)
            .method("OPTIONS")
            .header("origin", "https://a.example")
            .header("access-control-request-method", asked)
            .header("x-portcullis-user", "root")
    };
    let passed = preflight("/open", "PUT").allowed(&gate);
    assert!(matches!(passed.subject, Subject::Anyone));
    let headers = preflight("/open", "PUT").upstream_headers(&gate);
    assert!(!headers.contains_key("x-portcullis-user"));
    for (request, expected) in [
        (preflight("/open", "DELETE"), "missing"),
        (preflight("/open", "put"), "missing"),
        (preflight("/closed", "PUT"), "missing"),
        (preflight("/elsewhere", "PUT"), "missing"),
        (preflight("/open%2f", "PUT"), "encoded_slash"),
        (preflight("/open", "PUT").method("PUT"), "missing"),
        (get("/open").method("OPTIONS"), "missing"),
        (
            get("/open")
                .method("OPTIONS")
                .header("access-control-request-method", "PUT"),
            "missing",
        ),
    ] {
        assert_eq!(request.verdict(&gate), expected, "{request:?}");
    }
    let mut put = preflight("/open", "PUT");
    put.method = Method::PUT;
    let admitted = put.bearer(&world.token(|_| {})).allowed(&gate);
    assert!(matches!(admitted.subject, Subject::Session(_)));
}
