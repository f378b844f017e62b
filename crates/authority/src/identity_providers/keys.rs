//! The keys of a provider, from a file or a URL: read again after a while, and for a key that is not known yet.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm,
    jwk::{Jwk, JwkSet, PublicKeyUse},
};
use portcullis_serving::config::ConfigError;
use tokio::{
    fs,
    sync::Mutex,
    time::{Instant, timeout},
};

use super::fetch::Document;
use crate::config::IdentityProviderConfig;

/// The largest set of keys, in bytes.
const JWKS_BYTES_MAX: usize = 256 << 10;
/// The most keys of a set.
const KEYS_MAX: usize = 64;
/// The keys are read again after this time, so that one that the provider withdrew does not count for long.
const REFRESH_AFTER: Duration = Duration::from_secs(5 * 60);
/// The least time between two reads. Forged tokens with unknown keys must not make the authority call the provider.
const READ_INTERVAL_MIN: Duration = Duration::from_secs(5);
/// Keys that could not be read again for so long do not count any more.
const STALE_MAX: Duration = Duration::from_secs(60 * 60);
/// The bytes of a public key of Ed25519.
const ED25519_KEY_BYTES: usize = 32;
/// The longest time for a read of a file.
const FILE_TIMEOUT: Duration = Duration::from_secs(5);

/// The keys of one provider.
pub(super) struct Keys {
    source: Source,
    /// Held during a read, so that there is one at a time.
    state: Mutex<State>,
}

enum Source {
    File(PathBuf),
    Url(Box<Document>),
}

#[derive(Default)]
struct State {
    known: Option<Known>,
    tried: Option<Instant>,
    /// Whether the last read failed.
    is_failing: bool,
}

struct Known {
    set: JwkSet,
    read: Instant,
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The provider has no such key.
    Unknown,
    /// The keys cannot be read now.
    Unavailable,
}

impl Keys {
    pub(super) fn open(index: usize, config: &IdentityProviderConfig) -> Result<Self, ConfigError> {
        let mut state = State::default();
        let source = match (&config.jwks_file, &config.jwks_url) {
            (Some(path), _) => {
                let set = read_at_start(path)
                    .map_err(|problem| ConfigError::new(key(index, "jwks_file"), problem))?;
                state.record(Ok(set));
                Source::File(path.clone())
            }
            (None, Some(url)) => Source::Url(Box::new(open_url(index, config, url)?)),
            (None, None) => {
                let problem = "or jwks_file is required";
                return Err(ConfigError::new(key(index, "jwks_url"), problem));
            }
        };
        Ok(Self {
            source,
            state: Mutex::new(state),
        })
    }

    /// Finds the key of a signature. Without a `kid` there must be only one that it can be.
    pub(super) async fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Jwk, NoKey> {
        let mut state = self.state.lock().await;
        let is_known = state.find(kid, algorithm).is_some();
        // An unknown key is likely a new one of the provider, so it is looked for at once and not
        // at the next refresh.
        if (!is_known || state.is_due()) && state.may_read() {
            self.refresh(&mut state).await;
        }
        match state.find(kid, algorithm) {
            Some(key) => Ok(key.clone()),
            // The provider may have changed its keys meanwhile.
            None if state.is_failing => Err(NoKey::Unavailable),
            None => Err(NoKey::Unknown),
        }
    }

    async fn refresh(&self, state: &mut State) {
        let read = self.read().await;
        if let Err(problem) = &read {
            tracing::warn!(source = %self.source, problem, "the keys of an identity provider cannot be read");
        }
        state.record(read);
    }

    async fn read(&self) -> Result<JwkSet, String> {
        match &self.source {
            Source::File(path) => match timeout(FILE_TIMEOUT, fs::read(path)).await {
                Ok(Ok(bytes)) => parse(&bytes),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("the file cannot be read in time".into()),
            },
            Source::Url(document) => parse(&document.fetch().await?),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(document) => write!(f, "{document}"),
        }
    }
}

impl State {
    fn record(&mut self, read: Result<JwkSet, String>) {
        let now = Instant::now();
        self.tried = Some(now);
        self.is_failing = read.is_err();
        match read {
            Ok(set) => self.known = Some(Known { set, read: now }),
            // The keys outlive an outage of the provider, but not so long that a withdrawn one
            // would count for ever.
            Err(_) => self.known = self.known.take().filter(|known| !known.is_stale()),
        }
    }

    fn is_due(&self) -> bool {
        let read = self.known.as_ref().map(|known| known.read);
        read.is_none_or(|read| read.elapsed() > REFRESH_AFTER)
    }

    fn may_read(&self) -> bool {
        self.tried
            .is_none_or(|tried| tried.elapsed() > READ_INTERVAL_MIN)
    }

    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Jwk> {
        let known = self.known.as_ref().filter(|known| !known.is_stale())?;
        let mut fitting = known
            .set
            .keys
            .iter()
            .filter(|key| fits(key, algorithm))
            .filter(|key| kid.is_none() || key.common.key_id.as_deref() == kid);
        let first = fitting.next()?;
        // Without a name a key is chosen only if there is no choice.
        let is_only_one = kid.is_some() || fitting.next().is_none();
        is_only_one.then_some(first)
    }
}

impl Known {
    fn is_stale(&self) -> bool {
        self.read.elapsed() > STALE_MAX
    }
}

fn key(index: usize, field: &str) -> String {
    format!("identity_providers[{index}].{field}")
}

/// Reads a file of keys. One that is wrong at the start is a mistake of the operator, who looks now.
fn read_at_start(path: &Path) -> Result<JwkSet, String> {
    let read = std::fs::read(path).map_err(|error| error.to_string());
    read.and_then(|bytes| parse(&bytes))
        .map_err(|problem| format!("{}: {problem}", path.display()))
}

fn open_url(
    index: usize,
    config: &IdentityProviderConfig,
    url: &str,
) -> Result<Document, ConfigError> {
    let url = url
        .parse()
        .map_err(|_| ConfigError::new(key(index, "jwks_url"), "is not a URL"))?;
    let authorities = config.jwks_ca_file.as_deref();
    Document::open(
        url,
        &key(index, "jwks_ca_file"),
        authorities,
        JWKS_BYTES_MAX,
    )
}

/// Whether a key is for signatures by an algorithm. A key that names an algorithm is for that one alone.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve};
    if !permits(key, algorithm) {
        return false;
    }
    match (&key.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256 | Algorithm::PS256) => true,
        (AlgorithmParameters::EllipticCurve(curve), Algorithm::ES256) => {
            curve.curve == EllipticCurve::P256
        }
        (AlgorithmParameters::EllipticCurve(curve), Algorithm::ES384) => {
            curve.curve == EllipticCurve::P384
        }
        (AlgorithmParameters::OctetKeyPair(pair), Algorithm::EdDSA) => {
            // The library panics at a shorter key.
            pair.curve == EllipticCurve::Ed25519 && has_bytes(&pair.x, ED25519_KEY_BYTES)
        }
        // Also a symmetric key: whoever reads the set could sign with it.
        _ => false,
    }
}

/// Whether the words of a key about its use permit signatures by an algorithm.
fn permits(key: &Jwk, algorithm: Algorithm) -> bool {
    let is_for_signatures = match &key.common.public_key_use {
        Some(intended) => *intended == PublicKeyUse::Signature,
        None => true,
    };
    let is_for_algorithm = match key.common.key_algorithm {
        Some(named) => Algorithm::try_from(named).ok() == Some(algorithm),
        None => true,
    };
    is_for_signatures && is_for_algorithm
}

/// Whether a number of a key has exactly so many bytes.
fn has_bytes(encoded: &str, bytes: usize) -> bool {
    let decoded = URL_SAFE_NO_PAD.decode(encoded);
    decoded.is_ok_and(|decoded| decoded.len() == bytes)
}

fn parse(bytes: &[u8]) -> Result<JwkSet, String> {
    if bytes.len() > JWKS_BYTES_MAX {
        return Err(format!("has more than {JWKS_BYTES_MAX} bytes"));
    }
    // The position of an error is told, and not the text, which may be anything.
    let set: JwkSet = serde_json::from_slice(bytes).map_err(|error| {
        format!(
            "is no JWK set: line {}, column {}",
            error.line(),
            error.column()
        )
    })?;
    if set.keys.len() > KEYS_MAX {
        return Err(format!("has more than {KEYS_MAX} keys"));
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn key(value: Value) -> Jwk {
        serde_json::from_value(value).expect("a key")
    }

    #[test]
    fn a_key_is_for_its_use_its_algorithm_and_its_curve_alone() {
        let rsa = |more: Value| {
            let mut rsa = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" });
            for (name, value) in more.as_object().expect("an object") {
                rsa[name] = value.clone();
            }
            key(rsa)
        };
        let curve = |curve: &str| key(json!({ "kty": "EC", "crv": curve, "x": "AA", "y": "AA" }));
        let okp = |x: &str| key(json!({ "kty": "OKP", "crv": "Ed25519", "x": x }));
        let whole = URL_SAFE_NO_PAD.encode([7; 32]);
        let cases = [
            (rsa(json!({})), Algorithm::RS256, true),
            (rsa(json!({})), Algorithm::PS256, true),
            (rsa(json!({ "alg": "PS256" })), Algorithm::RS256, false),
            (rsa(json!({ "alg": "RSA-OAEP" })), Algorithm::RS256, false),
            (rsa(json!({ "use": "enc" })), Algorithm::RS256, false),
            (rsa(json!({ "use": "sig" })), Algorithm::RS256, true),
            (rsa(json!({})), Algorithm::ES256, false),
            (curve("P-256"), Algorithm::ES256, true),
            (curve("P-256"), Algorithm::ES384, false),
            (curve("P-384"), Algorithm::ES384, true),
            (okp(&whole), Algorithm::EdDSA, true),
            (okp("AA"), Algorithm::EdDSA, false),
            (okp("!"), Algorithm::EdDSA, false),
            (
                key(json!({ "kty": "oct", "k": "AA" })),
                Algorithm::RS256,
                false,
            ),
            (key(json!({ "kty": "new" })), Algorithm::RS256, false),
        ];
        for (key, algorithm, expected) in cases {
            assert_eq!(fits(&key, algorithm), expected, "{key:?} {algorithm:?}");
        }
    }

    #[test]
    fn a_set_has_bounds() {
        let of = |count: usize| {
            let keys = vec![json!({ "kty": "oct", "k": "AA" }); count];
            json!({ "keys": keys }).to_string()
        };
        assert!(parse(of(KEYS_MAX).as_bytes()).is_ok());
        assert!(parse(of(KEYS_MAX + 1).as_bytes()).is_err());
        assert!(parse(&vec![b' '; JWKS_BYTES_MAX + 1]).is_err());
        let error = parse(b"{\"keys\": [\"a-secret\"]}").expect_err("no key");
        assert!(!error.contains("a-secret"), "{error}");
    }
}
