//! One key, one algorithm: whatever a header says, and whoever else reads our tokens.

use jsonwebtoken::{DecodingKey, EncodingKey, Validation};

use super::*;
use crate::key::PublicNumbers;

/// All keys in one view, as after rotations from one algorithm to another.
fn rotated() -> (View, [Signer; 3]) {
    let keys =
        Algorithm::ALL.map(|algorithm| (algorithm.jose_name(), PrivateKey::generate(algorithm)));
    let trusted = keys
        .each_ref()
        .map(|(id, key)| Change::Trust(public(key, id, CredentialKind::Session)));
    (
        view(&trusted),
        keys.map(|(id, key)| Signer::new(key_id(id), key)),
    )
}

fn message(algorithm: &str, kid: &KeyId) -> String {
    let header = format!(r#"{{"typ":"at+jwt","alg":"{algorithm}","kid":"{kid}"}}"#);
    let claims = URL_SAFE_NO_PAD.encode(claims().to_json("https://issuer"));
    format!("{}.{claims}", URL_SAFE_NO_PAD.encode(header))
}

#[test]
fn a_token_is_good_only_when_signer_key_and_algorithm_are_one() {
    let (view, signers) = rotated();
    for signer in &signers {
        for named in &signers {
            for algorithm in Algorithm::ALL {
                let message = message(algorithm.jose_name(), &named.id);
                let signature = signer.key.sign(message.as_bytes()).expect("signs");
                let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
                let rejection = match (named.key.algorithm() == algorithm, signer.id == named.id) {
                    (true, true) => None,
                    (true, false) => Some(Rejection::BadSignature),
                    (false, _) => Some(Rejection::WrongAlgorithm),
                };
                let context = format!("{} signs as {} with {algorithm:?}", signer.id, named.id);
                assert_eq!(
                    verify(&token, &view, &expected()).err(),
                    rejection,
                    "{context}"
                );
            }
        }
    }
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    let (view, signers) = rotated();
    for signer in &signers {
        let key = view.trusted_key(signer.id.as_str()).expect("it is trusted");
        for algorithm in ["HS256", key.algorithm.jose_name()] {
            let message = message(algorithm, &signer.id);
            let secret = EncodingKey::from_secret(key.public_bytes());
            let signature = jsonwebtoken::crypto::sign(
                message.as_bytes(),
                &secret,
                jsonwebtoken::Algorithm::HS256,
            );
            let token = format!("{message}.{}", signature.expect("signs"));
            let rejection = if algorithm == "HS256" {
                Rejection::WrongAlgorithm
            } else {
                Rejection::BadSignature
            };
            assert_eq!(
                verify(&token, &view, &expected()).err(),
                Some(rejection),
                "{algorithm}"
            );
        }
    }
}

/// As X.509 and TLS have them. JWS has r and s, 32 bytes each, and nothing else may pass for the same signature.
#[test]
fn an_ecdsa_signature_in_der_is_refused() {
    let fixture = &FIXTURES[1];
    let good = fixture.good();
    let (message, signature) = good.rsplit_once('.').expect("a signature");
    let fixed = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    assert_eq!(fixed.len(), 64);
    let integer = |bytes: &[u8]| [&[2, 33, 0], bytes].concat();
    let der = [
        &[0x30, 70][..],
        &integer(&fixed[..32]),
        &integer(&fixed[32..]),
    ]
    .concat();
    let zeros = vec![0; 64];
    for signature in [
        der,
        zeros,
        fixed[..63].to_vec(),
        [&[0], &fixed[..]].concat(),
    ] {
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        assert_eq!(fixture.verify(&token).err(), Some(Rejection::BadSignature));
    }
}

/// The same exponentiation with other padding or another hash must not pass for RS256.
#[test]
fn a_signature_by_another_scheme_of_the_same_rsa_key_is_refused() {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair},
    };
    let fixture = &FIXTURES[2];
    let pair = RsaKeyPair::from_pkcs8(&fixture.signer.key.to_pkcs8()).expect("our own document");
    let message = message("RS256", &fixture.signer.id);
    let schemes: [&'static dyn RsaEncoding; 2] = [&RSA_PSS_SHA256, &RSA_PKCS1_SHA512];
    for scheme in schemes {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(
            scheme,
            &SystemRandom::new(),
            message.as_bytes(),
            &mut signature,
        )
        .expect("signs");
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        assert_eq!(fixture.verify(&token).err(), Some(Rejection::BadSignature));
    }
}

/// Another implementation of JWS, given the numbers that stand in the JWKS document.
#[test]
fn others_can_read_our_tokens() {
    for fixture in &*FIXTURES {
        let key = fixture.view.trusted_key("k1").expect("it is trusted");
        let text = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        let decoding = match key.public_numbers() {
            PublicNumbers::Okp { x } => DecodingKey::from_ed_components(&text(&x)),
            PublicNumbers::Ec { x, y } => DecodingKey::from_ec_components(&text(&x), &text(&y)),
            PublicNumbers::Rsa { n, e } => DecodingKey::from_rsa_components(&text(&n), &text(&e)),
        };
        let algorithm = fixture.algorithm.jose_name().parse().expect("they know it");
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&["gate"]);
        validation.validate_exp = false;
        let read = jsonwebtoken::decode::<serde_json::Value>(
            fixture.good(),
            &decoding.expect("a key"),
            &validation,
        );
        assert_eq!(read.expect("a good token").claims["sub"], "ada");
    }
}
