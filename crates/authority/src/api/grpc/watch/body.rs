//! The body of an answer to `Watch`.
//!
//! tonic encodes every message of every stream, into a buffer that stays as large as the largest of them. The batches and
//! snapshots of ten thousand gates are the same bytes. So this body sends messages that are encoded, and has no buffer.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use futures::{Stream, stream::Empty};
use http::HeaderMap;
use http_body::Frame;
use portcullis_contract::{sealed::EncodedResponse, v1};
use tonic::Status;

use crate::app::AppError;

/// What the generated service sends: nothing.
pub(crate) type Answers = Empty<Result<v1::WatchResponse, Status>>;

/// The answers of a stream, and its status after the last of them.
struct WatchBody<S> {
    answers: S,
    is_over: bool,
}

impl<S> http_body::Body for WatchBody<S>
where
    S: Stream<Item = Result<EncodedResponse, AppError>> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let status = match ready!(Pin::new(&mut self.answers).poll_next(context)) {
            Some(Ok(answer)) => return Poll::Ready(Some(Ok(Frame::data(answer.into_bytes())))),
            Some(Err(error)) => Status::from(error),
            None => Status::ok(""),
        };
        self.is_over = true;

        let mut trailers = HeaderMap::new();
        let added = status.add_header(&mut trailers);
        Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

/// A body on its way from the handler to [`send_encoded`]. Extensions have to be cloned and shared, and a body cannot.
#[derive(Clone)]
struct Handed(Arc<Mutex<Option<Body>>>);

/// The response of the generated service, with the body that is sent in its place.
pub(crate) fn response<S>(answers: S) -> tonic::Response<Answers>
where
    S: Stream<Item = Result<EncodedResponse, AppError>> + Send + 'static,
{
    let body = Body::new(WatchBody {
        answers: Box::pin(answers),
        is_over: false,
    });
    let mut response = tonic::Response::new(futures::stream::empty());
    let handed = Handed(Arc::new(Mutex::new(Some(body))));
    response.extensions_mut().insert(handed);
    response
}

/// Puts the body of a handler in the place of the one that tonic made.
pub(crate) async fn send_encoded(mut response: Response) -> Response {
    let Some(Handed(handed)) = response.extensions_mut().remove() else {
        return response;
    };
    let body = handed.lock().unwrap_or_else(PoisonError::into_inner).take();
    match body {
        Some(body) => response.map(|_| body),
        None => response,
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::BodyExt;
    use portcullis_contract::v1::watch_response::Message;

    use super::*;

    fn drain() -> EncodedResponse {
        EncodedResponse::new(Message::Drain(v1::WatchDrain {}))
    }

    /// The body that is sent for the response of a handler.
    async fn sent(answers: Vec<Result<EncodedResponse, AppError>>) -> Body {
        // As the generated service does.
        let (_, _, extensions) = response(stream::iter(answers)).into_parts();
        let mut response = Response::new(Body::empty());
        *response.extensions_mut() = extensions;
        send_encoded(response).await.into_body()
    }

    #[tokio::test]
    async fn the_status_follows_the_last_message() {
        let sent = sent(vec![Ok(drain()), Ok(drain())]).await;
        let sent = sent.collect().await.expect("a body");
        assert_eq!(sent.trailers().expect("trailers")["grpc-status"], "0");
        let expected = [drain().into_bytes(), drain().into_bytes()].concat();
        assert_eq!(sent.to_bytes(), expected);
    }

    #[tokio::test]
    async fn nothing_follows_an_error() {
        let sent = sent(vec![Err(AppError::WatchCorrupted), Ok(drain())]).await;
        let sent = sent.collect().await.expect("a body");
        let expected = Status::from(AppError::WatchCorrupted).code();
        let status = &sent.trailers().expect("trailers")["grpc-status"];
        assert_eq!(tonic::Code::from_bytes(status.as_bytes()), expected);
        assert!(sent.to_bytes().is_empty());
    }

    #[tokio::test]
    async fn other_responses_stay_as_they_are() {
        let sent = send_encoded(Response::new(Body::from("answer"))).await;
        let sent = sent.into_body().collect().await.expect("a body");
        assert_eq!(sent.to_bytes(), "answer");
    }
}
