//! Requests that no proper client sends: a typed refusal, never a panic, never open.

use portcullis_tests::visitor::{Visit, send};

use crate::scene::{Marked, Scene};

/// Expects that a request did not reach the upstream, and that the answer, if any, is a refusal.
fn expect_refused(marked: &Marked, what: &str) {
    assert!(!marked.reached, "{what}: it reached the upstream");
    if let Some(answer) = &marked.answer {
        let status = answer.status.as_u16();
        let refusals = [
            400, 401, 403, 404, 405, 413, 414, 421, 426, 431, 494, 501, 505,
        ];
        assert!(
            refusals.contains(&status),
            "{what}: {status} {}",
            answer.text()
        );
    }
}

/// Expects that the door still works.
async fn expect_alive(scene: &Scene) {
    let ada = scene.sign_in("ada").await;
    scene.admitted(&Visit::get("/").bearer(&ada.token)).await;
}

pub async fn hosts(scene: Scene) {
    let ada = scene.sign_in("ada").await.token;
    let without = |visit: Visit| Visit {
        host: None,
        ..visit
    };
    for visit in [
        without(Visit::get("/orders")),
        without(Visit::get("/orders").bearer(&ada)),
        without(Visit::get("/public/x")),
        without(
            Visit::get("/orders")
                .header("host", "open.test")
                .header("host", "service.test"),
        ),
        without(
            Visit::get("/orders")
                .header("host", "service.test")
                .header("host", "open.test"),
        ),
        without(Visit::get("/orders").header("host", "open.test, service.test")),
        without(Visit::get("/orders").header("host", "open.test@service.test")),
        without(Visit::get("/orders").header("host", "service.test/open.test")),
        without(Visit::get("/orders").header("host", "open.test/../service.test")),
        without(Visit::get("/orders").header("host", b"\xff.open.test")),
    ] {
        let marked = scene.settled(&visit).await;
        expect_refused(&marked, &format!("{visit:?}"));
    }
    // Caddy sends no question at all without a host, and so answers as if nobody could decide.
    let visit = without(Visit::get("/orders").bearer(&ada).header("host", ""));
    let marked = scene.send(&visit).await;
    assert!(!marked.reached, "an empty host reached the upstream");
    // NGINX judges and forwards the name without what follows it.
    let visit = without(Visit::get("/orders").header("host", "open.test:port"));
    let marked = scene.settled(&visit).await;
    if marked.reached {
        let echo = marked.answer.expect("an answer").echo();
        assert_eq!(echo.value("host"), Some("open.test"));
    } else {
        expect_refused(&marked, "a port that is none");
    }
    // What a client writes about its host decides nothing.
    let visit = Visit::get("/orders")
        .header("x-forwarded-host", "open.test")
        .header("x-original-host", "open.test")
        .header("x-host", "open.test")
        .header("forwarded", "host=open.test");
    scene.refused(&visit, 401, "missing").await;
    let visit = Visit {
        host: Some("open.test".into()),
        ..Visit::get("/orders")
    };
    let echo = scene.admitted(&visit).await;
    assert_eq!(echo.value("host"), Some("open.test"));
    expect_alive(&scene).await;
}

pub async fn targets(scene: Scene) {
    let ada = scene.sign_in("ada").await.token;
    for (method, target) in [
        ("CONNECT", "service.test:443"),
        ("CONNECT", "/orders"),
        ("GET", "service.test:443"),
        ("GET", "service.test/orders"),
        ("OPTIONS", "*"),
        ("GET", "*"),
        ("GET", "http://service.test/orders"),
        ("GET", "http://open.test@service.test/orders"),
        ("GET", "http:/orders"),
        ("GET", ""),
        ("GET", "/a b"),
    ] {
        let marked = scene.settled(&Visit::new(method, target)).await;
        // A server may answer a question about itself.
        if target == "*" && !marked.reached {
            continue;
        }
        expect_refused(&marked, &format!("{method} {target}"));
    }

    // Two hosts in one request: the one that was judged is the one that the upstream sees.
    for (target, host) in [
        ("http://open.test/orders", "service.test"),
        ("http://service.test/orders", "open.test"),
        ("https://open.test/orders", "service.test"),
        ("http://open.test@service.test/orders", "open.test"),
        ("//open.test/orders", "service.test"),
    ] {
        let visit = Visit {
            host: Some(host.into()),
            ..Visit::get(target)
        };
        let marked = scene.settled(&visit).await;
        if marked.reached {
            let echo = marked.answer.expect("an answer").echo();
            assert_eq!(echo.value("host"), Some("open.test"), "{target} at {host}");
            assert_eq!(echo.target, "/orders", "{target} at {host}");
        }
    }
    // Servers in Go read the path of any absolute target.
    let marked = scene.settled(&Visit::get("file:///public/x")).await;
    if marked.reached {
        let echo = marked.answer.expect("an answer").echo();
        assert_eq!(echo.target, "/public/x");
    }
    let absolute = Visit::get("http://service.test/orders").bearer(&ada);
    let marked = scene.settled(&absolute).await;
    if !marked.reached {
        expect_refused(&marked, "an absolute target");
    }
    // What a client writes about its target decides nothing.
    let visit = Visit::get("/orders")
        .header("x-forwarded-uri", "/public/x")
        .header("x-original-uri", "/public/x")
        .header("x-original-url", "/public/x")
        .header("x-rewrite-url", "/public/x")
        .header("x-envoy-original-path", "/public/x")
        .header("x-forwarded-prefix", "/public");
    scene.refused(&visit, 401, "missing").await;
    expect_alive(&scene).await;
}

pub async fn large_heads(scene: Scene) {
    let ada = scene.sign_in("ada").await.token;
    let visit = || Visit::get("/").bearer(&ada);
    let value = "v".repeat(70 * 1024);
    let mut many = visit();
    for number in 0..1_000 {
        many = many.header(&format!("x-{number}"), "v".repeat(64));
    }
    let mut pieces = visit();
    for number in 0..9 {
        pieces = pieces.header(&format!("x-{number}"), "v".repeat(7 * 1024));
    }
    pieces = pieces.header("x-last", "v".repeat(3 * 1024));
    let refusals = [
        visit().header("x-large", &value),
        many,
        pieces,
        Visit::get(&format!("/orders?{value}")).bearer(&ada),
        Visit::get("/").bearer(&value),
        visit().header("cookie", &value),
        visit().header(&"n".repeat(70 * 1024), "x"),
    ];
    for (number, visit) in refusals.iter().enumerate() {
        let marked = scene.settled(visit).await;
        expect_refused(&marked, &format!("large head {number}"));
    }
    // Without a credential nothing large is a way in.
    let marked = scene
        .settled(&Visit::get("/").header("x-large", "v".repeat(7 * 1024)))
        .await;
    expect_refused(&marked, "7 kB");
    expect_alive(&scene).await;
}

pub async fn invalid_utf8(scene: Scene) {
    let ada = scene.sign_in("ada").await.token;
    for visit in [
        Visit::get("/").header("authorization", b"Bearer \xff\xfe"),
        Visit::get("/").header(
            "authorization",
            [b"Bearer ", ada.as_bytes(), b"\xff"].concat(),
        ),
        Visit::get("/").header("cookie", b"portcullis_session=\xff"),
        Visit::new("GET", b"/orders/\xff".as_slice()),
        Visit::new("GET", b"/public/\xff".as_slice()),
        Visit::new("GET", b"/public/../\xff".as_slice()),
    ] {
        let marked = scene.settled(&visit).await;
        expect_refused(&marked, &format!("{visit:?}"));
    }
    // A header of another application may have any bytes: it is refused, or it changes nothing.
    let visit = Visit::get("/").bearer(&ada).header("x-city", b"Z\xfcrich");
    let marked = scene.settled(&visit).await;
    if marked.reached {
        let echo = marked.answer.expect("an answer").echo();
        assert_eq!(echo.value("x-portcullis-user"), Some("ada"));
    } else {
        expect_refused(&marked, "another header");
    }
    let visit = Visit::get("/").header("x-city", b"Z\xfcrich");
    expect_refused(&scene.settled(&visit).await, "without a credential");
    expect_alive(&scene).await;
}

pub async fn many_cookies(scene: Scene) {
    let ada = scene.sign_in("ada").await.token;
    let mut different = Vec::new();
    for number in 0..10 {
        let session = scene.sign_in(&format!("user-{number}")).await;
        different.push(format!("portcullis_session={}", session.token));
    }
    let in_one = Visit::get("/").header("cookie", different.join("; "));
    let mut in_many = Visit::get("/");
    for cookie in &different {
        in_many = in_many.header("cookie", cookie);
    }
    for visit in [in_one, in_many] {
        expect_refused(&scene.settled(&visit).await, "ten cookies of one name");
    }
    let same = vec![format!("portcullis_session={ada}"); 10].join("; ");
    let marked = scene.settled(&Visit::get("/").header("cookie", same)).await;
    if marked.reached {
        let echo = marked.answer.expect("an answer").echo();
        assert_eq!(echo.value("x-portcullis-user"), Some("ada"));
        let cookies = echo.values("cookie").concat();
        assert!(
            !cookies.contains(&ada),
            "the credential reached the upstream"
        );
    }
    // Other cookies beside it, in headers of their own.
    let visit = Visit::get("/")
        .header("cookie", "a=1")
        .header("cookie", format!("portcullis_session={ada}"))
        .header("cookie", "b=2");
    let marked = scene.settled(&visit).await;
    if marked.reached {
        let cookies = marked
            .answer
            .expect("an answer")
            .echo()
            .values("cookie")
            .concat();
        assert!(
            !cookies.contains(&ada),
            "the credential reached the upstream"
        );
    }
    expect_alive(&scene).await;
}

pub async fn casing(scene: Scene) {
    let ada = scene.sign_in("ada").await.token;
    for (name, scheme) in [
        ("Authorization", "Bearer"),
        ("AUTHORIZATION", "BEARER"),
        ("aUtHoRiZaTiOn", "bEaReR"),
    ] {
        let visit = Visit::get("/").header(name, format!("{scheme} {ada}"));
        let echo = scene.admitted(&visit).await;
        assert!(echo.values("authorization").concat().is_empty(), "{name}");
    }
    let visit = Visit::get("/").header("COOKIE", format!("portcullis_session={ada}"));
    scene.admitted(&visit).await;
    let visit = Visit::get("/").header("cookie", format!("PORTCULLIS_SESSION={ada}"));
    scene.refused(&visit, 401, "missing").await;
}

/// Heads after which one server reads a body, and another one the next request. The body ends before it in chunks.
const AMBIGUOUS_BODIES: &[&str] = &[
    "Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n",
    "Content-Length: {length}\r\nTransfer-Encoding: xchunked\r\n",
    "Content-Length: {length}\r\nTransfer-Encoding : chunked\r\n",
    "Content-Length: {length}\r\nTransfer-Encoding: identity\r\n",
    "Content-Length: {length}\r\nTransfer-Encoding:\x0bchunked\r\n",
    "Content-Length: 0\r\nContent-Length: {length}\r\n",
    "Content-Length: +{length}\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
];

/// Heads after which one server hands the connection over, and another one reads the next request.
const UPGRADES: &[&str] = &[
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    "Upgrade: websocket\r\nConnection: Upgrade\r\n",
    "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
    "Upgrade: tcp\r\nConnection: Upgrade\r\n",
];

/// A second request in what one server reads as the first one's body, or after what one server reads as an upgrade.
pub async fn smuggling(scene: Scene) {
    let bodies = AMBIGUOUS_BODIES
        .iter()
        .map(|head| ("POST", *head, "0\r\n\r\n"));
    let upgrades = UPGRADES.iter().map(|head| ("GET", *head, ""));
    let attempts = bodies.chain(upgrades).map(|(method, head, before)| {
        let scene = &scene;
        async move {
            let inner = scene.new_mark();
            let hidden = format!(
                "{before}GET /orders HTTP/1.1\r\nHost: service.test\r\nX-Portcullis-User: root-of-all\r\nX-Mark: {inner}\r\n\r\n"
            );
            let head = head.replace("{length}", &hidden.len().to_string());
            let bytes = format!(
                "{method} /public/x HTTP/1.1\r\nHost: service.test\r\n{head}\r\n{hidden}"
            );
            scene.send_bytes_until_idle(bytes.as_bytes()).await;
            assert!(!scene.reached(&inner), "smuggled by {head:?}");
        }
    });
    futures::future::join_all(attempts).await;
    expect_alive(&scene).await;
}

/// An upgrade to anything but a WebSocket would be a tunnel, in which no later request is judged.
pub async fn upgrades(scene: Scene) {
    for protocol in ["h2c", "tcp", "TLS/1.0", "websocket, h2c", "h2c, websocket"] {
        let mark = scene.new_mark();
        let bytes = format!(
            "GET /public/x HTTP/1.1\r\nHost: service.test\r\nUpgrade: {protocol}\r\nConnection: close, Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nX-Mark: {mark}\r\n\r\n"
        );
        let answer = send(scene.http(), bytes.as_bytes()).await;
        let marked = scene.marked(answer, &mark);
        if marked.reached {
            let answer = marked.answer.expect("an answer");
            // The upstream never answers so: the door itself goes on in HTTP/2, and judges each request of it.
            if answer.status == 101 {
                continue;
            }
            let echo = answer.echo();
            let passed = echo.values("upgrade").join(", ").to_lowercase();
            assert!(
                ["", "websocket"].contains(&passed.as_str()),
                "{protocol}: {passed}"
            );
        }
    }
    expect_alive(&scene).await;
}

pub async fn old_versions(scene: Scene) {
    let ada = scene.sign_in("ada").await.token;
    for head in [
        "GET /orders HTTP/1.0\r\n",
        "GET /orders HTTP/0.9\r\n",
        "GET /orders\r\n",
        "GET /orders HTTP/1.1 \r\n",
        "GET  /orders HTTP/1.1\r\n",
        "GET /orders HTTP/9.9\r\n",
        "GET /orders http/1.1\r\n",
    ] {
        let mark = scene.new_mark();
        let bytes =
            format!("{head}Host: service.test\r\nConnection: close\r\nX-Mark: {mark}\r\n\r\n");
        let answer = send(scene.http(), bytes.as_bytes()).await;
        expect_refused(&scene.marked(answer, &mark), head);
    }
    let mark = scene.new_mark();
    let bytes =
        format!("GET /orders HTTP/1.0\r\nX-Mark: {mark}\r\nAuthorization: Bearer {ada}\r\n\r\n");
    let answer = send(scene.http(), bytes.as_bytes()).await;
    let marked = scene.marked(answer, &mark);
    if marked.reached {
        let echo = marked.answer.expect("an answer").echo();
        assert_eq!(echo.value("x-portcullis-user"), Some("ada"));
    }
    expect_alive(&scene).await;
}
