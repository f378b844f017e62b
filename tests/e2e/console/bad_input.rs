//! What goes wrong on the pages: forged and repeated forms, expired cookies, hostile texts, an authority that is away.

use http::StatusCode;
use portcullis_contract::v1::{self, UserRole};
use portcullis_tests::{
    authority::{ADMIN, TENANT, TestAuthority},
    console::{COOKIE, SIGN_IN, TestConsole, person, person_with},
    gate::verdict,
    proxy::{Link, Proxy},
};

use super::client;

#[tokio::test]
async fn a_form_of_another_site_or_another_session_changes_nothing() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let ada = person(&authority, "ada", &[]).await;
    let other = person(&authority, "ada", &[]).await;
    let eve = person(&authority, "eve", &[]).await;
    let mut browser = console.browser_of(&ada.token);
    let confirm = format!("/sessions/{}/sign-out", other.session_id);
    let token = browser.get(&confirm).await.form_token();
    let eves = console
        .browser_of(&eve.token)
        .open("/sign-out-everywhere")
        .await;
    let eves = eves.form_token();

    for (site, token, status, words) in [
        ("cross-site", token.as_str(), 403, "came from another site"),
        ("same-site", &token, 403, "came from another site"),
        ("none", &token, 403, "came from another site"),
        ("same-origin", "", 409, "out of date"),
        ("same-origin", "AAAA", 409, "out of date"),
        ("same-origin", &eves, 409, "out of date"),
        ("", "", 409, "out of date"),
        ("", &eves, 409, "out of date"),
    ] {
        let page = browser.post_from(site, &confirm, token, &[]).await;
        page.expect_status(status)
            .expect(words)
            .expect("Nothing was changed");
        let validator = console.console().validator();
        assert_eq!(
            verdict(validator, &other.token).await,
            None,
            "{site} {token}"
        );
    }
    // A browser that does not say where a form comes from is believed by its token.
    browser
        .post_from("", &confirm, &token, &[])
        .await
        .expect_status(303);
    portcullis_tests::gate::refused(console.console().validator(), &other.token).await;

    let page = browser
        .post_from("cross-site", "/preferences", "", &[("language", "ar")])
        .await;
    page.expect_status(403);
    assert_eq!(page.header("set-cookie"), "");
}

#[tokio::test]
async fn a_cookie_that_expires_in_the_middle_of_a_form_leaves_nothing_half_done() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let ada = person(&authority, "ada", &[]).await;
    let other = person(&authority, "ada", &[]).await;
    let mut browser = console.browser_of(&ada.token);
    let confirm = format!("/sessions/{}/sign-out", other.session_id);
    let token = browser.get(&confirm).await.form_token();

    // The browser has removed the cookie, or has one that is no good any more.
    for mut gone in [
        console.browser(),
        browser.clone().cookie(COOKIE, "ey.expired.token"),
    ] {
        let page = gone.post(&confirm, &token, &[]).await;
        page.expect_status(401)
            .expect("Please sign in again")
            .expect("Nothing was changed");
        assert!(page.body.contains(SIGN_IN), "{}", page.body);
        assert!(page.body.contains("return_to=/sessions/"), "{}", page.body);
    }
    let validator = console.console().validator();
    assert_eq!(verdict(validator, &other.token).await, None);

    // The session itself has ended meanwhile.
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: ada.session_id.clone(),
        reason: "a test".into(),
        ..Default::default()
    };
    let ended = authority.sessions(ADMIN).revoke_session(request).await;
    ended.expect("ended");
    portcullis_tests::gate::refused(validator, &ada.token).await;
    let page = browser.post(&confirm, &token, &[]).await;
    page.expect_status(401).expect("This session has ended");
    assert_eq!(verdict(validator, &other.token).await, None);
}

#[tokio::test]
async fn a_form_that_is_sent_twice_gets_a_readable_page() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let ada = person(&authority, "ada", &[]).await;
    let other = person(&authority, "ada", &[]).await;
    let mut browser = console.browser_of(&ada.token);
    let confirm = format!("/sessions/{}/sign-out", other.session_id);
    let token = browser.get(&confirm).await.form_token();
    for _ in 0..2 {
        let page = browser.post(&confirm, &token, &[]).await;
        let target = page.local_redirect().expect("a page");
        browser
            .open(&target)
            .await
            .expect("The session was signed out.");
    }
    // The back button leads to a question that has its answer.
    browser
        .get(&confirm)
        .await
        .expect_status(200)
        .expect("has ended already");
    // Of the current session too.
    let confirm = format!("/sessions/{}/sign-out", ada.session_id);
    let token = browser.get(&confirm).await.form_token();
    browser.post(&confirm, &token, &[]).await.expect_status(303);
    portcullis_tests::gate::refused(console.console().validator(), &ada.token).await;
    let page = browser.post(&confirm, &token, &[]).await;
    page.expect_status(401).expect("This session has ended");
    browser.open(&confirm).await.expect("You signed out.");
}

/// Markup, which must reach no page as such.
const HOSTILE: &str =
    "<img src=x onerror=alert(1)>\"'&{{7*7}}</title><script>canary()</script>\u{202e}gpj";

#[tokio::test]
async fn hostile_names_user_agents_and_reasons_are_texts() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let ada = person_with(&authority, "ada", &[UserRole::Admin], |request| {
        if let Some(user) = &mut request.user {
            user.user_name = HOSTILE.into();
            user.given_name = HOSTILE.into();
            user.family_name = HOSTILE.into();
        }
        request.amr = vec!["<script>canary()</script>".into()];
        request.acr = "<script>canary()</script>".into();
    })
    .await;
    let hostile_client = v1::Client {
        app_name: HOSTILE.into(),
        app_version: "<b>".into(),
        os: HOSTILE.into(),
        device_model: HOSTILE.into(),
        ..client("8.8.8.8", HOSTILE).expect("a client")
    };
    let other = person_with(&authority, "ada", &[UserRole::Admin], |request| {
        request.client = Some(hostile_client.clone());
    })
    .await;
    let bob = person_with(&authority, "bob", &[], |request| {
        request.client = Some(hostile_client);
    })
    .await;
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: bob.session_id.clone(),
        reason: HOSTILE.replace('\u{202e}', ""),
        user_message: HOSTILE.replace('\u{202e}', ""),
        ..Default::default()
    };
    let ended = authority.sessions(ADMIN).revoke_session(request).await;
    ended.expect("ended");
    portcullis_tests::gate::refused(console.console().validator(), &bob.token).await;

    let mut browser = console.browser_of(&ada.token);
    let mut texts = 0;
    for path in [
        "/".to_owned(),
        "/ended".to_owned(),
        "/sign-out-others".to_owned(),
        "/sign-out-everywhere".to_owned(),
        format!("/sessions/{}", ada.session_id),
        format!("/sessions/{}", other.session_id),
        format!("/sessions/{}/sign-out", other.session_id),
        format!("/sessions/{}", bob.session_id),
    ] {
        for language in ["en", "ar"] {
            let mut browser = browser.clone().header("accept-language", language);
            let page = browser.get(&path).await;
            page.expect_status(200);
            expect_no_markup(&page.body, &path);
            texts += page.body.matches("canary()").count();
        }
    }
    let page = console.browser_of(&bob.token).open("/").await;
    expect_no_markup(&page.body, "/signed-out");
    page.expect("canary()");
    assert!(texts > 20, "the texts are on no page: {texts}");
    // Nor does an address reach a page as markup.
    let page = browser.get("/sessions/%3Cscript%3Ecanary()").await;
    expect_no_markup(&page.body, "an address");
    let page = browser.get("/?page=%3Cscript%3Ecanary()").await;
    page.expect_status(400).expect("This list has moved on");
    expect_no_markup(&page.body, "a page token");
}

fn expect_no_markup(body: &str, path: &str) {
    for markup in ["<img src=x", "<script>canary", "</title><script", "<b>"] {
        assert!(!body.contains(markup), "{path}: {markup}");
    }
    assert!(!body.contains("\" onerror"), "{path}");
    // One element of each kind that a page has once.
    assert_eq!(body.matches("</title>").count(), 1, "{path}");
}

#[tokio::test]
async fn an_authority_that_is_away_has_a_page_that_tries_again() {
    let mut authority = TestAuthority::sqlite().await;
    let console = TestConsole::with(&authority, |config| {
        config.authority.max_staleness = std::time::Duration::from_secs(1);
    })
    .await;
    let ada = person(&authority, "ada", &[]).await;
    let other = person(&authority, "ada", &[]).await;
    let mut browser = console.browser_of(&ada.token);
    let confirm = format!("/sessions/{}/sign-out", other.session_id);
    let token = browser.get(&confirm).await.form_token();

    authority.stop().await;
    let page = browser.get("/").await;
    page.expect_status(503)
        .expect("is away")
        .expect("tries again by itself");
    assert_eq!(page.header("refresh"), "5");
    assert_eq!(page.header("retry-after"), "5");
    // A form does not send itself again.
    let page = browser.post(&confirm, &token, &[]).await;
    page.expect_status(503).expect("is away");
    assert_eq!(page.header("refresh"), "");

    authority.start().await;
    let page = browser.get_when("/", StatusCode::OK).await;
    page.expect("My sessions");
}

#[tokio::test]
async fn the_second_authority_answers_when_the_first_is_gone() {
    let mut authority =
        TestAuthority::postgres(&portcullis_tests::postgres::fresh_url().await).await;
    let replica = authority.replica().await;
    let console = TestConsole::with(&authority, |config| {
        config.authority.endpoints.push(replica.endpoint());
    })
    .await;
    let ada = person(&authority, "ada", &[]).await;
    let mut browser = console.browser_of(&ada.token);
    browser.get("/").await.expect_status(200);
    authority.stop().await;
    browser.get_when("/", StatusCode::OK).await;
}

#[tokio::test]
async fn an_authority_that_takes_calls_and_answers_none_costs_one_page() {
    let mut authority =
        TestAuthority::postgres(&portcullis_tests::postgres::fresh_url().await).await;
    let replica = authority.replica().await;
    let proxy = Proxy::start(authority.config.server.grpc_listen).await;
    let console = TestConsole::with(&authority, |config| {
        config.authority.endpoints =
            vec![format!("http://{}", proxy.address()), replica.endpoint()];
        config.limits.request_timeout = std::time::Duration::from_secs(2);
    })
    .await;
    let ada = person(&authority, "ada", &[]).await;
    let mut browser = console.browser_of(&ada.token);
    browser.get("/").await.expect_status(200);
    proxy.set(Link::BLACK_HOLE);

    browser.get("/").await.expect_status(503).expect("is away");
    browser.get("/").await.expect_status(200);
    authority.stop().await;
}

#[tokio::test]
async fn texts_and_addresses_that_are_too_large_are_refused() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let ada = person(&authority, "ada", &[]).await;
    let mut browser = console.browser_of(&ada.token);
    let token = browser.get("/sign-out-everywhere").await.form_token();
    let long = "x".repeat(70_000);
    let page = browser
        .post(
            "/sign-out-everywhere",
            &token,
            &[("include_current", &long)],
        )
        .await;
    page.expect_status(413).expect("too much text");
    browser.get("/").await.expect_status(200);
    let page = console.browser_of(&"e".repeat(9_000)).get("/").await;
    page.expect_status(303);
}
