//! The headers that the upstream gets.

use portcullis_tests::visitor::Visit;

use super::{at_every_gateway, rig::Rig};
use crate::kind::Kind;

/// The client's description of its own request does not reach the application.
async fn descriptions_of_the_client_do_not_arrive(kind: Kind) {
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
    let mut all = Visit::get("/private/a");
    for (name, value) in LIES {
        rig.refused(&Visit::get("/private/a").header(name, value), 401)
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
    // The mark by which a gateway knows an admission is not the application's.
    assert_eq!(echo.value("portcullis-decision"), None, "{kind:?}");
}

/// A client cannot mark its own request as admitted.
async fn a_client_cannot_admit_itself(kind: Kind) {
    let rig = Rig::start(kind).await;
    let marks = Visit::get("/")
        .header("Portcullis-Decision", "allow")
        .header("X-Portcullis-Decision", "allow")
        .header("X-Portcullis-Status", "200");
    rig.refused(&marks, 401).await;
}

at_every_gateway!(
    descriptions_of_the_client_do_not_arrive,
    a_client_cannot_admit_itself,
);
