//! The body of an answer to `Watch`.
//!
//! tonic encodes every message of every stream, into a buffer that stays as large as the largest of them. The batches and
//! snapshots of ten thousand gates are the same bytes. So this body sends messages that are encoded, and has no buffer.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    vec,
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use futures::{Stream, stream::Empty};
use http_body::Frame;
use portcullis_contract::{sealed::EncodedResponse, v1};
use prost::bytes::BytesMut;
use tonic::Status;

use crate::{api::grpc::status::trailers, app::AppError};

/// The messages of the generated service: none.
pub(crate) type Answers = Empty<Result<v1::WatchResponse, Status>>;

/// The most bytes of answers that are sent together. A frame of HTTP/2 has as many.
const TOGETHER_BYTES_MAX: usize = 16 << 10;

/// The answers of a stream, and its status after the last of them.
struct WatchBody<S> {
    answers: S,
    /// Answers that can be sent at once.
    ready: vec::IntoIter<EncodedResponse>,
    is_over: bool,
}

impl<S> http_body::Body for WatchBody<S>
where
    S: Stream<Item = Result<Vec<EncodedResponse>, AppError>> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(first) = self.ready.next() {
                let together = join_small(&first, &mut self.ready);
                return Poll::Ready(Some(Ok(Frame::data(together))));
            }
            // Gives its room back, before a wait that may be long.
            self.ready = Vec::new().into_iter();
            if self.is_over {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.answers).poll_next(context)) {
                Some(Ok(answers)) => self.ready = answers.into_iter(),
                Some(Err(error)) => return Poll::Ready(Some(self.end(&error.into()))),
                None => return Poll::Ready(Some(self.end(&Status::ok("")))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

impl<S> WatchBody<S> {
    fn end(&mut self, status: &Status) -> Result<Frame<Bytes>, Status> {
        self.is_over = true;
        trailers(status)
    }
}

/// The bytes of an answer, and of as many after it as are sent together with it. A connection keeps room for the most
/// frames that it ever had to send.
fn join_small(first: &EncodedResponse, rest: &mut vec::IntoIter<EncodedResponse>) -> Bytes {
    let mut joined = BytesMut::new();
    while let Some(next) = rest.as_slice().first() {
        let length = first.bytes().len().max(joined.len()) + next.bytes().len();
        if length > TOGETHER_BYTES_MAX {
            break;
        }
        if joined.is_empty() {
            joined.reserve(length);
            joined.extend_from_slice(first.bytes());
        }
        joined.extend_from_slice(next.bytes());
        rest.next();
    }
    match joined.is_empty() {
        // Shared with all streams that send it.
        true => first.bytes().clone(),
        false => joined.freeze(),
    }
}

/// A body on its way from the handler to [`send_encoded`]. Extensions have to be cloned and shared, and a body cannot.
#[derive(Clone)]
struct Handed(Arc<Mutex<Option<Body>>>);

/// The response of the generated service, with the body that is sent in its place.
pub(crate) fn response<S>(answers: S) -> tonic::Response<Answers>
where
    S: Stream<Item = Result<Vec<EncodedResponse>, AppError>> + Send + 'static,
{
    let body = Body::new(WatchBody {
        answers: Box::pin(answers),
        ready: Vec::new().into_iter(),
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
    use portcullis_contract::{sealed::SealedChunk, v1::watch_response::Message};
    use tonic::Code;

    use super::*;

    fn drain() -> EncodedResponse {
        EncodedResponse::new(Message::Drain(v1::WatchDrain {}))
    }

    /// The frames that are sent for the response of a handler.
    async fn sent(answers: Vec<Result<Vec<EncodedResponse>, AppError>>) -> Vec<Frame<Bytes>> {
        // As the generated service does.
        let (_, _, extensions) = response(stream::iter(answers)).into_parts();
        let mut response = Response::new(Body::empty());
        *response.extensions_mut() = extensions;

        let mut body = send_encoded(response).await.into_body();
        let mut frames = Vec::new();
        while let Some(frame) = body.frame().await {
            frames.push(frame.expect("a frame"));
        }
        frames
    }

    fn status(frame: &Frame<Bytes>) -> Code {
        let trailers = frame.trailers_ref().expect("trailers");
        Code::from_bytes(trailers["grpc-status"].as_bytes())
    }

    #[tokio::test]
    async fn the_status_follows_the_last_answer() {
        let sent = sent(vec![Ok(vec![drain()]), Ok(vec![drain()])]).await;
        let [first, second, last] = &sent[..] else {
            panic!("{sent:?}");
        };
        assert_eq!(first.data_ref(), Some(drain().bytes()));
        assert_eq!(second.data_ref(), Some(drain().bytes()));
        assert_eq!(status(last), Code::Ok);
    }

    #[tokio::test]
    async fn nothing_follows_an_error() {
        let sent = sent(vec![Err(AppError::WatchCorrupted), Ok(vec![drain()])]).await;
        let [only] = &sent[..] else {
            panic!("{sent:?}");
        };
        assert_eq!(status(only), Status::from(AppError::WatchCorrupted).code());
    }

    #[tokio::test]
    async fn small_answers_are_sent_together() {
        let large = SealedChunk::new(1, Bytes::new(), 0, vec![7; TOGETHER_BYTES_MAX - 40].into());
        let large = large.into_response();
        let answers = vec![drain(), drain(), large.clone(), large.clone(), drain()];
        let sent = sent(vec![Ok(answers)]).await;
        let [small, one, two, end] = &sent[..] else {
            panic!("{} frames", sent.len());
        };
        let expected = [&drain().bytes()[..]; 2].concat();
        assert_eq!(small.data_ref().expect("data"), &expected);
        let one = one.data_ref().expect("data");
        assert_eq!(one.as_ptr(), large.bytes().as_ptr(), "shared, not copied");
        let expected = [&large.bytes()[..], &drain().bytes()[..]].concat();
        assert_eq!(two.data_ref().expect("data"), &expected);
        assert_eq!(status(end), Code::Ok);
    }

    #[tokio::test]
    async fn other_responses_stay_as_they_are() {
        let sent = send_encoded(Response::new(Body::from("answer"))).await;
        let sent = sent.into_body().collect().await.expect("a body");
        assert_eq!(sent.to_bytes(), "answer");
    }
}
