//! Public keys that are fit for use, and all the others.

use aws_lc_rs::{
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use proptest::prelude::*;

use super::*;

fn parse(algorithm: Algorithm, public: &[u8]) -> Result<VerificationKey, InvalidKey> {
    VerificationKey::new(
        KeyId::parse("k").expect("an id"),
        algorithm,
        public,
        CredentialKind::Session,
    )
}

/// The DER of an `RSAPublicKey`.
fn rsa_der(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    tlv(0x30, &[integer(modulus), integer(exponent)].concat())
}

fn integer(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if number.first().is_some_and(|first| *first >= 0x80) {
        &[0]
    } else {
        &[]
    };
    tlv(2, &[sign, number].concat())
}

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(value.len())
        .expect("a short value")
        .to_be_bytes();
    let length = match (high, low) {
        (0, 0..0x80) => vec![low],
        (0, _) => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[tag], &length[..], value].concat()
}

fn modulus(bytes: usize) -> Vec<u8> {
    let mut modulus = vec![0xa5; bytes];
    modulus[bytes - 1] |= 1;
    modulus
}

const F4: &[u8] = &[1, 0, 1];

#[test]
fn the_id_of_a_key_is_of_the_letters_of_base64url() {
    for id in ["a", "-", "_", "A-z_9"] {
        assert!(KeyId::parse(id).is_ok(), "{id}");
    }
    for id in ["", "a b", "a.b", "ä", "a/b", "a=", "a+b"] {
        assert!(KeyId::parse(id).is_err(), "{id}");
    }
}

#[test]
fn a_key_survives_its_encodings() {
    for algorithm in Algorithm::ALL {
        let private = PrivateKey::generate(algorithm);
        let again =
            PrivateKey::from_pkcs8(algorithm, &private.to_pkcs8()).expect("our own document");
        assert_eq!(
            (again.public_bytes(), again.algorithm()),
            (private.public_bytes(), algorithm)
        );

        let public = parse(algorithm, private.public_bytes()).expect("a good key");
        let read =
            VerificationKey::try_from(&v1::TrustedKey::from(&public)).expect("our own encoding");
        assert!(read.is_same(&public));
        let signature = URL_SAFE_NO_PAD.encode(again.sign(b"a message").expect("signs"));
        assert!(read.verify(b"a message", &signature) && !read.verify(b"another", &signature));
        for other in Algorithm::ALL
            .into_iter()
            .filter(|other| *other != algorithm)
        {
            assert_eq!(
                PrivateKey::from_pkcs8(other, &private.to_pkcs8()).err(),
                Some(InvalidKey::PrivateKey)
            );
            assert_eq!(
                parse(other, private.public_bytes()).err(),
                Some(InvalidKey::PublicKey)
            );
        }
    }
}

/// A flipped bit may give another key, which then is fit for use; it never gives the same key twice, or a panic.
#[test]
fn every_truncation_is_refused_and_every_flipped_bit_gives_no_second_encoding() {
    for algorithm in Algorithm::ALL {
        let private = PrivateKey::generate(algorithm);
        let good = private.public_bytes();
        let signature = URL_SAFE_NO_PAD.encode(private.sign(b"a message").expect("signs"));
        for length in 0..good.len() {
            assert!(
                parse(algorithm, &good[..length]).is_err(),
                "{algorithm:?}: {length} bytes"
            );
        }
        assert!(parse(algorithm, &[good, &[0]].concat()).is_err());
        for bit in 0..good.len() * 8 {
            let mut flipped = good.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok(key) = parse(algorithm, &flipped) else {
                continue;
            };
            assert_eq!(key.public_bytes(), flipped);
            assert!(
                !key.verify(b"a message", &signature),
                "{algorithm:?}: bit {bit}"
            );
        }
    }
}

#[test]
fn an_ed25519_key_is_no_point_of_small_order() {
    let mut identity = [0; 32];
    identity[0] = 1;
    for public in [&[0_u8; 32][..], &identity, &[0; 31], &[0; 33], &[]] {
        assert!(parse(Algorithm::Ed25519, public).is_err());
    }
}

#[test]
fn a_p256_key_is_an_uncompressed_point_of_that_curve() {
    let private = PrivateKey::generate(Algorithm::Es256);
    let good = private.public_bytes();
    let compressed = [&[2 + good[64] % 2], &good[1..33]].concat();
    let hybrid = [&[6 + good[64] % 2], &good[1..]].concat();
    let mut beside = good.to_vec();
    beside[64] ^= 1;
    let not_reduced = [&[4][..], &[0xff; 64]].concat();
    let origin = [&[4][..], &[0; 64]].concat();
    // Its key field in a certificate: the same point behind 26 bytes.
    let certificate = [&P256_PREFIX[..], good].concat();
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("randomness");
    let p384 = p384.public_key().as_ref();
    for public in [
        &compressed[..],
        &hybrid,
        &beside,
        &not_reduced,
        &origin,
        &certificate,
        p384,
        &p384[..65],
        &[0],
        &[],
    ] {
        assert_eq!(
            parse(Algorithm::Es256, public).err(),
            Some(InvalidKey::PublicKey),
            "{public:x?}"
        );
    }
}

const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

#[test]
fn an_rsa_key_has_a_modulus_and_an_exponent_within_the_bounds() {
    let fits = |modulus: &[u8], exponent: &[u8]| {
        parse(Algorithm::Rs256, &rsa_der(modulus, exponent)).is_ok()
    };
    for bytes in [256, 384, 512] {
        assert!(fits(&modulus(bytes), F4), "{bytes} bytes");
    }
    let mut short_by_a_bit = modulus(256);
    short_by_a_bit[0] = 0x7f;
    let even = vec![0xa4; 256];
    for modulus in [
        short_by_a_bit,
        modulus(128),
        modulus(513),
        modulus(1024),
        modulus(4096),
        even,
        vec![1],
        vec![],
    ] {
        assert!(!fits(&modulus, F4), "{} bytes", modulus.len());
    }
    assert!(fits(&modulus(256), &[1, 0, 3]));
    for exponent in [
        &[][..],
        &[1],
        &[3],
        &[0xff, 0xff],
        &[1, 0, 0],
        &[1, 0, 2],
        &[0xff; 8],
        &[0xff; 255],
    ] {
        assert!(!fits(&modulus(256), exponent), "{exponent:x?}");
    }
}

#[test]
fn an_rsa_key_has_one_encoding() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("randomness");
    let good = pair.public_key().as_ref();
    let PublicNumbers::Rsa { n, e } = parse(Algorithm::Rs256, good)
        .expect("a good key")
        .public_numbers()
    else {
        panic!("an RSA key")
    };
    assert_eq!(rsa_der(&n, &e), good);
    let certificate =
        aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(
            pair.public_key(),
        );
    let zeros = |number: &[u8]| tlv(2, &[&[0, 0], number].concat());
    let negative = tlv(0x30, &[tlv(2, &n), integer(&e)].concat());
    let indefinite = [&[0x30, 0x80], &good[4..], &[0, 0]].concat();
    let others = [
        certificate
            .expect("a certificate's key field")
            .as_ref()
            .to_vec(),
        tlv(0x30, &[zeros(&n), integer(&e)].concat()),
        tlv(0x30, &[integer(&n), zeros(&e)].concat()),
        tlv(0x30, &[integer(&n), integer(&e), integer(&[1])].concat()),
        tlv(0x31, &good[4..]),
        negative,
        indefinite,
    ];
    for public in others {
        assert_eq!(
            parse(Algorithm::Rs256, &public).err(),
            Some(InvalidKey::PublicKey),
            "{public:x?}"
        );
    }
}

/// What a later version may write. Taking it for another kind of key would be to guess.
#[test]
fn an_unknown_algorithm_or_kind_of_credential_is_no_key() {
    let private = PrivateKey::generate(Algorithm::Ed25519);
    let good = v1::TrustedKey::from(
        &parse(Algorithm::Ed25519, private.public_bytes()).expect("a good key"),
    );
    for algorithm in [0, 4, -1, i32::MAX] {
        let key = v1::TrustedKey {
            algorithm,
            ..good.clone()
        };
        assert_eq!(
            VerificationKey::try_from(&key).err(),
            Some(InvalidKey::Kind)
        );
    }
    for credential in [0, 3, -1] {
        let key = v1::TrustedKey {
            credential,
            ..good.clone()
        };
        assert_eq!(
            VerificationKey::try_from(&key).err(),
            Some(InvalidKey::Kind)
        );
    }
    for id in ["", "a b", "é", &"a".repeat(65)] {
        let key = v1::TrustedKey {
            id: id.into(),
            ..good.clone()
        };
        assert_eq!(VerificationKey::try_from(&key).err(), Some(InvalidKey::Id));
    }
}

#[test]
fn an_algorithm_has_the_names_that_jose_gives_it() {
    let name = |algorithm| serde_json::to_value(algorithm).expect("a name");
    assert_eq!(Algorithm::ALL.map(name), ["EdDSA", "ES256", "RS256"]);
    for algorithm in Algorithm::ALL {
        assert_eq!(name(algorithm), algorithm.jose_name());
        let named: Vec<_> = [
            "EdDSA", "Ed25519", "ES256", "RS256", "Ed448", "es256", "none", "",
        ]
        .into_iter()
        .filter(|name| algorithm.is_named(name))
        .collect();
        let expected = if algorithm == Algorithm::Ed25519 {
            vec!["EdDSA", "Ed25519"]
        } else {
            vec![algorithm.jose_name()]
        };
        assert_eq!(named, expected);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_key_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), tag in 0_u8..8) {
        for algorithm in Algorithm::ALL {
            let _ = parse(algorithm, &bytes);
            let _ = parse(algorithm, &[&[tag], &bytes[..]].concat());
            let _ = parse(algorithm, &rsa_der(&bytes, F4));
            let _ = PrivateKey::from_pkcs8(algorithm, &bytes);
        }
    }
}
