//! The vectors of Project Wycheproof for every algorithm of tokens: signatures that some implementation took or refused
//! by mistake.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_contract::key::{Algorithm, CredentialKind, KeyId, VerificationKey};
use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify};

/// The verdicts on the vectors of an algorithm.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    taken: usize,
    refused: usize,
    /// Vectors of keys that are not fit for tokens.
    without_key: usize,
}

impl Tally {
    /// Checks the signature of one vector, in the form of a token.
    fn check(
        &mut self,
        key: &VerificationKey,
        vector: &str,
        message: &[u8],
        signature: &[u8],
        expected: TestResult,
    ) {
        let is_taken = key.verify(message, &URL_SAFE_NO_PAD.encode(signature));
        match expected {
            TestResult::Valid => assert!(is_taken, "{vector} is valid, and was refused"),
            TestResult::Invalid => assert!(!is_taken, "{vector} is invalid, and was taken"),
            // Either is right: such a signature is an old encoding.
            TestResult::Acceptable => {}
        }
        match is_taken {
            true => self.taken += 1,
            false => self.refused += 1,
        }
    }
}

fn key(algorithm: Algorithm, public: &[u8]) -> Option<VerificationKey> {
    let id = KeyId::parse("k").unwrap();
    VerificationKey::new(id, algorithm, public, CredentialKind::Session).ok()
}

#[test]
fn ed25519_agrees_with_the_vectors() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut tally = Tally::default();
    for group in &set.test_groups {
        let key = key(Algorithm::Ed25519, &group.key.pk).unwrap();
        for test in &group.tests {
            let vector = format!("Ed25519 {}: {}", test.tc_id, test.comment);
            tally.check(&key, &vector, &test.msg, &test.sig, test.result);
        }
    }
    // Not fewer: a set that is empty agrees with everything.
    assert!(tally.taken >= 80 && tally.refused >= 50, "{tally:?}");
}

#[test]
fn es256_agrees_with_the_vectors() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let mut tally = Tally::default();
    for group in &set.test_groups {
        let key = key(Algorithm::Es256, &group.key.key).unwrap();
        for test in &group.tests {
            let vector = format!("ES256 {}: {}", test.tc_id, test.comment);
            tally.check(&key, &vector, &test.msg, &test.sig, test.result);
        }
    }
    assert!(tally.taken >= 150 && tally.refused >= 80, "{tally:?}");
}

#[test]
fn an_ecdsa_signature_in_the_form_of_tls_is_refused() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap();
    let mut vectors = 0;
    for group in &set.test_groups {
        let key = key(Algorithm::Es256, &group.key.key).unwrap();
        for test in &group.tests {
            let signature = URL_SAFE_NO_PAD.encode(&*test.sig);
            assert!(!key.verify(&test.msg, &signature), "{}", test.tc_id);
            vectors += 1;
        }
    }
    assert!(vectors >= 300, "{vectors}");
}

#[test]
fn rs256_agrees_with_the_vectors() {
    use rsa_pkcs1_verify::TestName;

    let mut tally = Tally::default();
    for name in [
        TestName::Rsa2048Sha256,
        TestName::Rsa3072Sha256,
        TestName::Rsa4096Sha256,
        TestName::Rsa8192Sha256,
    ] {
        let set = rsa_pkcs1_verify::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let Some(key) = key(Algorithm::Rs256, &group.asn_key) else {
                let exponent: &[u8] = &group.key.e;
                let is_small = exponent.len() < 3;
                assert!(
                    group.key_size > 4_096 || is_small,
                    "{name:?}: a key of {} bits was refused",
                    group.key_size
                );
                tally.without_key += group.tests.len();
                continue;
            };
            assert!(group.key_size <= 4_096);
            for test in &group.tests {
                let vector = format!("{name:?} {}: {}", test.tc_id, test.comment);
                tally.check(&key, &vector, &test.msg, &test.sig, test.result);
            }
        }
    }
    assert!(
        tally.taken >= 10 && tally.refused >= 600 && tally.without_key >= 200,
        "{tally:?}"
    );
}
