//! Settings of a validator, and its start.

use std::{path::PathBuf, sync::Arc, time::Duration};

use portcullis_validator_core::{BuildError, Engine, Follower, ForgedRates, Line, Mode, Settings};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
};

use crate::{
    bearer::Bearer,
    channels::Channels,
    connection::Connector,
    ended,
    gate::Gate,
    report::Reporter,
    stream::{Observer, WatchConfig, WatchLoop, Watching},
    tls::{Pems, Tls, TlsFiles},
    validator::Validator,
};

/// The shortest [`Builder::activity_interval`].
const ACTIVITY_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Settings of a validator. Issuer and audience are required.
#[derive(Clone)]
#[must_use]
pub struct Builder {
    settings: Settings,
    endpoints: Vec<String>,
    bearer: String,
    bearer_file: Option<PathBuf>,
    pems: Pems,
    tls_files: Option<TlsFiles>,
    insecure: bool,
    name: String,
    snapshot_bytes_max: u64,
    activity_interval: Duration,
}

impl Validator {
    /// Returns the settings of a validator of the authority at `endpoint`, for example `http://127.0.0.1:7400`.
    pub fn builder(endpoint: impl Into<String>) -> Builder {
        Builder {
            settings: Settings::new("", ""),
            endpoints: vec![endpoint.into()],
            bearer: String::new(),
            bearer_file: None,
            pems: Pems::default(),
            tls_files: None,
            insecure: false,
            name: String::new(),
            snapshot_bytes_max: 1 << 30,
            activity_interval: Duration::from_secs(10),
        }
    }
}

impl Builder {
    /// Adds another authority of the same installation.
    ///
    /// With two or more the validator watches two at a time, and the newer proof counts: it refuses nothing for
    /// staleness while one of the two lives. The others are tried when one of the two fails. A name with several
    /// addresses counts as several authorities.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoints.push(endpoint.into());
        self
    }

    /// Sets the gate's credential, with the role `gateway`. Not needed with a certificate that the authority knows.
    pub fn bearer(mut self, bearer: impl Into<String>) -> Self {
        self.bearer = bearer.into();
        self
    }

    /// Reads the gate's credential from a file that may be replaced while the validator runs, in the place of
    /// [`bearer`](Self::bearer). It is read for each stream and each report, and a newline at its end is no part of it.
    ///
    /// Replace it by renaming a new file over it. A file that cannot be used is reported once in the log, and the
    /// credential before stays in use.
    pub fn bearer_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.bearer_file = Some(file.into());
        self
    }

    /// Sets the certificate (PEM) that signs the authority's, for `https` endpoints.
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.pems.ca_certificate = Some(pem.into());
        self
    }

    /// Sets the gate's own certificate (PEM, with its chain) and private key, for `https` endpoints. The authority finds
    /// the caller by its name ([mutual TLS](https://www.rfc-editor.org/rfc/rfc8705)).
    pub fn client_certificate(
        mut self,
        certificate_pem: impl Into<Vec<u8>>,
        key_pem: impl Into<Vec<u8>>,
    ) -> Self {
        self.pems.client = Some((certificate_pem.into(), key_pem.into()));
        self
    }

    /// Reads the certificates from files that may be replaced while the validator runs. They take the place of
    /// [`ca_certificate`](Self::ca_certificate) and [`client_certificate`](Self::client_certificate).
    ///
    /// They are read again when a connection is made. A stream is replaced by a new one before its certificate expires,
    /// as soon as the files have a newer one.
    pub fn tls_files(mut self, files: TlsFiles) -> Self {
        self.tls_files = Some(files);
        self
    }

    /// Permits `http://` endpoints beyond this machine. The gate's credential, and the revocations, then cross the
    /// network in the clear.
    pub fn insecure(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// Sets the `iss` that tokens must have, exactly.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.settings.expected.issuer = issuer.into();
        self
    }

    /// Sets the `aud` that tokens must contain.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.settings.expected.audience = Some(audience.into());
        self
    }

    /// Sets a name for operators, at most 128 bytes.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Accepts tokens without a proof of freshness, until the last one is older than `stale_max`. The default is strict.
    pub fn best_effort(mut self, stale_max: Duration) -> Self {
        self.settings.mode = Mode::BestEffort { stale_max };
        self
    }

    /// Sets the age up to which a proof of freshness counts. Default 5 s; at least 100 ms, and at most the authority's
    /// bound.
    pub fn max_staleness(mut self, max_staleness: Duration) -> Self {
        self.settings.max_staleness = max_staleness;
        self
    }

    /// Sets the most by which this machine's clock may differ from the database's. Beyond it the validator is not ready
    /// and answers [`Rejection::ClockSkew`](crate::Rejection::ClockSkew). Default 5 min; 1 s to 30 min.
    pub fn clock_skew_max(mut self, clock_skew_max: Duration) -> Self {
        self.settings.clock_skew_max = clock_skew_max;
        self
    }

    /// Sets the most verified tokens in the cache. Default 100,000; a few hundred bytes each.
    pub fn cached_tokens_max(mut self, tokens: usize) -> Self {
        self.settings.cached_tokens_max = tokens;
        self
    }

    /// Sets the most verified API keys in the cache. Default 10,000; a few hundred bytes each.
    pub fn cached_api_keys_max(mut self, keys: usize) -> Self {
        self.settings.cached_api_keys_max = keys;
        self
    }

    /// Sets the largest snapshot, in bytes. Default 1 GiB.
    pub fn snapshot_bytes_max(mut self, bytes: u64) -> Self {
        self.snapshot_bytes_max = bytes;
        self
    }

    /// Sets the interval between reports of the use of sessions. Default 10 s; at least 100 ms, and at most a half of
    /// the authority's `sessions.activity_delay_max`.
    pub fn activity_interval(mut self, interval: Duration) -> Self {
        self.settings.track_activity = true;
        self.activity_interval = interval;
        self
    }

    /// Reports no use. Sessions that are used at this gate alone then end by their idle timeout.
    pub fn without_activity(mut self) -> Self {
        self.settings.track_activity = false;
        self
    }

    /// Sets the most tokens with a tracked use: those in the cache, and those that were since the authority last took a
    /// report. Default 200,000; a few hundred bytes each, and the last page where it is told. Use beyond the bound is
    /// counted ([`Statistics::activity_dropped`](crate::Statistics)) and not reported.
    pub fn activity_tokens_max(mut self, tokens: usize) -> Self {
        self.settings.activity_tokens_max = tokens;
        self
    }

    /// Sets the most forged tokens in a second whose signature is checked: of one source
    /// ([`RequestInfo`](crate::RequestInfo)), and of all sources that are unknown or showed some lately. Further ones are
    /// refused with [`Rejection::Busy`](crate::Rejection::Busy). Good tokens are not counted.
    ///
    /// Default 20 and 4,000, with bursts of 100 and 1,000: one source takes a thousandth of a processor, all of them a
    /// fifth.
    pub fn forged_tokens_max(mut self, of_source: u32, in_all: u32) -> Self {
        self.settings.forged = ForgedRates {
            source: of_source,
            in_all,
        };
        self
    }

    /// Checks all settings as [`start`](Self::start) does, and starts nothing.
    ///
    /// # Errors
    /// The first setting that is missing or malformed.
    pub fn check(&self) -> Result<(), BuildError> {
        let gate = Gate::new(&self.settings);
        self.watch_config(gate).map(drop)
    }

    /// Starts the validator on the current Tokio runtime. It is not ready yet: see [`Validator::ready`].
    ///
    /// # Errors
    /// When a setting is missing or malformed. An authority that cannot be reached is not an error: it is tried again.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(self) -> Result<Validator, BuildError> {
        let gate = Gate::new(&self.settings);
        let config = self.watch_config(gate)?;
        let (engine, reports) = Engine::new(self.settings)?;
        // From here on nothing fails: tasks are started only for settings that were checked.
        let engine = Arc::new(engine);

        let position = Arc::new(watch::Sender::new(None));
        let mut observer = Observer::new(self.name.clone(), Arc::clone(&position));
        let follower = Follower::new(Arc::clone(&engine), self.snapshot_bytes_max, move |event| {
            observer.observe(&event);
        });

        // The reporter uses a stream's connection: it reports to an authority that knows this gate.
        let bearer = Arc::clone(&config.bearer);
        let channels = Channels::new();
        let reporting = channels.subscribe();
        let ending = tokio::spawn(ended::wake_ended(Arc::clone(&engine), position.subscribe()));
        let mut tasks = vec![ending.abort_handle()];
        tasks.extend(spawn_streams(&Watching::new(
            config,
            follower,
            channels,
            position.subscribe(),
        )));

        // One place is enough: the reporter answers the first call and ends, and that lets all
        // other calls return.
        let (close, closing) = mpsc::channel(1);
        // Without tracking nobody takes `closing`. It is dropped here, so `Validator::close`
        // returns at once.
        if let Some(reports) = reports {
            let reporter = Reporter {
                interval: self.activity_interval,
                bearer,
                channels: reporting,
                gate,
                closing,
                is_late: false,
            };
            tasks.push(tokio::spawn(reporter.run(reports)).abort_handle());
        }
        Ok(Validator::new(engine, self.name, position, tasks, close))
    }

    /// Checks all settings and prepares the connections.
    fn watch_config(&self, gate: Gate) -> Result<WatchConfig, BuildError> {
        self.settings.check()?;
        self.check_activity_interval()?;
        let bearer = match &self.bearer_file {
            Some(file) => Bearer::of_file(file.clone())?,
            None => Bearer::given(&self.bearer)?,
        };
        let tls = match &self.tls_files {
            Some(files) => Tls::of_files(files.clone())?,
            None => Tls::given(&self.pems)?,
        };
        let max_staleness = self.settings.max_staleness;
        let connector = Connector::new(&self.endpoints, tls, self.insecure, max_staleness)?;
        Ok(WatchConfig {
            connector,
            bearer: Arc::new(bearer),
            name: self.name.clone(),
            // A gate that reports nothing must not be waited for.
            gate: self.settings.track_activity.then_some(gate),
            mode: self.settings.mode,
            max_staleness,
        })
    }

    fn check_activity_interval(&self) -> Result<(), BuildError> {
        // A shorter interval would load the authority more than requests load the gate.
        if self.settings.track_activity && self.activity_interval < ACTIVITY_INTERVAL_MIN {
            return Err(BuildError {
                setting: "activity_interval",
                problem: "must be at least 100 ms".into(),
            });
        }
        Ok(())
    }
}

/// Starts a stream, and a second one where there can be a second authority.
fn spawn_streams(watching: &Arc<Watching>) -> Vec<AbortHandle> {
    let mut lines = vec![Line::First];
    if watching.config.has_second() {
        lines.push(Line::Second);
    }
    let mut tasks = Vec::with_capacity(lines.len());
    for line in lines {
        let watch = WatchLoop::new(Arc::clone(watching), line);
        tasks.push(tokio::spawn(watch.run()).abort_handle());
    }
    tasks
}
