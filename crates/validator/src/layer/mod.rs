//! A tower layer: a request that the rules refuse does not reach the service.

mod future;
pub(crate) mod grpc;

use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Response, header, request::Parts};
use http_body::Body;
use portcullis_gate::{Decision, Deny, Gate, RequestHead, Rules, RulesError, Subject};
use tower::{Layer, Service};

pub use self::future::ValidatorFuture;
use crate::{
    Validator,
    cut::{Admission, CutBody},
};

/// Decides about every request by [`Rules`], and cuts its streams when the session ends.
///
/// - An admitted request carries its [`Admission`] in its extensions, and the `Arc<Identity>` or `Arc<ApiKeyIdentity>` of
///   it. The identity headers that the client sent are removed, and those of the identity are set. The credential is
///   removed, unless the rule forwards it.
/// - A refused request is answered here: with a status and JSON, or with a status of gRPC for a call of gRPC.
/// - The bodies of both directions are [`CutBody`]s.
///
/// Put it outside of everything that changes a request's path: the rules then see the path as the client sent it.
#[derive(Clone)]
pub struct ValidatorLayer {
    door: Arc<Door>,
}

type FindPeer = dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync;

#[derive(Clone)]
struct Door {
    gate: Arc<Gate>,
    find_peer: Option<Arc<FindPeer>>,
    /// The engine decides nothing any more when the last clone is dropped.
    _validator: Validator,
}

impl ValidatorLayer {
    /// Makes a layer. With the default rules every request needs the access token of a session.
    ///
    /// # Errors
    /// When the rules are not good. The error names the key.
    pub fn new(validator: Validator, rules: &Rules) -> Result<Self, RulesError> {
        let gate = Gate::new(Arc::clone(validator.engine()), rules)?;
        let door = Door {
            gate: Arc::new(gate),
            find_peer: None,
            _validator: validator,
        };
        Ok(Self {
            door: Arc::new(door),
        })
    }

    /// Finds the address that the connection came from, which the server puts into the request's extensions.
    ///
    /// It is the client's address, or that of a proxy that the rules trust to tell it. If unset, no address is reported,
    /// and no proxy is trusted. With axum:
    ///
    /// ```
    /// # use std::net::SocketAddr;
    /// # use portcullis_validator::ValidatorLayer;
    /// use axum::extract::ConnectInfo;
    ///
    /// # fn with_peer(layer: ValidatorLayer) -> ValidatorLayer {
    /// layer.peer(|extensions| {
    ///     let peer = extensions.get::<ConnectInfo<SocketAddr>>()?;
    ///     Some(peer.0.ip())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn peer(
        self,
        find_peer: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        let door = Door {
            find_peer: Some(Arc::new(find_peer)),
            ..Door::clone(&self.door)
        };
        Self {
            door: Arc::new(door),
        }
    }
}

impl Door {
    fn decide(&self, parts: &Parts) -> Decision {
        let peer = match &self.find_peer {
            Some(find_peer) => find_peer(&parts.extensions),
            None => None,
        };
        let target = parts.uri.path_and_query();
        self.gate.decide(&RequestHead {
            method: &parts.method,
            authority: authority(parts),
            target: target.map_or("", |target| target.as_str()),
            headers: &parts.headers,
            peer,
        })
    }
}

/// Returns the host that the request names: of the target, where HTTP/2 and proxies put it, or else of `Host`.
fn authority(parts: &Parts) -> &str {
    if let Some(authority) = parts.uri.authority() {
        return authority.as_str();
    }
    let host = parts.headers.get(header::HOST);
    host.and_then(|host| host.to_str().ok()).unwrap_or_default()
}

impl<S> Layer<S> for ValidatorLayer {
    type Service = ValidatorService<S>;

    fn layer(&self, inner: S) -> ValidatorService<S> {
        ValidatorService {
            inner,
            door: Arc::clone(&self.door),
        }
    }
}

/// The service that [`ValidatorLayer`] makes.
#[derive(Clone)]
pub struct ValidatorService<S> {
    inner: S,
    door: Arc<Door>,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for ValidatorService<S>
where
    S: Service<Request<CutBody<ReqBody>>, Response = Response<ResBody>>,
    ReqBody: Body,
    ResBody: Body,
{
    type Response = Response<CutBody<ResBody>>;
    type Error = S::Error;
    type Future = ValidatorFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        match self.door.decide(&parts) {
            Decision::Allow(allow) => {
                let admission = Admission::new(&allow);
                allow.headers.apply(&mut parts.headers);
                insert(&mut parts.extensions, &admission);
                let body = CutBody::new(body, &admission, false);
                // After the headers were changed: the service must not see the client's own
                // identity headers, nor a credential that the rule keeps back.
                let response = self.inner.call(Request::from_parts(parts, body));
                ValidatorFuture::admitted(response, admission)
            }
            // Answered at once, without a future of the service.
            Decision::Deny(deny) => ValidatorFuture::refused(refusal(&parts.headers, deny)),
        }
    }
}

/// Puts the holder of the credential where the service finds it.
fn insert(extensions: &mut Extensions, admission: &Admission) {
    match &admission.subject {
        Subject::Anyone => {}
        Subject::Session(identity) => {
            extensions.insert(Arc::clone(identity));
        }
        Subject::ApiKey(identity) => {
            extensions.insert(Arc::clone(identity));
        }
    }
    extensions.insert(admission.clone());
}

/// Returns the answer to a refused request.
fn refusal<B: Body>(request: &HeaderMap, deny: Deny) -> Response<CutBody<B>> {
    if grpc::is_grpc(request) {
        let mut response = Response::new(CutBody::own(Bytes::new()));
        // The status of HTTP stays 200, as gRPC demands also of an answer that has trailers only.
        *response.headers_mut() = grpc::headers_of(deny);
        return response;
    }
    let mut response = Response::new(CutBody::own(deny.body.into()));
    *response.status_mut() = deny.status;
    // Appended: two challenges are two values of one header.
    for (name, value) in deny.headers {
        response.headers_mut().append(name, value);
    }
    response
}
