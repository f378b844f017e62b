//! The cache of verified tokens, by their text.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use crate::{
    Identity,
    sync::{AtomicBool, Ordering::Relaxed, PoisonError, RwLock},
};

/// A bounded cache of tokens with a good signature.
///
/// The hash covers the end of a token, which is signature. The whole text is compared, so that nothing rests on a digest.
pub(crate) struct TokenCache<I = Identity> {
    hash: RandomState,
    /// A power of two of them, so that a mask selects one.
    shards: Box<[Shard<I>]>,
    /// The most tokens in one shard.
    shard_tokens_max: usize,
}

/// The bytes at the end of a token that are hashed: an Ed25519 or ES256 signature.
///
/// Only a caller that shows a good signature gets as far as a comparison, so the time that it takes tells nothing new.
const TAIL_BYTES: usize = 86;
/// The most parts of the cache, each with its own lock, so that two threads seldom meet.
const SHARDS_MAX: usize = 256;
/// The fewest tokens of a shard in a cache that has several, so that they fill up alike.
const SHARD_TOKENS_MIN: usize = 64;

/// A part of the cache on two cache lines of its own, as processors fetch them in pairs.
#[repr(align(128))]
struct Shard<I>(RwLock<Tokens<I>>);

struct Tokens<I> {
    known: HashTable<Known<I>>,
    /// The bucket at which the next search for a token to evict begins.
    sweep: usize,
}

/// The reason for which a token was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// The cache does not have it.
    Unknown,
    /// Another thread is writing where it would be.
    Contended,
}

/// A known token: all that a check reads of the cache.
///
/// The pointers to the text and to the identity are side by side, so that the processor fetches both at once.
struct Known<I> {
    hash: u64,
    text: Box<str>,
    identity: Arc<I>,
    /// Whether the token was used since the sweep passed it.
    used: AtomicBool,
}

impl<I> TokenCache<I> {
    pub(crate) fn new(tokens_max: usize) -> Self {
        let shards = (tokens_max / SHARD_TOKENS_MIN).clamp(1, SHARDS_MAX);
        // Rounded down to a power of two, so that the bound holds and a mask selects a shard.
        let shards = 1 << shards.ilog2();
        Self {
            hash: RandomState::default(),
            shards: (0..shards).map(|_| Shard::new()).collect(),
            shard_tokens_max: tokens_max / shards,
        }
    }

    /// Returns the decision about the identity of a known token. Never waits: on a shard that is being written it misses.
    ///
    /// `decide` borrows the identity, so that the reference count is written only for a token that is admitted.
    #[inline]
    pub(crate) fn get<T>(&self, token: &str, decide: impl FnOnce(&Arc<I>) -> T) -> Result<T, Miss> {
        let hash = self.hash(token);
        // Never `read`: a check that waits for a writer would be as slow as the slowest insertion.
        let tokens = self.shard(hash).try_read().map_err(|_| Miss::Contended)?;
        let known = tokens.known.find(hash, |known| known.is(hash, token));
        let known = known.ok_or(Miss::Unknown)?;
        // Written once and read from then on: a store at each use would move the cache line between threads.
        if !known.used.load(Relaxed) {
            known.used.store(true, Relaxed);
        }
        Ok(decide(&known.identity))
    }

    /// Adds a token, unless another thread is at the same shard: the next use of the token will add it.
    pub(crate) fn insert(&self, token: &str, identity: Arc<I>) {
        let hash = self.hash(token);
        let Ok(mut tokens) = self.shard(hash).try_write() else {
            return;
        };
        let known = tokens.known.find(hash, |known| known.is(hash, token));
        if known.is_some() {
            return;
        }
        // The bound is kept for each shard. Sharing one count would be a cache line that every insertion writes.
        if tokens.known.len() >= self.shard_tokens_max {
            tokens.evict_one();
        }
        // The text is copied once here. From then on a check compares it and allocates nothing.
        let known = Known {
            hash,
            text: token.into(),
            identity,
            used: AtomicBool::new(false),
        };
        tokens.known.insert_unique(hash, known, |known| known.hash);
    }

    /// The number of known tokens.
    pub(crate) fn len(&self) -> usize {
        let mut tokens = 0;
        for shard in &self.shards {
            // A panic while the lock was held leaves the table whole, so its length is still right.
            let shard = shard.0.read().unwrap_or_else(PoisonError::into_inner);
            tokens += shard.known.len();
        }
        tokens
    }

    #[inline]
    fn hash(&self, token: &str) -> u64 {
        let bytes = token.as_bytes();
        self.hash
            // The start of a token is the header, which is the same in all of them: hashing it would tell nothing.
            .hash_one(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..])
    }

    #[inline]
    fn shard(&self, hash: u64) -> &RwLock<Tokens<I>> {
        // The table uses the lowest and the highest bits of a hash. The same bits here would make its buckets uneven.
        &self.shards[(hash >> 32) as usize & (self.shards.len() - 1)].0
    }
}

impl<I> Shard<I> {
    fn new() -> Self {
        Self(RwLock::new(Tokens {
            known: HashTable::new(),
            sweep: 0,
        }))
    }
}

impl<I> Known<I> {
    #[inline]
    fn is(&self, hash: u64, token: &str) -> bool {
        self.hash == hash && *self.text == *token
    }
}

impl<I> Tokens<I> {
    /// Evicts the first token that was not used since the sweep passed it (CLOCK).
    fn evict_one(&mut self) {
        // Two rounds are enough: the first one clears every mark that the second one looks at.
        for _ in 0..2 * self.known.num_buckets() {
            self.sweep = (self.sweep + 1) % self.known.num_buckets();
            let Ok(known) = self.known.get_bucket_entry(self.sweep) else {
                continue;
            };
            if !known.get().used.swap(false, Relaxed) {
                known.remove();
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_contract::{
        id::{Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
        key::{Algorithm, CredentialKind, KeyId, PrivateKey, VerificationKey},
        position::Revision,
        token::{self, Claims},
        view::Subject,
    };

    use super::*;
    use crate::{judge::Judge, settings::Settings};

    fn identity() -> Arc<Identity> {
        let key = PrivateKey::generate(Algorithm::Ed25519);
        let id = KeyId::parse("k1").expect("an id");
        let key = VerificationKey::new(
            id,
            key.algorithm(),
            key.public_bytes(),
            CredentialKind::Session,
        );
        let claims = Claims {
            tenant_id: TenantId::parse("acme").expect("an id"),
            user_id: UserId::parse("ada").expect("an id"),
            session_id: SessionId::generate(),
            subject: Subject {
                serial: Serial(1),
                user: UserSerial(2),
                tenant: TenantSerial(3),
                opened: Revision(4),
            },
            token_id: "t".into(),
            audiences: vec!["gate".into()],
            issued_at: 1_000,
            expires_at: 2_000,
            auth_time: 900,
            amr: vec![],
            acr: String::new(),
            client_id: "web".into(),
        };
        let verified = token::Identity {
            claims,
            key: Arc::new(key.expect("a good key")),
        };
        let judge = Judge::new(&Settings::new("i", "a"));
        Arc::new(Identity::new(verified, Arc::new(judge)))
    }

    fn knows(cache: &TokenCache, token: &str) -> bool {
        cache.get(token, |_| ()).is_ok()
    }

    #[test]
    fn a_token_is_known_by_every_byte_of_it() {
        let (cache, token) = (
            TokenCache::new(100),
            "h".repeat(500) + &"s".repeat(TAIL_BYTES),
        );
        cache.insert(&token, identity());
        assert!(knows(&cache, &token));
        for at in 0..token.len() {
            let mut other = token.clone();
            other.replace_range(at..=at, "x");
            assert!(!knows(&cache, &other), "byte {at}");
            assert!(
                !knows(&cache, &token[..at]) && !knows(&cache, &token[at + 1..]),
                "cut at {at}"
            );
        }
        assert!(!knows(&cache, &(token + "s")));
    }

    #[test]
    fn the_bound_holds_and_what_is_met_again_stays() {
        for tokens_max in [1, 2, 63, 64, 100, 1_000] {
            let (cache, identity) = (TokenCache::new(tokens_max), identity());
            // In it every token is met, so that any may have to go; in the other one only the first.
            let restless = TokenCache::new(tokens_max);
            let token = |number: usize| format!("{number:0200}");
            for number in 0..3 * tokens_max {
                cache.insert(&token(number), Arc::clone(&identity));
                assert!(
                    tokens_max < 10 || knows(&cache, &token(0)),
                    "{number} of at most {tokens_max}"
                );
                restless.insert(&token(number), Arc::clone(&identity));
                assert!(
                    knows(&restless, &token(number)),
                    "{number} of at most {tokens_max}"
                );
            }
            for cache in [cache, restless] {
                assert!(cache.len() <= tokens_max);
                assert!(
                    cache.len() * 10 >= tokens_max * 9,
                    "{} of {tokens_max}",
                    cache.len()
                );
            }
        }
    }

    #[test]
    fn whoever_meets_a_writer_does_not_wait() {
        let (cache, identity) = (TokenCache::new(1), identity());
        cache.insert("known", Arc::clone(&identity));
        let writer = cache.shards[0].0.write().expect("whole");
        assert!(!knows(&cache, "known"));
        cache.insert("another", identity);
        drop(writer);
        assert!(knows(&cache, "known") && !knows(&cache, "another"));
    }
}
