//! Live streams through a gate, each read by a task of its own until it ends.

use std::{
    net::SocketAddr,
    pin::pin,
    time::{Duration, Instant},
};

use axum::body::Bytes;
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use http::{HeaderMap, Method, Request, StatusCode, Version, header};
use http_body_util::{BodyExt, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{net::TcpStream, sync::watch, task::JoinHandle};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    authority::transport,
    upstream::{DOWNLOAD, EVENTS, WEBSOCKET},
    wait::within,
};

/// A stream that has begun.
pub struct Live {
    /// Its kind and protocol, for messages.
    pub name: &'static str,
    reading: JoinHandle<(Instant, How)>,
    /// The number of parts that arrived after the first one.
    parts: watch::Receiver<u64>,
    /// Sends messages, which the upstream returns, if it is a WebSocket.
    messages: Option<SplitSink<Socket, Message>>,
}

type Socket = WebSocketStream<TcpStream>;

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// By its own end, as if the content were whole.
    Clean,
    /// In the middle: the connection closed, or the stream was reset.
    Broken,
    /// By a close frame of a WebSocket: its code and reason.
    Closed(u16, String),
    /// By a status of gRPC: its code and message.
    Status(Code, String),
}

impl Live {
    /// Opens a stream of every kind that a door before an [`Upstream`](crate::upstream::Upstream) has.
    pub async fn open_all(door: SocketAddr, token: &str) -> Vec<Self> {
        vec![
            Self::body("events, HTTP/1.1", door, Version::HTTP_11, EVENTS, token).await,
            Self::body("events, HTTP/2", door, Version::HTTP_2, EVENTS, token).await,
            Self::body(
                "download, HTTP/1.1",
                door,
                Version::HTTP_11,
                DOWNLOAD,
                token,
            )
            .await,
            Self::body("download, HTTP/2", door, Version::HTTP_2, DOWNLOAD, token).await,
            Self::websocket("WebSocket", door, token).await,
            Self::grpc("gRPC", door, token).await,
        ]
    }

    /// Opens a stream that is the body of an answer, and reads its first part.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn body(
        name: &'static str,
        door: SocketAddr,
        version: Version,
        path: &str,
        token: &str,
    ) -> Self {
        let answer = send(door, version, Method::GET, path, token, empty()).await;
        assert_eq!(answer.status(), 200, "{name}");
        let mut body = answer.into_body();
        let first = within(name, body.frame()).await;
        assert!(first.is_some_and(|frame| frame.is_ok()), "{name}");
        Self::read(name, async move |parts| {
            loop {
                match body.frame().await {
                    Some(Ok(_)) => parts.send_modify(|number| *number += 1),
                    Some(Err(_)) => return How::Broken,
                    None => return How::Clean,
                }
            }
        })
    }

    /// Opens a WebSocket that echoes, and hears its first echo.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn websocket(name: &'static str, door: SocketAddr, token: &str) -> Self {
        let opened = Self::try_websocket(name, door, token).await;
        opened.unwrap_or_else(|status| panic!("{name} was refused: {status:?}"))
    }

    /// Opens a WebSocket, without a credential if `token` is empty.
    ///
    /// # Errors
    /// The status of the refusal, if there was an answer.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn try_websocket(
        name: &'static str,
        door: SocketAddr,
        token: &str,
    ) -> Result<Self, Option<StatusCode>> {
        let mut request = format!("ws://{door}{WEBSOCKET}")
            .into_client_request()
            .expect("a request");
        if !token.is_empty() {
            let bearer = format!("Bearer {token}").parse().expect("a header");
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
        }
        let stream = TcpStream::connect(door).await.expect("connects");
        let socket = match within(name, client_async(request, stream)).await {
            Ok((socket, _)) => socket,
            Err(Error::Http(answer)) => return Err(Some(answer.status())),
            Err(_) => return Err(None),
        };
        let (mut sink, mut messages) = socket.split();
        sink.send(Message::text("hello")).await.expect("sent");
        let echo = within(name, messages.next()).await.expect("open");
        assert_eq!(echo.expect("an echo"), Message::text("hello"), "{name}");
        let mut live = Self::read(name, async move |parts| {
            read_messages(messages, &parts).await
        });
        live.messages = Some(sink);
        Ok(live)
    }

    /// Opens a stream of a gRPC call, and reads its first message.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn grpc(name: &'static str, door: SocketAddr, token: &str) -> Self {
        let mut client = HealthClient::new(transport(&format!("http://{door}"), token));
        let watch = client.watch(HealthCheckRequest::default());
        let answer = within(name, watch).await.expect("admitted");
        let mut statuses = answer.into_inner();
        let first = within(name, statuses.message()).await;
        assert!(first.expect("a message").is_some(), "{name}");
        Self::read(name, async move |parts| {
            loop {
                match statuses.message().await {
                    Ok(Some(_)) => parts.send_modify(|number| *number += 1),
                    Ok(None) => return How::Clean,
                    Err(status) => return How::Status(status.code(), status.message().to_owned()),
                }
            }
        })
    }

    /// A stream that `read` reads to its end in a task of its own.
    fn read<F>(name: &'static str, read: impl FnOnce(watch::Sender<u64>) -> F) -> Self
    where
        F: Future<Output = How> + Send + 'static,
    {
        let (sender, parts) = watch::channel(0);
        let read = read(sender);
        let reading = tokio::spawn(async move {
            let how = read.await;
            (Instant::now(), how)
        });
        Self {
            name,
            parts,
            messages: None,
            reading,
        }
    }

    /// Expects that it is open: more of it comes, or a message returns. The gRPC stream says nothing after its first
    /// message, so it is not asked.
    ///
    /// # Panics
    /// When it was cut.
    pub async fn expect_open(&mut self, whose: &str) {
        let name = self.name;
        self.parts.mark_unchanged();
        if let Some(messages) = &mut self.messages {
            let sent = messages.send(Message::text("hello")).await;
            sent.unwrap_or_else(|error| panic!("{name} {whose}: {error}"));
        }
        let more = within(name, self.parts.changed()).await;
        assert!(more.is_ok(), "{name} {whose} was cut");
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.reading.is_finished()
    }

    /// Waits for its end: how it ended, and how long after `acknowledged`.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ended(mut self, acknowledged: Instant) -> (How, Duration) {
        let (at, how) = within(self.name, &mut self.reading)
            .await
            .expect("no panic");
        (how, at.saturating_duration_since(acknowledged))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Reads the echoes of a WebSocket until it ends.
async fn read_messages(mut messages: SplitStream<Socket>, parts: &watch::Sender<u64>) -> How {
    loop {
        match messages.next().await {
            Some(Ok(Message::Close(Some(frame)))) => {
                return How::Closed(frame.code.into(), frame.reason.to_string());
            }
            Some(Ok(Message::Close(None))) | None => return How::Clean,
            Some(Ok(_)) => parts.send_modify(|number| *number += 1),
            Some(Err(_)) => return How::Broken,
        }
    }
}

/// A body of a request.
pub type RequestBody = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// A body without content.
#[must_use]
pub fn empty() -> RequestBody {
    Empty::new().boxed_unsync()
}

/// A body of these parts, which then stays open for as long as `parts` does.
pub fn streamed(parts: impl futures::Stream<Item = Bytes> + Send + 'static) -> RequestBody {
    let frames = parts.map(|part| Ok(Frame::data(part)));
    StreamBody::new(frames).boxed_unsync()
}

/// Sends a request, and returns the head of its answer with a body that may still be open.
///
/// # Panics
/// When there is no answer.
pub async fn send(
    door: SocketAddr,
    version: Version,
    method: Method,
    path: &str,
    token: &str,
    body: RequestBody,
) -> http::Response<hyper::body::Incoming> {
    let bearer = format!("Bearer {token}").parse().expect("a header");
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]);
    send_with(door, version, method, path, headers, body)
        .await
        .expect("an answer")
}

/// Sends a request with these headers.
///
/// # Errors
/// When the connection ends before the head of the answer.
///
/// # Panics
/// When the path is none.
pub async fn send_with(
    door: SocketAddr,
    version: Version,
    method: Method,
    path: &str,
    headers: HeaderMap,
    body: RequestBody,
) -> Result<http::Response<hyper::body::Incoming>, hyper_util::client::legacy::Error> {
    let client = Client::builder(TokioExecutor::new())
        .http2_only(version == Version::HTTP_2)
        .build_http::<RequestBody>();
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{door}{path}"))
        .version(version)
        .body(body)
        .expect("a request");
    request.headers_mut().extend(headers);
    let answer = pin!(client.request(request));
    within(path, answer).await
}

/// Reads a body to its end.
///
/// # Panics
/// When it breaks.
pub async fn text(body: impl Body<Data = Bytes, Error: std::fmt::Debug>) -> String {
    let collected = within("a body", body.collect()).await.expect("whole");
    String::from_utf8_lossy(&collected.to_bytes()).into_owned()
}
