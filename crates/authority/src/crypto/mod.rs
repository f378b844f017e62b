//! Secrets: sealing, refresh tokens, page tokens, signing keys.

mod page_token;
mod refresh_token;
mod seal;
mod secrets;

pub use portcullis_contract::random;

pub use self::{
    page_token::PageTokens,
    refresh_token::{RefreshKey, RefreshTokenError},
    seal::{MasterKey, Unsealable},
    secrets::{Secrets, SecretsError, generate_signing_key, open_signer},
};
