//! Health and metrics over HTTP.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use portcullis_validator::{Freshness, Validator};

use crate::{net::Handler, telemetry::Telemetry};

/// `GET /livez` (the process runs), `/readyz` (it can decide; else the reason) and `/metrics` (for Prometheus).
pub(crate) struct Operations {
    validator: Validator,
    telemetry: Telemetry,
    draining: Arc<AtomicBool>,
}

impl Operations {
    pub(crate) fn new(
        validator: Validator,
        telemetry: Telemetry,
        draining: Arc<AtomicBool>,
    ) -> Self {
        Self {
            validator,
            telemetry,
            draining,
        }
    }

    fn answer(&self, path: &str) -> (StatusCode, String) {
        match path {
            // Without a look at the authority, or its outage would restart every sidecar.
            "/livez" => (StatusCode::OK, "ok\n".into()),
            "/readyz" => self.readyz(),
            "/metrics" => match self.telemetry.text() {
                Some(text) => (StatusCode::OK, text),
                None => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
            },
            _ => (StatusCode::NOT_FOUND, "not found\n".into()),
        }
    }

    fn readyz(&self) -> (StatusCode, String) {
        if self.draining.load(Relaxed) {
            return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".into());
        }
        if self.validator.is_ready() {
            return (StatusCode::OK, "ready\n".into());
        }
        let reason = match self.validator.freshness() {
            Freshness::Stale { age } => format!("stale: the newest proof is {age:?} old\n"),
            Freshness::Fresh { .. } | Freshness::Unready { .. } => {
                "unready: there is no usable view of the authority's log\n".into()
            }
        };
        (StatusCode::SERVICE_UNAVAILABLE, reason)
    }
}

impl Handler for Operations {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>) -> Response<Self::Body> {
        let (status, text) = self.answer(request.uri().path());
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        // Prometheus asks for the version of its format. The other two paths are read by people and
        // by their status.
        let content_type = HeaderValue::from_static("text/plain; version=0.0.4");
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        response
    }

    fn unavailable(&self) -> Response<Self::Body> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    }
}
