//! Secrets: sealing, refresh tokens, page tokens, signing keys.

mod checkpoint;
mod page_token;
mod refresh_token;
mod seal;
mod secrets;

pub use portcullis_contract::random;

pub(crate) use self::secrets::open_sealed_key;
pub use self::{
    checkpoint::CheckpointError,
    page_token::PageTokens,
    refresh_token::{RefreshKey, RefreshTokenError},
    seal::{MasterKey, Unsealable},
    secrets::{Secrets, SecretsError, SignerError, generate_signing_key, open_signer},
};
