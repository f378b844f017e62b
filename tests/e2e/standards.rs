//! Introspection (RFC 7662), revocation (RFC 7009) and metadata (RFC 8414), by the libraries that people use and by hand.

use std::net::SocketAddr;

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{
        ADMIN, GATEWAY, LOGIN, OTHER_ADMIN, SUPPORT, TENANT, TestAuthority, ready, session_id,
        sign_in,
    },
    browser::Page,
    forms::{basic, json, post, post_raw},
    gate::{refused, rejection},
    half_open::Bare,
    ports::free_port,
    standards::Script,
    wait::eventually,
};
use serde_json::{Value, json};

const INTROSPECT: &str = "/oauth2/introspect";
const REVOKE: &str = "/oauth2/revoke";
/// An rpc that support people may call without arguments.
const LIST_TENANTS: &str = "/portcullis.v1.TenantService/ListTenants";
const BOTH_CHALLENGES: &[&str] = &["Basic ", "Bearer "];
const BASIC_CHALLENGE: &[&str] = &["Basic "];
const BEARER_CHALLENGE: &[&str] = &["Bearer "];
const NO_CHALLENGE: &[&str] = &[];
const EMAIL: &str = "ada@example.test";

/// An authority whose issuer is the URL of its HTTP port, as clients discover it.
async fn start() -> TestAuthority {
    TestAuthority::with(|config| {
        config.server.http_listen.set_port(free_port());
        config.tokens.issuer = format!("http://{}", config.server.http_listen);
    })
    .await
}

fn http(authority: &TestAuthority) -> SocketAddr {
    authority.config.server.http_listen
}

/// Signs somebody in whose email address no gate may learn.
async fn sign_in_with_email(authority: &TestAuthority, user: &str) -> v1::CreateSessionResponse {
    let mut request = sign_in(user);
    let person = request.user.as_mut().expect("a user");
    person.user_name = format!("{user}.name");
    person.email = EMAIL.into();
    request.amr = vec!["pwd".into()];
    request.client_id = "web".into();
    let created = authority.sessions(LOGIN).create_session(request).await;
    created.expect("a sign-in").into_inner()
}

async fn introspect(authority: &TestAuthority, authorization: &str, token: &str) -> Page {
    post(
        http(authority),
        INTROSPECT,
        authorization,
        &[("token", token)],
    )
    .await
}

async fn is_active(authority: &TestAuthority, token: &str) -> bool {
    let page = introspect(authority, &basic("gateway", GATEWAY), token).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let answer = json(&page);
    let is_active = answer["active"].as_bool().expect("a member");
    assert!(
        is_active || answer == json!({ "active": false }),
        "{answer}"
    );
    is_active
}

/// Checks that an answer is an error by this name, which no cache keeps.
fn assert_error(page: &Page, status: u16, error: &str) {
    assert_eq!(page.status, status, "{}", page.body);
    assert_eq!(page.header("cache-control"), "no-store");
    let body = json(page);
    assert_eq!(body["error"], error, "{body}");
    assert!(body["error_description"].is_string(), "{body}");
}

#[tokio::test]
async fn oauth4webapi_finds_introspects_and_revokes() {
    let authority = start().await;
    let script = Script::node("oauth4webapi.js", &authority.config.tokens.issuer).await;
    play(&authority, script).await;
}

#[tokio::test]
async fn openid_client_finds_introspects_and_revokes() {
    let authority = start().await;
    let script = Script::node("openid-client.js", &authority.config.tokens.issuer).await;
    play(&authority, script).await;
}

#[tokio::test]
async fn authlib_finds_introspects_and_revokes() {
    let authority = start().await;
    let script = Script::python("authlib_client.py", &authority.config.tokens.issuer).await;
    play(&authority, script).await;
}

/// One story for all libraries.
async fn play(authority: &TestAuthority, mut script: Script) {
    let issuer = &authority.config.tokens.issuer;
    let found = script.obey(&json!({ "command": "discover" })).await;
    assert_eq!(found["issuer"], *issuer);
    assert_eq!(found["jwks_uri"], format!("{issuer}/.well-known/jwks.json"));
    assert_eq!(
        found["introspection_endpoint"],
        format!("{issuer}{INTROSPECT}")
    );
    assert_eq!(found["revocation_endpoint"], format!("{issuer}{REVOKE}"));

    let gate = ready(authority.gate().issuer(issuer)).await;
    let created = sign_in_with_email(authority, "ada").await;
    let token = &created.access_token;
    let ask = |method: &str, token: &str| json!({ "command": "introspect", "method": method, "id": "gateway", "secret": GATEWAY, "token": token });
    for method in ["basic", "post"] {
        let answer = script.obey(&ask(method, token)).await;
        assert_eq!(answer["active"], true, "{method}: {answer}");
        assert_eq!(
            (&answer["sub"], &answer["iss"]),
            (&json!("ada"), &json!(issuer))
        );
        assert_eq!(answer["sid"], session_id(&created));
        assert_eq!(answer["tenant"], TENANT);
    }
    let other = TestAuthority::sqlite().await;
    let foreign = other.sign_in("ada").await.access_token;
    for dead in [foreign.as_str(), "a.b.c", "nothing", "prt_nothing"] {
        let answer = script.obey(&ask("basic", dead)).await;
        assert_eq!(answer, json!({ "active": false }), "{dead}");
    }
    let mut wrong = ask("basic", token);
    wrong["secret"] = "another-secret".into();
    let refusal = script.ask(&wrong).await;
    assert_eq!(refusal["status"], 401, "{refusal}");

    // A gate may not end anything, and a login service may.
    let end = |method: &str, id: &str, secret: &str, token: &str| json!({ "command": "revoke", "method": method, "id": id, "secret": secret, "token": token });
    let refusal = script.ask(&end("basic", "gateway", GATEWAY, token)).await;
    assert_eq!(
        (&refusal["error"], &refusal["status"]),
        (&json!("unauthorized_client"), &json!(400))
    );
    assert_eq!(rejection(&gate, token), None);
    script.obey(&end("post", "login", LOGIN, token)).await;
    refused(&gate, token).await;
    assert_eq!(
        script.obey(&ask("post", token)).await,
        json!({ "active": false })
    );
    script.obey(&end("basic", "login", LOGIN, "nothing")).await;

    // A refresh token names no tenant, so a client of all tenants does.
    let created = authority.sign_in("ben").await;
    let mut by_refresh = end("basic", "login", LOGIN, &created.refresh_token);
    by_refresh["parameters"] = json!({ "tenant_id": TENANT });
    script.obey(&by_refresh).await;
    refused(&gate, &created.access_token).await;

    // An application without a secret ends its own session.
    let created = sign_in_with_email(authority, "cy").await;
    let own = json!({ "command": "revoke", "method": "none", "id": "web", "token": created.access_token });
    script.obey(&own).await;
    refused(&gate, &created.access_token).await;
}

#[tokio::test]
async fn an_active_token_is_described_without_an_email_address() {
    let authority = start().await;
    let created = sign_in_with_email(&authority, "ada").await;
    for bearer in [GATEWAY, SUPPORT, ADMIN] {
        let page = introspect(
            &authority,
            &format!("Bearer {bearer}"),
            &created.access_token,
        )
        .await;
        assert_eq!(
            (page.status, page.header("cache-control")),
            (200, "no-store")
        );
        assert!(!page.body.contains(EMAIL), "{}", page.body);
        let answer = json(&page);
        let session = created.session.as_ref().expect("a session");
        let expires = created.access_token_expire_time.expect("a time").seconds;
        assert_eq!(answer["token_type"], "Bearer");
        assert_eq!(
            (&answer["username"], &answer["client_id"]),
            (&json!("ada.name"), &json!("web"))
        );
        assert_eq!(answer["aud"], json!(["portcullis", "gateway"]));
        assert_eq!(answer["exp"], expires);
        assert_eq!(
            answer["auth_time"],
            session.auth_time.expect("a time").seconds
        );
        assert_eq!(answer["iat"], answer["nbf"]);
        assert_eq!(answer["amr"], json!(["pwd"]));
        assert!(answer["jti"].as_str().is_some_and(|id| !id.is_empty()));
        assert!(answer.get("acr").is_none() && answer.get("scope").is_none());
    }
}

#[tokio::test]
async fn introspection_by_a_gate_is_use_of_the_session_and_by_support_is_not() {
    let authority = start().await;
    let created = authority.sign_in("ada").await;
    let uses = async || {
        let session = v1::GetSessionRequest {
            tenant_id: TENANT.into(),
            session_id: session_id(&created),
        };
        let found = authority.sessions(ADMIN).get_session(session).await;
        found
            .expect("found")
            .into_inner()
            .session
            .expect("it")
            .actions
    };
    introspect(
        &authority,
        &basic("support", SUPPORT),
        &created.access_token,
    )
    .await;
    introspect(
        &authority,
        &basic("gateway", GATEWAY),
        &created.access_token,
    )
    .await;
    let counted = eventually("the use", async || match uses().await {
        0 => None,
        counted => Some(counted),
    });
    assert_eq!(counted.await, 1);
}

#[tokio::test]
async fn a_caller_of_one_tenant_sees_and_ends_nothing_of_another() {
    let authority = start().await;
    let created = authority.sign_in("ada").await;
    let other = basic("other-admin", OTHER_ADMIN);
    let page = introspect(&authority, &other, &created.access_token).await;
    assert_eq!(json(&page), json!({ "active": false }));
    for token in [&created.access_token, &created.refresh_token] {
        for tenant in ["", TENANT] {
            let named = [("token", token.as_str()), ("tenant_id", tenant)];
            let page = post(http(&authority), REVOKE, &other, &named).await;
            // A refresh token does not tell its tenant, so it is one that does not exist in this one.
            let is_unknown = token.starts_with("prt_") && tenant.is_empty();
            match is_unknown {
                true => assert_eq!(page.status, 200, "{}", page.body),
                false => assert_error(&page, 400, "unauthorized_client"),
            }
        }
    }
    assert!(is_active(&authority, &created.access_token).await);
}

#[tokio::test]
async fn a_refusal_has_its_status_its_error_and_its_challenge() {
    let authority = start().await;
    let token = authority.sign_in("ada").await.access_token;
    let bearer = |bearer: &str| format!("Bearer {bearer}");
    let cases = [
        (String::new(), 401, "invalid_client", BOTH_CHALLENGES),
        (
            basic("gateway", "wrong"),
            401,
            "invalid_client",
            BASIC_CHALLENGE,
        ),
        // The name and the secret belong together.
        (
            basic("support", GATEWAY),
            401,
            "invalid_client",
            BASIC_CHALLENGE,
        ),
        (basic("gateway", ""), 401, "invalid_client", BASIC_CHALLENGE),
        ("Basic !".into(), 401, "invalid_client", BASIC_CHALLENGE),
        (bearer("wrong"), 401, "invalid_token", BEARER_CHALLENGE),
        (bearer("a.b.c"), 401, "invalid_token", BEARER_CHALLENGE),
        (bearer(LOGIN), 403, "insufficient_scope", BEARER_CHALLENGE),
        (
            basic("login", LOGIN),
            400,
            "unauthorized_client",
            NO_CHALLENGE,
        ),
    ];
    for (authorization, status, error, challenges) in cases {
        let page = introspect(&authority, &authorization, &token).await;
        assert_error(&page, status, error);
        let sent: Vec<_> = page.all("www-authenticate").collect();
        assert_eq!(sent.len(), challenges.len(), "{authorization}: {sent:?}");
        for (sent, expected) in sent.iter().zip(challenges) {
            assert!(sent.starts_with(expected), "{authorization}: {sent}");
        }
    }
    // The secret in the form is as good, and a wrong one as bad.
    for (secret, status) in [(GATEWAY, 200), ("wrong", 401)] {
        let client = [
            ("token", token.as_str()),
            ("client_id", "gateway"),
            ("client_secret", secret),
        ];
        let page = post(http(&authority), INTROSPECT, "", &client).await;
        assert_eq!(page.status, status, "{}", page.body);
    }
}

#[tokio::test]
async fn a_bad_form_is_an_invalid_request() {
    let authority = start().await;
    let gateway = basic("gateway", GATEWAY);
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let with = |headers: &[(&'static str, &str)], body: &str| {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        (headers, body.to_owned())
    };
    let signed = ("authorization", gateway.as_str());
    let large = format!("token={}", "a".repeat(16 << 10));
    let many: String = (0..40).map(|number| format!("p{number}=1&")).collect();
    let cases = [
        with(&[signed, kind], ""),
        with(&[signed, kind], "token="),
        with(&[signed, kind], "token=a&token=a"),
        with(&[signed, kind], "token=a&client_secret=b"),
        with(&[signed, kind], "token=a.b.c&tenant_id=a%00"),
        with(&[signed, kind], &large),
        with(&[signed, kind], &many),
        with(&[signed], "token=a"),
        with(
            &[signed, ("content-type", "application/json")],
            r#"{"token":"a"}"#,
        ),
    ];
    for path in [INTROSPECT, REVOKE] {
        for (headers, body) in &cases {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let page = post_raw(http(&authority), path, &headers, body).await;
            // On the other path the gate may do nothing, which is found out before the form is looked at closely.
            match path {
                REVOKE if page.status == 400 => {}
                _ => assert_error(&page, 400, "invalid_request"),
            }
        }
        let answer = authority.http(path).await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    }
}

#[tokio::test]
async fn a_user_ends_the_own_session_and_no_other() {
    let authority = start().await;
    let own = sign_in_with_email(&authority, "ada").await;
    let second = sign_in_with_email(&authority, "ada").await;
    let bearer = format!("Bearer {}", own.access_token);
    for other in [&second.access_token, &second.refresh_token] {
        let page = post(
            http(&authority),
            REVOKE,
            &bearer,
            &[("token", other.as_str())],
        )
        .await;
        assert_error(&page, 403, "insufficient_scope");
    }
    // A public client that names itself must be the one that the token was issued to.
    let named = [("token", own.access_token.as_str()), ("client_id", "other")];
    let page = post(http(&authority), REVOKE, "", &named).await;
    assert_error(&page, 400, "unauthorized_client");
    assert!(is_active(&authority, &own.access_token).await);

    let page = post(
        http(&authority),
        REVOKE,
        &bearer,
        &[("token", own.refresh_token.as_str())],
    )
    .await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(!is_active(&authority, &own.access_token).await);
    assert!(is_active(&authority, &second.access_token).await);

    // A refresh token is no credential, and a token that is not ours is no error.
    let page = post(
        http(&authority),
        REVOKE,
        "",
        &[("token", second.refresh_token.as_str())],
    )
    .await;
    assert_error(&page, 401, "invalid_client");
    let page = post(http(&authority), REVOKE, "", &[("token", "nothing")]).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let page = post(
        http(&authority),
        REVOKE,
        "",
        &[("token", second.access_token.as_str())],
    )
    .await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(!is_active(&authority, &second.access_token).await);
}

#[tokio::test]
async fn a_token_for_a_gate_alone_revokes_nothing_by_itself() {
    let authority = start().await;
    let mut request = sign_in("ada");
    request.audiences = vec!["gateway".into()];
    let created = authority.sessions(LOGIN).create_session(request).await;
    let token = created.expect("a sign-in").into_inner().access_token;
    // An answer of success would be a lie.
    let page = post(http(&authority), REVOKE, "", &[("token", token.as_str())]).await;
    assert_error(&page, 401, "invalid_client");
    assert!(is_active(&authority, &token).await);
}

#[tokio::test]
async fn a_revocation_is_in_the_audit_trail_with_its_reason() {
    let authority = start().await;
    let created = authority.sign_in("ada").await;
    let token = [("token", created.access_token.as_str())];
    let page = post(http(&authority), REVOKE, &basic("login", LOGIN), &token).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let request = v1::ListAuditEventsRequest {
        tenant_id: TENANT.into(),
        ..Default::default()
    };
    let listed = authority.audit(ADMIN).list_audit_events(request).await;
    let events = listed.expect("a list").into_inner().events;
    let event = events.iter().find(|event| event.action == "session.revoke");
    let event = event.expect("an event");
    assert_eq!(event.reason, "token revocation (RFC 7009)");
    assert_eq!(
        (event.actor.as_str(), event.target.as_str()),
        ("user:ada", session_id(&created).as_str())
    );
}

#[tokio::test]
async fn a_caller_that_filled_its_share_by_grpc_has_none_left_here() {
    let authority = TestAuthority::with(|config| config.server.calls_max = 16).await;
    let token = authority.sign_in("ada").await.access_token;
    // Without room for an answer: each call keeps its permit.
    let connection = Bare::connect(authority.config.server.grpc_listen, 0).await;
    let mut unread = Vec::new();
    for _ in 0..16 {
        let mut call = connection.begin(LIST_TENANTS, SUPPORT).await;
        call.finish();
        unread.push(call.header().await);
    }
    let page = introspect(&authority, &basic("support", SUPPORT), &token).await;
    assert_error(&page, 429, "temporarily_unavailable");
    assert_eq!(page.header("retry-after"), "1");
    assert!(
        is_active(&authority, &token).await,
        "another caller has room"
    );
}

#[tokio::test]
async fn metadata_follow_from_the_issuer() {
    let authority = TestAuthority::with(|config| {
        config.tokens.issuer = "https://id.test/tenants/one".into();
    })
    .await;
    let answer = authority
        .http("/.well-known/oauth-authorization-server")
        .await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let answer = authority
        .http("/.well-known/oauth-authorization-server/tenants/one")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["issuer"], "https://id.test/tenants/one");
    assert_eq!(
        body["introspection_endpoint"],
        "https://id.test/tenants/one/oauth2/introspect"
    );
    assert_eq!(body["response_types_supported"], json!([]));
}
