//! One GET of a small document, by HTTP or over TLS: no redirect, no proxy, and every step within one deadline.

use std::{fmt, path::Path, time::Duration};

use http::{Method, StatusCode, Uri, header::ACCEPT};
use http_body_util::Full;
use hyper::body::Bytes;
use portcullis_serving::config::ConfigError;
use tokio::time::timeout;

use crate::net::HttpClient;

/// The longest time from the connection to the last byte.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// A document at a URL.
pub(super) struct Document {
    url: Uri,
    client: HttpClient,
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

impl Document {
    /// Reads the certificates by which the URL's server is verified. The system's are not used.
    pub(super) fn open(
        url: Uri,
        setting: &str,
        authorities: Option<&Path>,
        bytes_max: usize,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            client: HttpClient::open(&url, setting, authorities)?,
            url,
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
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let request = self
            .client
            .request(Method::GET, path)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .body(Full::default())
            .map_err(|error| error.to_string())?;
        let mut connection = self.client.connect().await?;
        let answer = connection.send(request, self.bytes_max).await?;
        // A redirect is refused too: it could lead anywhere.
        if answer.status != StatusCode::OK {
            return Err(format!("the status is {}", answer.status.as_u16()));
        }
        answer.body
    }
}
