//! WebSockets and event streams pass. These gateways cannot cut them when a session ends.

use std::net::SocketAddr;

use portcullis_tests::{
    gateways::Sample,
    upstream::{EVENTS, WEBSOCKET},
    visitor::Visit,
    wait::within,
};
use rustix::process::Signal;
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

/// Nothing cuts a stream when its session ends, so its age is bounded where the gateway can.
async fn streams_have_an_age(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    let shorten: fn(Sample) -> Sample = match kind {
        Kind::NginxDebian | Kind::NginxNewest => {
            |sample| sample.set("worker_shutdown_timeout 30s", "worker_shutdown_timeout 1s")
        }
        Kind::CaddyNewest => |sample| sample.set("stream_timeout 5m", "stream_timeout 1s"),
        Kind::Haproxy => |sample| sample.set("hard-stop-after 30s", "hard-stop-after 1s"),
        // Their pages say that they have no bound.
        Kind::CaddyDebian | Kind::Traefik => return,
    };
    rig.restart_gateway(shorten).await;
    let token = rig.token("alice").await;
    let mut socket = Stream::open(rig.gateway.http(), &handshake().bearer(&token)).await;
    assert!(socket.head.contains(" 101 "), "{}: {rig}", socket.head);

    match kind {
        Kind::NginxDebian | Kind::NginxNewest => rig.gateway.running.signal_leader(Signal::HUP),
        // What `systemctl reload` sends to the old process.
        Kind::Haproxy => rig.gateway.running.signal_leader(Signal::USR1),
        _ => {}
    }
    let mut rest = Vec::new();
    // A reset is an end too.
    let _ended = within(
        "the stream to end",
        socket.connection.read_to_end(&mut rest),
    )
    .await;
    if kind != Kind::Haproxy {
        rig.admitted(&Visit::get("/").bearer(&token)).await;
    }
}

/// Behind a load balancer, the lines for it make the client known.
async fn a_trusted_load_balancer_tells_the_client(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    let token = rig.token("alice").await;
    let visit = Visit::get("/")
        .bearer(&token)
        .header("X-Forwarded-For", "192.0.2.1, 203.0.113.9");
    let echo = rig.admitted(&visit).await;
    assert_eq!(echo.value("x-forwarded-for"), Some("127.0.0.1"), "{kind:?}");

    let trust: fn(Sample) -> Sample = match kind {
        Kind::NginxDebian | Kind::NginxNewest => |sample| {
            sample
                .set(
                    "# set_real_ip_from 10.0.0.0/8",
                    "set_real_ip_from 127.0.0.0/8",
                )
                .set("# real_ip_", "real_ip_")
        },
        // Caddy has `trusted_proxies` here since 2.6.3.
        Kind::CaddyDebian => return,
        Kind::CaddyNewest => |sample| {
            sample.set(
                "# trusted_proxies static 10.0.0.0/8",
                "trusted_proxies static 127.0.0.0/8",
            )
        },
        Kind::Traefik => |sample| {
            sample.set("# forwardedHeaders:", "forwardedHeaders:").set(
                "#   trustedIPs: [10.0.0.0/8]",
                "  trustedIPs: [127.0.0.0/8]",
            )
        },
        Kind::Haproxy => |sample| {
            sample
                .set("# http-request set-src", "http-request set-src")
                .set("10.0.0.0/8", "127.0.0.0/8")
        },
    };
    rig.restart_gateway(trust).await;
    let echo = rig.admitted(&visit).await;
    let expected = match kind {
        Kind::CaddyNewest | Kind::Traefik => "192.0.2.1, 203.0.113.9, 127.0.0.1",
        _ => "203.0.113.9",
    };
    assert_eq!(echo.value("x-forwarded-for"), Some(expected), "{kind:?}");
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

at_every_gateway!(
    a_websocket_is_admitted_or_refused,
    events_arrive_at_once,
    streams_have_an_age,
    a_trusted_load_balancer_tells_the_client,
);
