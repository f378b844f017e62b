//! API keys: as strict as access tokens, and never taken for one.

use super::*;
use crate::{
    id::ApiKeyId,
    verdict::{check_time, verdict},
};

fn api_key() -> ApiKeyClaims {
    ApiKeyClaims {
        tenant_id: TenantId::parse("acme").expect("an id"),
        owner_id: UserId::parse("ada").expect("an id"),
        api_key_id: ApiKeyId::generate(),
        subject: Subject {
            serial: Serial(1),
            user: UserSerial(2),
            tenant: TenantSerial(3),
            opened: Revision(4),
        },
        scopes: vec!["read".into(), "write:all".into()],
        audiences: vec!["gate".into()],
        issued_at: 1_000,
        expires_at: Some(2_000),
    }
}

fn json(claims: &ApiKeyClaims) -> String {
    String::from_utf8(claims.to_json("https://issuer")).expect("JSON")
}

const HEADER: &str = r#"{"typ":"ak+jwt","alg":"ALG","kid":"api"}"#;

/// A header with the type and the key of the other kind.
fn swapped(header: &str) -> String {
    let pairs = [("at+jwt", "ak+jwt"), (r#""k1""#, r#""api""#)];
    pairs
        .iter()
        .fold(header.to_owned(), |header, (session, api_key)| {
            header
                .replace(session, "\u{1}")
                .replace(api_key, session)
                .replace('\u{1}', api_key)
        })
}

impl Fixture {
    fn api_key(&self) -> String {
        self.signed(HEADER, &json(&api_key()))
    }

    fn verify_api_key(&self, token: &str) -> Result<Verified<ApiKeyClaims>, Rejection> {
        verify_as(token, &self.view, &expected())
    }
}

#[test]
fn the_claims_of_a_key_name_it_and_its_times() {
    let claims = api_key();
    assert_eq!(claims.credential_id(), claims.api_key_id.to_string());
    assert_eq!(claims.issued_at(), 1_000);
    assert_eq!(claims.expires_at(), Some(2_000));
}

#[test]
fn a_key_grants_its_own_scopes_only() {
    let claims = api_key();
    for (scope, expected) in [("read", true), ("write:all", true), ("write", false)] {
        assert_eq!(claims.has_scope(scope), expected, "{scope}");
    }
}

#[test]
fn a_good_key_says_what_it_was_signed_with() {
    for algorithm in Algorithm::ALL {
        let key = PrivateKey::generate(algorithm);
        let view = view(&[Change::Trust(public(&key, "api", CredentialKind::ApiKey))]);
        let signer = Signer::new(key_id("api"), key);
        let plain = ApiKeyClaims {
            scopes: vec![],
            expires_at: None,
            ..api_key()
        };
        for claims in [api_key(), plain] {
            let token = signer.sign("https://issuer", &claims).expect("signs");
            let verified = verify_as::<ApiKeyClaims>(&token, &view, &expected()).expect("good");
            assert_eq!(
                (verified.claims.clone(), verified.key.algorithm),
                (claims, algorithm)
            );
            assert_eq!(
                verify(&token, &view, &expected()).err(),
                Some(Rejection::WrongType)
            );
        }
    }
}

#[test]
fn no_token_passes_for_one_of_the_other_kind() {
    let claims = [
        claims().to_json("https://issuer"),
        api_key().to_json("https://issuer"),
    ];
    for fixture in &*FIXTURES {
        for typ in ["at+jwt", "ak+jwt"] {
            for kid in ["k1", "api"] {
                for (of, claims) in claims.iter().enumerate() {
                    let header = format!(r#"{{"typ":"{typ}","alg":"ALG","kid":"{kid}"}}"#);
                    let token = fixture.signed(&header, std::str::from_utf8(claims).expect("JSON"));
                    let context = format!("{header} with claims {of}");
                    let session = (typ, kid, of) == ("at+jwt", "k1", 0);
                    let api_key = (typ, kid, of) == ("ak+jwt", "api", 1);
                    assert_eq!(fixture.verify(&token).is_ok(), session, "{context}");
                    assert_eq!(fixture.verify_api_key(&token).is_ok(), api_key, "{context}");
                }
            }
        }
    }
}

#[test]
fn hostile_headers_are_refused() {
    for fixture in &*FIXTURES {
        for (header, rejection) in HOSTILE_HEADERS {
            let header = swapped(header);
            let token = fixture.signed(&header, &json(&api_key()));
            assert_eq!(
                fixture.verify_api_key(&token).err(),
                Some(*rejection),
                "{:?}: {header}",
                fixture.algorithm
            );
        }
    }
}

#[test]
fn hostile_claims_are_refused_even_when_signed_by_the_trusted_key() {
    let good = json(&api_key());
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
        (with(r#""exp":2000"#, r#""exp":null"#), Rejection::Malformed),
        (with(r#""exp":2000"#, r#""exp":2e3"#), Rejection::Malformed),
        (
            with(r#""exp":2000"#, r#""exp":"2000""#),
            Rejection::Malformed,
        ),
        (with(r#""exp":2000"#, r#""exp":-1"#), Rejection::Malformed),
        (with(r#""exp":2000"#, r#""exp":1000"#), Rejection::Malformed),
        (
            with(r#""exp":2000"#, r#""exp":2000,"exp":3000"#),
            Rejection::Malformed,
        ),
        (with(r#""serial":1"#, r#""serial":0"#), Rejection::Malformed),
        (with("key_", "ses_"), Rejection::Malformed),
        (
            with("read write:all", "read  write:all"),
            Rejection::Malformed,
        ),
        (with("read write:all", " "), Rejection::Malformed),
        (with("read write:all", "read\\u0000"), Rejection::Malformed),
        (
            with(r#""read write:all""#, r#"["read"]"#),
            Rejection::Malformed,
        ),
        ("{}".into(), Rejection::Malformed),
        (String::new(), Rejection::Malformed),
    ];
    for fixture in &*FIXTURES {
        for (claims, rejection) in &cases {
            assert_eq!(
                fixture
                    .verify_api_key(&fixture.signed(HEADER, claims))
                    .err(),
                Some(*rejection),
                "{claims}"
            );
        }
    }
}

#[test]
fn what_is_malformed_cut_or_flipped_is_refused() {
    let fixture = &FIXTURES[0];
    let good = fixture.api_key();
    assert!(fixture.verify_api_key(&good).is_ok());
    for token in malformed(&good) {
        assert!(fixture.verify_api_key(&token).is_err(), "{token:?}");
    }
    for index in 0..good.len() {
        assert!(
            fixture.verify_api_key(&good[..index]).is_err(),
            "truncated to {index}"
        );
        let mut bytes = good.clone().into_bytes();
        bytes[index] ^= 1;
        let flipped = String::from_utf8(bytes).expect("ASCII");
        assert!(
            fixture.verify_api_key(&flipped).is_err(),
            "a bit of {index} flipped"
        );
    }
    let padded = format!("{good}{}", "A".repeat(ACCESS_TOKEN_BYTES_MAX));
    assert_eq!(
        fixture.verify_api_key(&padded).err(),
        Some(Rejection::Oversized)
    );
}

#[test]
fn a_key_expires_to_the_second_or_never() {
    let fixture = &FIXTURES[0];
    let identity = fixture.verify_api_key(&fixture.api_key()).expect("good");
    assert_eq!(check_time(&identity, 1_999), Ok(()));
    assert_eq!(check_time(&identity, 2_000), Err(Rejection::Expired));
    assert_eq!(check_time(&identity, 900), Err(Rejection::NotYetValid));
    let lasting = ApiKeyClaims {
        expires_at: None,
        ..api_key()
    };
    let identity = fixture
        .verify_api_key(&fixture.signed(HEADER, &json(&lasting)))
        .expect("good");
    assert_eq!(check_time(&identity, u64::MAX), Ok(()));
}

#[test]
fn a_verdict_goes_by_revocations_of_its_own_kind() {
    use crate::delta::Scope;
    let fixture = &FIXTURES[0];
    let session = fixture.verify(&fixture.good()).expect("good");
    let api_key = fixture.verify_api_key(&fixture.api_key()).expect("good");
    let verdicts = |change: Change| {
        let revision = fixture.view.position().revision.next();
        let revisions = (revision.0..8).map(Revision);
        let frame = |revision| Frame {
            revision,
            delta: delta::encode(&[], vec![]),
            audit_digest: [0; 32],
        };
        let later = revisions.fold(fixture.view.clone(), |view, at| {
            view.apply(&frame(at)).expect("applies")
        });
        let delta = delta::encode(&[change], vec![]);
        let view = later
            .apply(&Frame {
                delta,
                ..frame(Revision(8))
            })
            .expect("applies");
        (
            verdict(&session, &view, 1_500).err(),
            verdict(&api_key, &view, 1_500).err(),
        )
    };
    let revoke = |credential| Change::Revoke {
        credential,
        serials: vec![Serial(1)],
    };
    let cut = |credential| Change::Cut {
        credential,
        scope: Scope::User(UserSerial(2)),
        exempt: None,
    };
    assert_eq!(
        verdicts(revoke(CredentialKind::Session)),
        (Some(Rejection::Revoked), None)
    );
    assert_eq!(
        verdicts(revoke(CredentialKind::ApiKey)),
        (None, Some(Rejection::Revoked))
    );
    assert_eq!(
        verdicts(cut(CredentialKind::Session)),
        (Some(Rejection::SignedOut), None)
    );
    assert_eq!(
        verdicts(cut(CredentialKind::ApiKey)),
        (None, Some(Rejection::SignedOut))
    );
    assert_eq!(
        verdicts(Change::Distrust(key_id("api"))),
        (None, Some(Rejection::DistrustedKey))
    );
    assert_eq!(
        verdicts(Change::Distrust(key_id("k1"))),
        (Some(Rejection::DistrustedKey), None)
    );
}

#[test]
fn a_scope_is_what_oauth_says() {
    for good in [
        "read",
        "a:b/c.d",
        "!",
        "~",
        "#[]^_`{|}",
        &"s".repeat(SCOPE_BYTES_MAX),
    ] {
        assert!(is_scope(good), "{good}");
    }
    for bad in [
        "",
        " ",
        "a b",
        "a\tb",
        "a\"b",
        "a\\b",
        "\u{7f}",
        "é",
        "\u{0}",
        &"s".repeat(SCOPE_BYTES_MAX + 1),
    ] {
        assert!(!is_scope(bad), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_accept_or_panic(token in "[A-Za-z0-9_-]{0,80}(\\.[A-Za-z0-9_-]{0,80}){0,4}") {
        let view = View::empty(Incarnation([1; 16]));
        prop_assert!(verify_as::<ApiKeyClaims>(&token, &view, &expected()).is_err());
    }
}
