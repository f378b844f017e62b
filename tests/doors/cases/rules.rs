//! What rules demand, beyond a live session.

use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use portcullis_contract::v1;
use portcullis_tests::{
    authority::ADMIN,
    door::Ability,
    visitor::{Answer, Visit},
    wait::eventually,
};
use serde_json::Value;

use crate::scene::{IDENTITY_AUDIENCE, IDENTITY_ISSUER, Scene};

pub async fn api_keys(scene: Scene) {
    let ada = scene.sign_in("ada").await.token;
    let key = api_key(&scene, &["orders:read", "reports:read"]).await;
    let bearer = |path: &str, token: &str| Visit::get(path).bearer(token);

    scene.refused(&bearer("/", &key), 401, "wrong_type").await;
    let programs = bearer("/programs/x", &ada);
    scene.refused(&programs, 401, "wrong_type").await;
    let echo = scene.admitted(&bearer("/programs/x", &key)).await;
    assert_eq!(echo.value("x-portcullis-user"), Some("first"));
    let scopes = echo.value("x-portcullis-scopes").expect("scopes");
    assert_eq!(scopes, "orders:read reports:read");
    let id = echo.value("x-portcullis-api-key").expect("the key");
    assert!(id.starts_with("key_"), "{id}");
    assert_eq!(present(echo.value("x-portcullis-session")), None);

    for token in [&ada, &key] {
        scene.admitted(&bearer("/either/x", token)).await;
    }
    let nothing = Visit::get("/programs/x");
    scene.refused(&nothing, 401, "missing").await;
}

pub async fn api_key_revoked(scene: Scene) {
    let (key, id) = new_api_key(&scene, &[]).await;
    let visit = Visit::get("/programs/x").bearer(&key);
    scene.admitted(&visit).await;
    let request = v1::RevokeApiKeyRequest {
        tenant_id: scene.tenant.clone(),
        api_key_id: id,
        reason: "a test".into(),
        ..Default::default()
    };
    let mut keys = scene.authority().api_keys(ADMIN);
    keys.revoke_api_key(request).await.expect("revoked");
    scene.refused_soon(&visit, 401, "revoked").await;
}

pub async fn scopes(scene: Scene) {
    let reader = api_key(&scene, &["reports:read"]).await;
    scene
        .admitted(&Visit::get("/reports/1").bearer(&reader))
        .await;
    for scopes in [&["orders:read"][..], &["reports"], &["reports:read2"], &[]] {
        let key = api_key(&scene, scopes).await;
        let visit = Visit::get("/reports/1").bearer(&key);
        let answer = scene.refused(&visit, 403, "scope").await;
        let challenge = challenge(&scene, &answer);
        assert!(
            challenge.contains(r#"error="insufficient_scope""#),
            "{challenge}"
        );
        assert!(challenge.contains(r#"scope="reports:read""#), "{challenge}");
    }
}

pub async fn acr(scene: Scene) {
    for (acr, admitted) in [
        ("gold", true),
        ("silver", false),
        ("GOLD", false),
        ("", false),
    ] {
        let session = scene
            .sign_in_as("ada", |request| request.acr = acr.into())
            .await;
        let visit = Visit::get("/gold/1").bearer(&session.token);
        if admitted {
            let echo = scene.admitted(&visit).await;
            assert_eq!(echo.value("x-portcullis-acr"), Some("gold"));
            continue;
        }
        let answer = scene.refused(&visit, 401, "acr").await;
        let challenge = challenge(&scene, &answer);
        for part in [
            r#"error="insufficient_user_authentication""#,
            r#"acr_values="gold""#,
        ] {
            assert!(challenge.contains(part), "{challenge}");
        }
    }
}

pub async fn amr(scene: Scene) {
    for (amr, admitted) in [(&["pwd", "otp"][..], true), (&["pwd"], false), (&[], false)] {
        let methods = amr.iter().map(|method| (*method).to_owned()).collect();
        let session = scene
            .sign_in_as("ada", |request| request.amr = methods)
            .await;
        let visit = Visit::get("/second-factor/1").bearer(&session.token);
        if admitted {
            let echo = scene.admitted(&visit).await;
            assert_eq!(echo.value("x-portcullis-amr"), Some("pwd otp"));
        } else {
            scene.refused(&visit, 401, "amr").await;
        }
    }
}

pub async fn age(scene: Scene) {
    let authenticated = |seconds_ago| {
        let ago = SystemTime::now() - Duration::from_secs(seconds_ago);
        move |request: &mut v1::CreateSessionRequest| request.auth_time = Some(ago.into())
    };
    let recent = scene.sign_in_as("ada", authenticated(60)).await;
    let old = scene.sign_in_as("ada", authenticated(4_000)).await;
    scene
        .admitted(&Visit::get("/recent/1").bearer(&recent.token))
        .await;
    let visit = Visit::get("/recent/1").bearer(&old.token);
    let answer = scene.refused(&visit, 401, "max_age").await;
    let challenge = challenge(&scene, &answer);
    for part in [
        r#"error="insufficient_user_authentication""#,
        r#"max_age="3600""#,
    ] {
        assert!(challenge.contains(part), "{challenge}");
    }
    scene.admitted(&Visit::get("/").bearer(&old.token)).await;
}

pub async fn tenant(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let visit = Visit::get("/other-tenant/1").bearer(&ada.token);
    scene.refused(&visit, 403, "tenant").await;
}

pub async fn methods(scene: Scene) {
    for method in ["GET", "HEAD"] {
        let marked = scene.settled(&Visit::new(method, "/read-only/1")).await;
        assert!(marked.reached, "{method}");
    }
    for method in ["POST", "DELETE", "get", "PROPFIND"] {
        let visit = Visit::new(method, "/read-only/1");
        let marked = scene.settled(&visit).await;
        assert!(!marked.reached, "{method} passed by a rule for GET");
    }
    let post = Visit::new("POST", "/read-only/1");
    scene.refused(&post, 401, "missing").await;
    // What a client writes about its method decides nothing.
    let post = post
        .header("x-forwarded-method", "GET")
        .header("x-original-method", "GET")
        .header("x-http-method-override", "GET")
        .header("x-envoy-original-method", "GET");
    scene.refused(&post, 401, "missing").await;
}

pub async fn public(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let echo = scene.admitted(&Visit::get("/public/logo.svg")).await;
    assert_eq!(echo.target, "/public/logo.svg");
    // What is not the gate's stays.
    let own = Visit::get("/public/logo.svg")
        .header("authorization", "Basic YTpi")
        .header("cookie", "a=b");
    let echo = scene.admitted(&own).await;
    assert_eq!(echo.value("authorization"), Some("Basic YTpi"));
    assert_eq!(echo.value("cookie"), Some("a=b"));
    // Nobody is asked, so nobody is named: also not the holder of a credential that happened to be there.
    for token in [ada.token.as_str(), "garbage"] {
        let visit = Visit::get("/public/logo.svg").bearer(token);
        let echo = scene.admitted(&visit).await;
        assert_eq!(present(echo.value("x-portcullis-user")), None);
    }
}

pub async fn redirects(scene: Scene) {
    let page = Visit::get("/pages/1?tab=2")
        .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .header("sec-fetch-mode", "navigate");
    let answer = redirect(&scene, &page).await;
    let location = answer.header("location").expect("a location");
    let expected = "/sign-in?return_to=/pages/1%3Ftab%3D2";
    assert!(location.ends_with(expected), "{location}");
    let dead = page.clone().bearer("garbage");
    redirect(&scene, &dead).await;

    let ada = scene.sign_in("ada").await;
    scene.admitted(&page.clone().bearer(&ada.token)).await;
    // Either sign that a script asks is enough.
    for (accept, mode) in [
        ("application/json", "navigate"),
        ("text/html", "cors"),
        ("text/html", "no-cors"),
    ] {
        let script = Visit::get("/pages/1")
            .header("accept", accept)
            .header("sec-fetch-mode", mode);
        scene.refused(&script, 401, "missing").await;
    }
    let stronger = Visit {
        target: "/gold-pages/1".into(),
        ..page.clone()
    };
    let answer = redirect(&scene, &stronger.bearer(&ada.token)).await;
    let location = answer.header("location").expect("a location");
    assert!(location.contains("acr_values=gold"), "{location}");
    let elsewhere = Visit::get("/")
        .header("accept", "text/html")
        .header("sec-fetch-mode", "navigate");
    scene.refused(&elsewhere, 401, "missing").await;
    let mut form = page.clone();
    form.method = "POST".into();
    scene.refused(&form, 401, "missing").await;
}

async fn redirect(scene: &Scene, visit: &Visit) -> Answer {
    let marked = scene.settled(visit).await;
    let answer = marked.answer.expect("an answer");
    assert_eq!(answer.status, 302, "{}", answer.text());
    assert!(!marked.reached, "it reached the upstream");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer
}

pub async fn preflights(scene: Scene) {
    let preflight = |target: &str, method: &str| {
        Visit::new("OPTIONS", target)
            .header("origin", "https://app.test")
            .header("access-control-request-method", method)
    };
    let echo = scene
        .admitted(&preflight("/cors/1", "DELETE").header("x-portcullis-user", "root"))
        .await;
    assert_eq!(echo.method, "OPTIONS");
    assert_eq!(present(echo.value("x-portcullis-user")), None);

    let no_preflight = Visit::new("OPTIONS", "/cors/1").header("origin", "https://app.test");
    scene.refused(&no_preflight, 401, "missing").await;
    let mut get = preflight("/cors/1", "DELETE");
    get.method = "GET".into();
    scene.refused(&get, 401, "missing").await;
    let elsewhere = preflight("/orders", "DELETE");
    scene.refused(&elsewhere, 401, "missing").await;
}

pub async fn credential_removed(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let cookies = format!("theme=dark; portcullis_session={}; lang=de", ada.token);
    let echo = scene
        .admitted(
            &Visit::get("/")
                .bearer(&ada.token)
                .header("cookie", &cookies),
        )
        .await;
    assert_eq!(present(echo.value("authorization")), None);
    let rest = echo.values("cookie").join("; ");
    assert!(
        !rest.contains(&ada.token) && !rest.contains("portcullis_session"),
        "{rest}"
    );
    assert!(
        rest.contains("theme=dark") && rest.contains("lang=de"),
        "{rest}"
    );

    // Braces are placeholders in a Caddyfile.
    let braces = format!("theme={{env.PATH}}; portcullis_session={}; a=b", ada.token);
    let echo = scene
        .admitted(&Visit::get("/").header("cookie", braces))
        .await;
    assert_eq!(echo.value("cookie"), Some("theme={env.PATH}; a=b"));
    let only = format!("portcullis_session={}", ada.token);
    let echo = scene
        .admitted(&Visit::get("/").header("cookie", only))
        .await;
    assert_eq!(present(echo.value("cookie")), None);

    let basic = Visit::get("/")
        .header("authorization", "Basic YTpi")
        .header("cookie", &cookies);
    let echo = scene.admitted(&basic).await;
    assert_eq!(echo.value("authorization"), Some("Basic YTpi"));

    let forwarded = Visit::get("/forwarded/1").bearer(&ada.token);
    let echo = scene.admitted(&forwarded).await;
    let bearer = format!("Bearer {}", ada.token);
    assert_eq!(echo.value("authorization"), Some(bearer.as_str()));
}

/// The signed identity, for an upstream that trusts nobody.
pub async fn signed_identity(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let echo = scene.admitted(&Visit::get("/").bearer(&ada.token)).await;
    let signed = echo.value("x-portcullis-identity").expect("an identity");
    let key = DecodingKey::from_ed_der(&scene.parts().identity_key.public);
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[IDENTITY_AUDIENCE]);
    validation.set_issuer(&[IDENTITY_ISSUER]);
    let claims = jsonwebtoken::decode::<Value>(signed, &key, &validation)
        .expect("a good signature")
        .claims;
    assert_eq!(claims["sub"], "ada");
    assert_eq!(claims["tenant"], *scene.tenant);
    assert_eq!(claims["sid"], *ada.id);
    let life = claims["exp"].as_u64().expect("exp") - claims["iat"].as_u64().expect("iat");
    assert!(life <= 60, "{life} s");

    // It is no credential, and nobody has one on a public route.
    let marked = scene.settled(&Visit::get("/").bearer(signed)).await;
    assert!(
        !marked.reached,
        "the signed identity was taken for a credential"
    );
    let public = scene
        .admitted(&Visit::get("/public/x").bearer(&ada.token))
        .await;
    assert_eq!(present(public.value("x-portcullis-identity")), None);
}

/// An admitted request is use of its session, from the address of its connection.
pub async fn activity(scene: Scene) {
    let ada = scene
        .sign_in_as("ada", |request| {
            request.client = Some(v1::Client {
                ip: "198.51.100.7".into(),
                ..Default::default()
            });
        })
        .await;
    let visit = Visit::get("/").bearer(&ada.token);
    let lies = [
        "x-forwarded-for",
        "x-real-ip",
        "true-client-ip",
        "x-envoy-external-address",
    ];
    let mut lying = visit.header("forwarded", "for=203.0.113.66");
    for name in lies {
        lying = lying.header(name, "203.0.113.66");
    }
    for _ in 0..3 {
        scene.admitted(&lying).await;
    }
    let session = eventually("the requests to be reported", async || {
        let session = scene.session(&ada).await;
        (session.actions >= 3).then_some(session)
    })
    .await;
    assert_eq!(session.last_ip, "127.0.0.1");
}

/// A header that is empty is as good as absent.
fn present(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.is_empty())
}

/// The challenge of a refusal; a door that cannot send it has one that says nothing wrong.
fn challenge(scene: &Scene, answer: &Answer) -> String {
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    if scene.abilities().refusal_headers == Ability::Yes {
        assert!(challenge.starts_with("Bearer"), "{challenge}");
    }
    challenge.to_owned()
}

async fn api_key(scene: &Scene, scopes: &[&str]) -> String {
    new_api_key(scene, scopes).await.0
}

/// The secret of a new API key, and its id.
pub async fn new_api_key(scene: &Scene, scopes: &[&str]) -> (String, String) {
    let request = v1::CreateApiKeyRequest {
        tenant_id: scene.tenant.clone(),
        owner_user_id: "first".into(),
        name: "a program".into(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..Default::default()
    };
    let mut keys = scene.authority().api_keys(ADMIN);
    let created = keys
        .create_api_key(request)
        .await
        .expect("a key")
        .into_inner();
    (created.secret, created.api_key.expect("a key").id)
}
