//! The settings of a validator in a configuration file. The sidecar, the module inside Envoy and the console have the same
//! keys, in a table `authority`.

use std::{
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use portcullis_validator_core::BuildError;
use serde::Deserialize;

use crate::{Builder, TlsFiles, Validator};

/// The most authorities of one installation.
const ENDPOINTS_MAX: usize = 16;

/// The largest file of a credential, in bytes.
const BEARER_BYTES_MAX: u64 = 4 << 10;

/// The largest file of certificates, in bytes.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// The table `authority`: the authorities, and the tokens that the gate accepts.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The authorities of the installation: `https://authority-1.internal:7400`.
    pub endpoints: Vec<String>,
    /// The gate's credential, with the role `gateway`.
    pub bearer: Option<Secret>,
    /// A file with the credential. It may be replaced while the gate runs.
    pub bearer_file: Option<PathBuf>,
    /// The certificate (PEM) that signs the authority's.
    pub ca_certificate: Option<String>,
    /// A file with it, which may be replaced while the gate runs.
    pub ca_certificate_file: Option<PathBuf>,
    /// PEM file with the gate's own certificate, which may take the place of the credential. It may be replaced.
    pub client_certificate_file: Option<PathBuf>,
    /// PEM file with its private key.
    pub client_key_file: Option<PathBuf>,
    /// Permits `http://` endpoints beyond this machine.
    pub insecure: bool,
    /// The `iss` that tokens must have.
    pub issuer: String,
    /// The `aud` that tokens must contain.
    pub audience: String,
    /// A name for operators. Unset: the product's.
    pub name: Option<String>,
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

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            bearer: None,
            bearer_file: None,
            ca_certificate: None,
            ca_certificate_file: None,
            client_certificate_file: None,
            client_key_file: None,
            insecure: false,
            issuer: String::new(),
            audience: String::new(),
            name: None,
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

/// A secret of the configuration. Its debug output leaves it out.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(hidden)")
    }
}

/// An invalid setting. The text names the key, never its value, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct SettingError {
    /// The key, with the name of its table: `authority.issuer`.
    pub key: String,
    /// The problem and its remedy.
    pub problem: String,
}

impl SettingError {
    fn new(key: &str, problem: impl Into<String>) -> Self {
        Self {
            key: format!("authority.{key}"),
            problem: problem.into(),
        }
    }
}

impl From<BuildError> for SettingError {
    /// Names the key of the file for a setting of the builder.
    fn from(error: BuildError) -> Self {
        let key = match error.setting {
            "endpoint" => "endpoints",
            "stale_max" => "best_effort",
            "ca_certificate" => "ca_certificate_file",
            "client_certificate" => "client_certificate_file",
            setting => setting,
        };
        let problem = error
            .problem
            .replace("insecure()", "authority.insecure = true");
        Self::new(key, problem)
    }
}

impl Settings {
    /// Replaces the credential's file by the credential. So a file that changed is a change of the settings.
    ///
    /// # Errors
    /// When the file cannot be read or is empty, and when a credential is set beside it.
    pub fn read_bearer_file(&mut self) -> Result<(), SettingError> {
        if self.bearer_file.is_some() {
            let bearer = self.read_bearer()?;
            self.bearer = Some(Secret::new(bearer));
            self.bearer_file = None;
        }
        Ok(())
    }

    /// Returns the settings of the validator, checked. `product` is the gate's name if none is set.
    ///
    /// # Errors
    /// Names the first key that is wrong.
    pub fn builder(&self, product: &str) -> Result<Builder, SettingError> {
        let (first, others) = self.split_endpoints()?;
        let bearer = self.read_bearer()?;
        let mut builder = Validator::builder(first)
            .bearer(bearer)
            .issuer(&self.issuer)
            .audience(&self.audience)
            .name(self.name.as_deref().unwrap_or(product))
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
        if let Some(file) = &self.bearer_file {
            builder = builder.bearer_file(file);
        }
        if !self.activity {
            builder = builder.without_activity();
        }
        if self.insecure {
            builder = builder.insecure();
        }
        builder = self.with_certificates(builder)?;
        builder.check()?;
        Ok(builder)
    }

    /// The certificate (PEM) that signs the authority's, if one is set.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn read_ca_certificate(&self) -> Result<Option<String>, SettingError> {
        match (&self.ca_certificate, &self.ca_certificate_file) {
            (Some(pem), _) => Ok(Some(pem.clone())),
            (None, Some(file)) => read_file("ca_certificate_file", file, PEM_BYTES_MAX).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The secret that all gates with these settings share: the credential, or the private key of the certificate.
    ///
    /// # Errors
    /// When there is none, or its file cannot be read.
    pub fn read_shared_secret(&self) -> Result<Secret, SettingError> {
        let bearer = self.read_bearer()?;
        if !bearer.is_empty() {
            return Ok(Secret::new(bearer));
        }
        match &self.client_key_file {
            Some(file) => read_file("client_key_file", file, PEM_BYTES_MAX).map(Secret::new),
            None => Err(SettingError::new("client_key_file", "required")),
        }
    }

    fn split_endpoints(&self) -> Result<(&String, &[String]), SettingError> {
        match self.endpoints.split_first() {
            // Each endpoint is looked up before each attempt to connect, so their number bounds
            // that work.
            Some((first, others)) if others.len() < ENDPOINTS_MAX => Ok((first, others)),
            _ => {
                let problem = format!("must be 1 to {ENDPOINTS_MAX} addresses");
                Err(SettingError::new("endpoints", problem))
            }
        }
    }

    fn read_bearer(&self) -> Result<String, SettingError> {
        let (key, bearer) = match (&self.bearer, &self.bearer_file) {
            (Some(_), Some(_)) => return Err(set_beside("bearer_file", "bearer")),
            (Some(bearer), None) => ("bearer", bearer.reveal().to_owned()),
            (None, Some(file)) => ("bearer_file", read_line(file)?),
            // The certificate tells the caller.
            (None, None) if self.client_certificate_file.is_some() => return Ok(String::new()),
            (None, None) => {
                let problem = "required; set it, or authority.bearer_file, or authority.client_certificate_file";
                return Err(SettingError::new("bearer", problem));
            }
        };
        if bearer.is_empty() {
            return Err(SettingError::new(key, "must not be empty"));
        }
        Ok(bearer)
    }

    fn with_certificates(&self, builder: Builder) -> Result<Builder, SettingError> {
        let client = self.client_files()?;
        match (&self.ca_certificate, &self.ca_certificate_file, client) {
            (Some(_), Some(_), _) => Err(set_beside("ca_certificate_file", "ca_certificate")),
            (_, None, Some(_)) => {
                let problem = "needs authority.ca_certificate_file";
                Err(SettingError::new("client_certificate_file", problem))
            }
            (Some(pem), None, None) => Ok(builder.ca_certificate(pem.as_bytes())),
            (None, None, None) => Ok(builder),
            (None, Some(ca), client) => Ok(builder.tls_files(tls_files(ca, client)?)),
        }
    }

    /// The files of the gate's own certificate and its key. One without the other is a mistake.
    fn client_files(&self) -> Result<Option<(&PathBuf, &PathBuf)>, SettingError> {
        match (&self.client_certificate_file, &self.client_key_file) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            _ => {
                let problem = "needs authority.client_certificate_file, and the reverse";
                Err(SettingError::new("client_key_file", problem))
            }
        }
    }
}

/// Reads the file of a credential.
fn read_line(file: &Path) -> Result<String, SettingError> {
    let text = read_file("bearer_file", file, BEARER_BYTES_MAX)?;
    // Editors end a file with a newline, which is not part of the credential.
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Returns the files of TLS, which the validator reads again at each connection.
fn tls_files(ca: &Path, client: Option<(&PathBuf, &PathBuf)>) -> Result<TlsFiles, SettingError> {
    // Read here only to name the key of a file that cannot be read.
    read_file("ca_certificate_file", ca, PEM_BYTES_MAX)?;
    let mut files = TlsFiles::new(ca);
    if let Some((certificate, key)) = client {
        read_file("client_certificate_file", certificate, PEM_BYTES_MAX)?;
        read_file("client_key_file", key, PEM_BYTES_MAX)?;
        files = files.client_certificate(certificate, key);
    }
    Ok(files)
}

fn set_beside(key: &str, other: &str) -> SettingError {
    SettingError::new(key, format!("must not be set beside authority.{other}"))
}

fn read_file(key: &str, file: &Path, bytes_max: u64) -> Result<String, SettingError> {
    let mut text = String::new();
    File::open(file)
        .and_then(|file| file.take(bytes_max + 1).read_to_string(&mut text))
        .map_err(|error| {
            let problem = format!(
                "must be a readable file of text: {}: {error}",
                file.display()
            );
            SettingError::new(key, problem)
        })?;
    if text.len() as u64 > bytes_max {
        let problem = format!("{}: must be at most {bytes_max} bytes", file.display());
        return Err(SettingError::new(key, problem));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings {
            endpoints: vec!["http://127.0.0.1:7400".to_owned()],
            issuer: "https://issuer.test".to_owned(),
            audience: "gateway".to_owned(),
            // Not read first: it only says that no bearer is needed.
            client_certificate_file: Some("/nonexistent/gate.pem".into()),
            client_key_file: Some("/nonexistent/gate.key".into()),
            ca_certificate_file: Some("/nonexistent/ca.pem".into()),
            ..Settings::default()
        };
        change(&mut settings);
        settings
    }

    fn without_certificates(settings: &mut Settings) {
        settings.client_certificate_file = None;
        settings.client_key_file = None;
        settings.ca_certificate_file = None;
    }

    fn with_a_directory_as_bearer(settings: &mut Settings) {
        without_certificates(settings);
        settings.bearer_file = Some(std::env::temp_dir());
    }

    #[test]
    fn files_belong_together_and_are_named_by_their_keys() {
        type Change = fn(&mut Settings);
        let cases: [(Change, &str); 7] = [
            (|_| {}, "authority.ca_certificate_file"),
            (
                |settings| settings.client_key_file = None,
                "authority.client_key_file",
            ),
            (
                |settings| settings.ca_certificate_file = None,
                "authority.client_certificate_file",
            ),
            (
                |settings| settings.ca_certificate = Some("a".into()),
                "authority.ca_certificate_file",
            ),
            (without_certificates, "authority.bearer"),
            (with_a_directory_as_bearer, "authority.bearer_file"),
            (|settings| settings.endpoints.clear(), "authority.endpoints"),
        ];
        for (change, key) in cases {
            let error = settings(change).builder("gate").err().expect("refused");
            assert_eq!(error.key, key, "{error}");
        }
    }

    #[test]
    fn a_refusal_of_plain_text_names_the_key_that_permits_it() {
        let settings = settings(|settings| {
            without_certificates(settings);
            settings.bearer = Some(Secret::new("secret"));
            settings.endpoints = vec!["http://authority:7400".to_owned()];
        });
        let error = settings.builder("gate").err().expect("plain text");
        assert_eq!(error.key, "authority.endpoints");
        assert!(
            error.problem.contains("authority.insecure = true"),
            "{error}"
        );
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
