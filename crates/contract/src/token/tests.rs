//! Hostile tokens against the parser, signed by keys of every algorithm.

mod api_key;
mod confusion;

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;
use crate::{
    delta::{self, Change},
    id::{Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
    key::{Algorithm, CredentialKind, KeyId, PrivateKey, VerificationKey},
    position::{Incarnation, Revision},
    rejection::Rejection,
    view::{Frame, Subject, View},
};

struct Fixture {
    algorithm: Algorithm,
    view: View,
    signer: Signer,
}

/// One of each algorithm, made once: an RSA key takes its time.
static FIXTURES: LazyLock<[Fixture; 3]> = LazyLock::new(|| Algorithm::ALL.map(fixture));

/// `k1` signs sessions' tokens; `api` is the same key for API keys.
fn fixture(algorithm: Algorithm) -> Fixture {
    let key = PrivateKey::generate(algorithm);
    let changes = [
        ("k1", CredentialKind::Session),
        ("api", CredentialKind::ApiKey),
    ]
    .map(|(id, credential)| Change::Trust(public(&key, id, credential)));
    let signer = Signer::new(key_id("k1"), key);
    Fixture {
        algorithm,
        view: view(&changes),
        signer,
    }
}

fn key_id(id: &str) -> KeyId {
    KeyId::parse(id).expect("an id")
}

fn public(key: &PrivateKey, id: &str, credential: CredentialKind) -> VerificationKey {
    VerificationKey::new(key_id(id), key.algorithm(), key.public_bytes(), credential)
        .expect("a good key")
}

fn view(changes: &[Change]) -> View {
    let frame = Frame {
        revision: Revision(1),
        delta: delta::encode(changes, vec![]),
        audit_digest: [0; 32],
    };
    View::empty(Incarnation([1; 16]))
        .apply(&frame)
        .expect("applies")
}

fn claims() -> Claims {
    Claims {
        tenant_id: TenantId::parse("acme").expect("an id"),
        user_id: UserId::parse("ada").expect("an id"),
        session_id: SessionId::generate(),
        subject: Subject {
            serial: Serial(1),
            user: UserSerial(2),
            tenant: TenantSerial(3),
            opened: Revision(4),
        },
        token_id: "t".into(),
        audiences: vec!["gate".into()],
        issued_at: 1_000,
        expires_at: 2_000,
        auth_time: 900,
        amr: vec!["pwd".into()],
        acr: String::new(),
        client_id: "web".into(),
    }
}

#[test]
fn a_token_says_which_kind_it_claims_to_be() {
    let token = |typ: &str| {
        let header = format!(r#"{{"typ":"{typ}","alg":"EdDSA","kid":"k1"}}"#);
        format!("{}.claims.signature", URL_SAFE_NO_PAD.encode(header))
    };
    assert_eq!(
        claimed_kind(&token("at+jwt")),
        Some(CredentialKind::Session)
    );
    assert_eq!(claimed_kind(&token("ak+jwt")), Some(CredentialKind::ApiKey));
    assert_eq!(claimed_kind(&token("JWT")), None);
    assert_eq!(claimed_kind("at+jwt"), None);

    let padded = |bytes: usize| format!("{:x<bytes$}", token("at+jwt"));
    let largest = padded(ACCESS_TOKEN_BYTES_MAX);
    assert_eq!(claimed_kind(&largest), Some(CredentialKind::Session));
    assert_eq!(claimed_kind(&padded(ACCESS_TOKEN_BYTES_MAX + 1)), None);
}

#[test]
fn a_text_as_large_as_a_token_may_be_is_read() {
    let verify = |bytes: usize| {
        let text = "x".repeat(bytes);
        verify(&text, &FIXTURES[0].view, &expected()).map(drop)
    };
    let largest = 8 * 1_024;
    assert_eq!(verify(largest), Err(Rejection::Malformed));
    assert_eq!(verify(largest + 1), Err(Rejection::Oversized));
}

#[test]
fn the_claims_of_a_session_name_it_and_its_times() {
    let claims = claims();
    assert_eq!(claims.credential_id(), claims.session_id.to_string());
    assert_eq!(claims.issued_at(), 1_000);
    assert_eq!(claims.expires_at(), Some(2_000));
}

fn expected() -> Expected {
    Expected {
        issuer: "https://issuer".into(),
        audience: Some("gate".into()),
    }
}

impl Fixture {
    fn good(&self) -> String {
        self.signer
            .sign("https://issuer", &claims())
            .expect("signs")
    }

    /// Signs any header and claims with the trusted private key. `ALG` stands for the name of its algorithm.
    fn signed(&self, header: &str, claims: &str) -> String {
        let header = header.replace("ALG", self.algorithm.jose_name());
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let signature = self.signer.key.sign(message.as_bytes()).expect("signs");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn claims(&self) -> String {
        String::from_utf8(claims().to_json("https://issuer")).expect("JSON")
    }

    fn verify(&self, token: &str) -> Result<Identity, Rejection> {
        verify(token, &self.view, &expected())
    }
}

const HEADER: &str = r#"{"typ":"at+jwt","alg":"ALG","kid":"k1"}"#;

#[test]
fn a_good_token_gives_its_identity() {
    for fixture in &*FIXTURES {
        let token = fixture.good();
        let verified = fixture.verify(&token).expect("good");
        assert_eq!(verified.session_id.to_string().len(), 30);
        assert_eq!(verified.subject, claims().subject);
        assert_eq!(verified.key.algorithm, fixture.algorithm);
        assert!(
            fixture
                .verify(&fixture.signed(HEADER, &fixture.claims()))
                .is_ok()
        );
    }
    let fully_specified = r#"{"typ":"at+jwt","alg":"Ed25519","kid":"k1"}"#;
    let ed25519 = &FIXTURES[0];
    assert!(
        ed25519
            .verify(&ed25519.signed(fully_specified, &ed25519.claims()))
            .is_ok()
    );
}

/// `k1` is the key of sessions' tokens here.
const HOSTILE_HEADERS: &[(&str, Rejection)] = &[
    (
        r#"{"typ":"at+jwt","alg":"none","kid":"k1"}"#,
        Rejection::WrongAlgorithm,
    ),
    (
        r#"{"typ":"at+jwt","alg":"noNE","kid":"k1"}"#,
        Rejection::WrongAlgorithm,
    ),
    (
        r#"{"typ":"at+jwt","alg":"HS256","kid":"k1"}"#,
        Rejection::WrongAlgorithm,
    ),
    (
        r#"{"typ":"at+jwt","alg":"RS384","kid":"k1"}"#,
        Rejection::WrongAlgorithm,
    ),
    (
        r#"{"typ":"at+jwt","alg":"PS256","kid":"k1"}"#,
        Rejection::WrongAlgorithm,
    ),
    (
        r#"{"typ":"at+jwt","alg":"ES256K","kid":"k1"}"#,
        Rejection::WrongAlgorithm,
    ),
    (
        r#"{"typ":"at+jwt","alg":"","kid":"k1"}"#,
        Rejection::WrongAlgorithm,
    ),
    (
        r#"{"typ":"at+jwt","alg":["ALG"],"kid":"k1"}"#,
        Rejection::Malformed,
    ),
    (
        r#"{"typ":"at+jwt","alg":"ALG","kid":"nobody"}"#,
        Rejection::UnknownKey,
    ),
    (
        r#"{"typ":"at+jwt","alg":"ALG","kid":"../../etc/passwd"}"#,
        Rejection::Malformed,
    ),
    (
        r#"{"typ":"at+jwt","alg":"ALG","kid":""}"#,
        Rejection::Malformed,
    ),
    (r#"{"typ":"at+jwt","alg":"ALG"}"#, Rejection::Malformed),
    (
        r#"{"typ":"JWT","alg":"ALG","kid":"k1"}"#,
        Rejection::WrongType,
    ),
    (
        r#"{"typ":"ak+jwt","alg":"ALG","kid":"api"}"#,
        Rejection::WrongType,
    ),
    (
        r#"{"typ":"at+jwt","alg":"ALG","kid":"api"}"#,
        Rejection::WrongType,
    ),
    (r#"{"alg":"ALG","kid":"k1"}"#, Rejection::Malformed),
    (
        r#"{"typ":"at+jwt","alg":"ALG","kid":"k1","crit":["exp"]}"#,
        Rejection::Malformed,
    ),
    (
        r#"{"typ":"at+jwt","alg":"ALG","kid":"k1","jku":"https://evil"}"#,
        Rejection::Malformed,
    ),
    (
        r#"{"typ":"at+jwt","alg":"ALG","kid":"k1","jwk":{"kty":"OKP"}}"#,
        Rejection::Malformed,
    ),
    (
        r#"{"typ":"at+jwt","alg":"ALG","kid":"k1","zip":"DEF"}"#,
        Rejection::Malformed,
    ),
    (
        r#"{"typ":"at+jwt","alg":"dir","enc":"A256GCM","kid":"k1"}"#,
        Rejection::Malformed,
    ),
    (
        r#"{"typ":"at+jwt","alg":"ALG","alg":"ALG","kid":"k1"}"#,
        Rejection::Malformed,
    ),
    (r#"[]"#, Rejection::Malformed),
    (r#"["at+jwt","ALG","k1"]"#, Rejection::Malformed),
    (r#"null"#, Rejection::Malformed),
];

#[test]
fn hostile_headers_are_refused_even_when_signed_by_the_trusted_key() {
    for fixture in &*FIXTURES {
        for (header, rejection) in HOSTILE_HEADERS {
            let token = fixture.signed(header, &fixture.claims());
            assert_eq!(
                fixture.verify(&token).err(),
                Some(*rejection),
                "{:?}: {header}",
                fixture.algorithm
            );
        }
    }
}

/// The values of an object's members, in their order.
fn values(object: &str) -> String {
    let members = object.trim_matches(['{', '}']).split(",\"");
    let values: Vec<_> = members
        .filter_map(|member| member.split_once("\":"))
        .map(|(_, value)| value)
        .collect();
    format!("[{}]", values.join(","))
}

#[test]
fn hostile_claims_are_refused_even_when_signed_by_the_trusted_key() {
    let good = FIXTURES[0].claims();
    let with = |from: &str, to: &str| {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good, "{from} is not in the claims");
        changed
    };
    let cases = [
        (
            with("https://issuer", "https://other"),
            Rejection::WrongIssuer,
        ),
        (
            with(r#"["gate"]"#, r#"["other"]"#),
            Rejection::WrongAudience,
        ),
        (with(r#"["gate"]"#, "[]"), Rejection::WrongAudience),
        (with(r#"["gate"]"#, r#""gate""#), Rejection::Malformed),
        (with(r#""sub":"ada","#, ""), Rejection::Malformed),
        (with(r#""sub":"ada""#, r#""sub":"""#), Rejection::Malformed),
        (
            with(r#""sub":"ada""#, r#""sub":"ada","sub":"eve""#),
            Rejection::Malformed,
        ),
        (
            with(r#""sub":"ada""#, r#""sub":"ada","x":{"y":1,"y":2}"#),
            Rejection::Malformed,
        ),
        (with(r#""exp":2000"#, r#""exp":1e3"#), Rejection::Malformed),
        (
            with(r#""exp":2000"#, r#""exp":"2000""#),
            Rejection::Malformed,
        ),
        (with(r#""exp":2000"#, r#""exp":-1"#), Rejection::Malformed),
        (with(r#""exp":2000"#, r#""exp":1000"#), Rejection::Malformed),
        (with(r#""serial":1"#, r#""serial":0"#), Rejection::Malformed),
        (with("ses_", "key_"), Rejection::Malformed),
        ("{}".into(), Rejection::Malformed),
        ("[1]".into(), Rejection::Malformed),
        (
            values(&with(r#""client_id""#, r#""acr":"1","client_id""#)),
            Rejection::Malformed,
        ),
        (String::new(), Rejection::Malformed),
    ];
    for fixture in &*FIXTURES {
        for (claims, rejection) in &cases {
            assert_eq!(
                fixture.verify(&fixture.signed(HEADER, claims)).err(),
                Some(*rejection),
                "{claims}"
            );
        }
    }
}

#[test]
fn malformed_serializations_are_refused() {
    for fixture in &*FIXTURES {
        let good = fixture.good();
        for token in malformed(&good) {
            assert!(fixture.verify(&token).is_err(), "{token:?}");
        }
        assert_eq!(
            fixture.verify(&"A".repeat(1 << 20)).err(),
            Some(Rejection::Oversized)
        );
        let padded = format!("{good}{}", "A".repeat(ACCESS_TOKEN_BYTES_MAX));
        assert_eq!(fixture.verify(&padded).err(), Some(Rejection::Oversized));
    }
}

fn malformed(good: &str) -> Vec<String> {
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("three parts")
    };
    vec![
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
        format!("{header}.{claims}.{signature}AAAA"),
        format!("{header}.{claims}.AAAA{signature}"),
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
    ]
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused() {
    for fixture in &*FIXTURES {
        let good = fixture.good();
        for length in 0..good.len() {
            assert!(
                fixture.verify(&good[..length]).is_err(),
                "truncated to {length}"
            );
        }
        for index in 0..good.len() {
            for bit in 0..8 {
                let mut bytes = good.clone().into_bytes();
                bytes[index] ^= 1 << bit;
                // A gate reads headers, which are text; what is not cannot be handed in.
                let Ok(flipped) = String::from_utf8(bytes) else {
                    continue;
                };
                assert!(
                    fixture.verify(&flipped).is_err(),
                    "bit {bit} of {index} flipped"
                );
            }
        }
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
