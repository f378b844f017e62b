//! A tower layer: a request without a good token does not reach the service.

use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::{Either, Ready, ready};
use http::{Extensions, HeaderMap, Method, Request, Response, header, request::Parts};
use portcullis_contract::key::CredentialKind;
use portcullis_validator_core::http::{Refusal, find_token};
use tower::{Layer, Service};

use crate::{Rejection, RequestInfo, Validator};

/// Checks every request: `Authorization: Bearer …`, or a cookie when one is named.
///
/// An admitted request carries an `Arc<Identity>` in its extensions, or an `Arc<ApiKeyIdentity>`. A refused one is
/// answered with 401 (the token is dead) or 503 (the gate cannot know), and `{"error": …, "reason": …}`. The path of an
/// admitted request is reported to the authority, which keeps the last one where the tenant's policy allows it.
#[derive(Clone)]
pub struct ValidatorLayer {
    validator: Validator,
    credential: CredentialKind,
    cookie: Option<Arc<str>>,
    client_address: Option<Arc<ClientAddress>>,
    background: Option<Arc<Background>>,
    passes_preflights: bool,
}

type ClientAddress = dyn Fn(&HeaderMap, &Extensions) -> Option<IpAddr> + Send + Sync;
type Background = dyn Fn(&Parts) -> bool + Send + Sync;

impl ValidatorLayer {
    /// Makes a layer that takes the access tokens of sessions.
    #[must_use]
    pub fn new(validator: Validator) -> Self {
        Self {
            validator,
            credential: CredentialKind::Session,
            cookie: None,
            client_address: None,
            background: None,
            passes_preflights: false,
        }
    }

    /// Makes a layer that takes API keys, and no access tokens.
    #[must_use]
    pub fn for_api_keys(validator: Validator) -> Self {
        Self {
            credential: CredentialKind::ApiKey,
            ..Self::new(validator)
        }
    }

    /// Also takes the token from this cookie, when there is no `Authorization` header.
    #[must_use]
    pub fn cookie(mut self, name: impl Into<Arc<str>>) -> Self {
        self.cookie = Some(name.into());
        self
    }

    /// Finds the client's address by this function, for the authority to show.
    ///
    /// Look into the request's extensions, where the server put the peer. Behind proxies of your own,
    /// [`TrustedProxies`](crate::TrustedProxies) reads the address that they tell. If unset, no address is reported.
    #[must_use]
    pub fn client_address(
        mut self,
        find: impl Fn(&HeaderMap, &Extensions) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        self.client_address = Some(Arc::new(find));
        self
    }

    /// Finds the requests that a program makes by itself, such as the polls of an open page. They are admitted or refused
    /// like all others, and are no use of the session. If unset, every admitted request is use.
    #[must_use]
    pub fn background(
        mut self,
        is_background: impl Fn(&Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.background = Some(Arc::new(is_background));
        self
    }

    /// Passes CORS preflights on without a check and without an identity, for a service that answers them itself.
    ///
    /// A browser sends no credential with a preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`), so
    /// the gate would refuse it. A CORS layer outside of this one needs no such exception.
    #[must_use]
    pub fn pass_preflights(mut self) -> Self {
        self.passes_preflights = true;
        self
    }

    /// Checks the request's token and puts the identity into the request.
    fn admit(&self, parts: &mut Parts) -> Result<(), Rejection> {
        if self.passes_preflights && is_preflight(parts) {
            return Ok(());
        }
        // A request without one token does not reach the engine, but its verdict is counted there.
        let token = match find_token(&parts.headers, self.cookie.as_deref()) {
            Ok(token) => token,
            Err(rejection) => {
                self.validator.record_refused(&rejection);
                return Err(rejection);
            }
        };
        let ip = match &self.client_address {
            Some(find) => find(&parts.headers, &parts.extensions),
            None => None,
        };
        let background = match &self.background {
            Some(is_background) => is_background(parts),
            None => false,
        };
        let info = RequestInfo {
            ip,
            // The path alone: a query may hold secrets.
            page: Some(parts.uri.path()),
            background,
            ..RequestInfo::default()
        };
        match self.credential {
            CredentialKind::Session => {
                let identity = self.validator.check_request(token, &info)?;
                parts.extensions.insert(identity);
            }
            CredentialKind::ApiKey => {
                let identity = self.validator.check_api_key_request(token, &info)?;
                parts.extensions.insert(identity);
            }
        }
        Ok(())
    }
}

/// Returns whether a browser asks what another site may request, by the Fetch standard.
fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(header::ORIGIN)
        && parts
            .headers
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

impl<S> Layer<S> for ValidatorLayer {
    type Service = ValidatorService<S>;

    fn layer(&self, inner: S) -> ValidatorService<S> {
        ValidatorService {
            inner,
            layer: self.clone(),
        }
    }
}

/// The service that [`ValidatorLayer`] makes.
#[derive(Clone)]
pub struct ValidatorService<S> {
    inner: S,
    layer: ValidatorLayer,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for ValidatorService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: From<String>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<Ready<Result<S::Response, S::Error>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        // Decided at once, without a future: a refused request costs no allocation for one.
        match self.layer.admit(&mut parts) {
            Ok(()) => {
                let request = Request::from_parts(parts, body);
                Either::Right(self.inner.call(request))
            }
            Err(rejection) => {
                let response = Refusal::new(&rejection).into_response();
                Either::Left(ready(Ok(response)))
            }
        }
    }
}
