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
/// The most bytes of a check: the client's headers, the route's context, certificates, metadata. Envoy sends no body
/// unless it is told to.
const CHECK_BYTES_MAX: usize = 1 << 20;

/// The door: the authorization service, and gRPC health beside it.
pub(crate) struct ExtAuthz<H> {
    checks: AuthorizationServer<Checks>,
    health: HealthServer<H>,
}

impl<H: Health> ExtAuthz<H> {
    /// Makes the door. `cookie` is the one that brings a token.
    pub(crate) fn new(judge: Judge, health: HealthServer<H>, cookie: Option<String>) -> Self {
        let checks = AuthorizationServer::new(Checks { judge, cookie });
        Self {
            // A longer message is an error, for which Envoy refuses.
            checks: checks.max_decoding_message_size(CHECK_BYTES_MAX),
            health,
        }
    }
}

impl<H: Health> Handler for ExtAuthz<H> {
    type Body = Body;

    async fn handle(&self, request: Request<Incoming>) -> http::Response<Body> {
        // On the same port, because Envoy checks the health of a cluster at the address of its
        // calls.
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
    cookie: Option<String>,
}

#[tonic::async_trait]
impl Authorization for Checks {
    async fn check(
        &self,
        request: tonic::Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let described = Described::read(request.get_ref(), self.cookie.as_deref());
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
