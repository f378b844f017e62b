//! The headers that the upstream gets.

use portcullis_tests::{upstream::Echo, visitor::Visit};

use crate::rig::{COOKIE, Kind, Rig};

/// The identity leaves for the upstream, and the credential stays.
async fn the_upstream_gets_the_identity_and_no_credential(kind: Kind) {
    let rig = Rig::start(kind).await;
    let token = rig.token("alice").await;

    let bearer = rig.admitted(&Visit::get("/hello?a=b").bearer(&token)).await;
    assert_eq!(bearer.target, "/hello?a=b");
    assert_eq!(bearer.value("x-portcullis-user"), Some("alice"));
    assert_eq!(bearer.value("x-portcullis-tenant"), Some("acme"));
    assert_eq!(bearer.value("authorization"), None);
    assert_eq!(bearer.value("x-portcullis-scopes"), None);
    assert_eq!(bearer.value("x-forwarded-for"), Some("127.0.0.1"));

    // Braces are placeholders in a Caddyfile.
    let cookies = format!("theme={{env.PATH}}; {COOKIE}={token}; a=b");
    let cookie = rig
        .admitted(&Visit::get("/").header("cookie", &cookies))
        .await;
    assert_eq!(cookie.value("cookie"), Some("theme={env.PATH}; a=b"));
    assert_eq!(cookie.value("x-portcullis-user"), Some("alice"));

    let only = format!("{COOKIE}={token}");
    let nothing_left = rig.admitted(&Visit::get("/").header("cookie", &only)).await;
    assert_eq!(nothing_left.value("cookie"), None);

    let own = Visit::get("/public/a").header("authorization", "Basic YTpi");
    let public = rig.admitted(&own.header("cookie", "a=b")).await;
    assert_eq!(public.value("authorization"), Some("Basic YTpi"));
    assert_eq!(public.value("cookie"), Some("a=b"));
    assert_eq!(public.value("x-portcullis-user"), None);
}

/// No spelling of an identity header of the client arrives, with a session and on a public route.
async fn identity_headers_of_the_client_do_not_arrive(kind: Kind) {
    const SPELLINGS: [&str; 10] = [
        "X-Portcullis-User",
        "x-portcullis-user",
        "X-PORTCULLIS-USER",
        "X_Portcullis_User",
        "X-Portcullis_User",
        "x_portcullis-user",
        "X.Portcullis.User",
        "X-Portcullis-Scopes",
        "X-Portcullis-Api_Key",
        "X-Portcullis-Identity",
    ];
    let rig = Rig::start(kind).await;
    let token = rig.token("alice").await;
    let mut everything = Visit::get("/");
    for spelling in SPELLINGS {
        let twice = Visit::get("/")
            .bearer(&token)
            .header(spelling, "eve")
            .header(spelling, "mallory");
        expect_only_alice(&rig, spelling, &rig.admitted(&twice).await);
        let public = Visit::get("/public/a").header(spelling, "eve");
        let echo = rig.admitted(&public).await;
        assert_eq!(identity(&echo), [], "{spelling} at {:?}", rig.kind);
        everything = everything.header(spelling, "eve");
    }
    let echo = rig.admitted(&everything.bearer(&token)).await;
    expect_only_alice(&rig, "all of them", &echo);
}

/// The client's description of its own request is not believed.
async fn descriptions_of_the_client_are_not_believed(kind: Kind) {
    const LIES: [(&str, &str); 12] = [
        ("X-Forwarded-Uri", "/public/a"),
        ("X-Forwarded-Method", "OPTIONS"),
        ("X-Forwarded-Host", "open.test"),
        ("X-Forwarded-Prefix", "/public"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X_Forwarded_Uri", "/public/a"),
        ("X-Original-URI", "/public/a"),
        ("X-Original-URL", "/public/a"),
        ("X-Original-Host", "open.test"),
        ("X-Rewrite-Url", "/public/a"),
        ("X-Portcullis-Status", "200"),
        ("Forwarded", "for=203.0.113.9;host=open.test"),
    ];
    /// Headers from which some applications take the path.
    const OF_A_PATH: [&str; 4] = [
        "x-forwarded-uri",
        "x-original-uri",
        "x-original-url",
        "x-rewrite-url",
    ];
    let rig = Rig::start(kind).await;
    let token = rig.token("alice").await;
    let mut all = Visit::get("/open/a");
    for (name, value) in LIES {
        rig.refused(&Visit::get("/open/a").header(name, value), 401)
            .await;
        all = all.header(name, value);
    }
    rig.refused(&all, 401).await;

    let echo = rig.admitted(&all.bearer(&token)).await;
    assert_eq!(echo.value("x-forwarded-for"), Some("127.0.0.1"));
    for name in OF_A_PATH {
        assert_eq!(echo.value(name), None, "{name} at {kind:?}");
    }
    assert_ne!(
        echo.value("x-forwarded-host"),
        Some("open.test"),
        "{kind:?}"
    );
}

fn expect_only_alice(rig: &Rig, spelling: &str, echo: &Echo) {
    let found = identity(echo);
    let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
    for (name, value) in &found {
        assert!(
            *value != "eve" && *value != "mallory",
            "{spelling} at {:?}: {name} is {value}",
            rig.kind
        );
        let same = names.iter().filter(|other| other == &name).count();
        assert_eq!(same, 1, "{spelling} at {:?}: {name} twice", rig.kind);
    }
    assert!(found.contains(&("x-portcullis-user", "alice")), "{found:?}");
}

/// The headers that an application could read as an identity header.
fn identity(echo: &Echo) -> Vec<(&str, &str)> {
    let all = echo.headers.iter().chain(&echo.trailers);
    all.filter(|(name, _)| {
        let folded: String = name
            .chars()
            .map(|sign| {
                if sign.is_ascii_alphanumeric() {
                    sign
                } else {
                    '-'
                }
            })
            .collect();
        folded.to_ascii_lowercase().starts_with("x-portcullis-")
    })
    .map(|(name, value)| (name.as_str(), value.as_str()))
    .collect()
}

at_every_gateway!(
    the_upstream_gets_the_identity_and_no_credential,
    identity_headers_of_the_client_do_not_arrive,
    descriptions_of_the_client_are_not_believed,
);
