//! Forward-auth: the gateway asks over HTTP about each request, and describes it in headers.
//!
//! The headers are believed, because only the gateway can reach this listener. Each gateway has one family of headers,
//! which its configuration sets for every request; headers of the other family come from the client and are not read.

mod answer;
mod forwarded;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use portcullis_gate::Decision;

use self::forwarded::Family;
use super::{Judge, invalid};
use crate::{net::Handler, telemetry::Door};

/// The form of the answers that a gateway understands, and the headers by which it describes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flavour {
    /// Caddy, Traefik, HAProxy: any status passes.
    Plain,
    /// NGINX's `auth_request`: only 401 and 403 pass.
    Nginx,
}

impl Flavour {
    /// Returns the flavour of a path. None: there is nothing at the path.
    fn of(path: &str) -> Option<Self> {
        match path {
            "/verify" => Some(Self::Plain),
            "/verify/nginx" => Some(Self::Nginx),
            _ => None,
        }
    }

    fn family(self) -> Family {
        match self {
            Self::Plain => Family::FORWARDED,
            Self::Nginx => Family::ORIGINAL,
        }
    }
}

/// The door.
pub(crate) struct ForwardAuth {
    judge: Judge,
}

impl ForwardAuth {
    pub(crate) fn new(judge: Judge) -> Self {
        Self { judge }
    }

    fn verify(&self, flavour: Flavour, mut headers: HeaderMap) -> Response<Full<Bytes>> {
        // It names this listener. The gate would take it for a second host of the request.
        headers.remove(header::HOST);
        let described = flavour.family().read(&headers);
        let head = match &described {
            Ok(described) => Ok(described.head(&headers)),
            Err(invalid) => Err(*invalid),
        };
        match self.judge.decide(Door::ForwardAuth, head) {
            Decision::Allow(allow) => answer::allowed(allow.headers, &headers),
            Decision::Deny(deny) => answer::denied(deny, flavour),
        }
    }
}

impl Handler for ForwardAuth {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>) -> Response<Self::Body> {
        match Flavour::of(request.uri().path()) {
            Some(flavour) => self.verify(flavour, request.into_parts().0.headers),
            None => not_found(),
        }
    }

    fn unavailable(&self) -> Response<Self::Body> {
        // Every gateway refuses by a 503, also those that turn it into a 500.
        answer::denied(invalid::failed(), Flavour::Plain)
    }
}

/// The answer to another path. Gateways take it for a refusal.
fn not_found() -> Response<Full<Bytes>> {
    let body = Bytes::from_static(b"not found: ask /verify, or /verify/nginx\n");
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
