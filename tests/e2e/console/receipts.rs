//! Receipts: the count at the answer, and the live one while a gate is away.

use std::time::Duration;

use http::StatusCode;
use portcullis_tests::{
    authority::{TestAuthority, ready},
    console::{TestConsole, person},
    proxy::{Link, Proxy},
};

/// The address of the live receipt of a page.
fn live(page: &portcullis_tests::console::Page) -> String {
    let (_, rest) = page
        .body
        .split_once("data-receipt=\"")
        .expect("a live receipt");
    let address = rest.split('"').next().expect("an address");
    address.replace("&#38;", "&")
}

#[tokio::test]
async fn a_page_follows_a_gate_that_is_away_until_it_can_accept_nothing_any_more() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let proxy = Proxy::start(authority.config.server.grpc_listen).await;
    let away = portcullis_validator::Validator::builder(format!("http://{}", proxy.address()))
        .bearer(portcullis_tests::authority::GATEWAY)
        .issuer(portcullis_tests::authority::ISSUER)
        .audience(portcullis_tests::authority::AUDIENCE)
        .name("away")
        .max_staleness(Duration::from_secs(4));
    let away = ready(away).await;
    let ada = person(&authority, "ada", &[]).await;

    proxy.set(Link::BLACK_HOLE);
    let mut browser = console.browser_of(&ada.token);
    let confirm = format!("/sessions/{}/sign-out", ada.session_id);
    let page = browser.submit(&confirm, &confirm, &[]).await;
    // Without scripts the page tells the count of its answer.
    page.expect("You are signed out")
        .expect("1 of 2 gates have dropped it");

    // The session of the page has just ended, and its receipt goes on.
    let events = browser.get(&live(&page)).await;
    events.expect_status(200);
    assert_eq!(events.header("content-type"), "text/event-stream");
    assert_eq!(events.header("content-encoding"), "");
    assert!(events.body.contains("event: receipt"), "{}", events.body);
    let (_, last) = events.body.rsplit_once("event: complete").expect("an end");
    assert!(
        last.contains("All 2 gates have dropped it, within"),
        "{last}"
    );
    drop(away);
}

#[tokio::test]
async fn receipts_are_for_people_and_for_revisions_that_there_are() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::with(&authority, |config| config.limits.receipts_max = 1).await;
    console
        .browser()
        .get("/receipts/1")
        .await
        .expect_status(303);
    let ada = person(&authority, "ada", &[]).await;
    let mut browser = console.browser_of(&ada.token);
    for path in [
        "/receipts/999999",
        "/receipts/nonsense",
        "/receipts/1?since=x",
    ] {
        let page = browser.get(path).await;
        assert!(page.status.is_client_error(), "{path}: {}", page.status);
    }
    // One that is opened again later tells no duration. Places are given back.
    for _ in 0..3 {
        let events = browser
            .get_when("/receipts/1?since=0", StatusCode::OK)
            .await;
        assert!(events.body.contains("event: complete"), "{}", events.body);
        assert!(!events.body.contains(" ms"), "{}", events.body);
    }
}
