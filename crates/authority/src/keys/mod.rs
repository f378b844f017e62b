//! Secrets: sealing, refresh tokens, page tokens, codes over heads, signing keys.

mod checkpoint_code;
mod head_code;
mod keyring;
mod master_key;
mod page_token;
mod refresh_token;
mod secrets;

pub use portcullis_contract::random;

pub(crate) use self::secrets::open_sealed_key;
pub use self::{
    checkpoint_code::CheckpointError,
    head_code::HeadCodes,
    keyring::{Keyring, KeyringError},
    master_key::{MasterKey, Unsealable},
    page_token::PageTokens,
    refresh_token::{RefreshKey, RefreshTokenError},
    secrets::{Secrets, SecretsError, SignerError, generate_signing_key, open_signer},
};
