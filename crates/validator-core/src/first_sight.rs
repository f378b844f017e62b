//! A bound on the cost of forged tokens: a signature check takes a hundred times as long as a look-up of a known token.
//!
//! A known token never comes here. An unknown token is charged to its source only when it turns out bad, so good tokens
//! cost nothing, however many there are. A source that has spent its share is refused before the signature is checked,
//! with [`Rejection::Busy`], until its share grows again.
//!
//! Nothing here waits: shares are atomics, and a bad text is remembered only when no other thread holds the same slot.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use portcullis_contract::{
    key::CredentialKind, rejection::Rejection, token::ACCESS_TOKEN_BYTES_MAX,
};

use crate::{activity::RequestInfo, clock::Mark};

/// The number of shares. Sources whose hashes meet have one share: the memory is the same however many sources there
/// are.
const SHARES: usize = 4_096;
/// The shares of one source. It is refused when both are spent, so that it has to meet two other bad sources.
const SHARES_OF_SOURCE: usize = 2;
/// The burst of one source: the time whose rate it may spend at once, in microseconds.
const BURST_MICROS: u64 = 5_000_000;
/// The burst of all sources together, in microseconds.
const BURST_IN_ALL_MICROS: u64 = 250_000;
/// The number of bad texts that are remembered.
const BAD_TEXTS: usize = 1_024;
/// The time for which a bad text is remembered, in microseconds.
const BAD_TEXT_MICROS: u64 = 10_000_000;

/// The most tokens in a second that may turn out bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForgedRates {
    /// The rate of one source.
    pub source: u32,
    /// The rate of all sources that are unknown, or that showed bad tokens lately.
    pub in_all: u32,
}

impl Default for ForgedRates {
    fn default() -> Self {
        Self {
            source: 20,
            in_all: 4_000,
        }
    }
}

/// The shares of all sources, and the texts that were found bad lately.
pub(crate) struct FirstSights {
    hash: RandomState,
    other_hash: RandomState,
    sources: Box<[Share]>,
    all: Share,
    source_cost: u64,
    all_cost: u64,
    bad_texts: Box<[Mutex<Option<BadText>>]>,
}

/// The time up to which a share is spent, in microseconds of [`Mark::micros`].
#[derive(Default)]
struct Share(AtomicU64);

/// Two digests of a text by secret keys: a good token has both by a chance of 2^-128.
#[derive(Clone, Copy, PartialEq, Eq)]
struct TextDigest(u64, u64);

struct BadText {
    digest: TextDigest,
    rejection: Rejection,
    until: u64,
}

/// The permission to check an unknown token.
pub(crate) struct Admission {
    /// The shares of the source. `None` for an unknown source.
    shares: Option<[usize; SHARES_OF_SOURCE]>,
    digest: TextDigest,
    now: u64,
}

impl FirstSights {
    pub(crate) fn new(rates: ForgedRates) -> Self {
        Self {
            hash: RandomState::new(),
            other_hash: RandomState::new(),
            // All memory is taken here. A flood of sources cannot make it grow.
            sources: (0..SHARES).map(|_| Share::default()).collect(),
            all: Share::default(),
            source_cost: micros_each(rates.source),
            all_cost: micros_each(rates.in_all),
            bad_texts: (0..BAD_TEXTS).map(|_| Mutex::new(None)).collect(),
        }
    }

    /// Admits an unknown token to its check.
    ///
    /// # Errors
    /// [`Rejection::Busy`] when the source has spent its share, or the rejection that the same text got a moment ago.
    pub(crate) fn admit(
        &self,
        credential: CredentialKind,
        token: &str,
        request: &RequestInfo<'_>,
        now: &Mark,
    ) -> Result<Admission, Rejection> {
        // Hashing a text of any length would be a cost of its own.
        if token.len() > ACCESS_TOKEN_BYTES_MAX {
            return Err(Rejection::Oversized);
        }
        let now = now.micros();
        let shares = self.shares_of(request);
        self.admit_source(shares, now)?;

        let digest = self.digest(credential, token);
        self.admit_text(digest, now)?;
        Ok(Admission {
            shares,
            digest,
            now,
        })
    }

    fn admit_source(
        &self,
        shares: Option<[usize; SHARES_OF_SOURCE]>,
        now: u64,
    ) -> Result<(), Rejection> {
        let Some(shares) = shares else {
            return self.admit_in_all(now);
        };
        let [one, other] = shares.map(|index| &self.sources[index]);
        if one.is_spent(now, BURST_MICROS) && other.is_spent(now, BURST_MICROS) {
            return Err(Rejection::Busy);
        }
        // A source that showed nothing bad lately does not pay for the sources that did.
        if one.is_untouched(now) || other.is_untouched(now) {
            return Ok(());
        }
        self.admit_in_all(now)
    }

    fn admit_in_all(&self, now: u64) -> Result<(), Rejection> {
        if self.all.is_spent(now, BURST_IN_ALL_MICROS) {
            return Err(Rejection::Busy);
        }
        Ok(())
    }

    fn admit_text(&self, digest: TextDigest, now: u64) -> Result<(), Rejection> {
        // A slot that is being written tells nothing: the token is checked, which is always right.
        let Ok(slot) = self.slot_of(digest).try_lock() else {
            return Ok(());
        };
        match &*slot {
            Some(bad) if bad.digest == digest && now < bad.until => Err(bad.rejection),
            _ => Ok(()),
        }
    }

    /// Records that an admitted token was found bad.
    pub(crate) fn record_bad(&self, admission: &Admission, rejection: Rejection) {
        if !is_final(rejection) {
            return;
        }
        // Charged as of the admission, so that a slow check does not make the token cheaper.
        self.all.spend(admission.now, self.all_cost);
        for index in admission.shares.into_iter().flatten() {
            self.sources[index].spend(admission.now, self.source_cost);
        }
        if let Ok(mut slot) = self.slot_of(admission.digest).try_lock() {
            *slot = Some(BadText {
                digest: admission.digest,
                rejection,
                until: admission.now + BAD_TEXT_MICROS,
            });
        }
    }

    /// Returns the shares of the request's source, or `None` for an unknown source.
    fn shares_of(&self, request: &RequestInfo<'_>) -> Option<[usize; SHARES_OF_SOURCE]> {
        let hash = match (request.source, request.ip) {
            (Some(source), _) => self.hash.hash_one(source),
            (None, Some(ip)) => self.hash.hash_one(network_of(ip)),
            (None, None) => return None,
        };
        // Two halves of one keyed hash: nobody outside can choose which other source it shares with.
        let low = (hash & 0xffff_ffff) as usize;
        let high = (hash >> 32) as usize;
        Some([low % SHARES, high % SHARES])
    }

    fn digest(&self, credential: CredentialKind, token: &str) -> TextDigest {
        // An API key where a session is asked is bad, and the same text is good where an API key is asked.
        let text = (credential, token);
        // The text itself is not kept: a table of tokens, even of bad ones, is worth stealing.
        TextDigest(self.hash.hash_one(text), self.other_hash.hash_one(text))
    }

    fn slot_of(&self, digest: TextDigest) -> &Mutex<Option<BadText>> {
        &self.bad_texts[digest.0 as usize % BAD_TEXTS]
    }
}

impl Share {
    fn is_spent(&self, now: u64, burst: u64) -> bool {
        self.0.load(Relaxed) > now + burst
    }

    fn is_untouched(&self, now: u64) -> bool {
        self.0.load(Relaxed) <= now
    }

    fn spend(&self, now: u64, cost: u64) {
        // Time that was not spent is lost here, so that nobody saves up for a burst of any size.
        self.0.fetch_max(now, Relaxed);
        self.0.fetch_add(cost, Relaxed);
    }
}

/// The microseconds that one token costs at a rate.
fn micros_each(rate: u32) -> u64 {
    1_000_000 / u64::from(rate.max(1))
}

/// Returns whether the same text is refused for the same reason at any later time, which makes it the caller's fault. An
/// unknown key may be one that the gate has yet to hear of.
fn is_final(rejection: Rejection) -> bool {
    matches!(
        rejection,
        Rejection::Malformed
            | Rejection::WrongType
            | Rejection::WrongAlgorithm
            | Rejection::BadSignature
            | Rejection::WrongIssuer
            | Rejection::WrongAudience
    )
}

/// Returns the network of an address, as a number. A client with IPv6 chooses among the addresses of its network.
fn network_of(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        // The highest bit keeps IPv6 networks apart from IPv4 addresses, which have 32 bits.
        IpAddr::V6(ip) => ((u128::from(ip) >> 64) as u64) | (1 << 63),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        net::{Ipv4Addr, Ipv6Addr},
    };

    use super::*;

    const RATES: ForgedRates = ForgedRates {
        source: 20,
        in_all: 4_000,
    };

    const SESSION: CredentialKind = CredentialKind::Session;

    fn from(number: u32) -> RequestInfo<'static> {
        RequestInfo {
            ip: Some(Ipv4Addr::from(number).into()),
            ..RequestInfo::default()
        }
    }

    /// Shows different bad tokens until one is refused unchecked; how many were checked.
    fn flood(sights: &FirstSights, request: &RequestInfo<'_>, now: &Mark) -> usize {
        for number in 0..100_000 {
            match sights.admit(SESSION, &format!("bad {number}"), request, now) {
                Ok(admission) => sights.record_bad(&admission, Rejection::BadSignature),
                Err(Rejection::Busy) => return number,
                Err(other) => panic!("{other}"),
            }
        }
        panic!("no bound")
    }

    #[test]
    fn a_source_has_a_burst_and_a_rate() {
        let sights = FirstSights::new(RATES);
        let now = Mark::at(100, 100);
        assert_eq!(flood(&sights, &from(1), &now), 101);
        assert!(sights.admit(SESSION, "good", &from(2), &now).is_ok());
        assert_eq!(
            sights.admit(SESSION, "good", &from(1), &now).map(drop),
            Err(Rejection::Busy)
        );
        let later = Mark::at(101, 101);
        assert!(sights.admit(SESSION, "good", &from(1), &later).is_ok());
    }

    #[test]
    fn a_text_that_is_bad_as_one_kind_may_be_good_as_the_other() {
        let sights = FirstSights::new(RATES);
        let now = Mark::at(100, 100);
        let kinds = [CredentialKind::Session, CredentialKind::ApiKey];
        for (bad, good) in [(kinds[0], kinds[1]), (kinds[1], kinds[0])] {
            let text = format!("{bad:?}");
            let admission = sights.admit(bad, &text, &from(1), &now);
            sights.record_bad(&admission.expect("admitted"), Rejection::WrongType);
            let again = sights.admit(bad, &text, &from(1), &now).map(drop);
            assert_eq!(again, Err(Rejection::WrongType));
            assert!(sights.admit(good, &text, &from(1), &now).is_ok());
        }
    }

    #[test]
    fn good_tokens_cost_nothing() {
        let sights = FirstSights::new(RATES);
        let now = Mark::at(100, 100);
        for number in 0..10_000 {
            let admitted = sights.admit(SESSION, &number.to_string(), &from(1), &now);
            assert!(admitted.is_ok(), "{number}");
        }
    }

    #[test]
    fn a_source_without_bad_tokens_does_not_pay_for_others() {
        let sights = FirstSights::new(RATES);
        let now = Mark::at(100, 100);
        let unknown = RequestInfo::default();
        assert_eq!(flood(&sights, &unknown, &now), 1_001);
        assert_eq!(
            sights.admit(SESSION, "good", &unknown, &now).map(drop),
            Err(Rejection::Busy)
        );
        assert!(sights.admit(SESSION, "good", &from(2), &now).is_ok());
    }

    #[test]
    fn the_gateway_chooses_what_a_source_is() {
        let sights = FirstSights::new(RATES);
        let now = Mark::at(100, 100);
        let account = |name: &'static str| RequestInfo {
            source: Some(name.as_bytes()),
            ..from(1)
        };
        flood(&sights, &account("one"), &now);
        assert!(sights.admit(SESSION, "good", &account("two"), &now).is_ok());
        assert!(
            sights
                .admit(SESSION, "good", &account("one"), &now)
                .is_err()
        );
    }

    #[test]
    fn a_bad_text_is_remembered_for_a_while_and_costs_its_source_once() {
        let sights = FirstSights::new(RATES);
        let now = Mark::at(100, 100);
        let admission = sights
            .admit(SESSION, "bad", &from(1), &now)
            .expect("a first sight");
        sights.record_bad(&admission, Rejection::BadSignature);
        for _ in 0..1_000 {
            let refused = sights.admit(SESSION, "bad", &from(1), &now).map(drop);
            assert_eq!(refused, Err(Rejection::BadSignature));
        }
        assert!(sights.admit(SESSION, "another", &from(1), &now).is_ok());
        // It was found bad at 100 s, and is remembered for 10 s.
        for (second, is_remembered) in [(109, true), (110, false)] {
            let later = Mark::at(second, second);
            let again = sights.admit(SESSION, "bad", &from(1), &later);
            assert_eq!(again.is_err(), is_remembered, "{second}");
        }
    }

    #[test]
    fn a_text_as_large_as_a_token_may_be_is_checked() {
        let sights = FirstSights::new(RATES);
        let now = Mark::at(100, 100);
        let admit = |bytes: usize| {
            let text = "x".repeat(bytes);
            sights.admit(SESSION, &text, &from(1), &now).map(drop)
        };
        assert_eq!(admit(ACCESS_TOKEN_BYTES_MAX), Ok(()));
        let larger = admit(ACCESS_TOKEN_BYTES_MAX + 1);
        assert_eq!(larger, Err(Rejection::Oversized));
    }

    #[test]
    fn a_source_is_refused_when_both_of_its_shares_are_spent() {
        let sights = FirstSights::new(RATES);
        let now = Mark::at(100, 100);
        let admit = || sights.admit(SESSION, "good", &from(1), &now).map(drop);
        let [one, other] = sights.shares_of(&from(1)).expect("a known source");
        let spent = now.micros() + BURST_MICROS + 1;
        sights.sources[one].0.store(spent, Relaxed);
        assert!(one == other || admit().is_ok());
        sights.sources[other].0.store(spent, Relaxed);
        assert_eq!(admit(), Err(Rejection::Busy));
    }

    #[test]
    fn a_source_with_an_untouched_share_does_not_pay_for_others() {
        let sights = FirstSights::new(RATES);
        let now = Mark::at(100, 100);
        let admit = || sights.admit(SESSION, "good", &from(1), &now).map(drop);
        let [one, other] = sights.shares_of(&from(1)).expect("a known source");
        sights.all.0.store(u64::MAX / 2, Relaxed);
        assert_eq!(admit(), Ok(()));
        sights.sources[one].0.store(now.micros() + 1, Relaxed);
        assert!(one == other || admit().is_ok());
        sights.sources[other].0.store(now.micros() + 1, Relaxed);
        assert_eq!(admit(), Err(Rejection::Busy));
    }

    #[test]
    fn both_shares_of_a_source_are_its_own() {
        let sights = FirstSights::new(RATES);
        let mut shares = [(); SHARES_OF_SOURCE].map(|()| HashSet::new());
        for number in 0..1_000 {
            let of_source = sights.shares_of(&from(number)).expect("a known source");
            for (seen, share) in shares.iter_mut().zip(of_source) {
                seen.insert(share);
            }
        }
        // A thousand of 4,096 shares by chance: about 890 different ones.
        for seen in shares {
            assert!(seen.len() > 700, "{}", seen.len());
        }
    }

    #[test]
    fn a_token_whose_key_is_not_known_yet_is_not_remembered() {
        let sights = FirstSights::new(RATES);
        let now = Mark::at(100, 100);
        for rejection in [Rejection::UnknownKey, Rejection::Unready] {
            for _ in 0..1_000 {
                let admission = sights
                    .admit(SESSION, "new", &from(1), &now)
                    .expect("no bound");
                sights.record_bad(&admission, rejection);
            }
        }
    }

    #[test]
    fn a_client_cannot_choose_its_source_within_its_network_of() {
        let address = |last: u16| Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last);
        assert_eq!(network_of(address(1).into()), network_of(address(2).into()));
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        assert_eq!(
            network_of(mapped.into()),
            network_of(Ipv4Addr::LOCALHOST.into())
        );
        assert_eq!(network_of(address(1).into()) >> 63, 1, "no IPv4 address");
        let local: IpAddr = "fe80::1".parse().expect("an address");
        assert_eq!(network_of(local), 0xfe80 << 48);
    }
}
