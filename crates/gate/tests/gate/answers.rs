//! Whole answers: status, headers and body.

use http::{HeaderMap, header};
use portcullis_gate::{Deny, HeadProblem, Refused};

use crate::world::{World, get, unix_seconds};

const RULES: &str = r#"
    acr_order = ["low", "mid", "high"]
    sign_in = "/sign-in?from=gate"
    rules = [
        { path = "/sign-in", access = "public" },
        { path = "/step", access = "session", acr = "mid", max_age = "5m" },
        { path = "/amr", access = "session", amr = ["otp"], redirect = false },
        { path = "/scope", access = "api_key", scopes = ["a:read", "b"] },
        { path = "/tenant", access = "session", tenants = ["umbrella"] },
        { path = "/elsewhere", access = "session", sign_in = "https://login.example.com/x" },
    ]
"#;

fn headers(deny: &Deny) -> HeaderMap {
    deny.headers.iter().cloned().collect()
}

fn value(deny: &Deny, name: &str) -> String {
    let headers = headers(deny);
    let value = headers.get(name);
    value.map_or(String::new(), |value| {
        value.to_str().expect("ASCII").to_owned()
    })
}

#[test]
fn each_refusal_has_its_status_its_challenge_and_its_body() {
    let world = World::new();
    let gate = world.gate_of(RULES);
    let token = world.token(|_| {});
    let old = world.token(|claims| {
        claims.acr = "high".into();
        claims.auth_time -= 400;
    });
    let key = world.api_key(|key| key.scopes = vec!["b".into()]);
    const STEP_UP: &str =
        r#"Bearer error="insufficient_user_authentication", acr_values="mid high", max_age="300""#;
    for (request, status, challenge, body) in [
        (
            get("/x"),
            401,
            "Bearer",
            r#"{"error":"missing_token","reason":"missing"}"#,
        ),
        (
            get("/x").bearer("a.b.c"),
            401,
            r#"Bearer error="invalid_token""#,
            r#"{"error":"invalid_token","reason":"malformed"}"#,
        ),
        (
            get("/step").bearer(&token),
            401,
            STEP_UP,
            r#"{"error":"insufficient_user_authentication","reason":"acr","acr_values":"mid high","max_age":300}"#,
        ),
        (
            get("/step").bearer(&old),
            401,
            STEP_UP,
            r#"{"error":"insufficient_user_authentication","reason":"max_age","acr_values":"mid high","max_age":300}"#,
        ),
        (
            get("/amr").bearer(&token).navigates(),
            401,
            r#"Bearer error="insufficient_user_authentication""#,
            r#"{"error":"insufficient_user_authentication","reason":"amr","amr":"otp"}"#,
        ),
        (
            get("/scope").bearer(&key),
            403,
            r#"Bearer error="insufficient_scope", scope="a:read b""#,
            r#"{"error":"insufficient_scope","reason":"scope","scope":"a:read b"}"#,
        ),
        (
            get("/tenant").bearer(&token).navigates(),
            403,
            "",
            r#"{"error":"access_denied","reason":"tenant"}"#,
        ),
        (
            get("//x").navigates(),
            400,
            "",
            r#"{"error":"invalid_request","reason":"double_slash"}"#,
        ),
    ] {
        let deny = request.denied(&gate);
        assert_eq!(deny.status, status, "{request:?}");
        assert_eq!(value(&deny, "www-authenticate"), challenge, "{request:?}");
        assert_eq!(deny.body, body);
        assert_eq!(value(&deny, "cache-control"), "no-store");
        assert_eq!(value(&deny, "content-type"), "application/json");
        assert_eq!(value(&deny, "location"), "");
        assert!(body.contains(&format!(
            r#""error":"{}","reason":"{}""#,
            deny.error, deny.reason
        )));
        let names = headers(&deny);
        assert_eq!(names.len(), deny.headers.len(), "a header stands twice");
    }
}

#[test]
fn a_door_answers_for_what_never_reaches_the_gate() {
    for (refused, status, retry, body) in [
        (
            Refused::Head(HeadProblem::Unreadable),
            400,
            "",
            r#"{"error":"invalid_request","reason":"unreadable"}"#,
        ),
        (
            Refused::Failed,
            503,
            "1",
            r#"{"error":"temporarily_unavailable","reason":"gate_failed"}"#,
        ),
    ] {
        let deny = Deny::new(&refused);
        assert_eq!((deny.status.as_u16(), deny.body.as_str()), (status, body));
        assert_eq!(value(&deny, "retry-after"), retry);
        let response = deny.into_response::<String>();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        assert_eq!(response.body(), body);
    }
}

#[test]
fn only_navigations_are_redirected_to_a_sign_in() {
    let world = World::new();
    let gate = world.gate_of(RULES);
    let token = world.token(|_| {});
    let expired = world.token(|claims| {
        claims.issued_at = unix_seconds() - 10;
        claims.expires_at = unix_seconds() - 5;
    });
    for (request, location) in [
        (
            get("/a?b=c&d=e").navigates(),
            "/sign-in?from=gate&return_to=/a%3Fb%3Dc%26d%3De",
        ),
        (
            get("/a").navigates().bearer(&expired),
            "/sign-in?from=gate&return_to=/a",
        ),
        (
            get("/a").navigates().method("HEAD"),
            "/sign-in?from=gate&return_to=/a",
        ),
        (
            get("/step?x").navigates().bearer(&token),
            "/sign-in?from=gate&return_to=/step%3Fx&acr_values=mid%20high&max_age=300",
        ),
        // Another host gets no address of ours.
        (get("/elsewhere").navigates(), "https://login.example.com/x"),
        (get("/a"), ""),
        (get("/a").navigates().method("POST"), ""),
        (get("/a").header("accept", "application/json"), ""),
        // A program's request is refused, whoever it looks like.
        (get("/scope").navigates(), ""),
    ] {
        let deny = request.denied(&gate);
        assert_eq!(value(&deny, "location"), location, "{request:?}");
        let expected = if location.is_empty() { 401 } else { 302 };
        assert_eq!(deny.status, expected, "{request:?}");
        assert_eq!(value(&deny, "cache-control"), "no-store");
        if expected == 302 {
            assert_eq!(deny.error, "sign_in_required");
            assert_eq!(value(&deny, "www-authenticate"), "");
        }
    }
}

#[test]
fn a_sign_in_page_that_needs_a_session_does_not_redirect_to_itself() {
    let world = World::new();
    let gate = world.gate_of("sign_in = '/sign-in'");
    let deny = get("/sign-in?return_to=/").navigates().denied(&gate);
    assert_eq!((deny.status.as_u16(), deny.reason), (401, "missing"));
}

#[test]
fn a_gate_that_cannot_know_redirects_nobody() {
    let world = World::new();
    world.engine.close();
    let (engine, _reports) = portcullis_validator_core::Engine::new(
        portcullis_validator_core::Settings::new(crate::world::ISSUER, crate::world::AUDIENCE),
    )
    .expect("settings");
    let rules = portcullis_gate::Rules::from_toml(RULES).expect("rules");
    let gate = portcullis_gate::Gate::new(std::sync::Arc::new(engine), &rules).expect("rules");
    let deny = get("/a")
        .navigates()
        .bearer(&world.token(|_| {}))
        .denied(&gate);
    assert_eq!(deny.status, 503);
    assert_eq!(value(&deny, "retry-after"), "1");
    assert_eq!(
        deny.body,
        r#"{"error":"temporarily_unavailable","reason":"unready"}"#
    );
}

#[test]
fn for_auth_request_every_answer_travels_as_401_or_403() {
    let world = World::new();
    let gate = world.gate_of(RULES);
    let token = world.token(|_| {});
    for (deny, status, shown) in [
        (get("/x").denied(&gate), 401, "401"),
        (get("/step").bearer(&token).denied(&gate), 401, "401"),
        (get("/tenant").bearer(&token).denied(&gate), 403, "403"),
        (get("//x").denied(&gate), 403, "400"),
        (get("/x").navigates().denied(&gate), 403, "302"),
        (Deny::new(&Refused::Failed), 403, "503"),
        (Deny::new(&Refused::Head(HeadProblem::TooLarge)), 403, "431"),
    ] {
        let before = deny.clone();
        let travels = deny.for_auth_request();
        assert_eq!(travels.status, status);
        assert_eq!(value(&travels, "x-portcullis-status"), shown);
        assert_eq!(value(&travels, "x-portcullis-error"), before.error);
        assert_eq!(value(&travels, "x-portcullis-reason"), before.reason);
        assert_eq!(travels.body, before.body);
        // Nothing is lost.
        assert_eq!(travels.headers[..before.headers.len()], before.headers[..]);
    }
}
