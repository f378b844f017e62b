//! Bodies that are cut.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use portcullis_gate::is_identity_header;

use super::{Admission, End, SessionEnded};

/// An error of a body, whatever its type.
type BoxError = Box<dyn Error + Send + Sync>;

pin_project! {
    /// A body that ends with [`SessionEnded`] when the identity of its request ends.
    ///
    /// The error makes an HTTP/1.1 server close the connection, and an HTTP/2 server reset the stream, so that a client
    /// cannot take the cut for the end of the content. The body of a gRPC call ends with the status `UNAUTHENTICATED` or
    /// `UNAVAILABLE` instead.
    ///
    /// A body that is whole at its first frame passes without a look at the session.
    pub struct CutBody<B> {
        #[pin]
        state: State<B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<B> {
        /// The body of an answer of the gate itself.
        Own { content: Bytes },
        Passing {
            #[pin]
            body: B,
            // `None` when there is nothing to cut.
            end: Option<End>,
            // Whether a frame has passed.
            begun: bool,
            is_grpc: bool,
        },
        Done,
    }
}

impl<B: Body> CutBody<B> {
    /// Wraps the body of a request, or of a response. `is_grpc` says how a response ends.
    pub(crate) fn new(body: B, admission: &Admission, is_grpc: bool) -> Self {
        // Most requests have no body, and nothing to cut.
        let end = (!body.is_end_stream()).then(|| End::new(admission));
        Self {
            state: State::Passing {
                body,
                end,
                begun: false,
                is_grpc,
            },
        }
    }

    /// Makes a body of the gate itself.
    pub(crate) fn own(content: Bytes) -> Self {
        Self {
            state: State::Own { content },
        }
    }
}

impl<B> Body for CutBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut state = self.project().state;
        let (ended, is_grpc) = match state.as_mut().project() {
            StateProjection::Done => return Poll::Ready(None),
            StateProjection::Own { content } => return Poll::Ready(take_content(content)),
            StateProjection::Passing {
                body,
                end,
                begun,
                is_grpc,
            } => match ready!(poll_passing(body, end, begun, context)) {
                Ok(frame) => return Poll::Ready(frame.map(without_identity)),
                Err(ended) => (ended, *is_grpc),
            },
        };
        // The inner body is dropped at once: its sender learns of the end by that.
        state.set(State::Done);
        Poll::Ready(Some(end_frame(ended, is_grpc)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Own { content } => content.is_empty(),
            State::Passing { body, .. } => body.is_end_stream(),
            State::Done => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Own { content } => SizeHint::with_exact(content.len() as u64),
            // The whole length stays announced, so a client notices that a cut body is shorter.
            State::Passing { body, .. } => body.size_hint(),
            State::Done => SizeHint::with_exact(0),
        }
    }
}

/// Takes the content of a body of the gate itself, which is one frame.
fn take_content(content: &mut Bytes) -> Option<Result<Frame<Bytes>, BoxError>> {
    let content = std::mem::take(content);
    if content.is_empty() {
        return None;
    }
    Some(Ok(Frame::data(content)))
}

type PassedFrame<E> = Option<Result<Frame<Bytes>, E>>;

/// Asks the inner body for its next frame, unless the identity has ended.
fn poll_passing<B: Body<Data = Bytes>>(
    body: Pin<&mut B>,
    end: &mut Option<End>,
    begun: &mut bool,
    context: &mut Context<'_>,
) -> Poll<Result<PassedFrame<B::Error>, SessionEnded>> {
    // Before the body: one that always has a next frame would never be cut otherwise. The first frame passes, because the
    // request was admitted just now.
    if *begun && let Some(end) = end {
        end.check()?;
    }
    if let Poll::Ready(frame) = body.poll_frame(context) {
        *begun = true;
        return Poll::Ready(Ok(frame));
    }

    // Only a body that keeps its reader waiting takes a place among the futures that wait.
    match end {
        Some(end) => end.poll(context).map(Err),
        None => Poll::Pending,
    }
}

/// Removes identity headers from trailers: an upstream may take them for headers.
fn without_identity<E: Into<BoxError>>(
    frame: Result<Frame<Bytes>, E>,
) -> Result<Frame<Bytes>, BoxError> {
    let mut frame = frame.map_err(Into::into)?;
    if let Some(trailers) = frame.trailers_mut() {
        let names: Vec<HeaderName> = trailers.keys().cloned().collect();
        for name in names {
            if is_identity_header(name.as_str()) {
                trailers.remove(&name);
            }
        }
    }
    Ok(frame)
}

/// The last frame of a body that is cut.
fn end_frame(ended: SessionEnded, is_grpc: bool) -> Result<Frame<Bytes>, BoxError> {
    if is_grpc {
        let mut trailers = HeaderMap::new();
        crate::layer::grpc::set_ended(&mut trailers, &ended);
        return Ok(Frame::trailers(trailers));
    }
    Err(ended.into())
}
