//! Sockets of messages that are cut.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{Sink, Stream};
use portcullis_validator_core::Rejection;
use thiserror::Error;

use super::{Admission, End, SessionEnded};

/// The close code of a WebSocket whose session has ended: policy violation (RFC 6455, section 7.4.1).
pub const CLOSE_CODE: u16 = 1008;

/// A socket of messages, such as a WebSocket, that ends when the identity of its request ends.
///
/// It then sends one last message, which the application makes of the reason, and yields [`CutSocketError::Ended`] to
/// readers and to writers. It does not wait for a client that reads nothing. Drop the socket then.
///
/// With axum:
///
/// ```
/// use axum::{
///     Extension,
///     extract::ws::{CloseFrame, Message, WebSocketUpgrade},
///     response::Response,
/// };
/// use futures::{SinkExt, StreamExt};
/// use portcullis_validator::{Admission, CLOSE_CODE, CutSocket, Rejection};
///
/// async fn echo(upgrade: WebSocketUpgrade, Extension(admission): Extension<Admission>) -> Response {
///     upgrade.on_upgrade(async move |socket| {
///         let mut socket = CutSocket::new(socket, &admission, close);
///         while let Some(Ok(message)) = socket.next().await {
///             if socket.send(message).await.is_err() {
///                 return;
///             }
///         }
///     })
/// }
///
/// fn close(rejection: &Rejection) -> Message {
///     Message::Close(Some(CloseFrame {
///         code: CLOSE_CODE,
///         reason: rejection.reason().into(),
///     }))
/// }
/// # let _route = axum::routing::any::<_, _, ()>(echo);
/// ```
pub struct CutSocket<S, M> {
    socket: S,
    close: fn(&Rejection) -> M,
    // Two futures: both halves of a split socket may wait, in tasks of their own.
    reading: End,
    writing: End,
    is_over: bool,
}

/// An error of a [`CutSocket`].
#[derive(Debug, Error)]
pub enum CutSocketError<E> {
    /// The identity has ended.
    #[error(transparent)]
    Ended(#[from] SessionEnded),
    /// The socket failed.
    #[error("the socket failed")]
    Socket(#[source] E),
}

impl<S, M> CutSocket<S, M> {
    /// Wraps a socket. `close` makes its last message. On a public route there is no identity, and nothing cuts it.
    pub fn new(socket: S, admission: &Admission, close: fn(&Rejection) -> M) -> Self {
        Self {
            socket,
            close,
            reading: End::new(admission),
            writing: End::new(admission),
            is_over: false,
        }
    }
}

impl<S: Sink<M> + Unpin, M> CutSocket<S, M> {
    /// Sends the last message, once, as far as the client takes it now.
    fn close(&mut self, ended: &SessionEnded, context: &mut Context<'_>) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        let mut socket = Pin::new(&mut self.socket);
        if let Poll::Ready(Ok(())) = socket.as_mut().poll_ready(context)
            && socket.as_mut().start_send((self.close)(&ended.0)).is_ok()
        {
            // The outcome is not waited for: a client that reads nothing would keep the connection.
            let _flushed = socket.poll_close(context);
        }
    }

    /// Runs one step of the writing side, unless the identity has ended.
    fn write(
        &mut self,
        context: &mut Context<'_>,
        step: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<Result<(), S::Error>>,
    ) -> Poll<Result<(), CutSocketError<S::Error>>> {
        // Before the step: a client that always has room would never be cut otherwise. A place
        // among the futures that wait is taken only by a step that waits.
        let ended = match self.writing.check() {
            Ok(()) => match step(Pin::new(&mut self.socket), context) {
                Poll::Ready(progress) => {
                    return Poll::Ready(progress.map_err(CutSocketError::Socket));
                }
                Poll::Pending => ready!(self.writing.poll(context)),
            },
            Err(ended) => ended,
        };
        self.close(&ended, context);
        Poll::Ready(Err(ended.into()))
    }
}

impl<S, M, E> Stream for CutSocket<S, M>
where
    S: Stream<Item = Result<M, E>> + Sink<M> + Unpin,
{
    type Item = Result<M, CutSocketError<E>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        // Before the next message: a client that never pauses would never be cut otherwise.
        let ended = match this.reading.check() {
            Ok(()) => match Pin::new(&mut this.socket).poll_next(context) {
                Poll::Ready(message) => {
                    return Poll::Ready(
                        message.map(|message| message.map_err(CutSocketError::Socket)),
                    );
                }
                Poll::Pending => ready!(this.reading.poll(context)),
            },
            Err(ended) => ended,
        };
        this.close(&ended, context);
        Poll::Ready(Some(Err(ended.into())))
    }
}

impl<S: Sink<M> + Unpin, M> Sink<M> for CutSocket<S, M> {
    type Error = CutSocketError<S::Error>;

    fn poll_ready(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.get_mut().write(context, S::poll_ready)
    }

    fn start_send(self: Pin<&mut Self>, message: M) -> Result<(), Self::Error> {
        // `poll_ready` has looked at the session just before.
        Pin::new(&mut self.get_mut().socket)
            .start_send(message)
            .map_err(CutSocketError::Socket)
    }

    fn poll_flush(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.get_mut().write(context, S::poll_flush)
    }

    fn poll_close(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.get_mut().write(context, S::poll_close)
    }
}
