//! Public keys of each algorithm: their checks and their numbers.

use std::ops::RangeInclusive;

use aws_lc_rs::{
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        VerificationAlgorithm,
    },
};
use curve25519_dalek::edwards::CompressedEdwardsY;

use super::{Algorithm, InvalidKey};

/// An uncompressed point of P-256 (SEC 1, section 2.3.3): this byte, then both coordinates.
const UNCOMPRESSED: u8 = 4;
const COORDINATE_BYTES: usize = 32;

/// RFC 7518, section 3.3 sets the lower bound. The upper one bounds the work that a token can cause.
const RSA_MODULUS_BITS: RangeInclusive<usize> = 2048..=4096;
/// 65537 is the first odd number of 17 bits; below it RSA has known weaknesses.
const RSA_EXPONENT_BITS_MIN: usize = 17;

/// The numbers of a public key, big-endian, by their names in a JWK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicNumbers {
    /// Ed25519 (RFC 8037, section 2).
    Okp {
        /// The encoded point.
        x: Vec<u8>,
    },
    /// P-256 (RFC 7518, section 6.2.1).
    Ec {
        /// The first coordinate, 32 bytes.
        x: Vec<u8>,
        /// The second coordinate, 32 bytes.
        y: Vec<u8>,
    },
    /// RSA (RFC 7518, section 6.3.1), without leading zeros.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
}

impl PublicNumbers {
    /// Returns the numbers of a key that [`parse`] accepted.
    pub(super) fn of(algorithm: Algorithm, public: &[u8]) -> Self {
        match algorithm {
            Algorithm::Ed25519 => Self::Okp { x: public.to_vec() },
            Algorithm::Es256 => {
                // `parse` has checked the length, so neither the first byte nor the split can fail.
                let (x, y) = public[1..].split_at(COORDINATE_BYTES);
                Self::Ec {
                    x: x.to_vec(),
                    y: y.to_vec(),
                }
            }
            Algorithm::Rs256 => {
                let key = rsa::PublicKey::from_der(public).expect("it was parsed before");
                let (n, e) = rsa_numbers(&key);
                Self::Rsa { n, e }
            }
        }
    }
}

/// Parses a public key and makes it ready for use.
pub(super) fn parse(algorithm: Algorithm, public: &[u8]) -> Result<ParsedPublicKey, InvalidKey> {
    let is_usable = match algorithm {
        Algorithm::Ed25519 => is_ed25519_point(public),
        Algorithm::Es256 => is_uncompressed(public),
        Algorithm::Rs256 => is_rsa_key(public),
    };
    if !is_usable {
        return Err(InvalidKey::PublicKey);
    }
    let verification: &'static dyn VerificationAlgorithm = match algorithm {
        Algorithm::Ed25519 => &ED25519,
        Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
        // The library has no verification with our upper bound. `is_rsa_key` has it.
        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
    };
    // For P-256 this is where a point beside the curve is refused.
    ParsedPublicKey::new(verification, public).map_err(|_| InvalidKey::PublicKey)
}

fn is_ed25519_point(public: &[u8]) -> bool {
    let Ok(compressed) = CompressedEdwardsY::from_slice(public) else {
        return false;
    };
    match compressed.decompress() {
        // A key of small order accepts forged signatures, and the library that verifies takes it.
        Some(point) => !point.is_small_order(),
        None => false,
    }
}

fn is_uncompressed(public: &[u8]) -> bool {
    // The library also reads compressed points and the key fields of certificates: one key would have several encodings.
    public.len() == 1 + 2 * COORDINATE_BYTES && public[0] == UNCOMPRESSED
}

fn is_rsa_key(public: &[u8]) -> bool {
    let Ok(key) = rsa::PublicKey::from_der(public) else {
        return false;
    };
    let (n, e) = rsa_numbers(&key);
    // The library reads several encodings and writes one. Taking the others would give one key several identities.
    key.as_ref() == public
        && RSA_MODULUS_BITS.contains(&bits(&n))
        && bits(&e) >= RSA_EXPONENT_BITS_MIN
        && is_odd(&n)
        && is_odd(&e)
}

fn rsa_numbers(key: &rsa::PublicKey) -> (Vec<u8>, Vec<u8>) {
    (
        key.modulus().big_endian_without_leading_zero().to_vec(),
        key.exponent().big_endian_without_leading_zero().to_vec(),
    )
}

fn bits(number: &[u8]) -> usize {
    match number.first() {
        Some(first) => number.len() * 8 - first.leading_zeros() as usize,
        None => 0,
    }
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last % 2 == 1)
}
