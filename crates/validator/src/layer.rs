//! A tower layer: no token, no way in.

use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::{Either, Ready, ready};
use http::{Extensions, HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use portcullis_contract::key::CredentialKind;
use tower::{Layer, Service};

use crate::{Rejection, RequestInfo, Validator};

/// Checks every request: `Authorization: Bearer …`, or a cookie when one is named. What is admitted carries an
/// `Arc<Identity>` in its extensions, or an `Arc<ApiKeyIdentity>`; what is not is answered with 401 (the token is dead) or 503 (the gate cannot
/// know), and `{"error": …, "reason": …}`. The path of what is admitted is told to the authority, which keeps the last one
/// where the tenant's policy says so.
#[derive(Clone)]
pub struct ValidatorLayer {
    validator: Validator,
    takes: CredentialKind,
    cookie: Option<Arc<str>>,
    client_address: Option<Arc<ClientAddress>>,
}

type ClientAddress = dyn Fn(&HeaderMap, &Extensions) -> Option<IpAddr> + Send + Sync;

impl ValidatorLayer {
    /// A layer that takes the access tokens of sessions.
    #[must_use]
    pub fn new(validator: Validator) -> Self {
        Self {
            validator,
            takes: CredentialKind::Session,
            cookie: None,
            client_address: None,
        }
    }

    /// A layer that takes API keys, and no access tokens.
    #[must_use]
    pub fn for_api_keys(validator: Validator) -> Self {
        Self {
            takes: CredentialKind::ApiKey,
            ..Self::new(validator)
        }
    }

    /// Also takes the token from this cookie, when there is no `Authorization` header.
    #[must_use]
    pub fn cookie(mut self, name: impl Into<Arc<str>>) -> Self {
        self.cookie = Some(name.into());
        self
    }

    /// Takes the client's address from what this finds, for the authority to show: in what the server put into a
    /// request's extensions, or in a header that a proxy of one's own sets. It is not told otherwise.
    #[must_use]
    pub fn client_address(
        mut self,
        find: impl Fn(&HeaderMap, &Extensions) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        self.client_address = Some(Arc::new(find));
        self
    }

    /// Puts the identity into the request, if there is a good one.
    fn admit<B>(&self, request: &mut Request<B>) -> Result<(), Rejection> {
        let token = token(request.headers(), self.cookie.as_deref());
        let token = token.inspect_err(|rejection| self.validator.refused(rejection))?;
        let ip = self
            .client_address
            .as_ref()
            .and_then(|find| find(request.headers(), request.extensions()));
        let info = RequestInfo {
            ip,
            page: Some(request.uri().path()),
            source: None,
        };
        match self.takes {
            CredentialKind::Session => {
                let identity = self.validator.check_request(token, &info)?;
                request.extensions_mut().insert(identity);
            }
            CredentialKind::ApiKey => {
                let identity = self.validator.check_api_key_request(token, &info)?;
                request.extensions_mut().insert(identity);
            }
        }
        Ok(())
    }
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

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        match self.layer.admit(&mut request) {
            Ok(()) => Either::Right(self.inner.call(request)),
            Err(rejection) => Either::Left(ready(Ok(refusal(&rejection)))),
        }
    }
}

/// The one token of a request. Two of a kind are ambiguous and refused: gates must not disagree about which counts.
fn token<'a>(headers: &'a HeaderMap, cookie: Option<&str>) -> Result<&'a str, Rejection> {
    let mut authorization = headers.get_all(header::AUTHORIZATION).iter();
    if let Some(value) = authorization.next() {
        let text = value.to_str().map_err(|_| Rejection::Malformed)?;
        let (scheme, token) = text.split_once(' ').ok_or(Rejection::Malformed)?;
        let one = authorization.next().is_none() && scheme.eq_ignore_ascii_case("bearer");
        return if one {
            Ok(token)
        } else {
            Err(Rejection::Malformed)
        };
    }
    let name = cookie.ok_or(Rejection::Missing)?;
    let mut found = None;
    for header in headers.get_all(header::COOKIE) {
        // A header that is not text has no cookie of ours.
        let Ok(text) = header.to_str() else { continue };
        let pairs = text
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='));
        for (_, value) in pairs.filter(|(key, _)| *key == name) {
            if found.replace(value).is_some() {
                return Err(Rejection::Malformed);
            }
        }
    }
    found.ok_or(Rejection::Missing)
}

fn refusal<B: From<String>>(rejection: &Rejection) -> Response<B> {
    let (status, error) = match (rejection.is_unavailable(), rejection) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
        (false, Rejection::Missing) => (StatusCode::UNAUTHORIZED, "missing_token"),
        (false, _) => (StatusCode::UNAUTHORIZED, "invalid_token"),
    };
    let body = format!(r#"{{"error":"{error}","reason":"{}"}}"#, rejection.reason());
    let mut response = Response::new(B::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match (rejection.is_unavailable(), rejection) {
        (true, _) => headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1")),
        // RFC 6750, section 3.1: no error code when there was no token.
        (false, Rejection::Missing) => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        }
        (false, _) => {
            let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
            headers.insert(header::WWW_AUTHENTICATE, challenge)
        }
    };
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (
                header::HeaderName::from_static(name),
                HeaderValue::from_str(value).expect("a header value"),
            )
        });
        pairs.fold(HeaderMap::new(), |mut map, (name, value)| {
            map.append(name, value);
            map
        })
    }

    #[test]
    fn one_token_is_taken_and_two_are_none() {
        let take = |pairs: &[(&'static str, &str)]| {
            token(&headers(pairs), Some("session")).map(str::to_owned)
        };
        assert_eq!(
            take(&[("authorization", "Bearer a.b.c")]),
            Ok("a.b.c".into())
        );
        assert_eq!(
            take(&[("cookie", "x=1; session=a.b.c; y=2")]),
            Ok("a.b.c".into())
        );
        assert_eq!(
            take(&[("authorization", "Bearer a"), ("cookie", "session=b")]),
            Ok("a".into())
        );
        assert_eq!(take(&[]), Err(Rejection::Missing));
        assert_eq!(take(&[("cookie", "sessions=b")]), Err(Rejection::Missing));
        assert_eq!(
            take(&[("authorization", "Basic a")]),
            Err(Rejection::Malformed)
        );
        assert_eq!(
            take(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]),
            Err(Rejection::Malformed)
        );
        assert_eq!(
            take(&[("cookie", "session=a"), ("cookie", "session=b")]),
            Err(Rejection::Malformed)
        );
        assert_eq!(
            token(&headers(&[("cookie", "session=a")]), None),
            Err(Rejection::Missing)
        );
    }

    #[test]
    fn a_dead_token_is_401_and_a_gate_that_cannot_know_is_503() {
        let status = |rejection| refusal::<String>(&rejection).status();
        assert_eq!(status(Rejection::Revoked), StatusCode::UNAUTHORIZED);
        assert_eq!(status(Rejection::Missing), StatusCode::UNAUTHORIZED);
        assert_eq!(status(Rejection::Unready), StatusCode::SERVICE_UNAVAILABLE);
        let busy = refusal::<String>(&Rejection::Busy);
        assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(busy.headers()[header::RETRY_AFTER], "1");
        let stale = refusal::<String>(&Rejection::Stale {
            age: std::time::Duration::from_secs(9),
        });
        assert_eq!(stale.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            stale.body(),
            r#"{"error":"temporarily_unavailable","reason":"stale"}"#
        );
    }
}
