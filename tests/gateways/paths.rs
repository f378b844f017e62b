//! Tricks with targets: the gateway, the sidecar and the application must read the same path of the same host.

use portcullis_tests::visitor::Visit;

use crate::rig::{Kind, OPEN_HOST, Rig};

/// Targets that one reader takes for public and another does not.
const TRICKS: [&str; 40] = [
    "/public/../private",
    "/public/%2e%2e/private",
    "/public/%2E%2E/private",
    "/public/.%2e/private",
    "/public/..%2fprivate",
    "/public/..%2Fprivate",
    "/public%2f..%2fprivate",
    "/public/%252e%252e/private",
    "/public/..%252fprivate",
    "/public/..;/private",
    "/public;/../private",
    "/public/..\\private",
    "/public\\..\\private",
    "/public/..%5cprivate",
    "/public/%00/../private",
    "/public/a%00",
    "/public/./../private",
    "/public//../private",
    "/public/a/../../private",
    "//public/a",
    "//private/../public/a",
    "/./public/a",
    "/private/../public/a",
    "/private/%2e%2e/public/a",
    "/private;/../public/a",
    "/private%3f/../public/a",
    "/private%23/../public/a",
    "/private#/../../public/a",
    "/public/a#/../../private",
    "/private\\..\\public/a",
    "/Public/a",
    "/PUBLIC/a",
    "/pub%6cic/a",
    "/public%",
    "/public/%zz",
    "/public/\u{e9}",
    "/public/a%20b",
    "/public/a b",
    "public/a",
    "?/public/a",
];

async fn a_trick_never_reaches_what_is_private(kind: Kind) {
    let rig = Rig::start(kind).await;
    for good in ["/public/a", "/public/a/b?c=/../private", "/public/a-b_c~d"] {
        assert_eq!(rig.admitted(&Visit::get(good)).await.target, good);
    }
    for trick in TRICKS {
        let Some(visited) = rig.visit(&Visit::get(trick)).await else {
            continue;
        };
        if visited.reached {
            let target = visited.answer.echo().target;
            assert!(
                is_public(&target),
                "{trick} arrived as {target} at {kind:?}"
            );
        }
    }
}

/// Whether every reading of a target is below `/public/`.
fn is_public(target: &str) -> bool {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let decoded = decode(path);
    // Every server decodes once; some decode twice.
    [&decoded, &decode(&decoded)].iter().all(|reading| {
        let slashes = reading.replace('\\', "/");
        let without_parameters: Vec<&str> = slashes
            .split('/')
            .map(|segment| segment.split(';').next().unwrap_or_default())
            .collect();
        resolve(&without_parameters).starts_with("/public/")
    })
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn resolve(segments: &[&str]) -> String {
    let mut resolved: Vec<&str> = Vec::new();
    for segment in segments {
        match *segment {
            "" | "." => {}
            ".." => {
                resolved.pop();
            }
            other => resolved.push(other),
        }
    }
    format!("/{}", resolved.join("/"))
}

/// The host that is judged is the host that the application gets.
async fn the_host_that_is_judged_arrives(kind: Kind) {
    let rig = Rig::start(kind).await;
    let open = Visit::get("/open/a");
    let at = |host: &str| Visit {
        host: Some(host.to_owned()),
        ..open.clone()
    };
    let host = |visit: &Visit| {
        let visit = visit.clone();
        let rig = &rig;
        async move {
            let visited = rig.visit(&visit).await?;
            visited.reached.then(|| {
                let echo = visited.answer.echo();
                echo.value("host").expect("a host").to_owned()
            })
        }
    };
    assert_eq!(host(&at(OPEN_HOST)).await.as_deref(), Some(OPEN_HOST));
    assert_eq!(host(&at("private.test")).await, None);

    let mut tricks = vec![
        at("private.test").header("X-Forwarded-Host", OPEN_HOST),
        at("private.test").header("Host", OPEN_HOST),
        at(OPEN_HOST).header("Host", "private.test"),
        at("private.test@open.test"),
        at("open.test@private.test"),
        at("open.test, private.test"),
        at("open.test:x"),
        at("open.test/../private.test"),
        at(""),
        Visit {
            host: None,
            ..open.clone()
        },
    ];
    for (target, named) in [
        ("http://open.test/open/a", "private.test"),
        ("http://private.test/open/a", OPEN_HOST),
        ("https://open.test/open/a", "private.test"),
        ("http://open.test@private.test/open/a", OPEN_HOST),
        ("//open.test/open/a", "private.test"),
    ] {
        tricks.push(Visit {
            target: target.as_bytes().to_vec(),
            ..at(named)
        });
    }
    for trick in tricks {
        if let Some(arrived) = host(&trick).await {
            let name = arrived.split(':').next();
            assert_eq!(name, Some(OPEN_HOST), "{trick:?} at {kind:?}");
        }
    }
}

at_every_gateway!(
    a_trick_never_reaches_what_is_private,
    the_host_that_is_judged_arrives,
);
