//! Hostile tokens against the parser.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use proptest::prelude::*;

use super::*;
use crate::{
    delta::{self, Change},
    position::Incarnation,
    view::Frame,
};

struct Fixture {
    view: View,
    signer: Signer,
    encoding: EncodingKey,
    public: Vec<u8>,
}

fn fixture() -> Fixture {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).expect("randomness");
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("our own document");
    let public = pair.public_key().as_ref().to_vec();
    let key =
        |id: &str, kind| VerificationKey::ed25519(KeyId::parse(id).expect("an id"), &public, kind).expect("a good key");
    let changes =
        [Change::Trust(key("k1", CredentialKind::Session)), Change::Trust(key("api", CredentialKind::ApiKey))];
    let frame = Frame { revision: Revision(1), delta: delta::encode(&changes, vec![]), audit_digest: [0; 32] };
    let view = View::empty(Incarnation([1; 16])).apply(&frame).expect("applies");
    let signer = Signer::ed25519(KeyId::parse("k1").expect("an id"), pkcs8.as_ref());
    Fixture { view, signer, encoding: EncodingKey::from_ed_der(pkcs8.as_ref()), public }
}

fn claims() -> Claims {
    Claims {
        tenant_id: TenantId::parse("acme").expect("an id"),
        user_id: UserId::parse("ada").expect("an id"),
        session_id: SessionId::generate(),
        subject: Subject { serial: Serial(1), user: UserSerial(2), tenant: TenantSerial(3), opened: Revision(4) },
        token_id: "t".into(),
        audiences: vec!["gate".into()],
        issued_at: 1_000,
        expires_at: 2_000,
        auth_time: 900,
        amr: vec!["pwd".into()],
        acr: String::new(),
    }
}

fn expected() -> Expected {
    Expected { issuer: "https://issuer".into(), audience: Some("gate".into()) }
}

impl Fixture {
    fn good(&self) -> String {
        self.signer.sign("https://issuer", &claims()).expect("signs")
    }

    /// Signs any header and claims with the trusted private key.
    fn signed(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.encoding, jsonwebtoken::Algorithm::EdDSA);
        format!("{message}.{}", signature.expect("signs"))
    }

    fn claims(&self) -> String {
        serde_json::to_string(&WireClaims::new("https://issuer", &claims())).expect("serializes")
    }

    fn verify(&self, token: &str) -> Result<Identity, Rejection> {
        verify(token, &self.view, &expected())
    }
}

const HEADER: &str = r#"{"typ":"at+jwt","alg":"EdDSA","kid":"k1"}"#;

#[test]
fn a_good_token_gives_its_identity() {
    let fixture = fixture();
    let token = fixture.good();
    let verified = fixture.verify(&token).expect("good");
    assert_eq!(verified.session_id.to_string().len(), 30);
    assert_eq!(verified.subject, claims().subject);
    assert!(fixture.verify(&fixture.signed(HEADER, &fixture.claims())).is_ok());
    let fully_specified = r#"{"typ":"at+jwt","alg":"Ed25519","kid":"k1"}"#;
    assert!(fixture.verify(&fixture.signed(fully_specified, &fixture.claims())).is_ok());
}

#[test]
fn hostile_headers_are_refused_even_when_signed_by_the_trusted_key() {
    let fixture = fixture();
    let cases = [
        (r#"{"typ":"at+jwt","alg":"none","kid":"k1"}"#, Rejection::WrongAlgorithm),
        (r#"{"typ":"at+jwt","alg":"noNE","kid":"k1"}"#, Rejection::WrongAlgorithm),
        (r#"{"typ":"at+jwt","alg":"HS256","kid":"k1"}"#, Rejection::WrongAlgorithm),
        (r#"{"typ":"at+jwt","alg":"RS256","kid":"k1"}"#, Rejection::WrongAlgorithm),
        (r#"{"typ":"at+jwt","alg":"EdDSA","kid":"nobody"}"#, Rejection::UnknownKey),
        (r#"{"typ":"at+jwt","alg":"EdDSA","kid":"../../etc/passwd"}"#, Rejection::Malformed),
        (r#"{"typ":"at+jwt","alg":"EdDSA","kid":""}"#, Rejection::Malformed),
        (r#"{"typ":"at+jwt","alg":"EdDSA"}"#, Rejection::Malformed),
        (r#"{"typ":"JWT","alg":"EdDSA","kid":"k1"}"#, Rejection::WrongType),
        (r#"{"typ":"ak+jwt","alg":"EdDSA","kid":"api"}"#, Rejection::WrongType),
        (r#"{"typ":"at+jwt","alg":"EdDSA","kid":"api"}"#, Rejection::WrongType),
        (r#"{"alg":"EdDSA","kid":"k1"}"#, Rejection::Malformed),
        (r#"{"typ":"at+jwt","alg":"EdDSA","kid":"k1","crit":["exp"]}"#, Rejection::Malformed),
        (r#"{"typ":"at+jwt","alg":"EdDSA","kid":"k1","jku":"https://evil"}"#, Rejection::Malformed),
        (r#"{"typ":"at+jwt","alg":"EdDSA","kid":"k1","jwk":{"kty":"OKP"}}"#, Rejection::Malformed),
        (r#"{"typ":"at+jwt","alg":"EdDSA","kid":"k1","zip":"DEF"}"#, Rejection::Malformed),
        (r#"{"typ":"at+jwt","alg":"dir","enc":"A256GCM","kid":"k1"}"#, Rejection::Malformed),
        (r#"{"typ":"at+jwt","alg":"EdDSA","alg":"EdDSA","kid":"k1"}"#, Rejection::Malformed),
        (r#"[]"#, Rejection::Malformed),
        (r#"null"#, Rejection::Malformed),
    ];
    for (header, rejection) in cases {
        let token = fixture.signed(header, &fixture.claims());
        assert_eq!(fixture.verify(&token).err(), Some(rejection), "{header}");
    }
}

#[test]
fn hostile_claims_are_refused_even_when_signed_by_the_trusted_key() {
    let fixture = fixture();
    let good = fixture.claims();
    let with = |from: &str, to: &str| {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good, "{from} is not in the claims");
        changed
    };
    let cases = [
        (with("https://issuer", "https://other"), Rejection::WrongIssuer),
        (with(r#"["gate"]"#, r#"["other"]"#), Rejection::WrongAudience),
        (with(r#"["gate"]"#, "[]"), Rejection::WrongAudience),
        (with(r#"["gate"]"#, r#""gate""#), Rejection::Malformed),
        (with(r#""sub":"ada","#, ""), Rejection::Malformed),
        (with(r#""sub":"ada""#, r#""sub":"""#), Rejection::Malformed),
        (with(r#""sub":"ada""#, r#""sub":"ada","sub":"eve""#), Rejection::Malformed),
        (with(r#""sub":"ada""#, r#""sub":"ada","x":{"y":1,"y":2}"#), Rejection::Malformed),
        (with(r#""exp":2000"#, r#""exp":1e3"#), Rejection::Malformed),
        (with(r#""exp":2000"#, r#""exp":"2000""#), Rejection::Malformed),
        (with(r#""exp":2000"#, r#""exp":-1"#), Rejection::Malformed),
        (with(r#""exp":2000"#, r#""exp":1000"#), Rejection::Malformed),
        (with(r#""serial":1"#, r#""serial":0"#), Rejection::Malformed),
        (with("ses_", "key_"), Rejection::Malformed),
        ("{}".into(), Rejection::Malformed),
        ("[1]".into(), Rejection::Malformed),
        (String::new(), Rejection::Malformed),
    ];
    for (claims, rejection) in cases {
        assert_eq!(fixture.verify(&fixture.signed(HEADER, &claims)).err(), Some(rejection), "{claims}");
    }
}

#[test]
fn the_public_key_is_no_hmac_secret() {
    let fixture = fixture();
    let header = r#"{"typ":"at+jwt","alg":"HS256","kid":"k1"}"#;
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(fixture.claims()));
    let secret = EncodingKey::from_secret(&fixture.public);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, jsonwebtoken::Algorithm::HS256);
    let token = format!("{message}.{}", signature.expect("signs"));
    assert_eq!(fixture.verify(&token).err(), Some(Rejection::WrongAlgorithm));
}

#[test]
fn malformed_serializations_are_refused() {
    let fixture = fixture();
    let good = fixture.good();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("three parts") };
    let cases = [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}.{claims}.{signature}."),
        format!("{header}.{claims}.{signature}.{signature}"),
        format!("{header}.{claims}.{signature}="),
        format!("{header}.{claims}.{signature}=="),
        format!("{header}=.{claims}.{signature}"),
        format!(" {good}"),
        format!("{good} "),
        format!("{good}\n"),
        format!("{header}. {claims}.{signature}"),
        good.replace('-', "+").replace('_', "/") + "+",
        good.to_uppercase(),
        "é.é.é".into(),
        "a.b.c.d.e".into(),
        "\u{0}".repeat(100),
    ];
    for token in cases {
        assert!(fixture.verify(&token).is_err(), "{token:?}");
    }
    assert_eq!(fixture.verify(&"A".repeat(1 << 20)).err(), Some(Rejection::Oversized));
    let padded = format!("{good}{}", "A".repeat(ACCESS_TOKEN_BYTES_MAX));
    assert_eq!(fixture.verify(&padded).err(), Some(Rejection::Oversized));
}

#[test]
fn every_truncation_and_every_flipped_character_is_refused() {
    let fixture = fixture();
    let good = fixture.good();
    for length in 0..good.len() {
        assert!(fixture.verify(&good[..length]).is_err(), "truncated to {length}");
    }
    for index in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(bytes).expect("ASCII");
        assert!(fixture.verify(&flipped).is_err(), "changed at {index}");
    }
}

#[test]
fn keys_that_accept_forgeries_are_refused() {
    let id = || KeyId::parse("k").expect("an id");
    let identity_point = {
        let mut bytes = [0; 32];
        bytes[0] = 1;
        bytes
    };
    for public in [&[0_u8; 32][..], &identity_point, &[0; 31], &[0; 33], &[]] {
        assert!(VerificationKey::ed25519(id(), public, CredentialKind::Session).is_err());
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_accept_or_panic(token in ".{0,400}", structured in "[A-Za-z0-9_-]{0,80}(\\.[A-Za-z0-9_-]{0,80}){0,4}") {
        let view = View::empty(Incarnation([1; 16]));
        prop_assert!(verify(&token, &view, &expected()).is_err());
        prop_assert!(verify(&structured, &view, &expected()).is_err());
    }
}
