//! Envoy's `ext_authz` over gRPC: Envoy sends each request's head, and does as the answer says.

mod answer;
mod described;

use envoy_types::ext_authz::v3::pb::{
    Authorization, AuthorizationServer, CheckRequest, CheckResponse,
};
use http::Request;
use hyper::body::Incoming;
use portcullis_gate::{Decision, RequestHead};
use tonic::{Response, Status, body::Body};
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::{Service, ServiceExt};

use self::described::Described;
use super::Judge;
use crate::{net::Handler, telemetry::Door};

/// The path of every rpc of gRPC health.
const HEALTH: &str = "/grpc.health.v1.Health/";
/// The name of the service in gRPC health.
pub(crate) const SERVICE: &str = "envoy.service.auth.v3.Authorization";
/// The bytes of a check beside the client's headers: the route's context, certificates, metadata.
const CONTEXT_BYTES_MAX: usize = 256 << 10;

/// The door: the authorization service, and gRPC health beside it.
pub(crate) struct ExtAuthz<H> {
    checks: AuthorizationServer<Checks>,
    health: HealthServer<H>,
}

impl<H: Health> ExtAuthz<H> {
    /// Makes the door. A request whose headers have more than `header_bytes_max` bytes is refused.
    pub(crate) fn new(judge: Judge, health: HealthServer<H>, header_bytes_max: usize) -> Self {
        let checks = Checks {
            judge,
            header_bytes_max,
        };
        // Envoy sends no check with a body unless it is told to. A longer message is an error, and the request refused.
        let message_bytes_max = header_bytes_max * 2 + CONTEXT_BYTES_MAX;
        Self {
            checks: AuthorizationServer::new(checks).max_decoding_message_size(message_bytes_max),
            health,
        }
    }
}

impl<H: Health> Handler for ExtAuthz<H> {
    type Body = Body;

    async fn handle(&self, request: Request<Incoming>) -> http::Response<Body> {
        if request.uri().path().starts_with(HEALTH) {
            call(self.health.clone(), request).await
        } else {
            // Any other path is answered as not implemented there.
            call(self.checks.clone(), request).await
        }
    }

    fn unavailable(&self) -> http::Response<Body> {
        // Without a CheckResponse Envoy refuses by `status_on_error`.
        Status::unavailable("the check failed: repeat the request").into_http()
    }
}

async fn call<S>(service: S, request: Request<Incoming>) -> http::Response<Body>
where
    S: Service<Request<Incoming>, Response = http::Response<Body>>,
    S::Error: Into<std::convert::Infallible>,
{
    match service.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never.into() {},
    }
}

/// The authorization service.
struct Checks {
    judge: Judge,
    header_bytes_max: usize,
}

#[tonic::async_trait]
impl Authorization for Checks {
    async fn check(
        &self,
        request: tonic::Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let described = Described::read(request.get_ref(), self.header_bytes_max);
        let head = described
            .as_ref()
            .map_err(|invalid| *invalid)
            .map(|described| RequestHead {
                method: &described.method,
                authority: described.host,
                target: described.target,
                headers: &described.headers,
                peer: described.client,
            });
        let answer = match self.judge.decide(Door::ExtAuthz, head) {
            Decision::Allow(allow) => answer::allowed(&allow.headers),
            Decision::Deny(deny) => answer::denied(deny),
        };
        Ok(Response::new(answer))
    }
}
