//! What a client says about its identity never reaches the upstream.

use std::collections::BTreeMap;

use portcullis_tests::{
    upstream::Echo,
    visitor::{Visit, send},
};

use crate::scene::Scene;

/// Names that an upstream may read as an identity header.
const SPOOFS: &[&str] = &[
    "X-Portcullis-User",
    "x-portcullis-user",
    "X-PORTCULLIS-USER",
    "x_portcullis_user",
    "X_Portcullis_User",
    "x-portcullis_user",
    "x_portcullis-user",
    "X-Portcullis-Tenant",
    "x-portcullis-session",
    "x-portcullis-api-key",
    "x-portcullis-api_key",
    "x-portcullis-roles",
    "x_portcullis_roles",
    "x-portcullis-scopes",
    "x-portcullis-acr",
    "x-portcullis-amr",
    "x-portcullis-identity",
    "x.portcullis.user",
];

/// Names that no identity header has yet.
const FURTHER_NAMES: &[&str] = &["x-portcullis-user-2", "X-Portcullis-Color"];

const SPOOF: &str = "root-of-all";

pub async fn headers(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    for name in SPOOFS {
        let visit = Visit::get("/").bearer(&ada.token).header(name, SPOOF);
        let echo = scene.admitted(&visit).await;
        expect_identity(&scene, &echo, Some("ada"), name);
        let public = Visit::get("/public/x").header(name, SPOOF);
        let echo = scene.admitted(&public).await;
        expect_identity(&scene, &echo, None, name);
    }
}

pub async fn further_names(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    for name in FURTHER_NAMES {
        let visit = Visit::get("/").bearer(&ada.token).header(name, SPOOF);
        let echo = scene.admitted(&visit).await;
        expect_identity(&scene, &echo, Some("ada"), name);
    }
}

pub async fn duplicates(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let mut visit = Visit::get("/").bearer(&ada.token);
    for name in SPOOFS {
        visit = visit
            .header(name, SPOOF)
            .header(name, "")
            .header(name, SPOOF);
    }
    let echo = scene.admitted(&visit).await;
    expect_identity(&scene, &echo, Some("ada"), "all at once");
}

pub async fn http2(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    for name in SPOOFS {
        let visit = Visit::get("/").bearer(&ada.token).header(name, SPOOF);
        let marked = scene.settled_http2(&visit).await;
        // A gateway may refuse a strange name by itself.
        if marked.reached {
            let echo = marked.answer.expect("an answer").echo();
            expect_identity(&scene, &echo, Some("ada"), name);
        }
    }
}

pub async fn http3(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    let mut all = Visit::get("/").bearer(&ada.token);
    for name in SPOOFS {
        let visit = Visit::get("/").bearer(&ada.token).header(name, SPOOF);
        expect_identity_if_reached(&scene, &visit, Some("ada"), name).await;
        let public = Visit::get("/public/x").header(name, SPOOF);
        expect_identity_if_reached(&scene, &public, None, name).await;
        all = all.header(name, SPOOF).header(name, "");
    }
    expect_identity_if_reached(&scene, &all, Some("ada"), "all at once").await;
}

/// Sends a request in HTTP/3. A gateway may refuse a strange name by itself.
async fn expect_identity_if_reached(scene: &Scene, visit: &Visit, user: Option<&str>, what: &str) {
    let marked = scene.settled_http3(visit).await;
    if marked.reached {
        let echo = marked.answer.expect("an answer").echo();
        expect_identity(scene, &echo, user, what);
    }
}

pub async fn trailers(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    for name in SPOOFS {
        let mut visit = Visit::new("POST", "/").bearer(&ada.token);
        visit = visit.header("te", "trailers").header("trailer", *name);
        visit.body = Some("a body".into());
        visit.trailers = vec![((*name).to_owned(), SPOOF.into())];
        let marked = scene.settled(&visit).await;
        if marked.reached {
            let answer = marked.answer.expect("an answer");
            // A gateway may end such a request after its head was forwarded.
            if answer.status == 200 {
                expect_identity(&scene, &answer.echo(), Some("ada"), name);
            }
        }
    }
}

/// A client that names an identity header as one of the connection's asks the next hop to remove it.
pub async fn hop_by_hop(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    for name in [
        "x-portcullis-user",
        "X-Portcullis-Tenant",
        "authorization",
        "cookie",
    ] {
        let visit = Visit::get("/")
            .bearer(&ada.token)
            .header("connection", name);
        let marked = scene.settled(&visit).await;
        if marked.reached {
            let echo = marked.answer.expect("an answer").echo();
            expect_identity(&scene, &echo, Some("ada"), name);
        }
    }
}

/// Lines that some servers read as a header and others do not.
pub async fn odd_lines(scene: Scene) {
    let ada = scene.sign_in("ada").await;
    for line in [
        "X-Portcullis-User : root-of-all\r\n",
        "X-Portcullis-User\t: root-of-all\r\n",
        " X-Portcullis-User: root-of-all\r\n",
        "X-Other: a\r\n X-Portcullis-User: root-of-all\r\n",
        "X-Other: a\nX-Portcullis-User: root-of-all\r\n",
        "X-Other: a\rX-Portcullis-User: root-of-all\r\n",
        "X-Other: a\0\r\nX-Portcullis-User: root-of-all\r\n",
        "X-Portcullis-User:root-of-all\r\n",
        "X-Portcullis-User\0: root-of-all\r\n",
        "X-Portcullis-\u{fc}ser: root-of-all\r\n",
        "X-Portcullis-User;: root-of-all\r\n",
    ] {
        let mark = scene.new_mark();
        let head = format!(
            "GET / HTTP/1.1\r\nHost: service.test\r\nX-Mark: {mark}\r\nAuthorization: Bearer {}\r\n{line}Connection: close\r\n\r\n",
            ada.token
        );
        let answer = send(scene.http(), head.as_bytes()).await;
        let marked = scene.marked(answer, &mark);
        if !marked.reached {
            continue;
        }
        let answer = marked.answer.expect("an answer");
        if answer.status == 200 {
            expect_identity(&scene, &answer.echo(), Some("ada"), line);
        }
    }
}

/// Expects the identity of `user` in a request, or none, and nothing that could be read as another one.
fn expect_identity(scene: &Scene, echo: &Echo, user: Option<&str>, what: &str) {
    let all = echo.headers.iter().chain(&echo.trailers);
    let mut found = BTreeMap::<String, Vec<(&str, &str)>>::new();
    for (name, value) in all {
        // A folded line continues the value of the header before it (RFC 9112, section 5.2), and Envoy joins them.
        let is_folded_value = name.eq_ignore_ascii_case("x-other");
        assert!(
            is_folded_value || !value.contains(SPOOF),
            "{what}: {name}: {value}"
        );
        let folded = fold(name);
        if folded.starts_with("x-portcullis-") && !value.is_empty() {
            found.entry(folded).or_default().push((name, value));
        }
    }
    let Some(user) = user else {
        assert!(found.is_empty(), "{what}: {found:?}");
        return;
    };
    assert_eq!(
        found["x-portcullis-user"],
        [("x-portcullis-user", user)],
        "{what}"
    );
    // The tenant's name has spaces and a colon.
    let tenant = scene.tenant.replace(' ', "%20");
    let expected = [("x-portcullis-tenant", tenant.as_str())];
    assert_eq!(found["x-portcullis-tenant"], expected, "{what}");
    assert_eq!(found["x-portcullis-session"].len(), 1, "{what}");
    for name in ["api-key", "roles", "scopes", "acr", "amr"] {
        let name = format!("x-portcullis-{name}");
        assert!(!found.contains_key(&name), "{what}: {found:?}");
    }
}

/// A name as an upstream in the tradition of CGI reads it.
fn fold(name: &str) -> String {
    let fold = |character: char| match character.is_ascii_alphanumeric() {
        true => character.to_ascii_lowercase(),
        false => '-',
    };
    name.chars().map(fold).collect()
}
