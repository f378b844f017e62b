//! Live streams through a door, which a test watches until they are cut.

use std::net::SocketAddr;

use axum::body::Bytes;
use futures::{SinkExt, StreamExt};
use h2::RecvStream;
use http::Request;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::{
    upstream::{GRPC_STREAM, WEBSOCKET},
    visitor::Visit,
    wait::within,
};

/// A stream that was admitted.
pub enum LiveStream {
    /// A WebSocket.
    WebSocket(Box<WebSocketStream<TcpStream>>),
    /// The body of an answer in HTTP/1.1.
    Http1(TcpStream),
    /// The body of an answer in HTTP/2.
    Http2 {
        /// The body.
        body: RecvStream,
        /// Keeps the request open.
        _sending: h2::SendStream<Bytes>,
        /// Drives the connection.
        connection: JoinHandle<Result<(), h2::Error>>,
    },
}

impl LiveStream {
    /// Opens a WebSocket, or returns the status of the refusal.
    ///
    /// # Errors
    /// The status of the answer, or 0 when there was none.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn websocket(door: SocketAddr, token: &str) -> Result<Self, u16> {
        let address = format!("ws://service.test{WEBSOCKET}");
        let mut request = address.into_client_request().expect("a request");
        if !token.is_empty() {
            let value = format!("Bearer {token}").parse().expect("a value");
            request.headers_mut().insert("authorization", value);
        }
        let stream = TcpStream::connect(door).await.expect("connects");
        let shaken = within("a WebSocket handshake", client_async(request, stream)).await;
        match shaken {
            Ok((socket, _)) => Ok(Self::WebSocket(Box::new(socket))),
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => {
                Err(answer.status().as_u16())
            }
            Err(_) => Err(0),
        }
    }

    /// Opens an answer without an end in HTTP/1.1.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn http1(door: SocketAddr, path: &str, token: &str) -> Self {
        let mut stream = TcpStream::connect(door).await.expect("connects");
        let visit = Visit::get(path).bearer(token).to_http1();
        stream.write_all(&visit).await.expect("sent");
        let mut stream = Self::Http1(stream);
        let first = stream.read().await.expect("an answer");
        let first = String::from_utf8_lossy(&first).into_owned();
        assert!(first.starts_with("HTTP/1.1 200"), "{path}: {first}");
        stream
    }

    /// Opens an answer without an end in HTTP/2; the gRPC call sends its message first.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn http2(door: SocketAddr, path: &str, token: &str) -> Self {
        let stream = TcpStream::connect(door).await.expect("connects");
        let (requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let mut requests = requests.ready().await.expect("HTTP/2");
        let is_grpc = path == GRPC_STREAM;
        let mut request = Request::builder()
            .uri(format!("http://service.test{path}"))
            .header("authorization", format!("Bearer {token}"));
        if is_grpc {
            request = request
                .method("POST")
                .header("content-type", "application/grpc")
                .header("te", "trailers");
        }
        let request = request.body(()).expect("a request");
        let (answer, mut sending) = requests.send_request(request, !is_grpc).expect("sent");
        if is_grpc {
            // An empty message: the health of the whole server.
            let empty = Bytes::from_static(&[0; 5]);
            sending.send_data(empty, true).expect("sent");
        }
        let answer = within("an answer", answer).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        let refusal = answer.headers().get("grpc-status");
        assert!(refusal.is_none(), "{path}: {refusal:?}");
        let mut stream = Self::Http2 {
            body: answer.into_body(),
            _sending: sending,
            connection,
        };
        stream.read().await.expect("the first data");
        stream
    }

    /// The next data. `None` when the stream has ended, in whatever way.
    async fn read(&mut self) -> Option<Bytes> {
        match self {
            Self::WebSocket(socket) => match socket.next().await? {
                Ok(Message::Close(_)) | Err(_) => None,
                Ok(message) => Some(message.into_data()),
            },
            Self::Http1(stream) => {
                let mut buffer = [0; 16 * 1024];
                let length = stream.read(&mut buffer).await.ok()?;
                (length > 0).then(|| Bytes::copy_from_slice(&buffer[..length]))
            }
            Self::Http2 { body, .. } => {
                let data = body.data().await?.ok()?;
                body.flow_control().release_capacity(data.len()).ok()?;
                Some(data)
            }
        }
    }

    /// Expects that it is open: data comes, or a message returns.
    ///
    /// # Panics
    /// When it was cut.
    pub async fn expect_open(&mut self, what: &str) {
        if let Self::WebSocket(socket) = self {
            let sent = socket.send(Message::text("hello")).await;
            sent.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        let read = within("data of a live stream", self.read()).await;
        assert!(read.is_some(), "{what} was cut");
    }

    /// Waits until it is cut.
    ///
    /// # Panics
    /// When it stays open.
    pub async fn cut(&mut self, what: &str) {
        within(&format!("{what} to be cut"), async {
            while self.read().await.is_some() {}
        })
        .await;
    }
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        if let Self::Http2 { connection, .. } = self {
            connection.abort();
        }
    }
}
