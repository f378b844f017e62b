//! Verified tokens, by their text.

use std::{
    hash::BuildHasher,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use crate::Identity;

/// A bounded cache of tokens whose signature was found good. A token is found by the end of its text, which is
/// signature, and recognised by the whole of it, so that nothing rests on a digest.
pub(crate) struct TokenCache<I = Identity> {
    hash: RandomState,
    /// Their number is a power of two.
    shards: Box<[Shard<I>]>,
    /// The most tokens of one shard.
    shard_tokens_max: usize,
}

/// How much of the end of a token finds it, in bytes: an Ed25519 or ES256 signature. Only who shows a signature that
/// was good gets as far as a comparison, so how long that takes tells nothing new.
const TAIL_BYTES: usize = 86;
/// Parts of the cache with a lock of their own: two threads seldom meet.
const SHARDS_MAX: usize = 256;
/// The fewest tokens of a shard in a cache that has several, so that they fill up alike.
const SHARD_TOKENS_MIN: usize = 64;

/// Two cache lines, as processors fetch them, belong to nobody else.
#[repr(align(128))]
struct Shard<I>(RwLock<Tokens<I>>);

struct Tokens<I> {
    known: HashTable<Known<I>>,
    /// The bucket at which the search for one to give up goes on.
    sweep: usize,
}

/// Why a token was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// The cache does not have it.
    Unknown,
    /// Another thread is writing where it would be.
    Contended,
}

/// What is kept for each known token. It is all that a check reads of the cache: small, and with the way to the text
/// and the way to the identity side by side, so that both are fetched at once.
struct Known<I> {
    hash: u64,
    text: Box<str>,
    identity: Arc<I>,
    /// Whether it was met again since the sweep came by.
    met: AtomicBool,
}

impl<I> TokenCache<I> {
    pub(crate) fn new(tokens_max: usize) -> Self {
        let shards = (tokens_max / SHARD_TOKENS_MIN).clamp(1, SHARDS_MAX);
        let shards = 1 << shards.ilog2();
        Self {
            hash: RandomState::default(),
            shards: (0..shards).map(|_| Shard::new()).collect(),
            shard_tokens_max: tokens_max / shards,
        }
    }

    /// What `decide` says about the identity of a token that was found good. Never waits: whoever meets a writer looks
    /// at the token anew. `decide` borrows the identity, and so takes a reference only of one that it admits.
    #[inline]
    pub(crate) fn get<T>(&self, token: &str, decide: impl FnOnce(&Arc<I>) -> T) -> Result<T, Miss> {
        let hash = self.hash(token);
        let tokens = self.shard(hash).try_read().map_err(|_| Miss::Contended)?;
        let known = tokens.known.find(hash, |known| known.is(hash, token));
        let known = known.ok_or(Miss::Unknown)?;
        // Written once and read from then on: two threads with one token do not take it from each other.
        if !known.met.load(Relaxed) {
            known.met.store(true, Relaxed);
        }
        Ok(decide(&known.identity))
    }

    /// Remembers a token, unless another thread is at the same shard: the next sight of it will do.
    pub(crate) fn insert(&self, token: &str, identity: Arc<I>) {
        let hash = self.hash(token);
        let Ok(mut tokens) = self.shard(hash).try_write() else {
            return;
        };
        if tokens
            .known
            .find(hash, |known| known.is(hash, token))
            .is_some()
        {
            return;
        }
        if tokens.known.len() >= self.shard_tokens_max {
            tokens.give_one_up();
        }
        let known = Known {
            hash,
            text: token.into(),
            identity,
            met: AtomicBool::new(false),
        };
        tokens.known.insert_unique(hash, known, |known| known.hash);
    }

    /// How many tokens it knows.
    pub(crate) fn len(&self) -> usize {
        let len = |shard: &Shard<I>| {
            shard
                .0
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .known
                .len()
        };
        self.shards.iter().map(len).sum()
    }

    #[inline]
    fn hash(&self, token: &str) -> u64 {
        let bytes = token.as_bytes();
        self.hash
            .hash_one(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..])
    }

    /// The table takes the lowest and the highest bits of a hash; these are others.
    #[inline]
    fn shard(&self, hash: u64) -> &RwLock<Tokens<I>> {
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
    /// Makes room for one: goes round and gives up the first that was not met since the last round (CLOCK).
    fn give_one_up(&mut self) {
        for _ in 0..2 * self.known.num_buckets() {
            self.sweep = (self.sweep + 1) % self.known.num_buckets();
            let Ok(known) = self.known.get_bucket_entry(self.sweep) else {
                continue;
            };
            if !known.get().met.swap(false, Relaxed) {
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
        };
        Arc::new(Identity::new(token::Identity {
            claims,
            key: Arc::new(key.expect("a good key")),
        }))
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
