//! `[[audit_exports]]`: where the audit trail is delivered to, each table alone and all of them together.

use std::{collections::HashSet, path::PathBuf, time::Duration};

use http::Uri;
use portcullis_contract::id::TenantId;
use serde::{Deserialize, Serialize};

use super::{
    ConfigError,
    bounds::{DAY, HOUR, MINUTE, SECOND, check_durations},
    web_origin::LOOPBACK_HOSTS,
};

/// The most exports.
const EXPORTS_MAX: usize = 16;
/// The longest name of an export, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// The most tenants of an export.
const TENANTS_MAX: usize = 1_000;
/// The most secrets of a webhook. A rotation needs two.
const SECRETS_MAX: usize = 4;
/// The longest URL, in bytes.
const URL_BYTES_MAX: usize = 2_048;

/// `[[audit_exports]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuditExportConfig {
    /// Name in metrics, logs and the database.
    pub name: String,
    /// The tenants whose events are delivered. Empty: those of all tenants and of the installation.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// The first event of a new export.
    #[serde(default)]
    pub start: ExportStart,
    /// Delivers to a file.
    #[serde(default)]
    pub file: Option<FileExportConfig>,
    /// Delivers to a syslog server.
    #[serde(default)]
    pub syslog: Option<SyslogExportConfig>,
    /// Delivers to an HTTP server.
    #[serde(default)]
    pub webhook: Option<WebhookExportConfig>,
}

/// The first event that a new export delivers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportStart {
    /// The first of the trail.
    #[default]
    Beginning,
    /// The first after the export was set up.
    Now,
}

/// `[audit_exports.file]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FileExportConfig {
    /// The file, which is made if it is not there.
    pub path: PathBuf,
}

/// `[audit_exports.syslog]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogExportConfig {
    /// Host and port of the server.
    pub address: String,
    /// How it is spoken to.
    #[serde(default)]
    pub transport: SyslogTransport,
    /// PEM file with the certificates that sign the server's. Needed for TLS.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Allows a server beyond loopback without TLS.
    #[serde(default)]
    pub insecure: bool,
    /// Longest time for a connection to open, and for the server to take the data sent to it.
    #[serde(default = "ten_seconds", with = "humantime_serde")]
    pub timeout: Duration,
}

/// The transport of syslog messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SyslogTransport {
    /// RFC 5425.
    #[default]
    Tls,
    /// RFC 6587, with octet counting.
    Tcp,
    /// RFC 5426.
    Udp,
}

/// `[audit_exports.webhook]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookExportConfig {
    /// `https://…`, or `http://…` on this machine.
    pub url: String,
    /// Files with the secrets that sign, one each: `whsec_` and base64.
    pub secret_files: Vec<PathBuf>,
    /// PEM file with the certificates that sign the receiver's. Needed for `https://`.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Longest time for one attempt.
    #[serde(default = "fifteen_seconds", with = "humantime_serde")]
    pub timeout: Duration,
    /// Longest pause between two attempts, unless the receiver asks for a longer one.
    #[serde(default = "five_minutes", with = "humantime_serde")]
    pub retry_pause_max: Duration,
    /// Time of failures after which an event becomes a dead letter.
    #[serde(default = "one_day", with = "humantime_serde")]
    pub give_up_after: Duration,
}

fn ten_seconds() -> Duration {
    10 * SECOND
}

fn fifteen_seconds() -> Duration {
    15 * SECOND
}

fn five_minutes() -> Duration {
    5 * MINUTE
}

fn one_day() -> Duration {
    DAY
}

/// Checks every export, and that no two share a name or a file.
pub(super) fn check(exports: &[AuditExportConfig]) -> Result<(), ConfigError> {
    if exports.len() > EXPORTS_MAX {
        let problem = format!("must be at most {EXPORTS_MAX}");
        return Err(ConfigError::new("audit_exports", problem));
    }
    let mut names = HashSet::new();
    let mut files = HashSet::new();
    for (index, export) in exports.iter().enumerate() {
        let section = format!("audit_exports[{index}]");
        export.check(&section)?;
        // The database knows exports by their names, so two would take each other's place.
        if !names.insert(&export.name) {
            let problem = "is the name of another export too: give each its own";
            return Err(ConfigError::new(format!("{section}.name"), problem));
        }
        if let Some(file) = &export.file
            && !files.insert(&file.path)
        {
            let problem = "is the file of another export too: give each its own";
            return Err(ConfigError::new(format!("{section}.file.path"), problem));
        }
    }
    Ok(())
}

fn is_name_byte(byte: u8) -> bool {
    // No parentheses: `(archive)` is the name of the archive among the exports.
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

impl AuditExportConfig {
    fn check(&self, section: &str) -> Result<(), ConfigError> {
        let length = self.name.len();
        if length == 0 || length > NAME_BYTES_MAX || !self.name.bytes().all(is_name_byte) {
            let problem = "must be 1 to 64 of a-z, 0-9 and -";
            return Err(ConfigError::new(format!("{section}.name"), problem));
        }
        self.check_tenants(section)?;

        let destinations = [
            self.file.is_some(),
            self.syslog.is_some(),
            self.webhook.is_some(),
        ];
        let count = destinations.iter().filter(|is_set| **is_set).count();
        if count != 1 {
            let problem = "must have exactly one of file, syslog and webhook";
            return Err(ConfigError::new(section, problem));
        }
        if let Some(file) = &self.file {
            file.check(section)?;
        }
        if let Some(syslog) = &self.syslog {
            syslog.check(section)?;
        }
        if let Some(webhook) = &self.webhook {
            webhook.check(section)?;
        }
        Ok(())
    }

    fn check_tenants(&self, section: &str) -> Result<(), ConfigError> {
        if self.tenants.len() > TENANTS_MAX {
            let problem = format!("must be at most {TENANTS_MAX}");
            return Err(ConfigError::new(format!("{section}.tenants"), problem));
        }
        for (index, tenant) in self.tenants.iter().enumerate() {
            TenantId::parse(tenant.as_str()).map_err(|error| {
                ConfigError::new(format!("{section}.tenants[{index}]"), error.to_string())
            })?;
        }
        Ok(())
    }
}

impl FileExportConfig {
    fn check(&self, section: &str) -> Result<(), ConfigError> {
        if !self.path.is_absolute() || self.path.file_name().is_none() {
            let problem = "must be the absolute path of a file";
            return Err(ConfigError::new(format!("{section}.file.path"), problem));
        }
        Ok(())
    }
}

impl SyslogExportConfig {
    fn check(&self, section: &str) -> Result<(), ConfigError> {
        let key = |field: &str| format!("{section}.syslog.{field}");
        let Some((host, _)) = self.host_and_port() else {
            let problem = "must be a host and a port, such as logs.example.org:6514";
            return Err(ConfigError::new(key("address"), problem));
        };
        let is_tls = self.transport == SyslogTransport::Tls;
        if !is_tls && !self.insecure && !LOOPBACK_HOSTS.contains(&&*host) {
            let problem = "sends names and addresses in the clear beyond this machine: use tls with ca_file, or set \
                           insecure = true";
            return Err(ConfigError::new(key("transport"), problem));
        }
        check_ca_file(&key("ca_file"), self.ca_file.is_some(), is_tls)?;
        check_durations(&[(&key("timeout"), self.timeout, SECOND..=5 * MINUTE)])
    }

    /// The host, with the brackets of an IPv6 address, and the port.
    pub(crate) fn host_and_port(&self) -> Option<(String, u16)> {
        let address: http::uri::Authority = self.address.parse().ok()?;
        if address.as_str().contains('@') || address.host().is_empty() {
            return None;
        }
        Some((address.host().to_owned(), address.port_u16()?))
    }
}

impl WebhookExportConfig {
    fn check(&self, section: &str) -> Result<(), ConfigError> {
        let key = |field: &str| format!("{section}.webhook.{field}");
        let is_tls = self
            .check_url()
            .map_err(|problem| ConfigError::new(key("url"), problem))?;
        check_ca_file(&key("ca_file"), self.ca_file.is_some(), is_tls)?;
        if self.secret_files.is_empty() || self.secret_files.len() > SECRETS_MAX {
            let problem = format!("must be 1 to {SECRETS_MAX} files");
            return Err(ConfigError::new(key("secret_files"), problem));
        }
        check_durations(&[
            (&key("timeout"), self.timeout, SECOND..=2 * MINUTE),
            (&key("retry_pause_max"), self.retry_pause_max, SECOND..=HOUR),
            (&key("give_up_after"), self.give_up_after, SECOND..=30 * DAY),
        ])
    }

    /// Whether the URL has TLS.
    fn check_url(&self) -> Result<bool, &'static str> {
        let uri = self.url.parse::<Uri>().ok();
        let uri = uri.filter(|_| self.url.len() <= URL_BYTES_MAX);
        let Some(authority) = uri.as_ref().and_then(Uri::authority) else {
            return Err("must be a URL that begins with https://");
        };
        if authority.as_str().contains('@') {
            return Err("must have no name and password: the signature proves the sender");
        }
        match uri.as_ref().and_then(Uri::scheme_str) {
            Some("https") => Ok(true),
            Some("http") if LOOPBACK_HOSTS.contains(&authority.host()) => Ok(false),
            Some("http") => Err("is plain http:// beyond this machine: use https:// with ca_file"),
            _ => Err("must be a URL that begins with https://"),
        }
    }
}

fn check_ca_file(key: &str, is_set: bool, is_tls: bool) -> Result<(), ConfigError> {
    match (is_set, is_tls) {
        (false, true) => Err(ConfigError::new(
            key,
            "is required for TLS: the file with the certificates that sign the receiver's",
        )),
        // A setting of TLS that protects nothing would be taken for protection.
        (true, false) => Err(ConfigError::new(key, "is set, and there is no TLS")),
        _ => Ok(()),
    }
}
