//! A client in HTTP/1.1 that sees every byte.

use std::net::SocketAddr;

use portcullis_tests::{
    upstream::{EVENTS, WEBSOCKET},
    wait::within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The whole of it, the head too.
    pub text: String,
}

/// Sends `GET path` with header lines, and returns the whole answer.
pub async fn get(address: SocketAddr, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut bytes = Vec::new();
    // A stream that is cut may end in a reset.
    let reading = stream.read_to_end(&mut bytes);
    let _ended = within("the answer", reading).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Answer {
        status: status(&text),
        text,
    }
}

/// A stream that stays open.
pub struct Live {
    stream: TcpStream,
    /// What arrived until now.
    pub text: String,
}

impl Live {
    /// Opens an event stream, and waits for its first event.
    pub async fn events(address: SocketAddr, headers: &str) -> Self {
        let mut live = Self::open(address, EVENTS, headers).await;
        live.until("data: 0").await;
        live
    }

    /// Opens a WebSocket, and waits until the server has agreed.
    pub async fn socket(address: SocketAddr, headers: &str) -> Self {
        let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let mut live = Self::open(address, WEBSOCKET, &format!("{upgrade}{headers}")).await;
        live.until("\r\n\r\n").await;
        assert_eq!(status(&live.text), 101, "{}", live.text);
        live
    }

    async fn open(address: SocketAddr, path: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        let head = format!("GET {path} HTTP/1.1\r\nHost: app.test\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        Self {
            stream,
            text: String::new(),
        }
    }

    /// Reads until it has seen `text`.
    pub async fn until(&mut self, text: &str) {
        within(text, async {
            while !self.text.contains(text) {
                assert!(self.read().await, "ended before {text}: {}", self.text);
            }
        })
        .await;
    }

    /// Reads until the stream is closed.
    pub async fn closed(&mut self) {
        within("the stream to be closed", async {
            while self.read().await {}
        })
        .await;
    }

    /// Sends a message through a WebSocket, and waits for its echo.
    pub async fn echoes(&mut self) {
        // A text frame, masked with zeroes.
        let frame = b"\x81\x84\0\0\0\0ping";
        self.stream.write_all(frame).await.expect("sent");
        self.until("ping").await;
    }

    /// Reads some bytes. False: it is closed.
    async fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes).await {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                self.text
                    .push_str(&String::from_utf8_lossy(&bytes[..length]));
                true
            }
        }
    }
}

fn status(text: &str) -> u16 {
    let word = text.split(' ').nth(1).unwrap_or_default();
    word.parse().unwrap_or_default()
}
