//! Secrets: sealing, refresh tokens, page tokens, codes over heads, signing keys.

mod checkpoint;
mod head_code;
mod page_token;
mod refresh_token;
mod seal;
mod secrets;

pub use portcullis_contract::random;

pub(crate) use self::secrets::open_sealed_key;
pub use self::{
    checkpoint::CheckpointError,
    head_code::HeadCodes,
    page_token::PageTokens,
    refresh_token::{RefreshKey, RefreshTokenError},
    seal::{MasterKey, Unsealable},
    secrets::{Secrets, SecretsError, SignerError, generate_signing_key, open_signer},
};
