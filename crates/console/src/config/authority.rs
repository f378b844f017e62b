//! `[authority]`: the authority, and the tokens that the console accepts.

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
    /// The credential of the console's gate, with the role `gateway`. It watches revocations; pages never use it.
    pub bearer: Option<Secret>,
    /// A file with the credential.
    pub bearer_file: Option<PathBuf>,
    /// PEM file with the certificate that signs the authority's.
    pub ca_certificate_file: Option<PathBuf>,
    /// PEM file with the gate's own certificate, which may take the place of the credential.
    pub client_certificate_file: Option<PathBuf>,
    /// PEM file with its private key.
    pub client_key_file: Option<PathBuf>,
    /// Permits `http://` endpoints beyond this machine.
    pub insecure: bool,
    /// The `iss` that tokens must have.
    pub issuer: String,
    /// The `aud` that tokens must contain. The authority also asks for its own audience, so that one is the best choice.
    pub audience: String,
    /// A name for operators.
    pub name: String,
    /// The age up to which a proof of freshness counts.
    #[serde(with = "humantime_serde")]
    pub max_staleness: Duration,
    /// The most by which the machine's clock may differ from the database's.
    #[serde(with = "humantime_serde")]
    pub clock_skew_max: Duration,
    /// The interval between two reports of use.
    #[serde(with = "humantime_serde")]
    pub activity_interval: Duration,
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
            audience: "portcullis".to_owned(),
            name: "console".to_owned(),
            max_staleness: Duration::from_secs(5),
            clock_skew_max: Duration::from_secs(5 * 60),
            activity_interval: Duration::from_secs(10),
        }
    }
}

impl AuthorityConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.builder().map(drop)
    }

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
            .activity_interval(self.activity_interval);
        for endpoint in others {
            builder = builder.endpoint(endpoint);
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

    /// The certificate that signs the authority's, for the calls of people.
    pub(crate) fn ca_certificate(&self) -> Result<Option<Vec<u8>>, ConfigError> {
        let Some(file) = &self.ca_certificate_file else {
            return Ok(None);
        };
        read_file("authority.ca_certificate_file", file).map(Some)
    }

    /// The secret that all consoles of an installation share: the gate's credential, or its private key.
    pub(crate) fn shared_secret(&self) -> Result<Vec<u8>, ConfigError> {
        let bearer = self.read_bearer()?;
        if !bearer.is_empty() {
            return Ok(bearer.into_bytes());
        }
        match &self.client_key_file {
            Some(file) => read_file("authority.client_key_file", file),
            None => Err(ConfigError::new("authority.bearer", "required")),
        }
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
                "required: set it, authority.bearer_file or PORTCULLIS_CONSOLE_AUTHORITY__BEARER",
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
