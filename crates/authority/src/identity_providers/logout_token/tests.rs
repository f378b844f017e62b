//! One logout token that is good, and one for each check that fails it.

use std::io::Write;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, encode, jwk::Jwk};
use serde_json::json;
use tempfile::NamedTempFile;

use portcullis_contract::id::TenantId;

use super::*;
use crate::config::IdentityProviderConfig;

const ISSUER: &str = "https://idp.test";
const CLIENT: &str = "portcullis";
/// The time of every verification, in seconds since 1970.
const NOW: u64 = 2_000_000_000;

/// A provider with one key, and another key that nobody trusts.
struct World {
    providers: IdentityProviders,
    key: EncodingKey,
    foreign: EncodingKey,
    _jwks: NamedTempFile,
}

fn new_key() -> EncodingKey {
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    EncodingKey::from_ec_der(pkcs8.expect("a key").as_ref())
}

fn jwk(key: &EncodingKey, id: &str) -> Jwk {
    let mut jwk = Jwk::from_encoding_key(key, Algorithm::ES256).expect("a key");
    jwk.common.key_id = Some(id.into());
    jwk
}

impl World {
    fn new(change: impl FnOnce(&mut IdentityProviderConfig)) -> Self {
        let key = new_key();
        let mut jwks = NamedTempFile::new().expect("a file");
        let set = json!({ "keys": [jwk(&key, "k1")] });
        jwks.write_all(set.to_string().as_bytes()).expect("written");
        let mut config: IdentityProviderConfig = serde_json::from_value(json!({
            "issuer": ISSUER,
            "client_id": CLIENT,
            "tenant": "acme",
            "jwks_file": jwks.path(),
        }))
        .expect("a provider");
        change(&mut config);
        Self {
            providers: IdentityProviders::open(&[config]).expect("opens"),
            key,
            foreign: new_key(),
            _jwks: jwks,
        }
    }

    async fn verify(&self, header: &Header, claims: &Value) -> Result<LogoutToken, LogoutRefusal> {
        self.verify_text(&encode(header, claims, &self.key).expect("signs"))
            .await
    }

    async fn verify_text(&self, token: &str) -> Result<LogoutToken, LogoutRefusal> {
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        verify(&self.providers, token, now).await
    }
}

fn header() -> Header {
    Header {
        typ: Some("logout+jwt".into()),
        kid: Some("k1".into()),
        ..Header::new(Algorithm::ES256)
    }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": CLIENT,
        "iat": NOW,
        "exp": NOW + 120,
        "jti": "j1",
        "sid": "s1",
        "sub": "u1",
        "events": { EVENT: {} },
    })
}

/// The claims with one of them replaced, or removed by null.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    let members = claims.as_object_mut().expect("an object");
    match value {
        Value::Null => members.remove(name),
        value => members.insert(name.to_owned(), value),
    };
    claims
}

#[tokio::test]
async fn a_good_token_names_the_session_the_subject_and_the_tenant() {
    let world = World::new(|_| {});
    let token = world.verify(&header(), &claims()).await.expect("good");
    let named = &token.logout.named;
    assert_eq!(
        (named.session_id.as_str(), named.subject.as_str()),
        ("s1", "u1")
    );
    assert_eq!(named.issuer, ISSUER);
    let tenant = token.logout.tenant.as_ref().map(TenantId::as_str);
    assert_eq!(tenant, Some("acme"));
    // Remembered until it is too old by every clock.
    assert!(token.keep > AGE_MAX + 2 * SKEW_MAX);

    for good in [
        with("sid", Value::Null),
        with("sub", Value::Null),
        with("aud", json!(["other", CLIENT])),
        with("iat", json!(NOW as f64 + 0.5)),
        with("iat", json!(NOW + 59)),
        with("iat", json!(NOW - 600)),
        with("exp", json!(NOW - 59)),
        with("nbf", json!(NOW)),
        with("jti", json!("j2")),
        with("unknown", json!(1)),
    ] {
        world.verify(&header(), &good).await.expect("good");
    }
    let other = world.verify(&header(), &with("jti", json!("j2"))).await;
    assert_ne!(other.expect("good").digest, token.digest);
}

#[tokio::test]
async fn each_check_of_a_claim_refuses() {
    let world = World::new(|_| {});
    let long = json!("x".repeat(257));
    let cases = [
        (with("iss", Value::Null), "iss: required"),
        (
            with("iss", json!("https://idp.test/")),
            "iss: must be a configured identity provider",
        ),
        (with("aud", Value::Null), "aud: required"),
        (
            with("aud", json!("other")),
            "aud: must name a configured client",
        ),
        (with("aud", json!([])), "aud: must name a configured client"),
        (
            with("aud", json!([1])),
            "aud: must be a text or a list of texts",
        ),
        (with("iat", Value::Null), "iat: required"),
        (with("iat", json!("now")), "iat: required"),
        (
            with("iat", json!(NOW + 61)),
            "iat: must not be in the future",
        ),
        (
            with("iat", json!(NOW - 661)),
            "iat: must be of the last ten minutes",
        ),
        (with("exp", Value::Null), "exp: required"),
        (with("exp", json!(NOW - 60)), "exp: must not have passed"),
        (with("exp", json!(-1)), "exp: required"),
        (
            with("nbf", json!(NOW + 61)),
            "nbf: must not be in the future",
        ),
        (with("nbf", json!("x")), "nbf: must be a time"),
        (with("nonce", json!("n")), "nonce: must be unset"),
        (with("nonce", json!("")), "nonce: must be unset"),
        (
            with("events", Value::Null),
            "events: must have the event of a back-channel logout",
        ),
        (
            with("events", json!({})),
            "events: must have the event of a back-channel logout",
        ),
        (
            with("events", json!({ EVENT: true })),
            "events: must have the event of a back-channel logout",
        ),
        (
            with("events", json!([EVENT])),
            "events: must have the event of a back-channel logout",
        ),
        (with("jti", Value::Null), "jti: required"),
        (with("jti", json!("")), "jti: must be 1 to 256 bytes"),
        (with("jti", long.clone()), "jti: must be 1 to 256 bytes"),
        (with("sid", json!(7)), "sid: must be 1 to 256 bytes"),
        (with("sid", long.clone()), "sid: must be 1 to 256 bytes"),
        (with("sub", json!("")), "sub: must be 1 to 256 bytes"),
        (with("sub", long), "sub: must be 1 to 256 bytes"),
    ];
    for (claims, problem) in cases {
        let refusal = world.verify(&header(), &claims).await.expect_err(problem);
        assert_eq!(refusal, Invalid(problem), "{claims}");
    }
    let mut nobody = with("sid", Value::Null);
    nobody.as_object_mut().expect("an object").remove("sub");
    let refusal = world.verify(&header(), &nobody).await.expect_err("nobody");
    assert_eq!(refusal, Invalid("sid: required unless sub is set"));
}

#[tokio::test]
async fn each_check_of_the_header_and_the_signature_refuses() {
    let world = World::new(|_| {});
    type Change = fn(&mut Header);
    let cases: [(Change, &str); 6] = [
        (|header| header.typ = None, "typ: must be logout+jwt"),
        (
            |header| header.typ = Some("JWT".into()),
            "typ: must be logout+jwt",
        ),
        (
            |header| header.typ = Some("at+jwt".into()),
            "typ: must be logout+jwt",
        ),
        (
            |header| header.crit = Some(vec!["b64".into()]),
            "crit: must be unset",
        ),
        (
            |header| header.kid = Some("k2".into()),
            "kid: must be a key of the identity provider",
        ),
        (
            |header| header.kid = Some(String::new()),
            "kid: must be a key of the identity provider",
        ),
    ];
    for (change, problem) in cases {
        let mut changed = header();
        change(&mut changed);
        let refusal = world.verify(&changed, &claims()).await.expect_err(problem);
        assert_eq!(refusal, Invalid(problem));
    }

    let forged = encode(&header(), &claims(), &world.foreign).expect("signs");
    let refusal = world.verify_text(&forged).await.expect_err("forged");
    assert_eq!(refusal, Invalid("the signature does not match"));

    let good = encode(&header(), &claims(), &world.key).expect("signs");
    let (signed, signature) = good.rsplit_once('.').expect("three parts");
    let (head, _) = signed.split_once('.').expect("three parts");
    let others = URL_SAFE_NO_PAD.encode(with("sub", json!("u2")).to_string());
    let swapped = format!("{head}.{others}.{signature}");
    let refusal = world.verify_text(&swapped).await.expect_err("other claims");
    assert_eq!(refusal, Invalid("the signature does not match"));
}

#[tokio::test]
async fn no_other_algorithm_passes() {
    let world = World::new(|provider| provider.algorithms = vec![LogoutAlgorithm::RS256]);
    let refusal = world.verify(&header(), &claims()).await.expect_err("ES256");
    assert_eq!(
        refusal,
        Invalid("alg: must be an algorithm of the identity provider")
    );

    // The public key as a shared secret: everybody has it.
    let world = World::new(|_| {});
    let public = serde_json::to_vec(&jwk(&world.key, "k1")).expect("JSON");
    let confused = Header {
        alg: Algorithm::HS256,
        ..header()
    };
    let token = encode(&confused, &claims(), &EncodingKey::from_secret(&public)).expect("signs");
    let refusal = world.verify_text(&token).await.expect_err("HS256");
    assert_eq!(
        refusal,
        Invalid("alg: must be an algorithm of the identity provider")
    );

    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = json!({ "alg": "none", "typ": "logout+jwt" });
    for unsigned in [
        format!("{}.{}.", part(&none), part(&claims())),
        format!("{}.{}", part(&none), part(&claims())),
        "x".repeat(TOKEN_BYTES_MAX),
        String::new(),
    ] {
        let refusal = world.verify_text(&unsigned).await.expect_err("unsigned");
        assert_eq!(refusal, Invalid("the token is malformed"));
    }
    let refusal = world.verify_text(&"x".repeat(TOKEN_BYTES_MAX + 1)).await;
    assert_eq!(refusal.expect_err("long"), Invalid("the token is too long"));
}

#[tokio::test]
async fn a_provider_may_be_trusted_without_a_type_but_not_with_another_one() {
    let world = World::new(|provider| provider.require_type = false);
    for kind in [None, Some("JWT"), Some("jwt"), Some("logout+jwt")] {
        let header = Header {
            typ: kind.map(str::to_owned),
            ..header()
        };
        world.verify(&header, &claims()).await.expect("good");
    }
    for kind in ["at+jwt", "id_token+jwt", ""] {
        let header = Header {
            typ: Some(kind.into()),
            ..header()
        };
        let refusal = world.verify(&header, &claims()).await.expect_err(kind);
        assert_eq!(refusal, Invalid("typ: must be logout+jwt"));
    }
}

#[tokio::test]
async fn without_a_key_id_there_must_be_no_choice() {
    let world = World::new(|_| {});
    let nameless = Header {
        kid: None,
        ..header()
    };
    world
        .verify(&nameless, &claims())
        .await
        .expect("the only key");

    let mut two = NamedTempFile::new().expect("a file");
    let set = json!({ "keys": [jwk(&world.key, "k1"), jwk(&world.foreign, "k2")] });
    two.write_all(set.to_string().as_bytes()).expect("written");
    let path = two.path().to_owned();
    let choice = World::new(|provider| provider.jwks_file = Some(path));
    let token = encode(&nameless, &claims(), &world.key).expect("signs");
    let refusal = choice.verify_text(&token).await.expect_err("a choice");
    assert_eq!(
        refusal,
        Invalid("kid: must be a key of the identity provider")
    );
    let named = encode(&header(), &claims(), &world.key).expect("signs");
    choice.verify_text(&named).await.expect("named");
}

#[tokio::test]
async fn without_providers_no_token_is_good() {
    let world = World::new(|_| {});
    let nobody = IdentityProviders::open(&[]).expect("opens");
    let token = encode(&header(), &claims(), &world.key).expect("signs");
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    let refusal = verify(&nobody, &token, now).await.expect_err("nobody");
    assert_eq!(
        refusal,
        Invalid("iss: must be a configured identity provider")
    );
}
