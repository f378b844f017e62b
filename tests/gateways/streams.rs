//! WebSockets and event streams pass. These gateways cannot cut them when a session ends.

use std::net::SocketAddr;

use portcullis_tests::{
    upstream::{EVENTS, WEBSOCKET},
    visitor::Visit,
    wait::within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::rig::{Kind, Rig};

/// A text frame with the message `hello`, masked as clients must.
const HELLO: [u8; 11] = [
    0x81,
    0x85,
    1,
    2,
    3,
    4,
    b'h' ^ 1,
    b'e' ^ 2,
    b'l' ^ 3,
    b'l' ^ 4,
    b'o' ^ 1,
];
/// The same frame of a server.
const HELLO_BACK: [u8; 7] = [0x81, 0x05, b'h', b'e', b'l', b'l', b'o'];

async fn a_websocket_is_admitted_or_refused(kind: Kind) {
    let rig = Rig::start(kind).await;
    let token = rig.token("alice").await;
    let refused = Stream::open(rig.gateway.http(), &handshake()).await;
    assert!(refused.head.contains(" 401 "), "{}: {rig}", refused.head);

    let mut socket = Stream::open(rig.gateway.http(), &handshake().bearer(&token)).await;
    assert!(socket.head.contains(" 101 "), "{}: {rig}", socket.head);
    for _ in 0..2 {
        socket.write(&HELLO).await;
        assert_eq!(socket.read(HELLO_BACK.len()).await, HELLO_BACK, "{rig}");
    }
}

/// Events arrive as they are written, not in blocks.
async fn events_arrive_at_once(kind: Kind) {
    let rig = Rig::start(kind).await;
    let token = rig.token("alice").await;
    rig.refused(&Visit::get(EVENTS), 401).await;

    let mut events = Stream::open(rig.gateway.http(), &Visit::get(EVENTS).bearer(&token)).await;
    assert!(events.head.contains(" 200 "), "{}: {rig}", events.head);
    let mut text = String::new();
    while !text.contains("data: 3") {
        text.push_str(&String::from_utf8_lossy(&events.read(1).await));
    }
}

fn handshake() -> Visit {
    Visit::get(WEBSOCKET)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// An answer that goes on.
struct Stream {
    connection: TcpStream,
    /// The status line and the headers.
    head: String,
}

impl Stream {
    async fn open(gateway: SocketAddr, visit: &Visit) -> Self {
        let mut connection = TcpStream::connect(gateway).await.expect("connects");
        connection
            .write_all(&visit.to_http1())
            .await
            .expect("written");
        let mut stream = Self {
            connection,
            head: String::new(),
        };
        while !stream.head.ends_with("\r\n\r\n") {
            let byte = stream.read(1).await;
            stream.head.push(char::from(byte[0]));
        }
        stream
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.connection.write_all(bytes).await.expect("written");
    }

    async fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        within("more of the stream", self.connection.read_exact(&mut bytes))
            .await
            .expect("it goes on");
        bytes
    }
}

at_every_gateway!(a_websocket_is_admitted_or_refused, events_arrive_at_once);
