//! `Watch`: the transport of one validator's stream. `feed::watch` has its protocol.

mod body;
mod parse;

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt, TryFutureExt, future};
use portcullis_contract::{
    sealed::EncodedResponse,
    v1::{self, watch_request::Message as Received, watch_response::Message as Sent},
    watch::{Checksummed, StreamId},
};
use tokio::time::timeout;
use tonic::Status;

pub(super) use self::body::{Answers, response, send_encoded};
use super::render::timestamp;
use crate::{
    api::access::UNDECODABLE,
    app::AppError,
    feed::watch::{Answer, StreamEnd, StreamSource, WatchHost, WatchStream},
};

/// The time that a validator has for its hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves a stream as fast as its answers are taken, until its connection is as old as it may be. Answers come together
/// if they can be sent at once.
pub(crate) fn serve<I>(
    host: Arc<WatchHost>,
    source: StreamSource,
    inbound: I,
) -> impl Stream<Item = Result<Vec<EncodedResponse>, AppError>> + Send
where
    I: Stream<Item = Result<v1::WatchRequest, Status>> + Send + Unpin + 'static,
{
    // Boxed by itself: the opening needs nearly 4 KiB, and is over soon. The stream would keep room for it.
    let opening = Box::pin(open(host, source, inbound));
    let answers = opening.try_flatten_stream();
    answers.filter_map(|answers| {
        future::ready(match answers {
            Ok(answers) => Some(Ok(answers)),
            Err(RpcEnd::Refused(error)) => Some(Err(error)),
            // A validator that has gone away needs no answer.
            Err(RpcEnd::Closed) => None,
        })
    })
}

/// The reason for the end of the call.
enum RpcEnd {
    /// The validator went away, or was asked to.
    Closed,
    Refused(AppError),
}

impl From<AppError> for RpcEnd {
    fn from(error: AppError) -> Self {
        Self::Refused(error)
    }
}

impl From<StreamEnd> for RpcEnd {
    fn from(end: StreamEnd) -> Self {
        match end {
            StreamEnd::Closed => Self::Closed,
            StreamEnd::Refused(error) => Self::Refused(error.into()),
        }
    }
}

/// Receives the hello and opens the stream.
async fn open<I>(
    host: Arc<WatchHost>,
    source: StreamSource,
    mut inbound: I,
) -> Result<impl Stream<Item = Result<Vec<EncodedResponse>, RpcEnd>>, RpcEnd>
where
    I: Stream<Item = Result<v1::WatchRequest, Status>> + Send + Unpin,
{
    let hello = receive_hello(&mut inbound).await?;
    let stream_id = parse::check_hello(&hello)?;
    let hello = parse::parse_hello(hello)?;
    // The checksums bind every message to this stream, so that a proxy cannot mix up two of them unnoticed.
    let asked = inbound.map(move |message| parse::parse_asked(message, &stream_id));
    let stream = WatchStream::open(host, source, hello, asked).await?;
    Ok(stream.answers().map(move |answers| {
        let rendered = answers?.into_iter();
        Ok(rendered
            .map(|answer| render_answer(answer, &stream_id))
            .collect())
    }))
}

async fn receive_hello<I>(inbound: &mut I) -> Result<v1::WatchHello, RpcEnd>
where
    I: Stream<Item = Result<v1::WatchRequest, Status>> + Unpin,
{
    // The layer has lifted the deadline of the request. Without this bound, silent streams would stay open.
    let Ok(first) = timeout(HELLO_TIMEOUT, inbound.next()).await else {
        return Err(AppError::WatchProtocol("no hello in time").into());
    };
    match first {
        Some(Ok(v1::WatchRequest {
            message: Some(Received::Hello(hello)),
        })) => Ok(hello),
        Some(Ok(_)) => Err(AppError::WatchProtocol("the first message must be hello").into()),
        Some(Err(status)) if parse::is_undecodable(&status) => {
            Err(AppError::WatchProtocol(UNDECODABLE).into())
        }
        // After another error of the transport nobody is there to read a refusal.
        None | Some(Err(_)) => Err(RpcEnd::Closed),
    }
}

fn render_answer(answer: Answer, stream_id: &StreamId) -> EncodedResponse {
    let message = match answer {
        // Encoded already, for all streams.
        Answer::SnapshotChunk(chunk) => return chunk.into_response(),
        Answer::Delta(frame) => return frame.into_response(),
        Answer::Welcome {
            incarnation,
            is_fork,
        } => {
            let welcome = v1::WatchWelcome {
                incarnation: incarnation.0.to_vec().into(),
                fork: is_fork,
                ..Default::default()
            };
            Sent::Welcome(welcome.sealed(stream_id))
        }
        // Without a checksum, as `Confirm` and `Drain`: nothing in a view or a proof comes from
        // them (decision 026).
        Answer::Queued { ahead, wait } => Sent::Queued(v1::WatchQueued {
            ahead,
            wait: wait.try_into().ok(),
        }),
        Answer::Beat { nonce, beat } => {
            let beat = v1::WatchBeat {
                nonce,
                head: Some(beat.beat.head.into()),
                head_code: beat.head_code,
                database_time: Some(timestamp(beat.beat.time)),
                ..Default::default()
            };
            Sent::Beat(beat.sealed(stream_id))
        }
        Answer::Confirm => Sent::Confirm(v1::WatchConfirm {}),
        Answer::Drain => Sent::Drain(v1::WatchDrain {}),
    };
    EncodedResponse::new(message)
}
