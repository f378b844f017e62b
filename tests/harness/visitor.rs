//! A client of a door, which sends what it is told to, also what no proper client would.

use std::net::SocketAddr;

use axum::body::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    upstream::{Echo, MARK},
    wait::within,
};

/// The most bytes of an answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A request to a door.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The method.
    pub method: String,
    /// The target, in any form.
    pub target: Vec<u8>,
    /// The host; `None` sends none.
    pub host: Option<String>,
    /// Headers in their order and spelling.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; `None` sends none.
    pub body: Option<Bytes>,
    /// Trailers after the body, in their order and spelling.
    pub trailers: Vec<(String, Vec<u8>)>,
}

impl Visit {
    /// `GET target`.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, target: impl AsRef<[u8]>) -> Self {
        Self {
            method: method.to_owned(),
            target: target.as_ref().to_vec(),
            host: Some("service.test".to_owned()),
            headers: Vec::new(),
            body: None,
            trailers: Vec::new(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Adds `Authorization: Bearer …`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Adds a mark, by which [`Upstream::reached`](crate::upstream::Upstream::reached) knows the request.
    #[must_use]
    pub fn mark(self, mark: &str) -> Self {
        self.header(MARK, mark)
    }

    /// The bytes of the request in HTTP/1.1, on a connection that closes after it.
    #[must_use]
    pub fn to_http1(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.method.as_bytes());
        bytes.push(b' ');
        bytes.extend(&self.target);
        bytes.extend(b" HTTP/1.1\r\n");
        if let Some(host) = &self.host {
            push_line(&mut bytes, "Host", host.as_bytes());
        }
        for (name, value) in &self.headers {
            push_line(&mut bytes, name, value);
        }
        let upgrades = self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("upgrade"));
        if !upgrades {
            push_line(&mut bytes, "Connection", b"close");
        }
        let Some(body) = &self.body else {
            bytes.extend(b"\r\n");
            return bytes;
        };

        push_line(&mut bytes, "Transfer-Encoding", b"chunked");
        bytes.extend(b"\r\n");
        if !body.is_empty() {
            bytes.extend(format!("{:x}\r\n", body.len()).as_bytes());
            bytes.extend(body);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n");
        for (name, value) in &self.trailers {
            push_line(&mut bytes, name, value);
        }
        bytes.extend(b"\r\n");
        bytes
    }

    /// Sends it in HTTP/1.1. `None` when the door closed the connection without an answer.
    pub async fn http1(&self, door: SocketAddr) -> Option<Answer> {
        send(door, &self.to_http1()).await
    }

    /// Sends it in HTTP/2. `None` when the door ended the stream or the connection without an answer.
    ///
    /// # Panics
    /// When a name or the target cannot be sent in HTTP/2 at all.
    pub async fn http2(&self, door: SocketAddr) -> Option<Answer> {
        within("an answer in HTTP/2", self.try_http2(door)).await
    }

    async fn try_http2(&self, door: SocketAddr) -> Option<Answer> {
        let stream = TcpStream::connect(door).await.expect("connects");
        let (requests, connection) = h2::client::handshake(stream).await.ok()?;
        let connection = tokio::spawn(connection);
        let mut requests = requests.ready().await.ok()?;
        let ends = self.body.is_none();
        let (answer, mut sending) = requests.send_request(self.head(), ends).ok()?;
        if let Some(body) = &self.body {
            sending.send_data(body.clone(), false).ok()?;
            sending.send_trailers(header_map(&self.trailers)).ok()?;
        }

        let (parts, mut receiving) = answer.await.ok()?.into_parts();
        let mut body = Vec::new();
        while let Some(data) = receiving.data().await {
            let data = data.ok()?;
            receiving.flow_control().release_capacity(data.len()).ok()?;
            body.extend(data);
            assert!(body.len() <= ANSWER_BYTES_MAX, "the answer does not end");
        }
        connection.abort();
        Some(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }

    fn head(&self) -> http::Request<()> {
        let target = std::str::from_utf8(&self.target).expect("a target of HTTP/2");
        let host = self.host.as_deref().unwrap_or_default();
        let method = Method::from_bytes(self.method.as_bytes()).expect("a method");
        let mut request = http::Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = format!("http://{host}{target}").parse().expect("a URI");
        *request.version_mut() = http::Version::HTTP_2;
        *request.headers_mut() = header_map(&self.headers);
        request
    }
}

fn push_line(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    bytes.extend(name.as_bytes());
    bytes.extend(b": ");
    bytes.extend(value);
    bytes.extend(b"\r\n");
}

fn header_map(pairs: &[(String, Vec<u8>)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        // HTTP/2 has names in lower case only.
        let name: HeaderName = name.to_lowercase().parse().expect("a name");
        (name, HeaderValue::from_bytes(value).expect("a value"))
    });
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(name, value);
    }
    map
}

/// Sends bytes in HTTP/1.1 on a connection of their own, and reads the answer to its end.
///
/// # Panics
/// When there is no end.
pub async fn send(door: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect(door).await.expect("connects");
        // A door may refuse a request before all of it was sent.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let mut limited = (&mut stream).take(ANSWER_BYTES_MAX as u64);
        // A reset after the answer is an end too.
        let _ = limited.read_to_end(&mut answer).await;
        Answer::parse(&answer)
    };
    within("an answer in HTTP/1.1", exchange).await
}

/// The answer of a door.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads an answer of HTTP/1.1, or as much of it as came.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        // The answers before the answer: 100, 103.
        if (100..200).contains(&status) && status != 101 {
            return Self::parse(&bytes[end + 4..]);
        }
        let pairs = lines.filter_map(|line| line.split_once(':'));
        let pairs: Vec<_> = pairs
            .map(|(name, value)| (name.to_owned(), value.trim().as_bytes().to_vec()))
            .collect();
        let headers = header_map(&pairs);
        let mut body = bytes[end + 4..].to_vec();
        if headers
            .get("transfer-encoding")
            .is_some_and(|coding| coding == "chunked")
        {
            body = unchunk(&body);
        }
        Some(Self {
            status: StatusCode::from_u16(status).ok()?,
            headers,
            body,
        })
    }

    /// The one value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The request as it reached the upstream.
    ///
    /// # Panics
    /// When the upstream did not answer.
    #[must_use]
    pub fn echo(&self) -> Echo {
        let text = self.text();
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("no echo ({error}): {} {text}", self.status))
    }
}

/// Joins the chunks of a body, as many as came.
fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let size = size.split(';').next().unwrap_or_default();
        let Ok(length @ 1..) = usize::from_str_radix(size.trim(), 16) else {
            break;
        };
        let rest = &bytes[end + 2..];
        body.extend(&rest[..length.min(rest.len())]);
        bytes = rest.get(length + 2..).unwrap_or_default();
    }
    body
}
