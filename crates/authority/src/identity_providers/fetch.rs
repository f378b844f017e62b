//! One GET of a small document, by HTTP or over TLS: no redirect, no proxy, and every step within one deadline.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use http::{
    Request, StatusCode, Uri,
    header::{ACCEPT, HOST, USER_AGENT},
};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use portcullis_serving::{
    config::ConfigError,
    tls::{read_certificates, read_file},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName},
};

/// The longest time from the connection to the last byte.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// A document at a URL.
pub(super) struct Document {
    url: Uri,
    /// None: the URL is without TLS.
    tls: Option<TlsConnector>,
    bytes_max: usize,
}

impl fmt::Display for Document {
    /// Writes the URL without its query, which may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self
            .url
            .authority()
            .map_or("", |authority| authority.as_str());
        write!(f, "{authority}{}", self.url.path())
    }
}

/// A connection's task, which ends with the request.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Document {
    /// Reads the certificates by which the URL's server is verified. The system's are not used.
    pub(super) fn open(
        url: Uri,
        setting: &str,
        authorities: Option<&Path>,
        bytes_max: usize,
    ) -> Result<Self, ConfigError> {
        let tls = match authorities {
            Some(path) => Some(connector(setting, path)?),
            None => None,
        };
        Ok(Self {
            url,
            tls,
            bytes_max,
        })
    }

    /// Fetches the document.
    ///
    /// # Errors
    /// The step that failed, in words for operators.
    pub(super) async fn fetch(&self) -> Result<Bytes, String> {
        match timeout(FETCH_TIMEOUT, self.fetch_in_time()).await {
            Ok(fetched) => fetched,
            Err(_) => Err(format!("no answer within {} s", FETCH_TIMEOUT.as_secs())),
        }
    }

    async fn fetch_in_time(&self) -> Result<Bytes, String> {
        let host = self.url.host().unwrap_or_default();
        // A URL writes an address of IPv6 in brackets, which resolvers and certificates do not.
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let default_port = if self.tls.is_some() { 443 } else { 80 };
        let port = self.url.port_u16().unwrap_or(default_port);
        let stream = TcpStream::connect((name, port))
            .await
            .map_err(|error| format!("cannot connect: {error}"))?;

        match &self.tls {
            None => self.get(stream).await,
            Some(tls) => {
                let server = ServerName::try_from(name.to_owned())
                    .map_err(|error| format!("the host is no name: {error}"))?;
                let stream = tls
                    .connect(server, stream)
                    .await
                    .map_err(|error| format!("TLS: {error}"))?;
                self.get(stream).await
            }
        }
    }

    async fn get<IO>(&self, stream: IO) -> Result<Bytes, String>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        let _connection = Connection(tokio::spawn(async move {
            // The request reports its error.
            let _ = connection.await;
        }));
        self.send(&mut sender).await
    }

    async fn send(&self, sender: &mut SendRequest<Empty<Bytes>>) -> Result<Bytes, String> {
        let authority = self
            .url
            .authority()
            .map_or("", |authority| authority.as_str());
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path)
            .header(HOST, authority)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(
                USER_AGENT,
                concat!("portcullis/", env!("CARGO_PKG_VERSION")),
            )
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        // A redirect is refused too: it could lead anywhere.
        if response.status() != StatusCode::OK {
            return Err(format!("the status is {}", response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), self.bytes_max);
        match body.collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn connector(setting: &str, path: &Path) -> Result<TlsConnector, ConfigError> {
    let unusable = |cause: String| ConfigError::new(setting, format!("cannot be used: {cause}"));
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(setting, &read_file(setting, path)?)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
    }
    // Named here, because the process has no default provider unless some crate installs one.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
