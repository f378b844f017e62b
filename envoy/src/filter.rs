//! A filter: one stream at the gate.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::Poll,
};

use http::{HeaderName, HeaderValue, StatusCode, header};
use portcullis_gate::{Allow, Decision, Deny, Gate, HeadProblem, Refused, is_identity_header};
use portcullis_validator_core::Rejection;

use crate::{
    cut::Cut,
    envoy::{Answer, HeaderKind, Stream},
    filter_config::FilterConfig,
    head::Head,
};

/// What Envoy does after a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The stream goes on.
    Continue,
    /// The gate has answered, or reset the stream.
    Stop,
}

/// One stream at the gate. All its hooks run on one worker; some run while another one has not returned.
pub(crate) struct Filter {
    config: Arc<FilterConfig>,
    /// Whether the request is a call in gRPC, once its head was read.
    is_grpc: Cell<Option<bool>>,
    /// Whether the head of an answer went out.
    answered: Cell<bool>,
    /// Whether the gate refused the request or ended the stream.
    stopped: Cell<bool>,
    /// The wait for the end of the session.
    cut: Cell<Option<Cut>>,
}

impl Filter {
    /// Makes the filter of a new stream.
    pub(crate) fn new(config: Arc<FilterConfig>) -> Self {
        Self {
            config,
            is_grpc: Cell::new(None),
            answered: Cell::new(false),
            stopped: Cell::new(false),
            cut: Cell::new(None),
        }
    }

    /// Runs a hook. If it panics, the request is answered with 503, or its stream is reset when an answer went out.
    pub(crate) fn guard<S: Stream>(
        &self,
        stream: &mut S,
        hook: impl FnOnce(&Self, &mut S) -> Flow,
    ) -> Flow {
        let outcome = catch_unwind(AssertUnwindSafe(|| hook(self, stream)));
        outcome.unwrap_or_else(|panic| {
            // Its drop may be code that panics again.
            std::mem::forget(panic);
            let answer = AssertUnwindSafe(|| self.refuse_after_panic(stream));
            if let Err(panic) = catch_unwind(answer) {
                std::mem::forget(panic);
            }
            Flow::Stop
        })
    }

    fn refuse_after_panic(&self, stream: &mut impl Stream) {
        stream.count(self.config.meters().panics);
        self.end(stream, &Deny::new(&Refused::Failed), "portcullis_panic");
    }

    /// The head of the request arrived.
    pub(crate) fn request_headers(&self, stream: &mut impl Stream) -> Flow {
        let Ok(head) = Head::read(stream) else {
            return self.deny(stream, &Deny::new(&HeadProblem::Unreadable.into()));
        };
        self.is_grpc.set(Some(head.is_grpc()));
        let claimed = head.claimed_identity();
        if !claimed.is_empty() {
            for name in &claimed {
                stream.remove_header(HeaderKind::Request, name.as_str());
            }
            // Envoy chose the route by headers that a client invented.
            stream.clear_route();
        }

        let Some(gate) = self.gate(stream) else {
            return self.deny(stream, &Deny::new(&Refused::Failed));
        };
        let peer = stream.client_address();
        match gate.decide(&head.as_request(peer)) {
            Decision::Allow(allow) => self.allow(stream, &allow),
            Decision::Deny(deny) => self.deny(stream, &deny),
        }
    }

    /// The gate of the route's own rules, or of the filter's. `None` when the route's rules do not fit this authority.
    fn gate(&self, stream: &impl Stream) -> Option<Arc<Gate>> {
        let Some(route) = stream.route() else {
            return Some(Arc::clone(self.config.gate()));
        };
        match route.gate(self.config.authority()) {
            Ok(gate) => Some(gate),
            Err(error) => {
                tracing::error!(%error, "the rules of a route do not fit the gate: its requests are refused");
                None
            }
        }
    }

    fn allow(&self, stream: &mut impl Stream, allow: &Allow) -> Flow {
        // The wait begins before the request goes on, so that no end is missed between the two.
        if let Err(rejection) = self.wait_for_end(stream, allow) {
            return self.deny(stream, &Deny::new(&rejection.into()));
        }
        for name in &allow.headers.remove {
            stream.remove_header(HeaderKind::Request, name.as_str());
        }
        for (name, value) in &allow.headers.set {
            stream.set_header(HeaderKind::Request, name.as_str(), value.as_bytes());
        }
        stream.count(self.config.meters().admitted);
        Flow::Continue
    }

    fn wait_for_end(&self, stream: &impl Stream, allow: &Allow) -> Result<(), Rejection> {
        if let Some(ended) = allow.ended() {
            let cut = Cut::wait(ended, stream.waker())?;
            self.cut.set(Some(cut));
        }
        Ok(())
    }

    fn deny(&self, stream: &mut impl Stream, deny: &Deny) -> Flow {
        stream.count(self.config.meters().of_answer(deny.status));
        self.stopped.set(true);
        self.answered.set(true);
        self.answer(stream, deny, "portcullis_refused");
        Flow::Stop
    }

    /// The trailers of the request arrived. They may not say what its head may not.
    pub(crate) fn request_trailers(&self, stream: &mut impl Stream) -> Flow {
        let mut forbidden = Vec::new();
        stream.visit_headers(HeaderKind::RequestTrailers, &mut |name, _| {
            let name = String::from_utf8_lossy(name);
            let is_credential = [header::AUTHORIZATION, header::COOKIE]
                .iter()
                .any(|credential| name.eq_ignore_ascii_case(credential.as_str()));
            if is_credential || is_identity_header(&name) {
                forbidden.push(name.into_owned());
            }
        });
        for name in &forbidden {
            stream.remove_header(HeaderKind::RequestTrailers, name);
        }
        Flow::Continue
    }

    /// A part of the request's body arrived. None goes to the upstream once the gate has ended the stream.
    pub(crate) fn request_body(&self) -> Flow {
        if self.stopped.get() {
            Flow::Stop
        } else {
            Flow::Continue
        }
    }

    /// The head of the answer goes out.
    pub(crate) fn response_headers(&self) -> Flow {
        self.answered.set(true);
        Flow::Continue
    }

    /// A wake-up of the [`Cut`] arrived.
    pub(crate) fn scheduled(&self, stream: &mut impl Stream) -> Flow {
        let Some(mut cut) = self.cut.take() else {
            return Flow::Continue;
        };
        match cut.poll() {
            Poll::Pending => {
                self.cut.set(Some(cut));
                Flow::Continue
            }
            Poll::Ready(rejection) => {
                drop(cut);
                stream.count(self.config.meters().cut);
                let details = format!("portcullis_ended_{}", rejection.reason());
                self.end(stream, &Deny::new(&rejection.into()), &details);
                Flow::Stop
            }
        }
    }

    /// Ends the stream: by an answer if none went out yet.
    fn end(&self, stream: &mut impl Stream, deny: &Deny, details: &str) {
        self.stopped.set(true);
        if self.answered.replace(true) {
            // The filter may be gone when this returns.
            return stream.reset(details);
        }
        self.answer(stream, deny, details);
    }

    fn answer(&self, stream: &mut impl Stream, deny: &Deny, details: &str) {
        let mut headers = deny.headers.clone();
        // Envoy makes a good status of a module's answer to a call, unless it says its own. A stray header does no harm to
        // a request of which nothing is known.
        if self.is_grpc.get() != Some(false) {
            let status = HeaderValue::from_static(grpc_status(deny.status));
            headers.push((HeaderName::from_static("grpc-status"), status));
        }
        stream.answer(&Answer {
            status: deny.status.as_u16(),
            headers: &headers,
            body: &deny.body,
            details,
        });
    }

    /// The stream has ended: nothing has to wake it any more.
    pub(crate) fn close(&self) {
        drop(self.cut.take());
    }
}

/// The status of a call for a status of HTTP, by gRPC's own table. Never a good one.
fn grpc_status(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "13",
        StatusCode::UNAUTHORIZED => "16",
        StatusCode::FORBIDDEN => "7",
        StatusCode::NOT_FOUND => "12",
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => "14",
        _ => "2",
    }
}

#[cfg(test)]
mod tests;
