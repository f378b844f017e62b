//! Closed loops of HTTP/1.1 requests over plain sockets: nothing of a client library is counted against a door.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream as BlockingStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// The host of every request.
pub(crate) const HOST: &str = "app.example.com";

const READ_TIMEOUT: Duration = Duration::from_secs(20);
const BUFFER_BYTES: usize = 16 << 10;
const HEADERS_MAX: usize = 64;

/// The bytes of `GET path` with more headers, each a whole line.
pub(crate) fn get(path: &str, headers: &[String]) -> Vec<u8> {
    let mut text = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// `GET /` of a session.
pub(crate) fn with_token(token: &str) -> Vec<u8> {
    get("/", &[format!("Authorization: Bearer {token}")])
}

/// An answer that is complete in the bytes read so far.
struct Complete {
    status: u16,
    bytes: usize,
}

/// Finds the end of the answer. `None`: more has to come.
fn parse(bytes: &[u8]) -> Result<Option<Complete>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(bytes)? {
        httparse::Status::Complete(head) => head,
        httparse::Status::Partial => return Ok(None),
    };
    let status = response.code.context("no status")?;
    let value = |name: &str| {
        let found = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    let body = if status == 101 || status == 204 {
        Some(0)
    } else if let Some(length) = value("content-length") {
        Some(length.trim().parse()?)
    } else if value("transfer-encoding").is_some() {
        chunks_end(&bytes[head..])?
    } else {
        bail!("an answer {status} of unknown length");
    };
    let complete = body.filter(|body| bytes.len() >= head + body);
    Ok(complete.map(|body| Complete {
        status,
        bytes: head + body,
    }))
}

/// The length of a chunked body without trailers. `None`: more has to come.
fn chunks_end(bytes: &[u8]) -> Result<Option<usize>> {
    let mut at = 0;
    while let httparse::Status::Complete((line, size)) = httparse::parse_chunk_size(&bytes[at..])
        .map_err(|_| anyhow::anyhow!("a chunk without a size"))?
    {
        at += line + usize::try_from(size)? + 2;
        if size == 0 {
            return Ok(Some(at));
        }
        if at > bytes.len() {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Microseconds of each of `count` requests on one connection, which must all be admitted. It blocks the thread: no
/// runtime stands between the socket and the clock.
pub(crate) fn latencies(
    address: SocketAddr,
    requests: &[Vec<u8>],
    count: usize,
) -> Result<Vec<f64>> {
    let mut connection = BlockingConnection::open(address)?;
    let mut times = Vec::with_capacity(count);
    for request in requests.iter().cycle().take(count) {
        let begun = Instant::now();
        let status = connection.exchange(request)?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
        ensure!(status == 200, "{address} answers {status}");
    }
    Ok(times)
}

/// One connection of a thread.
pub(crate) struct BlockingConnection {
    stream: BlockingStream,
    buffer: Vec<u8>,
}

impl BlockingConnection {
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        Self::open_for(address, BUFFER_BYTES)
    }

    /// A connection for answers of at most so many bytes.
    pub(crate) fn open_for(address: SocketAddr, answer_bytes_max: usize) -> Result<Self> {
        let stream = BlockingStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        Ok(Self {
            stream,
            buffer: vec![0; answer_bytes_max],
        })
    }

    /// Sends a request, and returns the status of the whole answer.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request)?;
        let mut filled = 0;
        loop {
            ensure!(filled < self.buffer.len(), "a large answer");
            let read = self.stream.read(&mut self.buffer[filled..])?;
            ensure!(read > 0, "closed by the server");
            filled += read;
            if let Some(answer) = parse(&self.buffer[..filled])? {
                ensure!(answer.bytes == filled, "more than an answer");
                return Ok(answer.status);
            }
        }
    }
}

/// One connection of a task. It opens again when the server closes it between two requests.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// Sends a request, and returns the status of the whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        let reused = self.stream.is_some();
        match self.attempt(request).await {
            Ok(status) => Ok(status),
            Err(error) => {
                self.stream = None;
                if !reused {
                    return Err(error);
                }
                self.attempt(request).await
            }
        }
    }

    async fn attempt(&mut self, request: &[u8]) -> Result<u16> {
        let exchange = async {
            if self.stream.is_none() {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                self.stream = Some(stream);
            }
            let stream = self.stream.as_mut().context("it was opened")?;
            stream.write_all(request).await?;
            let mut filled = 0;
            loop {
                ensure!(filled < self.buffer.len(), "a large answer");
                let read = stream.read(&mut self.buffer[filled..]).await?;
                ensure!(read > 0, "closed by the server");
                filled += read;
                if let Some(answer) = parse(&self.buffer[..filled])? {
                    return Ok(answer.status);
                }
            }
        };
        tokio::time::timeout(READ_TIMEOUT, exchange)
            .await
            .context("no answer")?
    }
}

/// Admitted requests a second of `connections` connections. The load has a thread and a runtime of its own.
pub(crate) async fn rate(
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    connections: usize,
    time: Duration,
) -> Result<f64> {
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(rate_of(address, &requests, connections, time))
    })
    .await?
}

async fn rate_of(
    address: SocketAddr,
    requests: &Arc<Vec<Vec<u8>>>,
    connections: usize,
    time: Duration,
) -> Result<f64> {
    let admitted = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for number in 0..connections {
        let requests = Arc::clone(requests);
        let admitted = Arc::clone(&admitted);
        tasks.spawn(async move {
            let mut connection = Connection::new(address);
            // Each connection begins elsewhere, so that together they use all sessions.
            let first = number * requests.len() / connections;
            for request in requests.iter().cycle().skip(first) {
                let status = connection.exchange(request).await?;
                ensure!(status == 200, "{address} answers {status}");
                admitted.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
    }
    tokio::time::sleep(time / 4).await;
    let before = admitted.load(Ordering::Relaxed);
    let begun = Instant::now();
    tokio::time::sleep(time).await;
    let count = admitted.load(Ordering::Relaxed) - before;
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    if let Some(ended) = tasks.try_join_next() {
        ended??;
    }
    tasks.shutdown().await;
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of an answer, and its status and length if it is whole.
    type Case<'a> = (&'a [u8], Option<(u16, usize)>);

    #[test]
    fn an_answer_ends_where_its_length_says() {
        let cases: [Case<'_>; 7] = [
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                Some((200, 40)),
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", None),
            (b"HTTP/1.1 200 OK\r\nContent-Le", None),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Some((101, 36))),
            (
                b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                Some((401, 59)),
            ),
            (
                b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r",
                None,
            ),
            (
                b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no",
                None,
            ),
        ];
        for (bytes, expected) in cases {
            let found = parse(bytes).expect("an answer");
            let found = found.map(|answer| (answer.status, answer.bytes));
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn an_answer_of_unknown_length_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
