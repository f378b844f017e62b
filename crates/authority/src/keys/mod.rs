//! Keys and secrets: the master key, the secrets that it seals, and the codes and tokens that they make.

mod checkpoint_code;
mod head_code;
mod keyring;
mod master_key;
mod master_key_file;
mod page_token;
mod refresh_token;
mod secrets;
mod signing_key;

pub use portcullis_contract::random;

pub(crate) use self::signing_key::open_sealed_key;
pub use self::{
    checkpoint_code::CheckpointError,
    head_code::HeadCodes,
    keyring::{Keyring, KeyringError},
    master_key::{MasterKey, Unsealable},
    master_key_file::read_master_key,
    page_token::PageTokens,
    refresh_token::{RefreshKey, RefreshTokenError},
    secrets::{Secrets, SecretsError},
    signing_key::{SignerError, generate_signing_key, open_signer},
};
