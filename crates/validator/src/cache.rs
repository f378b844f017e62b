//! Verified tokens, by a keyed digest of their text.

use std::sync::Arc;

use polyval::{Polyval, universal_hash::UniversalHash};
use portcullis_contract::token::Identity;
use quick_cache::sync::Cache;

/// A bounded cache of tokens whose signature was found good. A hit touches a digest and an identity, never the text.
///
/// The digest is POLYVAL under a random key: for any two texts, chosen without the key, it is the same with a
/// probability of at most `blocks / 2^128` (RFC 8452). It never leaves the process.
pub(crate) struct TokenCache {
    hash: Polyval,
    tokens: Cache<u128, Arc<Identity>>,
}

impl TokenCache {
    pub(crate) fn new(tokens_max: usize, key: [u8; 16]) -> Self {
        Self { hash: Polyval::new(&key.into()), tokens: Cache::new(tokens_max) }
    }

    /// The digest of a token's text.
    pub(crate) fn digest(&self, token: &str) -> u128 {
        let mut hash = self.hash.clone();
        hash.update_padded(token.as_bytes());
        // The padding's length, so that a text and the same text with zeroes after it differ.
        let length = (token.len() as u128).to_be_bytes();
        hash.update(&[length.into()]);
        u128::from_be_bytes(hash.finalize().into())
    }

    /// The identity of a token that was found good. Never waits: whoever meets a writer looks at the token anew.
    pub(crate) fn get(&self, digest: u128) -> Option<Arc<Identity>> {
        self.tokens.try_get(&digest).ok().flatten()
    }

    pub(crate) fn insert(&self, digest: u128, identity: Arc<Identity>) {
        self.tokens.insert(digest, identity);
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_at_all_have_other_digests() {
        let cache = TokenCache::new(10, [7; 16]);
        let text = "eyJ0eXAiOiJhdCtqd3QifQ.payload.signature";
        assert_eq!(cache.digest(text), cache.digest(text));
        for length in 0..text.len() {
            assert_ne!(cache.digest(&text[..length]), cache.digest(text));
        }
        for changed in [format!("{text}\0"), format!("{text}A"), text.replace('s', "t")] {
            assert_ne!(cache.digest(&changed), cache.digest(text));
        }
        assert_ne!(TokenCache::new(10, [8; 16]).digest(text), cache.digest(text));
    }
}
