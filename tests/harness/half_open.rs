//! Connections and calls that stay as they are: what a rude peer leaves behind.

use std::{io, net::SocketAddr};

use axum::body::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
};

use crate::wait::within;

/// The preface of HTTP/2.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A bare HTTP/2 connection.
pub struct Bare {
    requests: SendRequest<Bytes>,
    /// Ends when the connection does.
    pub connection: JoinHandle<Result<(), h2::Error>>,
}

/// A call of which only the header was sent.
pub struct HalfOpen {
    answer: ResponseFuture,
    /// Sends the message, or keeps the call open.
    pub body: SendStream<Bytes>,
}

impl Bare {
    /// Connects; the answers' window is `window` bytes.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn connect(address: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(address).await.expect("connects");
        let handshake = Builder::new()
            .initial_window_size(window)
            .handshake(stream)
            .await;
        let (requests, connection) = handshake.expect("a handshake");
        Self {
            requests,
            connection: tokio::spawn(connection),
        }
    }

    /// Sends the header of a call, and nothing else.
    ///
    /// # Panics
    /// When the connection has ended.
    pub async fn begin(&self, path: &str, bearer: &str) -> HalfOpen {
        self.try_begin(path, bearer).await.expect("a stream")
    }

    /// Sends the header of a call, if the connection lives.
    ///
    /// # Errors
    /// When it does not.
    ///
    /// # Panics
    /// When there is never room for a stream.
    pub async fn try_begin(&self, path: &str, bearer: &str) -> Result<HalfOpen, h2::Error> {
        let mut requests = within("room for a stream", self.requests.clone().ready()).await?;
        let mut request = Request::post(format!("http://authority{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if !bearer.is_empty() {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let request = request.body(()).expect("a request");
        let (answer, body) = requests.send_request(request, false)?;
        Ok(HalfOpen { answer, body })
    }
}

impl HalfOpen {
    /// Sends an empty message, and the end.
    pub fn finish(&mut self) {
        let empty = Bytes::from_static(&[0; 5]);
        // A call that was refused meanwhile takes no message: its answer says so.
        let _ = self.body.send_data(empty, true);
    }

    /// The code of the answer: `grpc-status`, from the header or the trailers.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn code(self) -> i32 {
        let (header, mut body) = self.header().await;
        if let Some(code) = code(&header) {
            return code;
        }
        within("the answer's end", async {
            while let Some(data) = body.data().await {
                let length = data.expect("an answer").len();
                body.flow_control()
                    .release_capacity(length)
                    .expect("it was taken");
            }
            let trailers = body.trailers().await.expect("an answer");
            trailers.as_ref().and_then(code).expect("a code")
        })
        .await
    }

    /// The header of the answer, and its body.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn header(self) -> (HeaderMap, RecvStream) {
        let answer = within("an answer", self.answer).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        (parts.headers, body)
    }
}

fn code(headers: &HeaderMap) -> Option<i32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// Connects from another address of this machine.
///
/// # Errors
/// When the connection is refused.
///
/// # Panics
/// When this machine does not have the address.
pub async fn connect_from(from: [u8; 4], to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("a loopback address");
    socket.connect(to).await
}

/// Sends `bytes` on a new connection, and waits until the other side closes it.
///
/// # Panics
/// When it stays open.
pub async fn closed_after(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(bytes).await.expect("sent");
    within("the connection to be closed", closed(&mut stream)).await;
}

/// Reads until the other side has closed the connection.
pub async fn closed(stream: &mut TcpStream) {
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}
