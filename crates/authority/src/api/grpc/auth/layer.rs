//! The layer: it finds the caller, checks the table, and takes the call's share of the load.

use std::{
    future::{Future, poll_fn},
    net::IpAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{Extensions, HeaderMap, request::Parts};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::{
    deadline::{CallDeadline, deadline},
    until_closed::UntilClosed,
};
use crate::{
    api::{
        access::{
            Access, Class, Holder, Owner, Presented, Rule, TenantShare, address_of, check_service,
            holder, rule,
        },
        grpc::{status::transport_error, web::FromPage},
    },
    app::AppError,
    net::{Held, Peer, network},
};

/// The answer about a deadline is sent this much earlier, so that it arrives before the transport gives up.
const DEADLINE_MARGIN: Duration = Duration::from_millis(10);

/// A message of more bytes is large: to parse it keeps a core busy for longer than a small call takes as a whole.
const SMALL_MESSAGE_BYTES_MAX: usize = 4 << 10;

/// A call whose caller is known.
struct Call<'a> {
    rule: &'a Rule,
    address: IpAddr,
    owner: Option<Owner>,
    holder: Holder,
    parts: Parts,
    body: Body,
}

/// Applies the layer to one call.
pub(crate) async fn authorize(
    State(access): State<Arc<Access>>,
    mut request: Request,
    next: Next,
) -> Response {
    // A call whose time has passed is not worth the look at its credential.
    let asked = match deadline(request.headers()) {
        Ok(asked) => asked,
        Err(error) => return refuse(error),
    };
    // An rpc that is not in the table is denied before anything is said about credentials.
    let Some(rule) = rule(request.uri().path()) else {
        return refuse(AppError::Denied);
    };
    let is_from_page = request.extensions().get::<FromPage>().is_some();
    if is_from_page && !is_for_pages(rule) {
        return refuse(AppError::Denied);
    }
    if matches!(rule.class, Class::GateStream | Class::PublicStream) {
        let opened = access.serve_stream(rule, request, next).await;
        return opened.unwrap_or_else(refuse);
    }

    // The caller's deadline can only shorten ours. Without ours a call could hold its permit for ever.
    let longest = access.server.call_timeout;
    let deadline = asked.map_or(longest, |asked| asked.min(longest));
    // A tenth at most, so that a call of a few milliseconds keeps most of its time.
    let deadline = Instant::now() + deadline - (deadline / 10).min(DEADLINE_MARGIN);
    request
        .extensions_mut()
        .insert(CallDeadline(deadline.into_std()));
    // At the deadline the call is dropped, which frees its shares and withdraws a change whose batch has not begun. A
    // change of a running batch is still applied.
    let served = access.serve_call(rule, request, next, deadline);
    match timeout_at(deadline, served).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => refuse(error),
        Err(_) => refuse(AppError::Deadline),
    }
}

impl Access {
    /// Serves a call with one request. The message is complete before the call takes a permit, so that slow senders hold
    /// none.
    async fn serve_call(
        &self,
        rule: &Rule,
        request: Request,
        next: Next,
        deadline: Instant,
    ) -> Result<Response, AppError> {
        let (parts, body) = request.into_parts();
        let peer = parts.extensions.get::<Peer>().cloned();
        let address = address_of(peer.as_ref());
        // A signature check keeps a core busy for tens of microseconds, and a flood of calls arrives all at once. Without
        // turns, everybody else's calls would wait behind the whole flood.
        let check = self.turns.acquire(network(address)).await;
        let owner = self.identify_call(&parts.headers, &parts.extensions, rule)?;
        let call = Call {
            rule,
            address,
            holder: holder(owner.as_ref(), address),
            owner,
            parts,
            body,
        };
        let holder = call.holder.clone();
        let served = self.serve_identified(call, check, next).await;
        if is_exhausted(&served) {
            self.pace_refusal(&holder, deadline).await;
        }
        served
    }

    async fn serve_identified<T>(
        &self,
        call: Call<'_>,
        check: T,
        next: Next,
    ) -> Result<Response, AppError> {
        let Call {
            rule,
            address,
            owner,
            holder,
            mut parts,
            body,
        } = call;
        let user_share = self.take_user_share(owner.as_ref(), rule)?;
        let mut message_share = self.load.take_message(rule.class, &holder)?;
        // Given back before the message is awaited, or slow senders would keep others from being checked.
        drop(check);

        let message = self
            .receive(body, rule.class.message_bytes_max(), &mut message_share)
            .await?;
        let is_large = message.len() > SMALL_MESSAGE_BYTES_MAX;
        let permit = self.load.take_call(rule.class, &holder)?;
        // The share for a tenant is taken by the handler. It is held here, so that it lasts as long as the handler.
        let tenant_share = TenantShare::new(Arc::clone(&self.load), rule.class, holder);
        let tenant_share = Arc::new(tenant_share);
        if let Some(owner) = owner {
            self.admit_call(owner, rule, &tenant_share, &mut parts.extensions)
                .await?;
        }
        let request = Request::from_parts(parts, Body::from(message));
        let handler = next.run(request);
        let response = if is_large {
            let turn = self.turns.acquire(network(address)).await;
            run_in_turn(turn, handler).await
        } else {
            handler.await
        };
        // The handler is done with the tenant's data. Only the caller's own shares last until the answer is sent.
        drop(tenant_share);

        let response = with_details(response);
        if code_of(&response) == Some(Code::ResourceExhausted) {
            // Nothing is held while the refusal is paced.
            return Ok(response);
        }

        // The answer stays in memory until a slow reader has taken it, and the shares bound that memory.
        let shares = (permit, user_share, message_share.into_share());
        Ok(response.map(|body| Held::wrap(body, shares)))
    }

    /// Opens a stream. It is not held to the deadlines of calls.
    async fn serve_stream(
        &self,
        rule: &Rule,
        mut request: Request,
        next: Next,
    ) -> Result<Response, AppError> {
        let peer = request.extensions().get::<Peer>().cloned();
        let address = address_of(peer.as_ref());
        // Held for the check alone. A stream is open for long, and would keep the turn of its network.
        let check = self.turns.acquire(network(address)).await;
        let owner = self.identify_call(request.headers(), request.extensions(), rule)?;
        drop(check);

        let holder = holder(owner.as_ref(), address);
        let permit = match rule.class {
            Class::PublicStream => Some(self.load.take_public_stream(&holder)?),
            _ => None,
        };

        let ended = match &owner {
            Some(Owner::Service(credential)) => Some(credential.ended.clone()),
            _ => None,
        };
        let tenant_share = TenantShare::new(Arc::clone(&self.load), rule.class, holder);
        if let Some(owner) = owner {
            let extensions = request.extensions_mut();
            self.admit_call(owner, rule, &Arc::new(tenant_share), extensions)
                .await?;
        }
        // The connection may stay silent from now on: a stream without news is not a stalled request.
        if let Some(peer) = peer {
            peer.lift_deadline();
        }
        let response = with_details(next.run(request).await);
        // A gate's stream has no permit. It ends by its own protocol, and registers in `feed::watch`.
        let Some(permit) = permit else {
            return Ok(end_with_credential(response, ended));
        };
        Ok(response.map(|body| {
            let closed = self.close.clone().cancelled_owned();
            Held::wrap(UntilClosed::wrap(body, closed), permit)
        }))
    }

    /// The owner of the call's credential, where the rule admits it. None: the rpc is public.
    fn identify_call(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
        rule: &Rule,
    ) -> Result<Option<Owner>, AppError> {
        if rule.public {
            return Ok(None);
        }
        let peer = extensions.get::<Peer>();
        let owner = self.identify(&Presented::Headers(headers), peer)?;
        let is_from_page = extensions.get::<FromPage>().is_some();
        if is_from_page && matches!(owner, Owner::Service(_)) {
            return Err(self.refuse_service_in_page(peer));
        }
        check_service(&owner, rule)?;
        Ok(Some(owner))
    }

    /// Gives the caller to the handler, if the rpc admits it.
    async fn admit_call(
        &self,
        owner: Owner,
        rule: &Rule,
        tenant_share: &Arc<TenantShare>,
        extensions: &mut Extensions,
    ) -> Result<(), AppError> {
        // A user needs no share of a tenant: the holder of their call is their tenant already.
        if matches!(owner, Owner::Service(_)) {
            extensions.insert(Arc::clone(tenant_share));
        }
        extensions.insert(self.admit(owner, rule).await?);
        Ok(())
    }
}

/// Ends a stream at once when its credential counts no more: a caller that was removed must learn nothing further.
fn end_with_credential(response: Response, ended: Option<CancellationToken>) -> Response {
    match ended {
        Some(ended) => response.map(|body| UntilClosed::cut(body, ended.cancelled_owned())),
        None => response,
    }
}

/// Whether a page may make a call of this rule: users may, and with their own token. Calls without credentials are for load
/// balancers, and not for browsers.
fn is_for_pages(rule: &Rule) -> bool {
    rule.user.is_some() || rule.people.is_some()
}

/// Runs the handler of a call, and gives its turn back when the handler first waits.
///
/// The message is in memory, so until then the handler decodes and parses it, and asks the rates. A crowd of large
/// messages that are all refused would else keep every core busy.
async fn run_in_turn<T>(turn: T, handler: impl Future<Output = Response>) -> Response {
    let mut handler = pin!(handler);
    let mut turn = Some(turn);
    poll_fn(|context| {
        let polled = handler.as_mut().poll(context);
        turn = None;
        polled
    })
    .await
}

/// Returns whether a bound or a rate refused the call.
fn is_exhausted(served: &Result<Response, AppError>) -> bool {
    match served {
        Ok(response) => code_of(response) == Some(Code::ResourceExhausted),
        Err(error) => matches!(error, AppError::Overloaded),
    }
}

/// Returns the code of an answer without a message. One with a message has its status in the trailers.
fn code_of(response: &Response) -> Option<Code> {
    Status::from_header_map(response.headers()).map(|status| status.code())
}

fn refuse(error: AppError) -> Response {
    Status::from(error).into_http()
}

/// Gives the transport's own errors the form of ours. A handler's error has it already.
fn with_details(response: Response) -> Response {
    // An answer with a message has its status in the trailers, and comes from a handler.
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    if status.code() == Code::Ok || !status.details().is_empty() {
        return response;
    }
    refuse(transport_error(status.code()))
}

#[cfg(test)]
mod tests {
    use tokio::sync::{Semaphore, oneshot};

    use super::*;

    #[tokio::test]
    async fn a_large_message_is_parsed_in_its_turn_and_waits_without_it() {
        let turns = Arc::new(Semaphore::new(1));
        let (answer, answered) = oneshot::channel();
        let parsing = Arc::clone(&turns);
        let handler = async move {
            assert_eq!(parsing.available_permits(), 0, "parsed out of turn");
            answered.await.expect("an answer")
        };
        let turn = Arc::clone(&turns).try_acquire_owned().expect("free");
        let mut call = pin!(run_in_turn(turn, handler));
        poll_fn(|context| {
            assert!(call.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;

        assert_eq!(turns.available_permits(), 1, "the handler waits");
        answer.send(Response::default()).expect("it waits");
        call.await;
    }
}
