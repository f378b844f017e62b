//! Whose request it is: the verdict of the embedded validator about the session cookie.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{Request, State as Shared},
    middleware::Next,
    response::Response,
};
use portcullis_validator::{Identity, Rejection, RequestInfo};

use crate::{cookies, receipts, state::State};

/// The address of the connection's other end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

// As long as the longest access token that the authority makes (`ACCESS_TOKEN_BYTES_MAX` of the
// contract), so no genuine one is refused here.
/// The longest session cookie, in bytes.
const COOKIE_BYTES_MAX: usize = 8 * 1_024;

/// The verdict about the session cookie of a request.
#[derive(Clone)]
pub(crate) enum Admission {
    /// No cookie, or one that is no good token.
    Anonymous,
    /// A good session.
    Admitted(Arc<Identity>, Arc<str>),
    /// A genuine token whose session has ended.
    Ended(Arc<str>),
    /// The console cannot know.
    Unavailable,
}

/// Decides once for each request, and lets it through in any case: each page decides whether it needs a person.
pub(crate) async fn admit(
    Shared(state): Shared<State>,
    mut request: Request,
    next: Next,
) -> Response {
    // The verdict reads the validator's view and waits for nobody (I5). So it is made for every
    // request, also for pages that need no person.
    let admission = admission(&state, &request);
    request.extensions_mut().insert(admission);
    next.run(request).await
}

fn admission(state: &State, request: &Request) -> Admission {
    let Some(token) = cookies::cookie(request.headers(), &state.config.session.cookie) else {
        return Admission::Anonymous;
    };
    // Bounded before any work is done: anybody can send a cookie.
    if token.len() > COOKIE_BYTES_MAX {
        return Admission::Anonymous;
    }

    let info = request_info(state, request);
    admission_of(token, state.validator.check_request(token, &info))
}

fn admission_of(token: &str, verdict: Result<Arc<Identity>, Rejection>) -> Admission {
    match verdict {
        Ok(identity) => Admission::Admitted(identity, token.into()),
        // The signature was checked before the view was asked.
        Err(Rejection::Revoked | Rejection::SignedOut) => Admission::Ended(token.into()),
        // A view that is too old may lack a revocation, so it admits nobody (I2). A new sign-in
        // would not help: the view would be as old for the new session.
        Err(rejection) if rejection.is_unavailable() => Admission::Unavailable,
        // Expired, of another issuer, or no token at all: a new sign-in is the remedy for each.
        Err(_) => Admission::Anonymous,
    }
}

/// The facts about a request that its use of the session is reported with.
fn request_info<'a>(state: &State, request: &'a Request) -> RequestInfo<'a> {
    let headers = request.headers();
    let path = request.uri().path();
    let peer = request.extensions().get::<Peer>().copied();
    RequestInfo {
        // Behind a proxy the peer is the proxy. Its header counts only if the operator trusts it,
        // because any client can send one.
        ip: peer.and_then(|Peer(peer)| state.proxies.client_address(peer.ip(), headers)),
        // Without the query, which has sealed searches and tokens of pages. The authority may keep
        // this path as the last page of the session.
        page: Some(path),
        // A page that follows a receipt is no use of the session.
        background: path.starts_with(receipts::PATH),
        ..RequestInfo::default()
    }
}
