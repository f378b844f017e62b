//! Access tokens. A first byte of 0: the rest is a token. 1: header and claims, parted by a zero byte, are signed by the
//! trusted key first, so that what follows the signature check is reached.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_contract::{
    key::{Algorithm, PrivateKey},
    token::{self, Claims, Expected, Identity, Signer},
    verdict,
};
use serde_json::Value;

use crate::{
    Seed, mode, with_mode,
    world::{AUDIENCE, ISSUER, KEYS, VIEW, claims, key_id},
};

/// A token of each key. What they sign is always the same; ES256's signature is not.
static GOOD: LazyLock<Vec<String>> = LazyLock::new(|| KEYS.iter().map(good).collect());

fn good(key: &PrivateKey) -> String {
    let again = PrivateKey::from_pkcs8(key.algorithm(), &key.to_pkcs8()).expect("our own document");
    let signer = Signer::new(key_id(key.algorithm().jose_name()), again);
    signer.sign(ISSUER, &claims()).expect("signs")
}

/// Throws bytes at the verifier.
pub fn check(data: &[u8]) -> bool {
    match mode(data) {
        Some((0, token)) => std::str::from_utf8(token).is_ok_and(is_one_of_ours),
        Some((1, parts)) => {
            let mut parts = parts.splitn(2, |byte| *byte == 0);
            let (header, claims) = (
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
            );
            is_strict(header, claims)
        }
        _ => false,
    }
}

fn verify(token: &str) -> Option<Identity> {
    let expected = Expected {
        issuer: ISSUER.into(),
        audience: Some(AUDIENCE.into()),
    };
    token::verify(token, &VIEW, &expected).ok()
}

/// What is accepted was signed, and these keys have signed one thing only. The text may be another than ours now is: an
/// earlier version's, or with ES256's other signature of the same.
fn is_one_of_ours(token: &str) -> bool {
    let Some(identity) = verify(token) else {
        return false;
    };
    // Tokens of the version before name no client.
    let before = Claims {
        client_id: String::new(),
        ..claims()
    };
    let signed = [claims(), before];
    assert!(
        signed.contains(&identity.claims),
        "a forged token is accepted"
    );
    true
}

/// What is accepted has no member that was not understood, and can be said again.
fn is_strict(header: &[u8], claims: &[u8]) -> bool {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = KEYS[0].sign(message.as_bytes()).expect("signs");
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    let Some(identity) = verify(&token) else {
        return false;
    };

    let header: Value = serde_json::from_slice(header).expect("an accepted header is JSON");
    let members = header.as_object().expect("an accepted header is an object");
    assert_eq!(members.len(), 3);
    assert_eq!(header["typ"], "at+jwt");
    assert!(
        header["alg"]
            .as_str()
            .is_some_and(|name| Algorithm::Ed25519.is_named(name))
    );
    assert_eq!(header["kid"], Algorithm::Ed25519.jose_name());
    let said: Value = serde_json::from_slice(claims).expect("accepted claims are JSON");
    assert_eq!(said["sub"], identity.user_id.as_str());
    assert_eq!(said["tenant"], identity.tenant_id.as_str());
    assert_eq!(said["serial"], identity.subject.serial.0);
    assert_eq!(said["exp"], identity.expires_at);
    say_again(&identity);
    true
}

fn say_again(identity: &Identity) {
    for now in [0, identity.issued_at, identity.expires_at, u64::MAX] {
        let lives = verdict::verdict(identity, &VIEW, now).is_ok();
        assert!(!lives || now < identity.expires_at);
    }
    let again =
        PrivateKey::from_pkcs8(Algorithm::Ed25519, &KEYS[0].to_pkcs8()).expect("our own document");
    let token = Signer::new(key_id("EdDSA"), again)
        .sign(ISSUER, &identity.claims)
        .expect("signs");
    // Said again it can be larger than what is looked at: white space was left out, but characters are escaped.
    if token.len() <= token::ACCESS_TOKEN_BYTES_MAX {
        assert_eq!(
            verify(&token).expect("a good token").claims,
            identity.claims
        );
    }
}

/// Good tokens of every algorithm, a few that were altered, and some that are signed on the way.
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (key, token) in KEYS.iter().zip(&*GOOD) {
        let algorithm = key.algorithm().jose_name();
        let (message, _) = token.rsplit_once('.').expect("three parts");
        seeds.push(Seed::good(format!("good-{algorithm}"), with_mode(0, token)));
        seeds.push(Seed::bad(
            format!("unsigned-{algorithm}"),
            with_mode(0, format!("{message}.")),
        ));
    }
    let part = |index: usize| {
        let part = GOOD[0].split('.').nth(index).expect("three parts");
        String::from_utf8(URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
    };
    let (header, claims) = (part(0), part(1));
    let signed = |header: &str, claims: &str| with_mode(1, format!("{header}\0{claims}"));
    seeds.push(Seed::good("signed-good", signed(&header, &claims)));
    seeds.push(Seed::bad(
        "signed-none",
        signed(&header.replace("EdDSA", "none"), &claims),
    ));
    seeds.push(Seed::bad(
        "signed-twice",
        signed(&header, &claims.replacen('{', r#"{"sub":"eve","#, 1)),
    ));
    seeds.push(Seed::good(
        "signed-unknown",
        signed(&header, &claims.replacen('{', r#"{"x":[1.5,null,{}],"#, 1)),
    ));
    seeds
}
