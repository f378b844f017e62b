//! Signing keys: rotation without one false rejection, retirement through the log, the JWKS document.

use std::time::Duration;

use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use portcullis_contract::{key::Algorithm, v1};
use portcullis_tests::{
    authority::{AUDIENCE, ISSUER, OPERATOR, TestAuthority, ready, reason},
    gate::{refused, verdict},
    postgres,
    wait::eventually,
};
use portcullis_validator::Rejection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn quick(url: Option<&str>) -> TestAuthority {
    TestAuthority::with(|config| {
        config.watch.staleness_max = Duration::from_secs(1);
        config.keys.activation_delay = Duration::from_secs(1);
        if let Some(url) = url {
            config.store.url = url.to_owned();
        }
    })
    .await
}

async fn keys(authority: &TestAuthority) -> Vec<v1::SigningKey> {
    let listed = authority
        .keys(OPERATOR)
        .list_signing_keys(v1::ListSigningKeysRequest {})
        .await;
    listed.expect("listed").into_inner().keys
}

async fn rotate(authority: &TestAuthority) -> v1::SigningKey {
    let request = v1::RotateSigningKeyRequest {
        reason: "monthly".into(),
        ..Default::default()
    };
    let rotated = authority
        .keys(OPERATOR)
        .rotate_signing_key(request)
        .await
        .expect("rotated");
    rotated.into_inner().key.expect("a key")
}

async fn retire(authority: &TestAuthority, id: &str) -> Result<v1::SigningKey, tonic::Status> {
    let request = v1::RetireSigningKeyRequest {
        key_id: id.into(),
        reason: "stolen".into(),
        ..Default::default()
    };
    let retired = authority.keys(OPERATOR).retire_signing_key(request).await?;
    Ok(retired.into_inner().key.expect("a key"))
}

fn kid(token: &str) -> String {
    header(token, "kid")
}

fn header(token: &str, member: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let header = URL_SAFE_NO_PAD
        .decode(token.split('.').next().expect("a header"))
        .expect("base64");
    let header: serde_json::Value = serde_json::from_slice(&header).expect("JSON");
    header[member].as_str().expect("text").to_owned()
}

#[tokio::test]
async fn a_rotation_rejects_nothing_and_a_retirement_rejects_all_of_its_key() {
    let url = postgres::fresh_url().await;
    let one = quick(Some(&url)).await;
    let other = one.replica().await;
    let staleness = Duration::from_secs(1);
    let gates = [
        ready(one.gate().max_staleness(staleness)).await,
        ready(other.gate().max_staleness(staleness)).await,
    ];
    let before = one.sign_in("ada").await;
    let old = kid(&before.access_token);
    let pending = rotate(&one).await;
    assert_eq!(pending.state(), v1::SigningKeyState::Pending);

    // Sign in at both authorities until both sign with the new key; no gate may refuse one of the tokens.
    let mut signed_by_new = 0;
    while signed_by_new < 4 {
        for authority in [&one, &other] {
            let token = authority.sign_in("ada").await.access_token;
            signed_by_new += usize::from(kid(&token) == pending.id);
            for gate in &gates {
                assert_eq!(verdict(gate, &token).await, None, "a false rejection");
            }
        }
    }
    for gate in &gates {
        let old_key = verdict(gate, &before.access_token).await;
        assert_eq!(old_key, None, "the old key is trusted still");
    }

    let retired = retire(&other, &old).await.expect("retired");
    assert_eq!(retired.state(), v1::SigningKeyState::Retired);
    for gate in &gates {
        assert_eq!(
            refused(gate, &before.access_token).await,
            Rejection::DistrustedKey
        );
        let after = one.sign_in("ada").await.access_token;
        assert_eq!(verdict(gate, &after).await, None);
    }
}

#[tokio::test]
async fn the_key_that_signs_and_keys_that_are_not_there_cannot_be_retired() {
    let authority = quick(None).await;
    let signing = keys(&authority).await.remove(0);
    assert_eq!(
        (signing.state(), signing.algorithm.as_str()),
        (v1::SigningKeyState::Signing, "EdDSA")
    );
    assert_eq!(
        reason(&retire(&authority, &signing.id).await.expect_err("in use")),
        "KEY_IN_USE"
    );
    assert_eq!(
        reason(&retire(&authority, "nobody").await.expect_err("unknown")),
        "KEY_NOT_FOUND"
    );
    assert_eq!(
        reason(&retire(&authority, "../etc").await.expect_err("malformed")),
        "INVALID_FIELD"
    );
    let pending = rotate(&authority).await;
    assert_eq!(
        reason(
            &retire(&authority, &signing.id)
                .await
                .expect_err("in use still")
        ),
        "KEY_IN_USE"
    );
    eventually("the new key to sign", async || {
        let keys = keys(&authority).await;
        keys.iter()
            .any(|key| key.id == pending.id && key.state() == v1::SigningKeyState::Signing)
            .then_some(())
    })
    .await;
    retire(&authority, &signing.id).await.expect("retired");
    retire(&authority, &signing.id)
        .await
        .expect("retired already: nothing changes");
}

/// Rotations through all algorithms, each by a changed setting and a restart; nobody is signed out by any of them.
#[tokio::test]
async fn the_algorithm_changes_by_configuration_and_rotation() {
    let mut authority = quick(None).await;
    let gate = ready(authority.gate().max_staleness(Duration::from_secs(1))).await;
    let mut tokens = vec![authority.sign_in("ada").await.access_token];
    for algorithm in [Algorithm::Es256, Algorithm::Rs256, Algorithm::Ed25519] {
        authority.stop().await;
        authority.config.keys.algorithm = algorithm;
        authority.start().await;
        let signing = header(tokens.last().expect("one before"), "alg");
        let unchanged = authority.sign_in("ada").await.access_token;
        assert_eq!(
            header(&unchanged, "alg"),
            signing,
            "a key keeps its algorithm"
        );
        let rotated = rotate(&authority).await;
        assert_eq!(rotated.algorithm, algorithm.jose_name());
        let token = eventually("the new key to sign", async || {
            let token = authority.sign_in("ada").await.access_token;
            (kid(&token) == rotated.id).then_some(token)
        });
        tokens.push(token.await);
    }
    let names: Vec<_> = tokens.iter().map(|token| header(token, "alg")).collect();
    assert_eq!(names, ["EdDSA", "ES256", "RS256", "EdDSA"]);

    let document = jwks(&authority).await;
    for token in &tokens {
        eventually("the gate is ready again", async || gate.check(token).ok()).await;
        assert_eq!(read_by_others(&document, token)["sub"], "ada");
    }
    retire(&authority, &kid(&tokens[1])).await.expect("retired");
    assert_eq!(refused(&gate, &tokens[1]).await, Rejection::DistrustedKey);
    for other in [&tokens[0], &tokens[2]] {
        let verdict = verdict(&gate, other).await;
        assert_eq!(verdict, None, "the others are trusted still");
    }
}

/// The claims of a token, as a service reads them that knows the JWKS document only.
fn read_by_others(document: &JwkSet, token: &str) -> serde_json::Value {
    let jwk = document
        .find(&kid(token))
        .expect("the key is in the document");
    let algorithm = header(token, "alg").parse().expect("it is known to all");
    assert_eq!(
        serde_json::to_value(jwk).expect("JSON")["alg"],
        header(token, "alg")
    );
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    let key = DecodingKey::from_jwk(jwk).expect("a key");
    jsonwebtoken::decode(token, &key, &validation)
        .expect("a good token")
        .claims
}

async fn jwks(authority: &TestAuthority) -> JwkSet {
    serde_json::from_value(jwks_document(authority).await).expect("a JWK set")
}

async fn jwks_document(authority: &TestAuthority) -> serde_json::Value {
    let mut stream = tokio::net::TcpStream::connect(authority.config.server.http_listen)
        .await
        .expect("connects");
    let request = b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    let mut response = String::new();
    stream
        .read_to_string(&mut response)
        .await
        .expect("received");
    let (head, body) = response.split_once("\r\n\r\n").expect("a response");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    serde_json::from_str(body).expect("JSON")
}

#[tokio::test]
async fn the_jwks_document_holds_the_trusted_keys_and_no_private_part() {
    let members = [
        (
            Algorithm::Ed25519,
            "OKP",
            &["alg", "crv", "kid", "kty", "use", "x"][..],
        ),
        (
            Algorithm::Es256,
            "EC",
            &["alg", "crv", "kid", "kty", "use", "x", "y"],
        ),
        (
            Algorithm::Rs256,
            "RSA",
            &["alg", "e", "kid", "kty", "n", "use"],
        ),
    ];
    for (algorithm, kind, members) in members {
        let authority = TestAuthority::with(|config| config.keys.algorithm = algorithm).await;
        let document = jwks_document(&authority).await;
        let key = document["keys"][0].as_object().expect("a first key");
        let mut found: Vec<_> = key.keys().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!(found, members);
        assert_eq!(
            (key["kty"].as_str(), key["alg"].as_str()),
            (Some(kind), Some(algorithm.jose_name()))
        );
        assert_eq!(
            key["kid"].as_str(),
            Some(kid(&authority.sign_in("ada").await.access_token).as_str())
        );
    }
}
