//! `[server]`: the address and TLS of the console, its public address, and the sites that may frame it.

use std::{fs, net::SocketAddr, path::PathBuf};

use http::Uri;
use portcullis_serving::{config::ConfigError, tls};
use portcullis_validator::TrustedProxies;
use serde::Deserialize;
use tokio_rustls::rustls::ServerConfig as TlsConfig;

/// The most origins that may show the pages in a frame.
const FRAME_ANCESTORS_MAX: usize = 16;
/// The largest style sheet of an operator, in bytes.
const STYLE_SHEET_BYTES_MAX: usize = 256 << 10;
/// The longest origin, in bytes.
const ORIGIN_BYTES_MAX: usize = 256;

/// `[server]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// The address and the port of the pages.
    pub listen: SocketAddr,
    /// PEM file with the certificate chain. With `tls_key_file`, the console speaks TLS.
    pub tls_certificate_file: Option<PathBuf>,
    /// PEM file with the private key.
    pub tls_key_file: Option<PathBuf>,
    /// Allows an address beyond loopback without TLS.
    pub insecure: bool,
    /// The console's own origin, for the way back from a sign-in page on another host. Unset: the way back is a path.
    pub public_url: Option<String>,
    /// Addresses and networks of proxies before the console, separated by commas. `X-Forwarded-For` counts from them only.
    pub trusted_proxies: String,
    /// The origins whose pages may show the console in a frame. Empty: none.
    pub frame_ancestors: Vec<String>,
    /// A style sheet that comes after the console's own. Unset: none.
    pub style_sheet_file: Option<PathBuf>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7470)),
            tls_certificate_file: None,
            tls_key_file: None,
            insecure: false,
            public_url: None,
            trusted_proxies: String::new(),
            frame_ancestors: Vec::new(),
            style_sheet_file: None,
        }
    }
}

impl ServerConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        // Session cookies travel in every request. Plain text beyond this machine has to be asked for by name.
        let has_tls = self.read_tls()?.is_some();
        if !self.listen.ip().is_loopback() && !has_tls && !self.insecure {
            let problem = "must be a loopback address: set TLS files, or server.insecure = true";
            return Err(ConfigError::new("server.listen", problem));
        }
        // The way back from a sign-in is this text with a path behind it, so it must have no path
        // of its own.
        if let Some(url) = &self.public_url
            && !is_origin(url)
        {
            let problem = "must be an origin as https://console.example.com";
            return Err(ConfigError::new("server.public_url", problem));
        }
        self.proxies()?;
        self.check_frame_ancestors()?;
        self.read_style_sheet().map(drop)
    }

    /// Reads the certificate and its key. None: the listener has no TLS.
    pub(crate) fn read_tls(&self) -> Result<Option<TlsConfig>, ConfigError> {
        let certificate = self.tls_certificate_file.as_deref();
        tls::read_tls("server", certificate, self.tls_key_file.as_deref())
    }

    /// The operator's style sheet, as it is now.
    pub(crate) fn read_style_sheet(&self) -> Result<Option<Vec<u8>>, ConfigError> {
        let Some(file) = &self.style_sheet_file else {
            return Ok(None);
        };
        let key = "server.style_sheet_file";
        // Read once, at the start: its hash is a part of its address, which browsers keep for good.
        let text = fs::read(file).map_err(|error| ConfigError::new(key, error.to_string()))?;
        if text.len() > STYLE_SHEET_BYTES_MAX || std::str::from_utf8(&text).is_err() {
            let problem = format!("must be CSS in UTF-8, at most {STYLE_SHEET_BYTES_MAX} bytes");
            return Err(ConfigError::new(key, problem));
        }
        Ok(Some(text))
    }

    /// The proxies before the console.
    pub(crate) fn proxies(&self) -> Result<TrustedProxies, ConfigError> {
        let parsed = self.trusted_proxies.parse();
        parsed.map_err(|_| {
            let problem = "must be addresses or networks, separated by commas";
            ConfigError::new("server.trusted_proxies", problem)
        })
    }

    // The origins go into a header, so that one with a space or a semicolon would be another policy.
    fn check_frame_ancestors(&self) -> Result<(), ConfigError> {
        let key = "server.frame_ancestors";
        if self.frame_ancestors.len() > FRAME_ANCESTORS_MAX {
            let problem = format!("must be at most {FRAME_ANCESTORS_MAX}");
            return Err(ConfigError::new(key, problem));
        }
        if !self.frame_ancestors.iter().all(|origin| is_origin(origin)) {
            let problem = "must be origins as https://app.example.com";
            return Err(ConfigError::new(key, problem));
        }
        Ok(())
    }
}

fn is_origin_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.:/[]_".contains(&byte)
}

/// Whether a text is a scheme and a host, with or without a port.
fn is_origin(text: &str) -> bool {
    // The parser gives an origin the path `/`, so a slash that was written has to be found in the
    // text.
    if text.len() > ORIGIN_BYTES_MAX || !text.bytes().all(is_origin_byte) || text.ends_with('/') {
        return false;
    }
    let Ok(uri) = text.parse::<Uri>() else {
        return false;
    };
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    is_web && uri.host().is_some_and(|host| !host.is_empty()) && uri.path() == "/"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_no_path_and_nothing_that_ends_a_directive() {
        for good in [
            "https://app.example.com",
            "http://127.0.0.1:8080",
            "https://[2001:db8::1]:8443",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://app.example.com; script-src *",
            "https://app.example.com https://evil.example",
            "ftp://app.example.com",
            "javascript:alert(1)",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }

    #[test]
    fn plain_text_beyond_this_machine_must_be_asked_for() {
        let mut config = ServerConfig {
            listen: SocketAddr::from(([0, 0, 0, 0], 7470)),
            ..ServerConfig::default()
        };
        let refused = config.check().expect_err("plain text");
        assert_eq!(refused.key, "server.listen");
        config.insecure = true;
        config.check().expect("asked for");
    }
}
