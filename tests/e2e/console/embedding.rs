//! What applications take from the console for pages of their own, and what an operator adds to its pages.

use http::StatusCode;
use portcullis_tests::{
    authority::TestAuthority,
    console::{TestConsole, person},
    embedding,
};

const COMPONENT: &str = "/embed/portcullis-sessions.js";

#[tokio::test]
async fn the_component_is_one_small_file_that_pages_of_every_origin_may_have() {
    assert!(
        embedding::COMPONENT.len() < 20_000,
        "{} bytes",
        embedding::COMPONENT.len()
    );
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let mut browser = console.browser();
    let file = browser.get(COMPONENT).await;
    file.expect_status(200);
    assert_eq!(file.body, embedding::COMPONENT);
    for (name, value) in [
        ("content-type", "text/javascript; charset=utf-8"),
        ("access-control-allow-origin", "*"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("cache-control", "public, no-cache"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(file.header(name), value, "{name}");
    }
    assert!(
        file.headers
            .get("access-control-allow-credentials")
            .is_none()
    );

    // A browser asks whether it has changed, and does not get it again.
    let tag = file.header("etag").to_owned();
    assert!(!tag.is_empty());
    let again = browser
        .clone()
        .header("if-none-match", &tag)
        .get(COMPONENT)
        .await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    assert_eq!(again.body, "");
    let changed = browser
        .header("if-none-match", "\"old\"")
        .get(COMPONENT)
        .await;
    changed.expect_status(200);
}

#[tokio::test]
async fn an_operators_style_sheet_comes_after_the_consoles_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let sheet = directory.path().join("brand.css");
    let text = ":root { --accent: light-dark(#460f78, #cdb4ff); }\n";
    std::fs::write(&sheet, text).expect("written");
    let authority = TestAuthority::sqlite().await;
    let ada = person(&authority, "ada", &[]).await;
    let plain = TestConsole::start(&authority).await;
    let page = plain.browser_of(&ada.token).get("/").await;
    assert!(!page.body.contains("theme.css"));

    let console = TestConsole::with(&authority, |config| {
        config.server.style_sheet_file = Some(sheet);
    })
    .await;
    let mut browser = console.browser_of(&ada.token);
    let page = browser.get("/").await;
    let addresses: Vec<_> = page
        .body
        .split('"')
        .filter(|text| text.starts_with("/assets/") && text.ends_with(".css"))
        .map(str::to_owned)
        .collect();
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    assert!(addresses[0].ends_with("/console.css"), "{addresses:?}");
    assert!(addresses[1].ends_with("/theme.css"), "{addresses:?}");

    let file = browser.get(&addresses[1]).await;
    file.expect_status(200);
    assert_eq!(file.body, text);
    assert_eq!(file.header("content-type"), "text/css; charset=utf-8");
    assert!(file.header("cache-control").contains("immutable"));
    // Pages of nobody have it too.
    let problem = console.browser().get("/nowhere").await;
    assert!(problem.body.contains(&addresses[1]));
    let other = addresses[1].replace("/assets/", "/assets/0");
    browser.get(&other).await.expect_status(404);
}
