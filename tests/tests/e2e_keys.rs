//! Signing keys: rotation without one false rejection, retirement through the log, the JWKS document.

use std::time::Duration;

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{OPERATOR, TestAuthority, ready, reason},
    gate::refused,
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
    let listed = authority.keys(OPERATOR).list_signing_keys(v1::ListSigningKeysRequest {}).await;
    listed.expect("listed").into_inner().keys
}

async fn rotate(authority: &TestAuthority) -> v1::SigningKey {
    let request = v1::RotateSigningKeyRequest { reason: "monthly".into() };
    let rotated = authority.keys(OPERATOR).rotate_signing_key(request).await.expect("rotated");
    rotated.into_inner().key.expect("a key")
}

async fn retire(authority: &TestAuthority, id: &str) -> Result<v1::SigningKey, tonic::Status> {
    let request = v1::RetireSigningKeyRequest { key_id: id.into(), reason: "stolen".into() };
    let retired = authority.keys(OPERATOR).retire_signing_key(request).await?;
    Ok(retired.into_inner().key.expect("a key"))
}

fn kid(token: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().expect("a header")).expect("base64");
    let header: serde_json::Value = serde_json::from_slice(&header).expect("JSON");
    header["kid"].as_str().expect("a kid").to_owned()
}

#[tokio::test]
async fn a_rotation_rejects_nothing_and_a_retirement_rejects_all_of_its_key() {
    let url = postgres::fresh_url().await;
    let one = quick(Some(&url)).await;
    let other = one.replica().await;
    let staleness = Duration::from_secs(1);
    let gates = [ready(one.gate().max_staleness(staleness)).await, ready(other.gate().max_staleness(staleness)).await];
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
                gate.check(&token).unwrap_or_else(|rejection| panic!("a false rejection: {rejection}"));
            }
        }
    }
    assert!(gates.iter().all(|gate| gate.check(&before.access_token).is_ok()), "the old key is trusted still");

    let retired = retire(&other, &old).await.expect("retired");
    assert_eq!(retired.state(), v1::SigningKeyState::Retired);
    for gate in &gates {
        assert_eq!(refused(gate, &before.access_token).await, Rejection::DistrustedKey);
        assert!(gate.check(&one.sign_in("ada").await.access_token).is_ok());
    }
}

#[tokio::test]
async fn the_key_that_signs_and_keys_that_are_not_there_cannot_be_retired() {
    let authority = quick(None).await;
    let signing = keys(&authority).await.remove(0);
    assert_eq!((signing.state(), signing.algorithm.as_str()), (v1::SigningKeyState::Signing, "EdDSA"));
    assert_eq!(reason(&retire(&authority, &signing.id).await.expect_err("in use")), "KEY_IN_USE");
    assert_eq!(reason(&retire(&authority, "nobody").await.expect_err("unknown")), "KEY_NOT_FOUND");
    assert_eq!(reason(&retire(&authority, "../etc").await.expect_err("malformed")), "INVALID_FIELD");
    let pending = rotate(&authority).await;
    assert_eq!(reason(&retire(&authority, &signing.id).await.expect_err("in use still")), "KEY_IN_USE");
    eventually("the new key to sign", async || {
        let keys = keys(&authority).await;
        keys.iter().any(|key| key.id == pending.id && key.state() == v1::SigningKeyState::Signing).then_some(())
    })
    .await;
    retire(&authority, &signing.id).await.expect("retired");
    retire(&authority, &signing.id).await.expect("retired already: nothing changes");
}

#[tokio::test]
async fn the_jwks_document_holds_the_trusted_keys_and_no_private_part() {
    let authority = quick(None).await;
    let mut stream = tokio::net::TcpStream::connect(authority.config.server.http_listen).await.expect("connects");
    let request = b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("received");
    let (head, body) = response.split_once("\r\n\r\n").expect("a response");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let document: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let key = &document["keys"][0];
    assert_eq!((key["kty"].as_str(), key["crv"].as_str()), (Some("OKP"), Some("Ed25519")));
    assert_eq!(key["kid"].as_str(), Some(kid(&authority.sign_in("ada").await.access_token).as_str()));
    assert!(key["x"].as_str().is_some_and(|x| x.len() == 43) && key.get("d").is_none());
}
