//! Bodies of calls. Requests are read to their end before a call gets its permit, and streams without credentials end with
//! the authority.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    Error,
    body::{Body, Bytes},
};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;

use super::load::MessageShare;
use crate::{api::grpc::status::UNDECODABLE, app::AppError};

/// Reads a request of at most `bytes_max` to its end. Its share grows with it.
pub(super) async fn read_message(
    mut body: Body,
    bytes_max: usize,
    share: &mut MessageShare<'_>,
) -> Result<Bytes, AppError> {
    let mut message = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            // The caller reset the stream, or went away.
            return Err(AppError::Deadline);
        };
        let Ok(data) = frame.into_data() else {
            // Trailers of a request have no meaning in gRPC.
            continue;
        };
        // Checked for each frame: a sender without a length must not fill the memory first.
        if message.len() + data.len() > bytes_max {
            // The transport's own answer to a message that is too large, so clients handle one case.
            return Err(AppError::invalid("", UNDECODABLE));
        }
        share.grow(data.len())?;
        message.extend_from_slice(&data);
    }
    Ok(message.into())
}

/// A stream without credentials. It ends when the authority does, so that no stream holds up a drain.
pub(super) struct UntilClosed {
    /// None: it has ended.
    body: Option<Body>,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl UntilClosed {
    pub(super) fn wrap(body: Body, closed: WaitForCancellationFutureOwned) -> Body {
        Body::new(Self {
            body: Some(body),
            closed: Box::pin(closed),
        })
    }
}

impl http_body::Body for UntilClosed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        // The last message goes out first: a health stream says that the authority no longer serves.
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        if self.closed.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }

        self.body = None;
        let mut trailers = HeaderMap::new();
        let status = Status::from(AppError::Unavailable);
        if status.add_header(&mut trailers).is_err() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
