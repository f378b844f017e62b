//! How a validator is set up.

use std::{sync::Arc, time::Duration};

use portcullis_contract::token::Expected;
use tokio::sync::{mpsc, watch};
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, ClientTlsConfig, Endpoint},
};

use crate::{
    activity::Tracking,
    cache::TokenCache,
    first_sight::ForgedRates,
    report::{Gate, Reporter},
    state::{Bounds, Mode},
    sync::{Sync, SyncConfig},
    validator::{Shared, Validator},
};

/// Above, because channels cannot count further than some number and panic.
const ACTIVITY_TOKENS_LIMIT: usize = 100_000_000;

/// A token life and an hour pass between two turns of the log. A clock that is wrong by this much takes a half of the
/// hour.
const CLOCK_SKEW_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Settings of a validator. Issuer and audience are required.
#[derive(Clone)]
#[must_use]
pub struct Builder {
    endpoints: Vec<String>,
    bearer: String,
    ca_certificate: Option<Vec<u8>>,
    issuer: String,
    audience: String,
    name: String,
    mode: Mode,
    max_staleness: Duration,
    clock_skew_max: Duration,
    cached_tokens_max: usize,
    cached_api_keys_max: usize,
    snapshot_bytes_max: u64,
    activity_interval: Option<Duration>,
    activity_tokens_max: usize,
    forged: ForgedRates,
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct BuildError {
    /// Which.
    pub setting: &'static str,
    /// What is wrong with it. Never a secret value.
    pub problem: String,
}

impl Builder {
    pub(crate) fn new(endpoint: String) -> Self {
        Self {
            endpoints: vec![endpoint],
            bearer: String::new(),
            ca_certificate: None,
            issuer: String::new(),
            audience: String::new(),
            name: String::new(),
            mode: Mode::Strict,
            max_staleness: Duration::from_secs(5),
            clock_skew_max: Duration::from_secs(5 * 60),
            cached_tokens_max: 100_000,
            cached_api_keys_max: 10_000,
            snapshot_bytes_max: 1 << 30,
            activity_interval: Some(Duration::from_secs(10)),
            activity_tokens_max: 200_000,
            forged: ForgedRates::default(),
        }
    }

    /// Another authority of the same installation, tried when the ones before fail.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoints.push(endpoint.into());
        self
    }

    /// The gate's credential, with the role `gateway`.
    pub fn bearer(mut self, bearer: impl Into<String>) -> Self {
        self.bearer = bearer.into();
        self
    }

    /// The certificate (PEM) that vouches for the authority's, for `https` endpoints.
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certificate = Some(pem.into());
        self
    }

    /// The `iss` that tokens must have, exactly.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = issuer.into();
        self
    }

    /// The `aud` that tokens must contain.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = audience.into();
        self
    }

    /// A name for operators, at most 128 bytes.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Accepts when it cannot prove itself fresh, until it has been stale for `stale_max`. The default is strict.
    pub fn best_effort(mut self, stale_max: Duration) -> Self {
        self.mode = Mode::BestEffort { stale_max };
        self
    }

    /// The staleness it enforces. Default 5 s; at least 100 ms, and at most what the authority allows.
    pub fn max_staleness(mut self, max_staleness: Duration) -> Self {
        self.max_staleness = max_staleness;
        self
    }

    /// How far this machine's clock may be from the database's. Beyond it the validator is not ready and answers
    /// [`Rejection::ClockSkew`](crate::Rejection). Default 5 min; 1 s to 30 min.
    pub fn clock_skew_max(mut self, clock_skew_max: Duration) -> Self {
        self.clock_skew_max = clock_skew_max;
        self
    }

    /// The most verified tokens that are remembered. Default 100,000; a few hundred bytes each.
    pub fn cached_tokens_max(mut self, tokens: usize) -> Self {
        self.cached_tokens_max = tokens;
        self
    }

    /// The most verified API keys that are remembered. Default 10,000; a few hundred bytes each.
    pub fn cached_api_keys_max(mut self, keys: usize) -> Self {
        self.cached_api_keys_max = keys;
        self
    }

    /// The largest snapshot that is taken, in bytes. Default 1 GiB.
    pub fn snapshot_bytes_max(mut self, bytes: u64) -> Self {
        self.snapshot_bytes_max = bytes;
        self
    }

    /// How often it reports what sessions were used for. Default 10 s; at least 100 ms, and at most a half of the
    /// authority's `sessions.activity_delay_max`.
    pub fn activity_interval(mut self, interval: Duration) -> Self {
        self.activity_interval = Some(interval);
        self
    }

    /// Reports nothing. Sessions that are used at this gate alone end by their idle timeout nevertheless.
    pub fn without_activity(mut self) -> Self {
        self.activity_interval = None;
        self
    }

    /// The most tokens whose use is tracked at a time: those that are remembered, and those that have been since the
    /// authority last took a report. Default 200,000; a few hundred bytes each, and the last page where it is told. The
    /// use of more is not reported, and counted ([`Statistics::activity_dropped`](crate::Statistics)).
    pub fn activity_tokens_max(mut self, tokens: usize) -> Self {
        self.activity_tokens_max = tokens;
        self
    }

    /// The most forged tokens a second whose signature is checked: of one source ([`RequestInfo`](crate::RequestInfo)),
    /// and in all of sources that are not known or showed some lately. What comes beyond is refused with
    /// [`Rejection::Busy`](crate::Rejection). Default 20 and 4,000, with bursts of 100 and 1,000: one source takes a
    /// thousandth of a processor, all of them a fifth. Good tokens are not counted.
    pub fn forged_tokens_max(mut self, of_source: u32, in_all: u32) -> Self {
        self.forged = ForgedRates {
            source: of_source,
            in_all,
        };
        self
    }

    /// Starts the validator on the current Tokio runtime. It is not ready yet: see [`Validator::ready`].
    ///
    /// # Errors
    /// When a setting is missing or malformed. An authority that cannot be reached is no error: it is tried again.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(self) -> Result<Validator, BuildError> {
        let config = self.sync_config()?;
        let (channel, authorization) = (config.channel.subscribe(), config.authorization.clone());
        let gate = config.gate;
        let (close, closing) = mpsc::channel(1);
        let (tracking, fresh) = Tracking::new(self.activity_tokens_max);
        let (tracking, interval) = (Arc::new(tracking), self.activity_interval);
        let expected = Expected {
            issuer: self.issuer,
            audience: Some(self.audience),
        };
        let (sessions, api_keys) = (
            TokenCache::new(self.cached_tokens_max),
            TokenCache::new(self.cached_api_keys_max),
        );
        let reported = interval.map(|_| Arc::clone(&tracking));
        let bounds = Bounds {
            mode: self.mode,
            max_staleness: self.max_staleness,
            clock_skew_max: self.clock_skew_max,
        };
        let shared = Shared::new(expected, sessions, api_keys, bounds, reported, self.name);
        let shared = Arc::new(shared.forged_rates(self.forged));
        let sync = Sync::new(config, Arc::clone(&shared));
        let mut tasks = vec![tokio::spawn(sync.run()).abort_handle()];
        let reporter = interval.zip(gate).map(|(interval, gate)| Reporter {
            interval,
            authorization,
            channel,
            tracking,
            fresh,
            gate,
            closing,
        });
        tasks.extend(reporter.map(|reporter| tokio::spawn(reporter.run()).abort_handle()));
        Ok(Validator::new(shared, tasks, close))
    }

    fn sync_config(&self) -> Result<SyncConfig, BuildError> {
        let wrong = |setting, problem: &str| {
            Err(BuildError {
                setting,
                problem: problem.to_owned(),
            })
        };
        if self.issuer.is_empty() {
            return wrong("issuer", "is required");
        }
        if self.audience.is_empty() {
            return wrong("audience", "is required");
        }
        if self.max_staleness < Duration::from_millis(100) {
            return wrong("max_staleness", "must be at least 100 ms");
        }
        if !(Duration::from_secs(1)..=CLOCK_SKEW_LIMIT).contains(&self.clock_skew_max) {
            return wrong("clock_skew_max", "must be from 1 s to 30 min");
        }
        if self.cached_tokens_max == 0 {
            return wrong("cached_tokens_max", "must be at least 1");
        }
        if self.forged.source == 0 || self.forged.in_all == 0 {
            return wrong("forged_tokens_max", "must be at least 1");
        }
        if self.cached_api_keys_max == 0 {
            return wrong("cached_api_keys_max", "must be at least 1");
        }
        if self
            .activity_interval
            .is_some_and(|interval| interval < Duration::from_millis(100))
        {
            return wrong("activity_interval", "must be at least 100 ms");
        }
        if !(1..=ACTIVITY_TOKENS_LIMIT).contains(&self.activity_tokens_max) {
            return wrong("activity_tokens_max", "must be from 1 to 100,000,000");
        }
        let bearer = format!("Bearer {}", self.bearer).parse::<MetadataValue<Ascii>>();
        let Ok(mut authorization) = bearer else {
            return wrong("bearer", "must be visible ASCII");
        };
        authorization.set_sensitive(true);
        let endpoints = self.endpoints.iter().map(|endpoint| self.channel(endpoint));
        Ok(SyncConfig {
            endpoints: endpoints.collect::<Result<_, _>>()?,
            authorization,
            name: self.name.clone(),
            gate: self.activity_interval.map(|_| self.gate()),
            mode: self.mode,
            max_staleness: self.max_staleness,
            snapshot_bytes_max: self.snapshot_bytes_max,
            channel: watch::Sender::new(None),
        })
    }

    fn gate(&self) -> Gate {
        Gate {
            id: portcullis_contract::random(),
            admits_for: match self.mode {
                Mode::Strict => self.max_staleness,
                Mode::BestEffort { stale_max } => stale_max.max(self.max_staleness),
            },
        }
    }

    fn channel(&self, endpoint: &str) -> Result<Endpoint, BuildError> {
        let problem = |error: tonic::transport::Error| BuildError {
            setting: "endpoint",
            problem: error.to_string(),
        };
        let keepalive = Duration::from_secs(2).min(self.max_staleness);
        let channel = Endpoint::from_shared(endpoint.to_owned())
            .map_err(problem)?
            .connect_timeout(Duration::from_secs(2))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(keepalive)
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true);
        match (&self.ca_certificate, endpoint.starts_with("https:")) {
            (_, false) => Ok(channel),
            (ca, true) => {
                let tls = ca.iter().fold(ClientTlsConfig::new(), |tls, pem| {
                    tls.ca_certificate(Certificate::from_pem(pem))
                });
                channel.tls_config(tls).map_err(problem)
            }
        }
    }
}
