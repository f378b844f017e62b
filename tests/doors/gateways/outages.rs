//! Nothing is admitted when another server answers in the sidecar's place, and an outage of the application is its own.

use std::net::SocketAddr;

use portcullis_tests::{
    gateways::Behind,
    ports::free_address,
    upstream::Upstream,
    visitor::Visit,
    wait::{eventually, within},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
};

use super::{at_every_gateway, rig::Rig};
use crate::kind::Kind;

/// The answer of a sidecar that admits.
const ADMISSION: &str = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nPortcullis-Decision: allow\r\nContent-Length: 0\r\n\r\n";

/// Servers that are no sidecar: none of their answers admits.
async fn another_server_admits_nobody(kind: Kind) {
    const ANSWERS: [&str; 12] = [
        "",
        "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\nPortcullis-Decision: deny\r\nContent-Length: 0\r\n\r\n",
        "garbage\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 502 Bad Gateway\r\nX-Portcullis-Status: 200\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
    ];
    let upstream = Upstream::start().await;
    let server = Stranger::start().await;
    let behind = Behind {
        sidecar: server.address.to_string(),
        application: upstream.address(),
    };
    let gateway = kind.start(&behind).await;
    // Without this a gateway that does not know its routes yet would pass.
    server.answer(ADMISSION);
    eventually("the mark to admit", async || {
        let answer = Visit::get("/").http1(gateway.http()).await?;
        (answer.status == 200).then_some(())
    })
    .await;

    for (number, answer) in ANSWERS.iter().enumerate() {
        server.answer(answer);
        let mark = format!("strange {number}");
        for path in ["/", "/public/a"] {
            let visit = Visit::get(path).bearer("x").mark(&mark);
            let refused = visit.http1(gateway.http()).await;
            assert_eq!(upstream.reached(&mark), 0, "{answer} at {kind:?}");
            let status = refused.map(|answer| answer.status);
            assert!(
                status.is_none_or(|status| !status.is_success()),
                "{answer} at {kind:?}: {status:?}"
            );
        }
    }
}

/// An application that does not answer is no refusal.
async fn an_outage_of_the_application_is_not_one_of_the_door(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    let token = rig.token("alice").await;
    let behind = Behind {
        sidecar: rig.sidecar.forward_auth.clone(),
        // Nobody listens there.
        application: free_address(),
    };
    rig.gateway = kind.start(&behind).await;

    let answer = within("the gateway to know its routes", async {
        loop {
            let visited = rig.visit(&Visit::get("/").bearer(&token)).await;
            match visited {
                Some(visited) if visited.answer.status != 404 => return visited.answer,
                _ => {}
            }
        }
    })
    .await;
    assert!(!answer.text().contains("\"door\""), "{}", answer.text());
    let expected = if kind == Kind::Haproxy { 503 } else { 502 };
    assert_eq!(answer.status, expected, "{rig}");
}

/// A server in the sidecar's place.
struct Stranger {
    address: SocketAddr,
    /// The bytes of every answer.
    answer: watch::Sender<&'static str>,
}

impl Stranger {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let answer = watch::Sender::new("");
        let answers = answer.subscribe();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut question = [0; 4096];
                // The gateway may be gone.
                let _ = stream.read(&mut question).await;
                let answer = *answers.borrow();
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, answer }
    }

    fn answer(&self, answer: &'static str) {
        self.answer.send_replace(answer);
    }
}

at_every_gateway!(
    another_server_admits_nobody,
    an_outage_of_the_application_is_not_one_of_the_door,
);
