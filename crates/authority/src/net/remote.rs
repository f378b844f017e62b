//! Connections that the authority opens, with TLS or without.

use std::{io, path::Path, sync::Arc};

use portcullis_serving::{
    config::ConfigError,
    tls::{read_certificates, read_file},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, Error, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName},
};

/// A connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A server to connect to.
pub(crate) struct Remote {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Remote {
    /// A server by its host, an IPv6 address in brackets, and its port.
    pub(crate) fn plain(host: &str, port: u16) -> Self {
        Self {
            host: without_brackets(host).to_owned(),
            port,
            tls: None,
        }
    }

    /// A server that proves its name by a certificate of one of the authorities in a file.
    ///
    /// # Errors
    /// When the file has none, or the host is no name that a certificate can have.
    pub(crate) fn with_tls(
        host: &str,
        port: u16,
        setting: &str,
        ca_file: &Path,
    ) -> Result<Self, ConfigError> {
        let plain = Self::plain(host, port);
        let name = ServerName::try_from(plain.host.clone()).map_err(|_| {
            ConfigError::new(setting, "belongs to a host that no certificate can name")
        })?;
        let roots = read_roots(setting, ca_file)?;
        let config =
            client_config(roots).map_err(|error| ConfigError::new(setting, error.to_string()))?;
        Ok(Self {
            tls: Some((TlsConnector::from(Arc::new(config)), name)),
            ..plain
        })
    }

    /// Connects, and shakes hands if it has TLS. The caller bounds the time.
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some((connector, name)) => {
                let encrypted = connector.connect(name.clone(), stream).await?;
                Ok(Box::new(encrypted))
            }
        }
    }

    /// The host and the port, as a socket of any kind takes them.
    pub(crate) fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

fn client_config(roots: RootCertStore) -> Result<ClientConfig, Error> {
    // Named here, because the process has no default provider unless some crate installs one.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// Reads the authorities of a file.
fn read_roots(setting: &str, ca_file: &Path) -> Result<RootCertStore, ConfigError> {
    // Only the authorities of the file count. With the system's list any public one could vouch for
    // another server.
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(setting, &read_file(setting, ca_file)?)? {
        roots.add(certificate).map_err(|error| {
            let problem = format!("has a certificate that cannot be used: {error}");
            ConfigError::new(setting, problem)
        })?;
    }
    Ok(roots)
}

fn without_brackets(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inner.unwrap_or(host)
}
