//! The handlers of a listener's requests, with a deadline each.

use std::{convert::Infallible, error::Error, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt;
use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};
use tokio::time::timeout;

use crate::telemetry::Instruments;

/// Answers the requests of a listener.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The body of answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// Answers one request.
    fn handle(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// The refusal of a request that took too long, or whose handler panicked.
    fn unavailable(&self) -> Response<Self::Body>;
}

/// A handler with the deadline of its requests.
pub(crate) struct Handling<H> {
    /// The name of the listener in metrics.
    pub(crate) name: &'static str,
    pub(crate) handler: H,
    pub(crate) request_timeout: Duration,
    pub(crate) instruments: Arc<Instruments>,
}

impl<H: Handler> Handling<H> {
    /// Returns the handler of one connection's requests. The connection counts as open for as long as the handler
    /// lives.
    pub(crate) fn service(
        self: &Arc<Self>,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<H::Body>,
        Error = Infallible,
        Future: Send + 'static,
    >
    + Send
    + 'static
    + use<H> {
        let open = self.instruments.open_connection(self.name);
        let handling = Arc::clone(self);
        service_fn(move |request| {
            // The closure owns it, so the count falls when the connection drops its service.
            let _counted = &open;
            let handling = Arc::clone(&handling);
            async move { Ok(handling.answer(request).await) }
        })
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<H::Body> {
        // Caught here: a panic would end the connection, and with it all other checks that the
        // gateway has on it.
        let handling = AssertUnwindSafe(self.handler.handle(request)).catch_unwind();
        match timeout(self.request_timeout, handling).await {
            Ok(Ok(response)) => response,
            // A panic was logged by its hook.
            Ok(Err(_)) | Err(_) => self.handler.unavailable(),
        }
    }
}
