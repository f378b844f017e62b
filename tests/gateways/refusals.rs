//! The answers to requests that do not go on, as the client sees them.

use portcullis_tests::{
    visitor::{Answer, Visit},
    wait::eventually,
};
use serde_json::Value;

use crate::rig::{Kind, Rig, soon_stale};

/// A refusal arrives whole: status, challenge, body, and nothing to cache.
async fn a_refusal_arrives_whole(kind: Kind) {
    let rig = Rig::start(kind).await;
    let token = rig.token("alice").await;

    let absent = rig.refused(&Visit::get("/"), 401).await;
    expect_body(&absent, "missing_token", "missing");
    assert_eq!(challenges(&absent), ["Bearer"], "{rig}");

    let malformed = rig.refused(&Visit::get("/").bearer("x"), 401).await;
    let challenge = challenges(&malformed).concat();
    assert!(challenge.contains("invalid_token"), "{challenge}");

    let tenant = rig
        .refused(&Visit::get("/other-tenant").bearer(&token), 403)
        .await;
    expect_body(&tenant, "access_denied", "tenant");

    let step_up = rig
        .refused(&Visit::get("/step-up").bearer(&token), 401)
        .await;
    expect_body(&step_up, "insufficient_user_authentication", "acr");
    let challenge = challenges(&step_up).concat();
    assert!(challenge.contains("urn:example:gold"), "{challenge}");

    let post = Visit::new("POST", "/page").header("content-length", "0");
    expect_body(&rig.refused(&post, 401).await, "missing_token", "missing");
}

/// A browser without a session goes to the sign-in page.
async fn a_navigation_is_redirected(kind: Kind) {
    let rig = Rig::start(kind).await;
    let page = Visit::get("/page?a=b")
        .header("accept", "text/html")
        .header("sec-fetch-mode", "navigate");
    let answer = rig.refused(&page, 302).await;
    let location = answer.header("location").expect("an address");
    assert!(
        location.starts_with("/public/sign-in?theme=dark&return_to="),
        "{location} at {kind:?}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{rig}");

    let token = rig.token("alice").await;
    let echo = rig.admitted(&page.bearer(&token)).await;
    assert_eq!(echo.target, "/page?a=b");
}

/// A sidecar that cannot know answers 503, with a time to come back.
async fn a_stale_view_is_503_with_a_time(kind: Kind) {
    let mut rig = Rig::start_with(kind, soon_stale).await;
    let token = rig.token("alice").await;
    rig.authority.stop().await;
    let visit = Visit::get("/").bearer(&token);
    let answer = eventually("the view to be too old", async || {
        let visited = rig.visit(&visit).await?;
        (!visited.reached).then_some(visited.answer)
    })
    .await;
    assert_eq!(answer.status, 503, "{rig}");
    expect_body(&answer, "temporarily_unavailable", "stale");
    assert_eq!(answer.header("retry-after"), Some("1"), "{rig}");
}

/// Checks the body of a refusal, and that nobody keeps it.
fn expect_body(answer: &Answer, error: &str, reason: &str) {
    let text = answer.text();
    let body: Value = serde_json::from_str(&text)
        .unwrap_or_else(|problem| panic!("{problem}: {text} of {}", answer.status));
    assert_eq!(body["error"], error, "{text}");
    assert_eq!(body["reason"], reason, "{text}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

fn challenges(answer: &Answer) -> Vec<&str> {
    let values = answer.headers.get_all("www-authenticate").iter();
    values.map(|value| value.to_str().expect("text")).collect()
}

at_every_gateway!(
    a_refusal_arrives_whole,
    a_navigation_is_redirected,
    a_stale_view_is_503_with_a_time,
);
