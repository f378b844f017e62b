//! Which credentials a door admits.

use portcullis_authority::keys::open_signer;
use portcullis_contract::{
    key::CredentialKind,
    token::{Claims, Expected, Signer, TokenClaims},
};
use portcullis_tests::{
    authority::{AUDIENCE, ISSUER, TestAuthority},
    visitor::Visit,
};

use crate::scene::{Scene, Session};

pub async fn live(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let echo = scene
        .admitted(&Visit::get("/orders?page=2").bearer(&ada.token))
        .await;
    assert_eq!(echo.method, "GET");
    assert_eq!(echo.target, "/orders?page=2");
}

pub async fn http2(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let visit = Visit::get("/orders").bearer(&ada.token);
    let admitted = scene.settled_http2(&visit).await;
    assert_eq!(admitted.answer.expect("an answer").status, 200);
    scene.revoke(&ada).await;
    scene.refused_soon(&visit, 401, "revoked").await;
    let marked = scene.settled_http2(&visit).await;
    scene.expect_refusal(marked, 401, "revoked");
    let marked = scene.settled_http2(&Visit::get("/orders")).await;
    scene.expect_refusal(marked, 401, "missing");
}

pub async fn http3(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let visit = Visit::get("/orders").bearer(&ada.token);
    let admitted = scene.settled_http3(&visit).await;
    let echo = admitted.answer.expect("an answer").echo();
    assert_eq!(echo.value("x-portcullis-user"), Some("ada"));
    assert_eq!(echo.value("authorization").unwrap_or_default(), "");
    scene.revoke(&ada).await;
    scene.refused_soon(&visit, 401, "revoked").await;
    let marked = scene.settled_http3(&visit).await;
    scene.expect_refusal(marked, 401, "revoked");
    let marked = scene.settled_http3(&Visit::get("/orders")).await;
    scene.expect_refusal(marked, 401, "missing");
    let marked = scene.settled_http3(&Visit::get("/public/x")).await;
    assert!(marked.reached, "{:?}", marked.answer);
}

pub async fn cookie(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let cookie = format!("theme=dark; portcullis_session={}", ada.token);
    scene
        .admitted(&Visit::get("/").header("cookie", cookie))
        .await;
    let other = format!("other={}", ada.token);
    let other = Visit::get("/").header("cookie", other);
    scene.refused(&other, 401, "missing").await;
}

pub async fn absent(scene: Scene) {
    let answer = scene.refused(&Visit::get("/"), 401, "missing").await;
    let challenges = answer.headers.get_all("www-authenticate").iter();
    assert_eq!(challenges.collect::<Vec<_>>(), ["Bearer"]);
}

pub async fn malformed(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let (message, _) = ada.token.rsplit_once('.').expect("a token");
    let cases = [
        ("garbage".to_owned(), "malformed"),
        ("a.b.c".to_owned(), "malformed"),
        (message.to_owned(), "malformed"),
        (format!("{}.{}", ada.token, ada.token), "bad_signature"),
        (format!("{message}.{:086}", 0), "bad_signature"),
    ];
    for (token, reason) in cases {
        let answer = scene
            .refused(&Visit::get("/").bearer(&token), 401, reason)
            .await;
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert!(
            challenge.starts_with(r#"Bearer error="invalid_token""#),
            "{challenge}"
        );
    }
}

pub async fn foreign(scene: Scene) {
    let other = TestAuthority::sqlite().await;
    let theirs = other.sign_in("ada").await.access_token;
    let visit = Visit::get("/").bearer(&theirs);
    scene.refused(&visit, 401, "unknown_key").await;

    let elsewhere = scene
        .sign_in_as("ada", |request| {
            request.audiences = vec!["elsewhere".into()];
        })
        .await;
    let visit = Visit::get("/").bearer(&elsewhere.token);
    scene.refused(&visit, 401, "wrong_audience").await;
}

pub async fn expired(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let token = resign(&scene, &ada, |claims| {
        claims.issued_at -= 3_600;
        claims.auth_time -= 3_600;
        claims.expires_at = claims.issued_at + 900;
    })
    .await;
    let visit = Visit::get("/").bearer(&token);
    scene.refused(&visit, 401, "expired").await;
}

pub async fn not_yet_valid(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let token = resign(&scene, &ada, |claims| {
        claims.issued_at += 3_600;
        claims.expires_at += 7_200;
    })
    .await;
    let visit = Visit::get("/").bearer(&token);
    scene.refused(&visit, 401, "not_yet_valid").await;
}

pub async fn two(scene: Scene) {
    let ada = scene.sign_in("ada").await.token;
    let bob = scene.sign_in("bob").await.token;
    let twice = Visit::get("/").bearer(&ada).bearer(&ada);
    // A gateway may refuse a repeated header by itself, and must not choose one.
    let marked = scene.settled(&twice).await;
    let status = marked.answer.expect("an answer").status.as_u16();
    assert!([200, 400, 401].contains(&status), "{status}");

    let both = Visit::get("/").bearer(&ada).bearer(&bob);
    let marked = scene.settled(&both).await;
    let status = marked.answer.expect("an answer").status.as_u16();
    assert!([400, 401].contains(&status) && !marked.reached, "{status}");
    let cookies = format!("portcullis_session={ada}; portcullis_session={bob}");
    let cookies = Visit::get("/").header("cookie", cookies);
    scene.refused(&cookies, 401, "malformed").await;
}

/// The session's token with other claims, signed by the authority's own key.
pub async fn resign(scene: &Scene, session: &Session, change: impl FnOnce(&mut Claims)) -> String {
    let parts = scene.parts();
    let (keys, now) = parts.store.keys().await.expect("keys");
    let key = portcullis_authority::domain::current_key(&keys, CredentialKind::Session, now);
    let signer: Signer = open_signer(&parts.master_key, key.expect("a key")).expect("a signer");
    let mut claims = claims(&session.token);
    change(&mut claims);
    signer.sign(ISSUER, &claims).expect("signed")
}

fn claims(token: &str) -> Claims {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let json = token.split('.').nth(1).expect("a token");
    let json = URL_SAFE_NO_PAD.decode(json).expect("base64");
    let expected = Expected {
        issuer: ISSUER.into(),
        audience: Some(AUDIENCE.into()),
    };
    Claims::from_json(&json, &expected).expect("claims")
}
