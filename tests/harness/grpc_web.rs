//! A web page as far as gRPC-Web needs one: single requests, of HTTP/1.1 or HTTP/2, with an origin.

use std::net::SocketAddr;

use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::{Message, bytes::Bytes};
use tokio::net::TcpStream;

use crate::wait::within;

/// The length of the head of a message.
const FRAME_HEAD_BYTES: usize = 5;
/// The flag of the message that has the trailers.
const TRAILERS: u8 = 0x80;

/// A page of an origin.
pub struct Page {
    /// The authority's gRPC port.
    pub authority: SocketAddr,
    /// The protocol of its browser.
    pub version: Version,
    /// An empty one sends none.
    pub origin: String,
    /// An empty one sends none.
    pub bearer: String,
}

/// An answer, as a page would read it if its origin may.
pub struct Answer {
    /// The status of HTTP.
    pub http: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The messages.
    pub messages: Vec<Bytes>,
    /// The trailers of the body; of an answer without a message those of the headers.
    pub trailers: HeaderMap,
}

impl Answer {
    /// The only message.
    ///
    /// # Panics
    /// When the call failed.
    #[must_use]
    pub fn message<M: Message + Default>(&self) -> M {
        assert_eq!(self.code(), "0", "{:?}", self.trailers);
        assert_eq!(self.messages.len(), 1, "one message");
        M::decode(self.messages[0].clone()).expect("the message")
    }

    /// The status of gRPC; empty if there is none.
    #[must_use]
    pub fn code(&self) -> &str {
        header(&self.trailers, "grpc-status")
    }

    /// A header; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name);
    value.map_or("", |value| value.to_str().expect("text"))
}

impl Page {
    /// A page over HTTP/1.1.
    #[must_use]
    pub fn of(authority: SocketAddr, origin: &str, bearer: &str) -> Self {
        Self {
            authority,
            version: Version::HTTP_11,
            origin: origin.to_owned(),
            bearer: bearer.to_owned(),
        }
    }

    /// Calls an rpc: `SessionService/ListSessions`.
    pub async fn call(&self, rpc: &str, message: &impl Message) -> Answer {
        let path = format!("/portcullis.v1.{rpc}");
        self.send(self.request(&path, "application/grpc-web+proto", message))
            .await
    }

    /// A request of this page, to be changed.
    #[must_use]
    pub fn request(&self, path: &str, kind: &str, message: &impl Message) -> Request<Full<Bytes>> {
        let mut body = vec![0];
        let length = u32::try_from(message.encoded_len()).expect("a short message");
        body.extend(length.to_be_bytes());
        body.extend(message.encode_to_vec());

        let mut request = self
            .begin(Method::POST, path)
            .header("content-type", kind)
            .header("x-grpc-web", "1");
        if !self.bearer.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.bearer));
        }
        request
            .body(Full::new(body.into()))
            .expect("a good request")
    }

    /// The preflight that a browser sends before a call.
    pub async fn preflight(&self, rpc: &str) -> Answer {
        let path = format!("/portcullis.v1.{rpc}");
        let request = self
            .begin(Method::OPTIONS, &path)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type,x-grpc-web",
            );
        let request = request.body(Full::default()).expect("a good request");
        self.send(request).await
    }

    fn begin(&self, method: Method, path: &str) -> http::request::Builder {
        let uri = match self.version {
            Version::HTTP_2 => format!("http://{}{path}", self.authority),
            _ => path.to_owned(),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .version(self.version);
        if self.version != Version::HTTP_2 {
            request = request.header("host", self.authority.to_string());
        }
        if !self.origin.is_empty() {
            request = request.header("origin", &self.origin);
        }
        request
    }

    /// Sends a request on a connection of its own.
    ///
    /// # Panics
    /// When the authority closes the connection without an answer.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let answer = self.try_send(request).await;
        answer.expect("an answer")
    }

    /// [`send`](Self::send), for authorities that may not speak the protocol at all.
    ///
    /// # Errors
    /// When the connection ends without an answer.
    pub async fn try_send(&self, request: Request<Full<Bytes>>) -> Result<Answer, hyper::Error> {
        let exchange = async {
            let stream = TcpStream::connect(self.authority).await;
            let io = TokioIo::new(stream.expect("a connection"));
            let response = match self.version {
                Version::HTTP_2 => {
                    let executor = TokioExecutor::new();
                    let (mut sender, connection) =
                        hyper::client::conn::http2::handshake(executor, io).await?;
                    tokio::spawn(connection);
                    sender.send_request(request).await?
                }
                _ => {
                    let (mut sender, connection) =
                        hyper::client::conn::http1::handshake(io).await?;
                    tokio::spawn(connection);
                    sender.send_request(request).await?
                }
            };
            let (parts, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(read(parts, body))
        };
        within("an answer to a page", exchange).await
    }
}

fn read(parts: http::response::Parts, mut body: Bytes) -> Answer {
    let mut messages = Vec::new();
    let mut trailers = parts.headers.clone();
    while body.len() >= FRAME_HEAD_BYTES {
        let head = body.split_to(FRAME_HEAD_BYTES);
        let length = u32::from_be_bytes(head[1..].try_into().expect("four bytes"));
        let frame = body.split_to(usize::try_from(length).expect("a length"));
        if head[0] == TRAILERS {
            trailers = read_trailers(&frame);
        } else {
            messages.push(frame);
        }
    }
    Answer {
        http: parts.status,
        headers: parts.headers,
        messages,
        trailers,
    }
}

fn read_trailers(frame: &[u8]) -> HeaderMap {
    let text = std::str::from_utf8(frame).expect("text");
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, value)| {
            let name = http::HeaderName::try_from(name).expect("a name");
            (name, value.trim().parse().expect("a value"))
        })
        .collect()
}
