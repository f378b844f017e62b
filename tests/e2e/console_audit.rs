//! The console's audit log: filters, export, verification, and what hostile texts do there.

use portcullis_contract::v1::{self, UserRole as Role};
use portcullis_tests::{
    authority::{ADMIN, TENANT, TestAuthority},
    console::{Page, Reader, TestConsole, person},
    rows::behind,
    wait::{DEADLINE, eventually},
};
use tokio::time::Instant;

/// A reason that would be markup in a page and a formula in a sheet.
const HOSTILE: &str = "=HYPERLINK(\"http://evil.test\",\"<script>\")";

struct World {
    authority: TestAuthority,
    console: TestConsole,
}

impl World {
    /// The tenant of the tests is that of the operators, or no tenant is.
    async fn start(is_operators: bool) -> Self {
        let authority = TestAuthority::with(|config| {
            config.server.operators_tenant = is_operators.then(|| TENANT.into());
        });
        let authority = authority.await;
        let console = TestConsole::start(&authority).await;
        Self { authority, console }
    }

    async fn browser(&self, id: &str, roles: &[Role]) -> Reader {
        let token = person(&self.authority, id, roles).await.token;
        self.console.browser_of(&token)
    }

    async fn sign_out(&self, user: &str, reason: &str, user_message: &str) {
        let request = v1::ForceSignOutRequest {
            tenant_id: TENANT.into(),
            user_ids: vec![user.into()],
            reason: reason.into(),
            user_message: user_message.into(),
            ..Default::default()
        };
        let ended = self.authority.users(ADMIN).force_sign_out(request).await;
        ended.expect("signed out");
    }
}

/// Opens a page again until it has these words: events of sign-ins come a moment later.
async fn open_with(browser: &Reader, path: &str, words: &str) -> Page {
    eventually(words, async || {
        let page = browser.clone().get(path).await;
        page.text().contains(words).then_some(page)
    })
    .await
}

#[tokio::test]
async fn the_log_tells_who_did_what_to_whom_and_why() {
    let world = World::start(false).await;
    let ada = world.browser("ada", &[Role::Admin]).await;
    person(&world.authority, "bob", &[]).await;
    world.sign_out("bob", HOSTILE, "please call us").await;

    let page = open_with(&ada, "/audit", "User signed out").await;
    page.expect("Service admin")
        .expect("User bob")
        .expect(HOSTILE)
        .expect("Text for the user: please call us");
    assert!(!page.body.contains("<script>"), "the reason is text");
    open_with(&ada, "/audit", "Signed in").await;

    // Each filter alone.
    let ada = &mut ada.clone();
    for (query, is_there) in [
        ("action=user.sign_out", true),
        ("action=policy.update", false),
        ("kind=service&actor=admin", true),
        ("kind=service&actor=nobody", false),
        ("kind=authority", false),
        ("user=bob&action=user.sign_out", true),
        ("user=eve", false),
        ("after=2020-01-01", true),
        ("before=2020-01-01", false),
    ] {
        let page = ada.get(&format!("/audit?{query}")).await;
        page.expect_status(200);
        assert_eq!(page.text().contains(HOSTILE), is_there, "{query}");
        if !is_there {
            page.expect("No event matches.");
        }
    }
    for (query, message) in [
        ("actor=ada", "Who: choose the kind"),
        ("kind=ghost&actor=ada", "Who: choose the kind"),
        ("after=yesterday", "Enter a valid date."),
        ("after=2026-01-02&before=2025-01-01", "Enter a valid date."),
    ] {
        let page = ada.get(&format!("/audit?{query}")).await;
        page.expect_status(422)
            .expect("Nothing was searched.")
            .expect(message);
    }
    let gone = ada.get("/audit?page=yesterday").await;
    gone.expect_status(200)
        .expect("This page of the list is no longer available.")
        .expect(HOSTILE);
}

#[tokio::test]
async fn a_person_without_a_role_sees_what_is_about_them_and_no_actors() {
    let world = World::start(false).await;
    person(&world.authority, "bob", &[]).await;
    world
        .sign_out("bob", "a secret remark", "please call us")
        .await;
    let bob = world.browser("bob", &[]).await;
    let page = open_with(&bob, "/audit", "User signed out").await;
    page.expect("Events about you")
        .expect("Somebody else")
        .expect("please call us")
        .expect_none("a secret remark")
        .expect_none("Service admin");
    assert!(!page.body.contains("/audit/verify"), "no verification");
    let export = bob.clone().get("/audit/export?format=jsonl").await;
    assert!(export.body.contains("please call us") && !export.body.contains("a secret remark"));
}

#[tokio::test]
async fn an_export_has_every_event_that_the_filter_matches_and_no_formula() {
    let world = World::start(false).await;
    let mut ada = world.browser("ada", &[Role::Admin]).await;
    // More than one page of the export, which has 200 events.
    let ids: Vec<_> = (0..250).map(|number| format!("user{number}")).collect();
    let request = v1::ForceSignOutRequest {
        tenant_id: TENANT.into(),
        user_ids: ids,
        reason: HOSTILE.into(),
        ..Default::default()
    };
    let ended = world.authority.users(ADMIN).force_sign_out(request).await;
    ended.expect("signed out");

    let path = "/audit/export?format=csv&action=user.sign_out";
    // The rows of a large sign-out are in the trail a moment after its answer.
    let give_up = Instant::now() + DEADLINE;
    let mut csv = ada.get(path).await;
    while csv.body.lines().count() <= 250 {
        assert!(
            Instant::now() < give_up,
            "{} lines",
            csv.body.lines().count()
        );
        csv = ada.get(path).await;
    }
    csv.expect_status(200);
    assert!(csv.header("content-type").starts_with("text/csv"));
    let disposition = csv.header("content-disposition");
    assert!(
        disposition.starts_with("attachment; filename=\"audit-acme-")
            && disposition.ends_with(".csv\""),
        "{disposition}"
    );
    let mut lines = csv.body.lines();
    let head = lines.next().expect("a head");
    assert!(
        head.starts_with("\"time\",\"id\",\"ordinal\",\"actor\""),
        "{head}"
    );
    let rows: Vec<_> = lines.collect();
    assert_eq!(rows.len(), 250);
    for row in &rows {
        let harmless = "\"'=HYPERLINK(\"\"http://evil.test\"\",\"\"<script>\"\")\"";
        assert!(row.contains(harmless), "{row}");
    }

    let jsonl = ada
        .get("/audit/export?format=jsonl&action=user.sign_out")
        .await;
    assert!(jsonl.header("content-disposition").ends_with(".jsonl\""));
    let mut users = Vec::new();
    for line in jsonl.body.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(event["reason"], HOSTILE);
        assert_eq!(event["actor"], "service:admin");
        users.push(event["user_id"].as_str().expect("a user").to_owned());
    }
    users.sort();
    users.dedup();
    assert_eq!(users.len(), 250, "each once");

    let none = ada
        .get("/audit/export?format=csv&action=policy.update")
        .await;
    assert_eq!(none.body.lines().count(), 1, "the head alone");
    for bad in ["", "?format=xlsx", "?format=csv&after=never"] {
        ada.get(&format!("/audit/export{bad}"))
            .await
            .expect_status(400);
    }
}

#[tokio::test]
async fn the_trail_is_verified_for_the_operators_and_a_change_is_found() {
    let world = World::start(true).await;
    let mut ada = world.browser("ada", &[Role::Admin]).await;
    person(&world.authority, "bob", &[]).await;
    world.sign_out("bob", "a test", "").await;
    let good = ada.submit("/audit", "/audit/verify", &[]).await;
    good.expect_status(200)
        .expect("The trail is complete and unchanged.")
        .expect("match their chain");

    // What a thief with the database would do.
    let disarm = "DROP TRIGGER audit_events_unchanged";
    behind(&world.authority, disarm).await;
    behind(
        &world.authority,
        "UPDATE audit_events SET reason = 'nothing happened' WHERE reason = 'a test' RETURNING reason",
    )
    .await;
    let bad = ada.submit("/audit", "/audit/verify", &[]).await;
    bad.expect_status(200)
        .expect("The trail was changed.")
        .expect("The first place that does not match is revision")
        .expect("evt_");
}

#[tokio::test]
async fn the_trail_is_not_verified_for_anybody_else() {
    for (is_operators, roles) in [(false, &[Role::Admin][..]), (true, &[Role::Support])] {
        let world = World::start(is_operators).await;
        let mut person = world.browser("ada", roles).await;
        let denied = person.submit("/audit", "/audit/verify", &[]).await;
        denied
            .expect_status(403)
            .expect("Only the operators of the installation can verify the trail.");
    }
}
