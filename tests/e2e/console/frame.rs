//! What every page has: headers, languages, time zones, the way to a sign-in, navigation by role.

use portcullis_contract::v1::UserRole;
use portcullis_tests::{
    authority::TestAuthority,
    console::{Page, SIGN_IN, TestConsole, person},
};

fn expect_secure(page: &Page, path: &str) {
    let policy = page.header("content-security-policy");
    for directive in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.contains(directive), "{path}: {policy}");
    }
    assert!(!policy.contains("unsafe-"), "{path}: {policy}");
    assert!(!policy.contains("http"), "{path}: {policy}");
    for (name, value) in [
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(page.header(name), value, "{path}");
    }
}

#[tokio::test]
async fn every_answer_says_what_a_browser_may_do_with_it() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let ada = person(&authority, "ada", &[UserRole::Admin]).await;
    let mut browser = console.browser_of(&ada.token);
    let session = format!("/sessions/{}", ada.session_id);
    for path in [
        "/",
        "/ended",
        "/sign-out-others",
        "/sign-out-everywhere",
        &session,
        &format!("{session}/sign-out"),
        "/signed-out",
        "/nowhere",
        "/sessions/ses_nothing",
        "/receipts/nonsense",
    ] {
        let page = browser.get(path).await;
        expect_secure(&page, path);
        assert_eq!(page.header("cache-control"), "no-store", "{path}");
        // No inline code, no inline style, nothing of another site but the application's own links.
        assert!(!page.body.contains(" style="), "{path}");
        assert!(!page.body.contains("<style"), "{path}");
        assert!(!page.body.contains(" onclick"), "{path}");
        assert!(!page.body.contains("<script>"), "{path}");
    }
    for (method, path) in [("PUT", "/"), ("POST", "/ended")] {
        let visit = portcullis_tests::visitor::Visit::new(method, path);
        let answer = visit.http1(console.config.server.listen).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.header("content-security-policy").is_some());
        assert!(answer.header("allow").is_some());
    }
}

#[tokio::test]
async fn files_are_kept_for_good_by_their_hash() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let ada = person(&authority, "ada", &[]).await;
    let mut browser = console.browser_of(&ada.token);
    let page = browser.get("/").await;
    let addresses: Vec<_> = page
        .body
        .split('"')
        .filter(|text| text.starts_with("/assets/"))
        .map(str::to_owned)
        .collect();
    assert!(addresses.len() >= 3, "{addresses:?}");
    for address in &addresses {
        let file = browser.get(address).await;
        file.expect_status(200);
        let kept = file.header("cache-control");
        assert!(kept.contains("immutable") && kept.contains("max-age=31536000"));
        expect_secure(&file, address);
    }
    let (_, name) = addresses[0].rsplit_once('/').expect("a name");
    let old = format!("/assets/0123456789abcdef/{name}");
    browser.get(&old).await.expect_status(404);
    browser
        .get("/assets/x/../../Cargo.toml")
        .await
        .expect_status(404);
}

#[tokio::test]
async fn a_first_visit_is_at_most_60_kilobytes() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let ada = person(&authority, "ada", &[UserRole::Admin]).await;
    for _ in 0..60 {
        authority.sign_in("ada").await;
    }
    let plain = console.browser_of(&ada.token).get("/").await;
    let addresses = plain
        .body
        .split('"')
        .filter(|text| text.starts_with("/assets/"));
    let paths: Vec<_> = std::iter::once("/").chain(addresses).collect();
    let mut bytes = 0;
    for path in paths {
        let mut visit = portcullis_tests::visitor::Visit::get(path)
            .header("accept-encoding", "gzip")
            .header("cookie", format!("__Host-session={}", ada.token));
        visit.host = Some(console.config.server.listen.to_string());
        let answer = visit.http1(console.config.server.listen).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-encoding"), Some("gzip"), "{path}");
        bytes += answer.body.len();
    }
    assert!(bytes <= 60_000, "{bytes} bytes");
}

#[tokio::test]
async fn somebody_without_a_session_is_led_to_the_sign_in_and_back() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let page = console.browser().get("/ended?x=1").await;
    page.expect_status(303);
    let expected = format!("{SIGN_IN}?return_to=/ended%3Fx%3D1");
    assert_eq!(page.header("location"), expected);
    let page = console.browser_of("not.a.token").get("/").await;
    assert_eq!(page.header("location"), format!("{SIGN_IN}?return_to=/"));

    let elsewhere = TestConsole::with(&authority, |config| {
        config.server.public_url = Some("https://console.test".to_owned());
    })
    .await;
    let page = elsewhere.browser().get("/").await;
    assert_eq!(
        page.header("location"),
        format!("{SIGN_IN}?return_to=https%3A//console.test/")
    );
}

#[tokio::test]
async fn the_navigation_has_what_the_role_may_enter() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    for (roles, is_staff) in [
        (vec![], false),
        (vec![UserRole::Support], true),
        (vec![UserRole::Admin], true),
    ] {
        let ada = person(&authority, "ada", &roles).await;
        let page = console.browser_of(&ada.token).get("/").await;
        page.expect_status(200);
        for room in ["/team", "/settings", "/api-sessions", "/audit"] {
            let link = format!("<a href=\"{room}\"");
            assert_eq!(page.body.contains(&link), is_staff, "{roles:?} {room}");
        }
        assert!(page.body.contains("aria-current=\"page\""));
    }
}

#[tokio::test]
async fn a_page_speaks_the_language_of_its_reader() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let ada = person(&authority, "ada", &[]).await;
    for (accepted, title, tag, direction) in [
        ("en-GB,en", "My sessions", "en", "ltr"),
        ("es-MX,es;q=0.9", "Mis sesiones", "es", "ltr"),
        ("et", "Minu seansid", "et", "ltr"),
        ("ar-EG", "جلساتي", "ar", "rtl"),
        ("de,fr", "My sessions", "en", "ltr"),
    ] {
        let browser = console.browser_of(&ada.token);
        let mut browser = browser.header("accept-language", accepted);
        let page = browser.get("/").await;
        page.expect(title);
        let root = format!("<html lang=\"{tag}\" dir=\"{direction}\"");
        assert!(page.body.contains(&root), "{accepted}");
        // A problem speaks it too.
        let problem = browser.get("/nowhere").await;
        assert!(problem.body.contains(&root), "{accepted}");
    }
    // The choice of the reader comes before the browser's.
    let mut browser = console.browser_of(&ada.token);
    let fields = [("language", "et"), ("theme", "dark"), ("back", "/ended")];
    let page = browser.post("/preferences", "", &fields).await;
    page.expect_status(303);
    assert_eq!(page.header("location"), "/ended");
    let cookies = page.headers.get_all("set-cookie");
    for cookie in cookies {
        let cookie = cookie.to_str().expect("text");
        assert!(cookie.starts_with("__Host-"), "{cookie}");
        for part in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(cookie.contains(part), "{cookie}");
        }
    }
    let page = browser.get("/").await;
    page.expect("Minu seansid");
    assert!(page.body.contains("data-theme=\"dark\""));
}

#[tokio::test]
async fn times_are_in_the_zone_that_the_browser_told() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let ada = person(&authority, "ada", &[]).await;
    let path = format!("/sessions/{}", ada.session_id);
    let mut browser = console.browser_of(&ada.token);
    browser.get(&path).await.expect("Times are in UTC.");
    let mut browser = browser.cookie("__Host-portcullis-zone", "Europe/Tallinn");
    browser
        .get(&path)
        .await
        .expect("Times are in Europe/Tallinn.");
    let mut browser = browser.cookie("__Host-portcullis-zone", "<script>");
    browser.get(&path).await.expect("Times are in UTC.");
}

#[tokio::test]
async fn an_application_may_show_the_pages_in_a_frame_if_the_operator_says_so() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::with(&authority, |config| {
        config.server.frame_ancestors = vec!["https://app.test".to_owned()];
    })
    .await;
    let page = console.browser().get("/nowhere").await;
    let policy = page.header("content-security-policy");
    assert!(
        policy.contains("frame-ancestors https://app.test;"),
        "{policy}"
    );
    assert_eq!(page.header("x-frame-options"), "");
}
