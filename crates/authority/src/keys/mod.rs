//! Keys and secrets: the master key, the secrets that it seals, and the codes and tokens that they make.

mod checkpoint_code;
mod head_code;
mod key_source;
mod keyring;
mod master_key;
mod master_keys;
mod page_token;
mod pkcs11;
mod refresh_token;
mod secret_source;
mod secrets;
mod signing_key;
mod vault;

pub use portcullis_contract::random;

pub(crate) use self::signing_key::{open_sealed_key, purpose as signing_key_purpose};
pub use self::{
    checkpoint_code::CheckpointError,
    head_code::HeadCodes,
    key_source::read_master_keys,
    keyring::{Keyring, KeyringError},
    master_key::{MasterKey, MasterKeyId},
    master_keys::{MasterKeyIds, MasterKeys, Unsealable},
    page_token::PageTokens,
    refresh_token::{RefreshKey, RefreshKeys, RefreshTokenError},
    secrets::{Secrets, SecretsError},
    signing_key::{SignerError, generate_signing_key, open_signer},
};
