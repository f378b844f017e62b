//! The configuration, one file a section. Every key has a default but the master key; unknown keys are errors.
//!
//! `docs/reference/configuration.md` lists the keys; a test keeps it complete.

mod audit;
mod audit_exports;
mod bounds;
mod callers;
mod identity_providers;
mod keys;
mod limits;
mod log;
mod places;
mod readiness;
mod san;
mod server;
mod sessions;
mod store;
mod telemetry;
mod tokens;
mod watch;
mod web_origin;

pub use portcullis_serving::config::ConfigError;
use serde::{Deserialize, Serialize};

pub use self::{
    audit::{AuditConfig, Keep},
    audit_exports::{
        AuditExportConfig, ExportStart, FileExportConfig, SyslogExportConfig, SyslogTransport,
        WebhookExportConfig,
    },
    callers::{BearerConfig, BearerDigest, CallerConfig, Role},
    identity_providers::{IdentityProviderConfig, LogoutAlgorithm},
    keys::{KeyConfig, MasterKeySource, Pkcs11Config, SecretSource, VaultConfig},
    limits::LimitsConfig,
    log::LogConfig,
    places::PlacesConfig,
    readiness::ReadinessConfig,
    san::San,
    server::ServerConfig,
    sessions::SessionConfig,
    store::StoreConfig,
    telemetry::TelemetryConfig,
    tokens::TokenConfig,
    watch::WatchConfig,
};

/// The whole configuration.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Listeners, and the bounds of the edge.
    pub server: ServerConfig,
    /// The database.
    pub store: StoreConfig,
    /// Claims and lifetimes of tokens.
    pub tokens: TokenConfig,
    /// Lifetimes of sessions.
    pub sessions: SessionConfig,
    /// How long the audit trail stays.
    pub audit: AuditConfig,
    /// Databases of places.
    pub places: PlacesConfig,
    /// The master key and signing keys.
    pub keys: KeyConfig,
    /// The log.
    pub log: LogConfig,
    /// Rates and quotas of users and tenants.
    pub limits: LimitsConfig,
    /// The streams of validators.
    pub watch: WatchConfig,
    /// Readiness.
    pub readiness: ReadinessConfig,
    /// Traces and metrics.
    pub telemetry: TelemetryConfig,
    /// The services that may call.
    pub callers: Vec<CallerConfig>,
    /// Where the audit trail is delivered to.
    pub audit_exports: Vec<AuditExportConfig>,
    /// The identity providers whose logouts end sessions.
    pub identity_providers: Vec<IdentityProviderConfig>,
}

impl Config {
    /// Checks everything that the types do not.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.server.check()?;
        self.store.check()?;
        self.tokens.check()?;
        self.sessions.check()?;
        self.audit.check()?;
        // First the bounds of the staleness, then a comparison with it.
        self.watch.check()?;
        self.keys.check(self.watch.staleness_max)?;
        self.log.check()?;
        self.limits.check()?;
        self.readiness.check()?;
        self.telemetry.check()?;
        audit_exports::check(&self.audit_exports)?;
        let verifies_clients = self.server.tls_client_ca_file.is_some();
        callers::check(&self.callers, verifies_clients)?;
        identity_providers::check(&self.identity_providers, self.server.insecure)
    }
}
