//! Requests to the gateway with a device's token, as the device would send them.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request,
    body::{Bytes, Incoming},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

/// The longest body that is read of an answer, in bytes. The gateway's refusals are short.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// The longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of the gateway.
#[derive(Clone)]
pub(super) struct Door {
    client: Client<HttpConnector, Empty<Bytes>>,
    pub(super) address: SocketAddr,
}

/// An answer to a request for `/whoami`.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The reason of a refusal, in the gateway's word. Empty for an admission.
    pub(super) reason: String,
    pub(super) took: Duration,
}

impl Door {
    pub(super) fn new(address: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        // A delayed packet would show up in the times.
        connector.set_nodelay(true);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            address,
        }
    }

    /// Asks for the identity of a token.
    pub(super) async fn ask(&self, token: &str, from: IpAddr) -> Result<Answer> {
        let begun = Instant::now();
        let response = timeout(ANSWER_TIMEOUT, self.send("/whoami", token, from)).await??;
        let status = response.status().as_u16();
        // Whatever listens at the gateway's port must not fill the memory.
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect();
        let body = timeout(ANSWER_TIMEOUT, body).await?;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        Ok(Answer {
            status,
            reason: if status == 200 {
                String::new()
            } else {
                reason(&body)
            },
            took: begun.elapsed(),
        })
    }

    /// Opens an event stream, which the gateway cuts when the session ends. None if it refuses.
    pub(super) async fn open_events(&self, token: &str, from: IpAddr) -> Option<Events> {
        let opening = timeout(ANSWER_TIMEOUT, self.send("/events", token, from)).await;
        let response = opening.ok()?.ok()?;
        response
            .status()
            .is_success()
            .then(|| Events(response.into_body()))
    }

    async fn send(
        &self,
        path: &str,
        token: &str,
        from: IpAddr,
    ) -> Result<hyper::Response<Incoming>> {
        let request = Request::get(format!("http://{}{path}", self.address))
            .header("authorization", format!("Bearer {token}"))
            // The gateway of `dev` believes programs of this machine about the address of their client.
            .header("x-forwarded-for", from.to_string())
            .body(Empty::new())?;
        let answer = self.client.request(request).await;
        answer.context("the gateway does not answer")
    }
}

fn reason(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let reason = body["reason"].as_str();
    reason.unwrap_or("no reason given").to_owned()
}

/// An open event stream.
pub(super) struct Events(Incoming);

impl Events {
    /// Waits until the stream ends: at the latest when the gateway has dropped the session.
    pub(super) async fn ended(&mut self) {
        // What the events say is of no interest, only that they end.
        while let Some(Ok(_)) = self.0.frame().await {}
    }
}
