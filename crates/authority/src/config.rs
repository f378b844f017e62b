//! What an operator sets. Every key has a default but the master key; unknown keys are errors.
//!
//! `docs/reference/configuration.md` lists the keys; a test keeps it complete.

mod callers;
mod check;
mod read;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use portcullis_contract::key::Algorithm;
use serde::{Deserialize, Serialize};

use crate::{
    domain::policy::{Limits, Policy},
    store::postgres::PostgresOptions,
};

/// The whole configuration.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the authority listens.
    pub server: ServerConfig,
    /// Where it keeps things.
    pub store: StoreConfig,
    /// What its tokens say, and how long they live.
    pub tokens: TokenConfig,
    /// How long sessions live.
    pub sessions: SessionConfig,
    /// Where it looks up addresses.
    pub places: PlacesConfig,
    /// Its keys.
    pub keys: KeyConfig,
    /// The log.
    pub log: LogConfig,
    /// Rates and quotas of users and tenants.
    pub limits: LimitsConfig,
    /// The streams of validators.
    pub watch: WatchConfig,
    /// When it says that it is ready.
    pub readiness: ReadinessConfig,
    /// What it tells of itself.
    pub telemetry: TelemetryConfig,
    /// Who may call.
    pub callers: Vec<CallerConfig>,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address of the gRPC server.
    pub grpc_listen: SocketAddr,
    /// Address of the HTTP server (JWKS, health).
    pub http_listen: SocketAddr,
    /// PEM file with the certificate chain. With `tls_key_file`: the gRPC server speaks TLS.
    pub tls_certificate_file: Option<PathBuf>,
    /// PEM file with the private key.
    pub tls_key_file: Option<PathBuf>,
    /// Allows an address beyond loopback without TLS: of the HTTP server, which never has it, and of the gRPC server.
    pub insecure: bool,
    /// Serves gRPC reflection.
    pub reflection: bool,
    /// How long calls may take to finish after SIGTERM.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// The most calls that run at a time; more are shed. Calls that revoke are as many again.
    pub calls_max: usize,
    /// The most reports of gates that are recorded at a time; more are shed, and reported again.
    pub reports_max: usize,
    /// The most calls of one user at a time, from before their messages are in.
    pub calls_per_user_max: usize,
    /// The most streams without credentials at a time: health, reflection.
    pub public_streams_max: usize,
    /// The most calls and streams of one connection at a time; more wait at the client.
    pub streams_per_connection_max: u32,
    /// The most connections of the gRPC port. None: what the limit of open files allows.
    pub connections_max: Option<usize>,
    /// The most connections of the HTTP port. None: an eighth of the limit of open files, at most 256.
    pub http_connections_max: Option<usize>,
    /// The most connections of one address at a port. None: half of the port's.
    pub connections_per_address_max: Option<usize>,
    /// How long a TLS handshake, an HTTP/2 preface, the header of an HTTP/1 request, or a message may take to come in.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// How long a call may take whose caller sets no deadline, or a later one.
    #[serde(with = "humantime_serde")]
    pub call_timeout: Duration,
    /// How long a connection may have no call.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// How old a connection may become, a tenth more or less, before its peer is asked to connect anew.
    #[serde(with = "humantime_serde")]
    pub connection_age_max: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            grpc_listen: ([127, 0, 0, 1], 7400).into(),
            http_listen: ([127, 0, 0, 1], 7480).into(),
            tls_certificate_file: None,
            tls_key_file: None,
            insecure: false,
            reflection: false,
            drain_timeout: Duration::from_secs(10),
            calls_max: 4096,
            reports_max: 1024,
            calls_per_user_max: 16,
            public_streams_max: 1024,
            streams_per_connection_max: 256,
            connections_max: None,
            http_connections_max: None,
            connections_per_address_max: None,
            request_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(5 * 60),
            connection_age_max: DAY / 2,
        }
    }
}

/// `[store]`
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// `sqlite:<data directory>` or `postgres://…`.
    pub url: String,
    /// PostgreSQL: the same database as the role that owns the schema: it migrates, and grants the role of `url` what
    /// the service needs.
    pub owner_url: Option<String>,
    /// PostgreSQL: connections for sessions; three more serve the log.
    pub connections_max: usize,
    /// PostgreSQL: connections for lists, counts, previews and walks. One tenant has at most half of them.
    pub search_connections_max: usize,
    /// How long a list, a count or a preview may take.
    #[serde(with = "humantime_serde")]
    pub search_timeout: Duration,
    /// PostgreSQL: for a connect, and for the wait for a free connection.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
}

impl Default for StoreConfig {
    fn default() -> Self {
        let url = "sqlite:./portcullis-data".into();
        Self {
            url,
            owner_url: None,
            connections_max: 16,
            search_connections_max: 4,
            search_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
        }
    }
}

impl StoreConfig {
    /// The options of the PostgreSQL engine.
    pub(crate) fn postgres_options(&self) -> PostgresOptions {
        PostgresOptions {
            connections_max: self.connections_max,
            search_connections_max: self.search_connections_max,
            search_timeout: self.search_timeout,
            connect_timeout: self.connect_timeout,
            owner_url: self.owner_url.clone(),
        }
    }

    /// The engine, as the semantic conventions of OpenTelemetry name it.
    pub(crate) fn system(&self) -> &'static str {
        if self.url.starts_with("sqlite:") {
            "sqlite"
        } else {
            "postgresql"
        }
    }
}

impl std::fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URLs may hold passwords.
        f.debug_struct("StoreConfig")
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}

/// `[tokens]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenConfig {
    /// `iss` of every token; validators expect exactly this.
    pub issuer: String,
    /// The audience that lets a user's own token call this authority.
    pub authority_audience: String,
    /// Who tokens are for when a sign-in does not say.
    pub default_audiences: Vec<String>,
    /// How long an access token lives.
    #[serde(with = "humantime_serde")]
    pub access_token_lifetime: Duration,
    /// How long the refresh token before the newest still returns the newest.
    #[serde(with = "humantime_serde")]
    pub refresh_grace: Duration,
    /// How long after its end a user may ask with a token why it has ended.
    #[serde(with = "humantime_serde")]
    pub ended_token_window: Duration,
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self {
            issuer: "http://127.0.0.1:7480".into(),
            authority_audience: "portcullis".into(),
            default_audiences: vec!["portcullis".into(), "gateway".into()],
            access_token_lifetime: Duration::from_secs(15 * 60),
            refresh_grace: Duration::from_secs(30),
            ended_token_window: 7 * DAY,
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `[sessions]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// How long a session lives.
    #[serde(with = "humantime_serde")]
    pub lifetime: Duration,
    /// How long it lives with `remember_me`.
    #[serde(with = "humantime_serde")]
    pub remember_me_lifetime: Duration,
    /// How long a session is kept, and listed, after its end.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// How often idle sessions, and those past a policy that became stricter, are looked for.
    #[serde(with = "humantime_serde")]
    pub sweep_interval: Duration,
    /// How long what gates saw may be on its way: a session ends this much after its idle timeout.
    #[serde(with = "humantime_serde")]
    pub activity_delay_max: Duration,
    /// How long the silence of gates can keep sessions from being idle.
    #[serde(with = "humantime_serde")]
    pub gate_absence_max: Duration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            lifetime: 7 * DAY,
            remember_me_lifetime: 30 * DAY,
            retention: 30 * DAY,
            sweep_interval: Duration::from_secs(15),
            activity_delay_max: Duration::from_secs(30),
            // A gate tells of use up to a day back: waiting for longer could bring nothing.
            gate_absence_max: DAY,
        }
    }
}

impl SessionConfig {
    /// The policy of tenants that have set none.
    #[must_use]
    pub fn default_policy(&self) -> Policy {
        let (session_lifetime, remember_me_lifetime) = (self.lifetime, self.remember_me_lifetime);
        let defaults = Limits::default();
        let session_lifetime_max = defaults
            .session_lifetime_max
            .max(session_lifetime)
            .max(remember_me_lifetime);
        let limits = Limits {
            session_lifetime,
            remember_me_lifetime,
            session_lifetime_max,
            ..defaults
        };
        Policy {
            limits,
            ..Policy::default()
        }
    }
}

/// `[places]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlacesConfig {
    /// MaxMind-format database of cities or countries.
    pub city_database_file: Option<PathBuf>,
    /// MaxMind-format database of network operators (ISP or ASN).
    pub network_database_file: Option<PathBuf>,
}

/// `[keys]`
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyConfig {
    /// File with the master key: 32 bytes in base64 (`openssl rand -base64 32`). Required.
    pub master_key_file: PathBuf,
    /// The algorithm of the first signing key and of every key made by a rotation. Keys that exist keep theirs.
    pub algorithm: Algorithm,
    /// How long a new signing key is known before it signs. At least `watch.staleness_max`.
    #[serde(with = "humantime_serde")]
    pub activation_delay: Duration,
}

impl Default for KeyConfig {
    fn default() -> Self {
        let master_key_file = PathBuf::new();
        Self {
            master_key_file,
            algorithm: Algorithm::default(),
            activation_delay: Duration::from_secs(60),
        }
    }
}

impl std::fmt::Debug for KeyConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut keys = f.debug_struct("KeyConfig");
        keys.field("algorithm", &self.algorithm)
            .field("activation_delay", &self.activation_delay);
        keys.finish_non_exhaustive()
    }
}

/// `[log]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Changes that may wait for the next batch; more are shed.
    pub queue_entries_max: usize,
    /// Changes of one tenant that may wait.
    pub queue_tenant_entries_max: usize,
    /// Sessions and users that the waiting changes of one caller may name.
    pub queue_caller_targets_max: usize,
    /// The most changes of one batch.
    pub batch_entries_max: usize,
    /// How long a batch should take: batches that take longer are made smaller.
    #[serde(with = "humantime_serde")]
    pub batch_time_goal: Duration,
    /// How long a batch is tried again while the store is unavailable.
    #[serde(with = "humantime_serde")]
    pub append_timeout: Duration,
    /// How often the head is read for the batches of other authorities.
    #[serde(with = "humantime_serde")]
    pub poll_interval: Duration,
    /// How often the log is looked after: at most one checkpoint is written in this time, over all authorities.
    #[serde(with = "humantime_serde")]
    pub checkpoint_interval: Duration,
    /// A checkpoint is written after this many batches,
    pub checkpoint_batches_min: usize,
    /// or this many bytes of deltas, or an hour.
    pub checkpoint_bytes_min: usize,
    /// How long the deltas that validators resume from are kept at least.
    #[serde(with = "humantime_serde")]
    pub resume_window: Duration,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            queue_entries_max: 8192,
            queue_tenant_entries_max: 2048,
            queue_caller_targets_max: 65_536,
            batch_entries_max: 256,
            batch_time_goal: Duration::from_millis(20),
            append_timeout: Duration::from_secs(10),
            poll_interval: Duration::from_millis(25),
            checkpoint_interval: Duration::from_secs(60),
            checkpoint_batches_min: 1_000,
            checkpoint_bytes_min: 1 << 20,
            resume_window: Duration::from_secs(60 * 60),
        }
    }
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Changes a minute that a user may make with their own token.
    pub user_changes_per_minute: u32,
    /// Changes that a user may make at once.
    pub user_changes_burst: u32,
    /// Users a minute whom a tenant may sign out or disable though nobody knows them.
    pub tenant_unknown_users_per_minute: u32,
    /// Unknown users whom a tenant may name at once.
    pub tenant_unknown_users_burst: u32,
    /// Users of one tenant.
    pub tenant_users_max: u32,
    /// Live sessions of one tenant.
    pub tenant_sessions_max: u32,
    /// Live API keys of one tenant.
    pub tenant_api_keys_max: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            user_changes_per_minute: 10,
            user_changes_burst: 20,
            tenant_unknown_users_per_minute: 1_000,
            tenant_unknown_users_burst: 10_000,
            tenant_users_max: 10_000_000,
            tenant_sessions_max: 20_000_000,
            tenant_api_keys_max: 10_000,
        }
    }
}

/// `[watch]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatchConfig {
    /// The most validators connected at a time; more are shed.
    pub streams_max: usize,
    /// The most snapshots that are sent at a time; other validators wait for theirs.
    pub snapshots_max: usize,
    /// The largest `max_staleness` a validator may enforce.
    #[serde(with = "humantime_serde")]
    pub staleness_max: Duration,
    /// Batches kept in memory for validators that are a little behind.
    pub ring_frames_max: usize,
    /// Their deltas, in bytes.
    pub ring_bytes_max: usize,
}

impl Default for WatchConfig {
    fn default() -> Self {
        Self {
            streams_max: 10_000,
            snapshots_max: 8,
            staleness_max: Duration::from_secs(60),
            ring_frames_max: 16_384,
            ring_bytes_max: 64 << 20,
        }
    }
}

/// `[readiness]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadinessConfig {
    /// How often the authority beats when no validator asks it to.
    #[serde(with = "humantime_serde")]
    pub beat_interval: Duration,
    /// Without a beat for this long it is not ready; nor when the store took no write for as long.
    #[serde(with = "humantime_serde")]
    pub beat_age_max: Duration,
    /// When its view has not been at the head for this long it is not ready.
    #[serde(with = "humantime_serde")]
    pub feed_lag_max: Duration,
    /// When its view has not been at the head for this long although the store answers, the process ends.
    #[serde(with = "humantime_serde")]
    pub feed_stuck_max: Duration,
}

impl Default for ReadinessConfig {
    fn default() -> Self {
        Self {
            beat_interval: Duration::from_secs(1),
            beat_age_max: Duration::from_secs(10),
            feed_lag_max: Duration::from_secs(5),
            feed_stuck_max: Duration::from_secs(30),
        }
    }
}

/// `[telemetry]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// `http://…` of an OTLP receiver (gRPC). None: traces are not exported, metrics stand at `/metrics` only.
    pub otlp_endpoint: Option<String>,
    /// `service.name` of what is exported.
    pub service_name: String,
    /// The part of the calls without a trace context of their own that is sampled, from 0 to 1. A call with one is
    /// sampled if its caller's was.
    pub trace_sample_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            service_name: "portcullis".into(),
            trace_sample_ratio: 0.01,
        }
    }
}

/// `[[callers]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CallerConfig {
    /// For the audit trail, 1 to 64 bytes.
    pub name: String,
    /// SHA-256 of the bearer string, in 64 hexadecimal digits.
    pub bearer_sha256: String,
    /// What it may do.
    pub roles: Vec<Role>,
    /// Its only tenant; none: all.
    #[serde(default)]
    pub tenant: Option<String>,
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Opens and refreshes sessions.
    Login,
    /// Watches revocations, over all tenants.
    Gateway,
    /// Reads.
    Support,
    /// Ends sessions, disables users.
    Admin,
    /// Keys, validators, everyone.
    Operator,
}

/// A setting that cannot be used. The text names the key, never a secret value.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigError {
    /// The key, as in the file.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

impl ConfigError {
    /// An error about `key`.
    #[must_use]
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
        }
    }
}
