//! One attempt to deliver an event by HTTP.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{
    HeaderMap, Method, Request, StatusCode, Uri,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::time::timeout;

use super::super::{json, signature::Signer};
use crate::{
    api::grpc::timestamp,
    config::{ConfigError, WebhookExportConfig},
    domain::AuditEvent,
    net::{HttpClient, HttpConnection},
};

/// The largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 64 << 10;
/// The largest body of an answer that is read, in bytes. Nothing in it is used.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// The server that takes events.
pub(super) struct Receiver {
    client: HttpClient,
    uri: Uri,
    signer: Signer,
    timeout: Duration,
}

/// An event as it is sent.
pub(super) struct Message {
    /// The same in every attempt, so that a receiver recognizes a repetition.
    id: String,
    body: Bytes,
}

/// Why an attempt failed.
pub(super) struct Refusal {
    /// It names a status or an error of the connection, and nothing that the receiver wrote.
    pub(super) problem: String,
    /// The pause that the receiver asks for.
    pub(super) retry_after: Option<Duration>,
    /// The receiver wants no more.
    pub(super) is_gone: bool,
}

impl Message {
    pub(super) fn of_event(event: &AuditEvent) -> Result<Self, String> {
        let data = json::of_event(event).map_err(|error| error.to_string())?;
        let time = timestamp(event.position.at);
        // The type is a name of the authority's own, and the time has digits only: neither needs to be escaped.
        let kind = serde_json::Value::from(event.action.as_str());
        let body = format!(r#"{{"type":{kind},"timestamp":"{time}","data":{data}}}"#);
        if body.len() > BODY_BYTES_MAX {
            return Err(format!("is larger than {BODY_BYTES_MAX} bytes"));
        }
        Ok(Self {
            id: format!("{}_{}", event.position.event, event.position.ordinal),
            body: body.into(),
        })
    }
}

impl Receiver {
    pub(super) fn open(
        section: &str,
        config: &WebhookExportConfig,
        signer: Signer,
    ) -> Result<Self, ConfigError> {
        let invalid = || ConfigError::new(format!("{section}.webhook.url"), "must be a URL");
        let uri: Uri = config.url.parse().map_err(|_| invalid())?;
        if uri.authority().is_none() {
            return Err(invalid());
        }
        let setting = format!("{section}.webhook.ca_file");
        Ok(Self {
            client: HttpClient::open(&uri, &setting, config.ca_file.as_deref())?,
            uri,
            signer,
            timeout: config.timeout,
        })
    }

    /// Sends a message once. The receiver has it when this succeeds.
    pub(super) async fn attempt(
        &self,
        connection: &mut Option<HttpConnection>,
        message: &Message,
    ) -> Result<(), Refusal> {
        // A connection whose answer was not read to its end is of no use any more.
        let kept = connection.take();
        let exchange = timeout(self.timeout, self.exchange(kept, message));
        let Ok(exchanged) = exchange.await else {
            let seconds = self.timeout.as_secs_f64();
            return Err(Refusal::of_network(format!("no answer within {seconds} s")));
        };
        let (status, headers, kept) = exchanged?;
        *connection = kept;
        match status {
            // A redirect is none: what is signed for one receiver is not sent to another.
            status if status.is_success() => Ok(()),
            status => Err(Refusal {
                problem: format!("answered {}", status.as_u16()),
                retry_after: retry_after(&headers, SystemTime::now()),
                is_gone: status == StatusCode::GONE,
            }),
        }
    }

    async fn exchange(
        &self,
        kept: Option<HttpConnection>,
        message: &Message,
    ) -> Result<(StatusCode, HeaderMap, Option<HttpConnection>), Refusal> {
        let mut connection = match still_open(kept).await {
            Some(kept) => kept,
            None => self.client.connect().await.map_err(Refusal::of_network)?,
        };
        let answer = connection
            .send(self.request(message)?, ANSWER_BYTES_MAX)
            .await
            .map_err(Refusal::of_network)?;
        let kept = answer.body.is_ok().then_some(connection);
        Ok((answer.status, answer.headers, kept))
    }

    fn request(&self, message: &Message) -> Result<Request<Full<Bytes>>, Refusal> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        // Of this attempt and not of the event: a receiver refuses a signature whose timestamp is
        // old.
        let timestamp = now.unwrap_or_default().as_secs();
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let signature = self.signer.sign(&message.id, timestamp, &message.body);
        self.client
            .request(Method::POST, path)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(Full::new(message.body.clone()))
            .map_err(|error| Refusal::of_network(format!("no request: {error}")))
    }
}

/// A kept connection, if the receiver has not closed it meanwhile.
async fn still_open(kept: Option<HttpConnection>) -> Option<HttpConnection> {
    let mut kept = kept?;
    kept.is_open().await.then_some(kept)
}

impl Refusal {
    fn of_network(problem: String) -> Self {
        Self {
            problem,
            retry_after: None,
            is_gone: false,
        }
    }
}

/// The pause that an answer asks for, as seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    date.duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_asks_for_a_pause_in_seconds_or_by_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, pause) in [
            ("120", Some(120)),
            ("0", Some(0)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", None),
            ("-1", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a value"))]);
            let read = retry_after(&headers, now);
            assert_eq!(read, pause.map(Duration::from_secs), "{text}");
        }
    }
}
