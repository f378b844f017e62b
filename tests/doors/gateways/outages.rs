//! Nothing is admitted when the sidecar does not answer as it should.

use std::time::Duration;

use portcullis_tests::{
    gateways::Behind,
    upstream::Upstream,
    visitor::{Answer, Visit},
    wait::{eventually, within},
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use crate::rig::{Kind, Rig};

/// The longest time that a gateway waits for a decision, and some for a busy machine. Traefik waits 30 s.
const DECISION_MAX: Duration = Duration::from_secs(10);

async fn a_killed_sidecar_refuses(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    let token = rig.token("alice").await;
    rig.admitted(&Visit::get("/").bearer(&token)).await;

    rig.sidecar.kill().await;
    for visit in [
        Visit::get("/").bearer(&token),
        Visit::get("/"),
        Visit::get("/public/a"),
        Visit::new("POST", "/")
            .bearer(&token)
            .header("content-length", "0"),
    ] {
        let answer = rig.refused(&visit, kind.unanswered()).await;
        expect_time(kind, &answer);
    }
}

async fn a_stopped_sidecar_refuses(kind: Kind) {
    let rig = Rig::start(kind).await;
    let token = rig.token("alice").await;
    let visit = Visit::get("/").bearer(&token);
    rig.admitted(&visit).await;

    stop(rig.sidecar.id()).await;
    let waiting = rig.refused(&visit, kind.unanswered());
    if kind == Kind::Traefik {
        tokio::pin!(waiting);
        let early = timeout(crate::rig::NO_ANSWER, &mut waiting).await;
        assert!(early.is_err(), "answered before anybody decided");
        kill_process(rig.sidecar.id(), Signal::KILL).expect("killed");
        waiting.await;
        return;
    }
    let answer = timeout(DECISION_MAX, waiting).await.expect("bounded");
    expect_time(kind, &answer);

    kill_process(rig.sidecar.id(), Signal::CONT).expect("goes on");
    within("the gateway to admit again", async {
        while rig
            .visit(&visit)
            .await
            .is_none_or(|visited| visited.answer.status != 200)
        {}
    })
    .await;
}

/// Servers that are no sidecar: none of their answers admits.
async fn another_server_admits_nobody(kind: Kind) {
    const ANSWERS: [&str; 12] = [
        "",
        // Traefik takes every success for an admission: its page says so.
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
    for answer in ANSWERS {
        if kind == Kind::Traefik && answer.contains("HTTP/1.1 20") {
            continue;
        }
        let upstream = Upstream::start().await;
        let server = serve(answer).await;
        let behind = Behind {
            sidecar: server,
            application: upstream.address(),
        };
        let gateway = kind.start(&behind).await;
        for path in ["/", "/public/a"] {
            let visit = Visit::get(path).bearer("x").mark("strange");
            let _refused = visit.http1(gateway.http()).await;
            assert_eq!(upstream.reached("strange"), 0, "{answer} at {kind:?}");
        }
    }
}

/// An application that does not answer is no refusal.
async fn an_outage_of_the_application_is_not_one_of_the_door(kind: Kind) {
    let mut rig = Rig::start(kind).await;
    let token = rig.token("alice").await;
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let nobody = free.local_addr().expect("an address");
    drop(free);
    let behind = Behind {
        sidecar: rig.sidecar.forward_auth.clone(),
        application: nobody,
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

/// Stops a process, and waits until none of its threads runs.
async fn stop(process: Pid) {
    kill_process(process, Signal::STOP).expect("signalled");
    eventually("the process to stop", async || {
        let tasks = format!("/proc/{}/task", process.as_raw_nonzero());
        let tasks = std::fs::read_dir(tasks).expect("its threads");
        let mut states = tasks.map(|task| {
            let file = task.expect("a thread").path().join("stat");
            std::fs::read_to_string(file).unwrap_or_default()
        });
        states.all(|state| state.contains(") T ")).then_some(())
    })
    .await;
}

fn expect_time(kind: Kind, answer: &Answer) {
    if kind == Kind::Traefik {
        return;
    }
    assert_eq!(answer.header("retry-after"), Some("1"), "{kind:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{kind:?}");
    assert!(
        answer.text().contains("temporarily_unavailable"),
        "{answer:?}"
    );
}

/// Answers every connection with these bytes, and returns its address.
async fn serve(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut question = [0; 4096];
            // The gateway may be gone.
            let _ = stream.read(&mut question).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address.to_string()
}

at_every_gateway!(
    a_killed_sidecar_refuses,
    a_stopped_sidecar_refuses,
    another_server_admits_nobody,
    an_outage_of_the_application_is_not_one_of_the_door,
);
