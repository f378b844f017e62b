//! Verified tokens, by their text.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::quality::RandomState;
use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, UnitWeighter,
    sync::{Cache, DefaultLifecycle},
};

use crate::Identity;

/// A bounded cache of tokens whose signature was found good. A token is found by the end of its text, which is
/// signature, and recognised by the whole of it.
pub(crate) struct TokenCache {
    hash: RandomState,
    tokens: Cache<u64, Arc<Identity>>,
}

/// How much of the end of a token finds it, in bytes: an Ed25519 or ES256 signature. Only who shows a signature that
/// was good gets as far as a comparison.
const TAIL_BYTES: usize = 86;
/// Parts of the cache with a lock of their own: two threads seldom meet.
const SHARDS: usize = 256;

impl TokenCache {
    pub(crate) fn new(tokens_max: usize) -> Self {
        // A part holds at least a few tokens, however small the cache is.
        let shards = SHARDS.min(tokens_max.div_ceil(64));
        let mut options = OptionsBuilder::new();
        options.shards(shards).estimated_items_capacity(tokens_max).weight_capacity(tokens_max as u64);
        let options = options.build().expect("all that is required is given");
        let tokens =
            Cache::with_options(options, UnitWeighter, DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self { hash: RandomState::default(), tokens }
    }

    /// The identity of a token that was found good. Never waits: whoever meets a writer looks at the token anew.
    pub(crate) fn get(&self, token: &str) -> Option<Arc<Identity>> {
        let found = self.tokens.try_get(&self.key(token)).ok().flatten()?;
        found.is_of(token).then_some(found)
    }

    /// Remembers a token, unless another thread is at the same part: the next sight of it will do.
    pub(crate) fn insert(&self, token: &str, identity: Arc<Identity>) {
        let _ = self.tokens.try_insert(self.key(token), identity);
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    fn key(&self, token: &str) -> u64 {
        let bytes = token.as_bytes();
        self.hash.hash_one(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..])
    }
}
