//! `[ext_authz]`, `[forward_auth]` and `[operations]`: where each listens.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use portcullis_serving::{config::ConfigError, tls};
use serde::{Deserialize, Deserializer, de::Error as _};
use tokio_rustls::rustls::ServerConfig as TlsConfig;

/// The longest path of a Unix socket, in bytes. Linux allows 107, and the socket is made at a name beside it: a dot and the
/// number of the process, which has up to seven digits.
const SOCKET_PATH_BYTES_MAX: usize = 107 - 8;
/// The permissions of a socket file: its owner and group.
const SOCKET_MODE: u32 = 0o660;

/// Where a listener listens: `127.0.0.1:7501`, or `unix:/run/portcullis/verify.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port. Port 0 takes a free one.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Listen {
    /// Returns whether both cannot be served at a time.
    pub(super) fn collides(&self, other: &Self) -> bool {
        // Every listener on port 0 gets a port of its own.
        self == other && !matches!(self, Self::Tcp(address) if address.port() == 0)
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = Path::new(path);
            if !path.is_absolute() {
                return Err("must name an absolute path after unix:");
            }
            if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
                return Err("must name a path of at most 99 bytes");
            }
            return Ok(Self::Unix(path.to_owned()));
        }
        match text.parse() {
            Ok(address) => Ok(Self::Tcp(address)),
            Err(_) => Err("must be an address with a port, or unix: and a path"),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "{address}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// A listener of a door.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerConfig {
    /// Where it listens.
    pub listen: Listen,
    /// The permissions of the socket file, in octal.
    #[serde(default = "socket_mode", deserialize_with = "read_mode")]
    pub socket_mode: u32,
    /// PEM file with the certificate chain. With `tls_key_file`, the listener speaks TLS.
    #[serde(default)]
    pub tls_certificate_file: Option<PathBuf>,
    /// PEM file with the private key.
    #[serde(default)]
    pub tls_key_file: Option<PathBuf>,
    /// Allows an address beyond loopback without TLS.
    #[serde(default)]
    pub insecure: bool,
}

impl ListenerConfig {
    /// A listener with the defaults.
    #[must_use]
    pub fn new(listen: Listen) -> Self {
        Self {
            listen,
            socket_mode: SOCKET_MODE,
            tls_certificate_file: None,
            tls_key_file: None,
            insecure: false,
        }
    }

    pub(super) fn check(&self, section: &str) -> Result<(), ConfigError> {
        let has_tls = self.read_tls(section)?.is_some();
        // Credentials of users travel in every check. Plain text beyond this machine has to be asked for by name.
        if let Listen::Tcp(address) = &self.listen
            && !address.ip().is_loopback()
            && !has_tls
            && !self.insecure
        {
            let problem =
                format!("must be a loopback address: set TLS files, or {section}.insecure = true");
            return Err(ConfigError::new(format!("{section}.listen"), problem));
        }
        Ok(())
    }

    /// Reads the certificate and its key. None: the listener has no TLS.
    pub(crate) fn read_tls(&self, section: &str) -> Result<Option<TlsConfig>, ConfigError> {
        let certificate = self.tls_certificate_file.as_deref();
        tls::read_tls(section, certificate, self.tls_key_file.as_deref())
    }
}

fn socket_mode() -> u32 {
    SOCKET_MODE
}

fn read_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    match u32::from_str_radix(&text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err(D::Error::custom(
            "must be permissions in octal, such as \"0660\"",
        )),
    }
}
