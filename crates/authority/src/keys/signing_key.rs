//! Signing keys: made, sealed for the store, and opened again.

use std::time::Duration;

use portcullis_contract::{
    key::{Algorithm, CredentialKind, InvalidKey, KeyId, PrivateKey},
    token::Signer,
};
use zeroize::Zeroizing;

use super::{MasterKeys, Unsealable, random};
use crate::domain::{KeyRecord, NewKey};

/// Why a stored signing key could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// Another master key sealed it.
    #[error(transparent)]
    Unsealable(#[from] Unsealable),
    /// The sealed bytes are no key of the algorithm that is stored beside them.
    #[error("a stored signing key cannot be used: {0}")]
    Key(#[from] InvalidKey),
}

/// Makes a key pair and seals its private half. For RSA this takes a good part of a second.
#[must_use]
pub fn generate_signing_key(
    master: &MasterKeys,
    credential: CredentialKind,
    algorithm: Algorithm,
    activation_delay: Duration,
) -> NewKey {
    let id = random_key_id();
    let key = PrivateKey::generate(algorithm);
    // Sealed for its own id: the private half of one key cannot take the place of another's.
    let sealed = master.seal(&purpose(&id), &key.to_pkcs8());
    NewKey {
        id,
        credential,
        algorithm,
        public: key.public_bytes().to_vec(),
        sealed,
        activation_delay,
    }
}

/// Opens a stored key for signing.
///
/// # Errors
/// When another master key sealed it, or it is no key of its algorithm.
pub fn open_signer(master: &MasterKeys, key: &KeyRecord) -> Result<Signer, SignerError> {
    let pkcs8 = open_sealed_key(master, key)?;
    let private = PrivateKey::from_pkcs8(key.algorithm, &pkcs8)?;
    Ok(Signer::new(key.id.clone(), private))
}

/// Opens the private half of a stored key, in PKCS #8 form.
///
/// # Errors
/// When another master key sealed it.
pub(crate) fn open_sealed_key(
    master: &MasterKeys,
    key: &KeyRecord,
) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
    master.open(&purpose(&key.id), &key.sealed)
}

fn random_key_id() -> KeyId {
    let number = u64::from_be_bytes(random());
    // Random and not counted, so that two authorities that make a key together do not use one id.
    KeyId::parse(format!("k{number:016x}")).expect("letters and digits")
}

/// The purpose for which the private half of a key is sealed.
pub(crate) fn purpose(id: &KeyId) -> String {
    format!("signing key {id}")
}
