//! Requests by HTTP/1.1 that the authority sends, over TLS or without: no redirect, and no proxy.

use std::path::Path;

use http::{
    HeaderMap, Request, StatusCode, Uri,
    header::{HOST, USER_AGENT},
    request::Builder,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use portcullis_serving::config::ConfigError;
use tokio_util::task::AbortOnDropHandle;

use super::Remote;

/// The server of a URL.
pub(crate) struct HttpClient {
    remote: Remote,
    host: String,
}

/// A connection, which may be kept from one request to the next.
pub(crate) struct HttpConnection {
    sender: SendRequest<Full<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

/// An answer.
pub(crate) struct HttpAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The body, or the reason why it was not read to its end. The connection is of no use then.
    pub(crate) body: Result<Bytes, String>,
}

impl HttpClient {
    /// The server of `url`. With a file of certificates it has to prove its name by one that those sign: the system's
    /// are not used. `setting` names the file's setting in errors.
    ///
    /// # Errors
    /// When the URL has no host, or the file cannot be used.
    pub(crate) fn open(
        url: &Uri,
        setting: &str,
        authorities: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let Some(authority) = url.authority() else {
            return Err(ConfigError::new(setting, "belongs to a URL without a host"));
        };
        // An `https://` URL is never spoken to in plain, whatever its configuration was checked for.
        if authorities.is_none() && url.scheme_str() == Some("https") {
            return Err(ConfigError::new(setting, "is required for an https:// URL"));
        }
        let host = authority.host();
        let remote = match authorities {
            Some(file) => {
                let port = authority.port_u16().unwrap_or(443);
                Remote::with_tls(host, port, setting, file)?
            }
            None => Remote::plain(host, authority.port_u16().unwrap_or(80)),
        };
        Ok(Self {
            remote,
            host: authority.to_string(),
        })
    }

    /// Begins a request with the headers that each has. The path has its query.
    pub(crate) fn request(&self, method: http::Method, path: &str) -> Builder {
        let agent = concat!("portcullis/", env!("CARGO_PKG_VERSION"));
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header(USER_AGENT, agent)
    }

    /// Connects. The caller bounds the time.
    ///
    /// # Errors
    /// In words for operators.
    pub(crate) async fn connect(&self) -> Result<HttpConnection, String> {
        let stream = self.remote.connect().await;
        let stream = stream.map_err(|error| format!("no connection: {error}"))?;
        let (sender, driver) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| format!("no connection: {error}"))?;
        let driver = tokio::spawn(async move {
            // Its end is seen by the sender.
            let _ended = driver.await;
        });
        Ok(HttpConnection {
            sender,
            // A request that was given up would otherwise keep its connection until the server
            // answers.
            _driver: AbortOnDropHandle::new(driver),
        })
    }
}

impl HttpConnection {
    /// Returns true if the server has not closed it.
    pub(crate) async fn is_open(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Sends a request, and reads at most `bytes_max` bytes of the answer's body. The caller bounds the time.
    ///
    /// # Errors
    /// In words for operators, when there is no answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
    ) -> Result<HttpAnswer, String> {
        let answer = self.sender.send_request(request).await;
        let answer = answer.map_err(|error| format!("no answer: {error}"))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, bytes_max).collect().await;
        Ok(HttpAnswer {
            status: head.status,
            headers: head.headers,
            body: match body {
                Ok(collected) => Ok(collected.to_bytes()),
                Err(error) => Err(error.to_string()),
            },
        })
    }
}
