//! `[authority]`: the authority, and the tokens that the sidecar accepts.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use portcullis_validator::{BuildError, Builder, Validator};
use serde::Deserialize;

use super::{ConfigError, Secret};

/// The most authorities of one installation.
const ENDPOINTS_MAX: usize = 16;

/// `[authority]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthorityConfig {
    /// The authorities of the installation: `https://authority-1.internal:7400`.
    pub endpoints: Vec<String>,
    /// The sidecar's credential, with the role `gateway`.
    pub bearer: Option<Secret>,
    /// A file with the credential.
    pub bearer_file: Option<PathBuf>,
    /// PEM file with the certificate that signs the authority's.
    pub ca_certificate_file: Option<PathBuf>,
    /// The `iss` that tokens must have.
    pub issuer: String,
    /// The `aud` that tokens must contain.
    pub audience: String,
    /// A name for operators.
    pub name: String,
    /// The age up to which a proof of freshness counts.
    #[serde(with = "humantime_serde")]
    pub max_staleness: Duration,
    /// Accepts tokens without a proof of freshness up to this age. Unset: strict.
    #[serde(with = "humantime_serde")]
    pub best_effort: Option<Duration>,
    /// The most by which the machine's clock may differ from the database's.
    #[serde(with = "humantime_serde")]
    pub clock_skew_max: Duration,
    /// Reports the use of sessions.
    pub activity: bool,
    /// The interval between two reports.
    #[serde(with = "humantime_serde")]
    pub activity_interval: Duration,
    /// Verified tokens in the cache.
    pub cached_tokens_max: usize,
    /// Verified API keys in the cache.
    pub cached_api_keys_max: usize,
    /// Tokens with a tracked use.
    pub activity_tokens_max: usize,
    /// Bytes of the largest snapshot.
    pub snapshot_bytes_max: u64,
}

impl Default for AuthorityConfig {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            bearer: None,
            bearer_file: None,
            ca_certificate_file: None,
            issuer: String::new(),
            audience: String::new(),
            name: "sidecar".to_owned(),
            max_staleness: Duration::from_secs(5),
            best_effort: None,
            clock_skew_max: Duration::from_secs(5 * 60),
            activity: true,
            activity_interval: Duration::from_secs(10),
            cached_tokens_max: 100_000,
            cached_api_keys_max: 10_000,
            activity_tokens_max: 200_000,
            snapshot_bytes_max: 1 << 30,
        }
    }
}

impl AuthorityConfig {
    /// Returns the settings of the validator, checked.
    pub(crate) fn builder(&self) -> Result<Builder, ConfigError> {
        let (first, others) = match self.endpoints.split_first() {
            Some((first, others)) if others.len() < ENDPOINTS_MAX => (first, others),
            Some(_) => {
                let problem = format!("must be at most {ENDPOINTS_MAX}");
                return Err(ConfigError::new("authority.endpoints", problem));
            }
            None => return Err(ConfigError::new("authority.endpoints", "required")),
        };
        let mut builder = Validator::builder(first)
            .bearer(self.read_bearer()?)
            .issuer(&self.issuer)
            .audience(&self.audience)
            .name(&self.name)
            .max_staleness(self.max_staleness)
            .clock_skew_max(self.clock_skew_max)
            .cached_tokens_max(self.cached_tokens_max)
            .cached_api_keys_max(self.cached_api_keys_max)
            .activity_tokens_max(self.activity_tokens_max)
            .snapshot_bytes_max(self.snapshot_bytes_max)
            .activity_interval(self.activity_interval);
        for endpoint in others {
            builder = builder.endpoint(endpoint);
        }
        if let Some(stale_max) = self.best_effort {
            builder = builder.best_effort(stale_max);
        }
        if !self.activity {
            builder = builder.without_activity();
        }
        if let Some(file) = &self.ca_certificate_file {
            builder = builder.ca_certificate(read_file("authority.ca_certificate_file", file)?);
        }
        builder.check().map_err(invalid_setting)?;
        Ok(builder)
    }

    fn read_bearer(&self) -> Result<String, ConfigError> {
        match (&self.bearer, &self.bearer_file) {
            (Some(_), Some(_)) => Err(ConfigError::new(
                "authority.bearer_file",
                "must not be set beside authority.bearer",
            )),
            (Some(bearer), None) => {
                require_not_empty("authority.bearer", bearer.reveal())?;
                Ok(bearer.reveal().to_owned())
            }
            (None, Some(file)) => {
                let key = "authority.bearer_file";
                let bytes = read_file(key, file)?;
                let text = String::from_utf8(bytes)
                    .map_err(|_| ConfigError::new(key, "must be a file of text"))?;
                // Editors end a file with a newline, which is no part of the credential.
                let bearer = text.trim_end_matches(['\r', '\n']);
                require_not_empty(key, bearer)?;
                Ok(bearer.to_owned())
            }
            (None, None) => Err(ConfigError::new(
                "authority.bearer",
                "required: set it, authority.bearer_file or PORTCULLIS_SIDECAR_AUTHORITY__BEARER",
            )),
        }
    }
}

fn require_not_empty(key: &str, text: &str) -> Result<(), ConfigError> {
    if text.is_empty() {
        return Err(ConfigError::new(key, "must not be empty"));
    }
    Ok(())
}

fn read_file(key: &str, file: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(file).map_err(|error| {
        let problem = format!("must be a readable file: {error}");
        ConfigError::new(key, problem)
    })
}

/// Names the key of the file for a setting of the validator.
#[allow(
    clippy::needless_pass_by_value,
    reason = "map_err hands the error over"
)]
fn invalid_setting(error: BuildError) -> ConfigError {
    let key = match error.setting {
        "endpoint" => "endpoints",
        "stale_max" => "best_effort",
        setting => setting,
    };
    ConfigError::new(format!("authority.{key}"), error.problem)
}
