//! Secrets: sealing, refresh tokens, page tokens, signing keys.

mod page_token;
mod refresh_token;
mod seal;
mod secrets;

pub use self::{
    page_token::PageTokens,
    refresh_token::{RefreshKey, RefreshTokenError},
    seal::{MasterKey, Unsealable},
    secrets::{Secrets, SecretsError, generate_signing_key, open_signer},
};

/// Random bytes from the system's generator.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}
