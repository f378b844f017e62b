//! The signed identity, as an upstream reads it.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use portcullis_contract::{
    id::{ApiKeyId, SessionId},
    key::{Algorithm, PrivateKey},
};
use portcullis_gate::{Access, Gate, PrivateKeyText, Rule, Rules, SignedIdentity};
use serde_json::{Value, json};

use crate::world::{World, get, unix_seconds};

pub fn settings() -> SignedIdentity {
    let key = PrivateKey::generate(Algorithm::Ed25519).to_pkcs8();
    SignedIdentity {
        key: PrivateKeyText(format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(&*key)
        )),
        key_id: "gate-1".into(),
        issuer: "https://gate".into(),
        audience: "orders".into(),
        lifetime: Duration::from_secs(30),
    }
}

fn gate(world: &World) -> Gate {
    world.gate(&Rules {
        signed_identity: Some(settings()),
        rules: vec![
            Rule::new("/public", Access::Public),
            Rule {
                identity_audience: Some("billing".into()),
                ..Rule::new("/billing", Access::Either)
            },
            Rule::new("/{*rest}", Access::Either),
        ],
        ..Rules::default()
    })
}

/// Reads the identity as an upstream does that knows the gate's key set.
fn read(gate: &Gate, path: &str, token: &str, audience: &str) -> Result<Value, String> {
    let headers = get(path).bearer(token).upstream_headers(gate);
    let signed = headers["x-portcullis-identity"].to_str().expect("ASCII");
    let header = decode_header(signed).expect("a header");
    assert_eq!(header.typ.as_deref(), Some("portcullis-identity+jwt"));
    assert_eq!(header.kid.as_deref(), Some("gate-1"));
    let keys = gate.identity_keys().expect("keys");
    let keys: JwkSet = serde_json::from_str(&keys).expect("a JWK Set");
    let key = DecodingKey::from_jwk(keys.find("gate-1").expect("the key")).expect("a key");
    let mut validation = Validation::new(jsonwebtoken::Algorithm::EdDSA);
    validation.set_audience(&[audience]);
    validation.set_issuer(&["https://gate"]);
    validation.leeway = 0;
    match decode::<Value>(signed, &key, &validation) {
        Ok(decoded) => Ok(decoded.claims),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn an_upstream_verifies_who_calls() {
    let world = World::new();
    let gate = gate(&world);
    let before = unix_seconds();
    let token = world.token(|claims| claims.auth_time = before - 50);
    let claims = read(&gate, "/x", &token, "orders").expect("good");
    let issued = claims["iat"].as_u64().expect("a time");
    assert!((before..=unix_seconds() + 1).contains(&issued));
    let session = SessionId::from_bytes([7; 16]).to_string();
    assert_eq!(
        claims,
        json!({
            "iss": "https://gate", "aud": "orders", "sub": "ada", "tenant": "acme", "sid": session,
            "iat": issued, "exp": issued + 30, "auth_time": before - 50, "acr": "low", "amr": ["pwd"],
        })
    );

    let key = world.api_key(|_| {});
    let claims = read(&gate, "/x", &key, "orders").expect("good");
    let issued = claims["iat"].as_u64().expect("a time");
    let id = ApiKeyId::from_bytes([8; 16]).to_string();
    assert_eq!(
        claims,
        json!({
            "iss": "https://gate", "aud": "orders", "sub": "ada", "tenant": "acme", "api_key": id,
            "iat": issued, "exp": issued + 30, "scope": "orders:read orders:write",
        })
    );
}

#[test]
fn it_is_for_one_audience_and_outlives_nothing() {
    let world = World::new();
    let gate = gate(&world);
    let token = world.token(|_| {});
    assert!(read(&gate, "/x", &token, "billing").is_err());
    assert!(read(&gate, "/billing", &token, "orders").is_err());
    assert!(read(&gate, "/billing", &token, "billing").is_ok());

    let short = world.token(|claims| claims.expires_at = unix_seconds() + 10);
    let claims = read(&gate, "/x", &short, "orders").expect("good");
    assert!(claims["exp"].as_u64() <= Some(unix_seconds() + 10));
    let public = get("/public").bearer(&token).upstream_headers(&gate);
    assert!(!public.contains_key("x-portcullis-identity"));
}

#[test]
fn a_gate_takes_no_signed_identity_for_a_credential() {
    let world = World::new();
    let gate = gate(&world);
    let token = world.token(|_| {});
    let headers = get("/x").bearer(&token).upstream_headers(&gate);
    let signed = headers["x-portcullis-identity"].to_str().expect("ASCII");
    assert_eq!(get("/x").bearer(signed).verdict(&gate), "wrong_type");
}
