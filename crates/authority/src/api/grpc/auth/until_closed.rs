//! Streams that end before their handlers end them.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    Error,
    body::{Body, Bytes},
};
use http_body::{Frame, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;

use crate::{api::grpc::status::trailers, app::AppError};

/// A stream that ends before its handler ends it.
pub(super) struct UntilClosed {
    /// None: it has ended.
    body: Option<Body>,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    end: End,
}

/// Why a stream ends early.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The authority ends. Answers that are ready are sent before.
    Drained,
    /// The credential counts no more. Nothing is sent any more.
    Cut,
}

impl UntilClosed {
    /// A stream without credentials ends when the authority does, so that no stream holds up a drain.
    pub(super) fn wrap(body: Body, closed: WaitForCancellationFutureOwned) -> Body {
        Self::until(body, closed, End::Drained)
    }

    /// A stream of a caller ends with the credential that opened it.
    pub(super) fn cut(body: Body, ended: WaitForCancellationFutureOwned) -> Body {
        Self::until(body, ended, End::Cut)
    }

    fn until(body: Body, closed: WaitForCancellationFutureOwned, end: End) -> Body {
        Body::new(Self {
            body: Some(body),
            closed: Box::pin(closed),
            end,
        })
    }

    fn end(&mut self) -> Option<Result<Frame<Bytes>, Error>> {
        self.body = None;
        let status = Status::from(match self.end {
            End::Drained => AppError::Unavailable,
            End::Cut => AppError::CredentialsInvalid,
        });
        trailers(&status).ok().map(Ok)
    }
}

impl http_body::Body for UntilClosed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // Before the body, which may always have something ready.
        if self.end == End::Cut
            && self.body.is_some()
            && self.closed.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(self.end());
        }
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        // The last message goes out first: a health stream says that the authority no longer serves.
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        // Asked above already, and not to be asked again once it is over.
        if self.end == End::Cut || self.closed.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(self.end())
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            // A refusal has its status in the headers, and must end with them: clients take a frame after it for an error
            // of the protocol.
            Some(body) => body.is_end_stream(),
            None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::HttpBody;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[test]
    fn a_body_that_has_nothing_to_send_ends_with_the_headers() {
        let closed = || CancellationToken::new().cancelled_owned();
        for wrap in [UntilClosed::wrap, UntilClosed::cut] {
            assert!(wrap(Body::empty(), closed()).is_end_stream());
            assert!(!wrap(Body::from("answer"), closed()).is_end_stream());
        }
    }
}
