//! `[authority]`: the authority, and the tokens that the sidecar accepts.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use portcullis_validator::{BuildError, Builder, TlsFiles, Validator};
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
    /// PEM file with the certificate that signs the authority's. It may be replaced while the sidecar runs.
    pub ca_certificate_file: Option<PathBuf>,
    /// PEM file with the sidecar's own certificate, which may take the place of the credential. It may be replaced.
    pub client_certificate_file: Option<PathBuf>,
    /// PEM file with its private key.
    pub client_key_file: Option<PathBuf>,
    /// Permits `http://` endpoints beyond this machine.
    pub insecure: bool,
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
            client_certificate_file: None,
            client_key_file: None,
            insecure: false,
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
        if let Some(files) = self.tls_files()? {
            builder = builder.tls_files(files);
        }
        if self.insecure {
            builder = builder.insecure();
        }
        builder.check().map_err(invalid_setting)?;
        Ok(builder)
    }

    /// The files of TLS, which the validator reads again at each connection.
    fn tls_files(&self) -> Result<Option<TlsFiles>, ConfigError> {
        let client = match (&self.client_certificate_file, &self.client_key_file) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => {
                let problem = "needs authority.client_certificate_file, and the reverse";
                return Err(ConfigError::new("authority.client_key_file", problem));
            }
        };
        let Some(ca) = &self.ca_certificate_file else {
            return match client {
                None => Ok(None),
                Some(_) => {
                    let problem = "needs authority.ca_certificate_file";
                    let key = "authority.client_certificate_file";
                    Err(ConfigError::new(key, problem))
                }
            };
        };

        // Read here only to name the key of a file that cannot be.
        read_file("authority.ca_certificate_file", ca)?;
        let mut files = TlsFiles::new(ca);
        if let Some((certificate, key)) = client {
            read_file("authority.client_certificate_file", certificate)?;
            read_file("authority.client_key_file", key)?;
            files = files.client_certificate(certificate, key);
        }
        Ok(Some(files))
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
            // The certificate says who calls.
            (None, None) if self.client_certificate_file.is_some() => Ok(String::new()),
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
        "ca_certificate" => "ca_certificate_file",
        "client_certificate" => "client_certificate_file",
        setting => setting,
    };
    // The setting has another name here.
    let problem = error
        .problem
        .replace("insecure()", "authority.insecure = true");
    ConfigError::new(format!("authority.{key}"), problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(change: impl FnOnce(&mut AuthorityConfig)) -> AuthorityConfig {
        let mut config = AuthorityConfig {
            endpoints: vec!["http://127.0.0.1:7400".to_owned()],
            issuer: "https://issuer.test".to_owned(),
            audience: "gateway".to_owned(),
            // Not read here: it only says that no bearer is needed.
            client_certificate_file: Some("/nonexistent/gate.pem".into()),
            client_key_file: Some("/nonexistent/gate.key".into()),
            ca_certificate_file: Some("/nonexistent/ca.pem".into()),
            ..AuthorityConfig::default()
        };
        change(&mut config);
        config
    }

    fn without_files(config: &mut AuthorityConfig) {
        let directory = std::env::temp_dir();
        config.bearer_file = Some(directory);
        config.client_certificate_file = None;
        config.client_key_file = None;
        config.ca_certificate_file = None;
    }

    #[test]
    fn files_of_tls_belong_together_and_are_named_by_their_keys() {
        type Change = fn(&mut AuthorityConfig);
        let cases: [(Change, &str); 4] = [
            (|_| {}, "authority.ca_certificate_file"),
            (
                |config| config.client_key_file = None,
                "authority.client_key_file",
            ),
            (
                |config| config.ca_certificate_file = None,
                "authority.client_certificate_file",
            ),
            // Without a certificate a bearer is required, and this one is no file.
            (without_files, "authority.bearer_file"),
        ];
        for (change, key) in cases {
            let error = settings(change).builder().err().expect("refused");
            assert!(error.to_string().starts_with(key), "{key}: {error}");
        }
    }

    #[test]
    fn a_refusal_of_plain_text_names_the_key_that_permits_it() {
        let refused = invalid_setting(
            Validator::builder("http://authority:7400")
                .issuer("i")
                .audience("a")
                .check()
                .expect_err("plain text"),
        );
        let text = refused.to_string();
        assert!(text.starts_with("authority.endpoints"), "{text}");
        assert!(text.contains("authority.insecure = true"), "{text}");
    }
}
