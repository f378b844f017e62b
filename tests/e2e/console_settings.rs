//! The console's page Settings: what an administrator sees, previews, saves, and what is refused.

use std::time::{Duration, SystemTime};

use portcullis_contract::v1::{self, UserRole as Role};
use portcullis_tests::{
    authority::{ADMIN, TENANT, TestAuthority},
    console::{Page, Reader, SignedIn, TestConsole, person, person_with},
};

const DAY: i64 = 86_400;

struct World {
    authority: TestAuthority,
    console: TestConsole,
}

impl World {
    async fn start() -> Self {
        let authority = TestAuthority::sqlite().await;
        let console = TestConsole::start(&authority).await;
        Self { authority, console }
    }

    async fn browser(&self, id: &str, roles: &[Role]) -> Reader {
        let SignedIn { token, .. } = person(&self.authority, id, roles).await;
        self.console.browser_of(&token)
    }

    async fn policy(&self) -> v1::Policy {
        let request = v1::GetPolicyRequest {
            tenant_id: TENANT.into(),
        };
        let got = self.authority.tenants(ADMIN).get_policy(request).await;
        got.expect("a policy")
            .into_inner()
            .policy
            .expect("a policy")
    }

    async fn update(&self, change: impl FnOnce(&mut v1::Policy), reason: &str) {
        let mut policy = self.policy().await;
        change(&mut policy);
        let request = v1::UpdatePolicyRequest {
            tenant_id: TENANT.into(),
            policy: Some(policy),
            reason: reason.into(),
            ..Default::default()
        };
        let updated = self.authority.tenants(ADMIN).update_policy(request).await;
        updated.expect("updated");
    }
}

/// The form of the default policy, with fields of the test's own in place of those with the same name. An empty value is
/// a field that is not sent, as a box without its check.
fn form<'a>(etag: &'a str, changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        ("etag", etag),
        ("idle", "7d"),
        ("idle_value", "7"),
        ("idle_unit", "days"),
        ("remember", "on"),
        ("remember_value", "30"),
        ("remember_unit", "days"),
        ("lifetime_value", "7"),
        ("lifetime_unit", "days"),
        ("longest_value", "90"),
        ("longest_unit", "days"),
        ("token_unit", "days"),
        ("at_limit", "end_oldest"),
        ("users_see", "on"),
        ("recent_unit", "days"),
    ];
    for code in ["1", "2", "3", "4", "5", "6", "7", "8", "9"] {
        fields.push(("finding", code));
    }
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        fields.push((*name, *value));
    }
    fields.retain(|(_, value)| !value.is_empty());
    fields
}

/// Goes through both steps. Returns the page after saving.
async fn save(browser: &mut Reader, changes: &[(&str, &str)], reason: &str) -> Page {
    let etag = browser
        .get("/settings")
        .await
        .field("etag")
        .expect("a form");
    let preview = browser
        .submit("/settings", "/settings/check", &form(&etag, changes))
        .await;
    preview.expect_status(200).expect("Save these settings?");
    let mut fields = form(&etag, changes);
    fields.push(("reason", reason));
    let token = preview.form_token();
    let saved = browser.post("/settings/save", &token, &fields).await;
    let target = saved.local_redirect().expect("saved");
    browser.open(&target).await
}

fn seconds(length: Option<prost_types::Duration>) -> Option<i64> {
    length.map(|length| length.seconds)
}

#[tokio::test]
async fn a_change_is_previewed_and_saved_with_a_reason() {
    let world = World::start().await;
    let mut ada = world.browser("ada", &[Role::Admin]).await;
    for _ in 0..3 {
        person(&world.authority, "bob", &[]).await;
    }
    let page = ada.get("/settings").await;
    page.expect_status(200)
        .expect("Never (not recommended)")
        .expect("NIST SP 800-63B AAL2")
        .expect("NIST SP 800-63B (revision 3), section 4.2.3")
        .expect("OWASP ASVS 4.0.3, requirement 3.3.2, level 1");
    let etag = page.field("etag").expect("a form");

    let changes = [("idle", "1d"), ("sessions_max", "1"), ("last_page", "on")];
    let preview = ada
        .submit("/settings", "/settings/check", &form(&etag, &changes))
        .await;
    preview
        .expect_status(200)
        .expect("Idle timeout 7 days 1 day")
        .expect("At most this many at a time No limit 1")
        .expect("Keep the last page of each session No Yes")
        .expect_none("Longest lifetime of any session")
        .expect("2 sessions will end by this.")
        .expect("bob");
    assert_eq!(world.policy().await.etag, etag, "nothing was saved");

    let saved = save(&mut ada, &changes, "an audit").await;
    saved.expect("The settings are saved and in force.");
    let policy = world.policy().await;
    assert_eq!(seconds(policy.idle_timeout), Some(DAY));
    assert_eq!((policy.sessions_max, policy.keep_last_page), (1, true));
    assert_eq!(policy.findings_disabled, Vec::<i32>::new());

    let request = v1::ListAuditEventsRequest {
        tenant_id: TENANT.into(),
        action: "policy.update".into(),
        ..Default::default()
    };
    let events = world
        .authority
        .audit(ADMIN)
        .list_audit_events(request)
        .await;
    let event = &events.expect("events").into_inner().events[0];
    assert_eq!(
        (event.actor.as_str(), event.reason.as_str()),
        ("user:ada", "an audit")
    );
    assert_eq!(event.via, "");
}

#[tokio::test]
async fn every_choice_of_the_form_is_saved() {
    let world = World::start().await;
    let mut ada = world.browser("ada", &[Role::Admin]).await;
    for (idle, expected) in [
        (vec![("idle", "1d")], Some(DAY)),
        (vec![("idle", "7d"), ("at_limit", "refuse")], Some(7 * DAY)),
        (vec![("idle", "30d")], Some(30 * DAY)),
        (vec![("idle", "never")], None),
        (
            vec![
                ("idle", "own"),
                ("idle_value", "36"),
                ("idle_unit", "hours"),
            ],
            Some(36 * 3_600),
        ),
    ] {
        save(&mut ada, &idle, "try")
            .await
            .expect("saved and in force");
        assert_eq!(seconds(world.policy().await.idle_timeout), expected);
    }
    let changes = [
        ("remember", ""),
        ("remember_value", "10"),
        ("lifetime_value", "12"),
        ("lifetime_unit", "hours"),
        ("longest_value", "20"),
        ("token_value", "5"),
        ("token_unit", "minutes"),
        ("sessions_max", "4"),
        ("at_limit", "refuse"),
        ("users_see", ""),
        ("last_page", "on"),
        ("recent_value", "1"),
        ("recent_unit", "hours"),
        ("acr", "phr\r\n mfa \r\n"),
        ("shared", "on"),
        ("finding", "3"),
    ];
    let saved = save(&mut ada, &changes, "everything").await;
    saved.expect_none("Correct these fields");
    let policy = world.policy().await;
    assert!(!policy.remember_me_allowed && !policy.users_see_sessions);
    assert!(policy.keep_last_page && policy.end_on_shared_refresh_token);
    assert_eq!(seconds(policy.remember_me_lifetime), Some(10 * DAY));
    assert_eq!(seconds(policy.session_lifetime), Some(12 * 3_600));
    assert_eq!(seconds(policy.session_lifetime_max), Some(20 * DAY));
    assert_eq!(seconds(policy.access_token_lifetime), Some(300));
    assert_eq!(seconds(policy.reauthenticate_within), Some(3_600));
    assert_eq!(policy.sessions_max, 4);
    assert_eq!(policy.at_limit(), v1::SessionLimitAction::Refuse);
    assert_eq!(policy.required_acr, ["phr", "mfa"]);
    assert_eq!(policy.findings_disabled, [1, 2, 4, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn a_standard_is_applied_with_its_source_and_leaves_the_rest() {
    let world = World::start().await;
    world
        .update(|policy| policy.sessions_max = 9, "before")
        .await;
    let mut ada = world.browser("ada", &[Role::Admin]).await;
    let etag = ada.get("/settings").await.field("etag").expect("a form");
    let fields = [("etag", etag.as_str()), ("preset", "nist_800_63b_aal2")];
    let preview = ada.submit("/settings", "/settings/check", &fields).await;
    preview
        .expect_status(200)
        .expect("Longest lifetime of any session 90 days 12 hours")
        .expect("Idle timeout 7 days 30 minutes");
    let fields = [fields[0], fields[1], ("reason", "the standard")];
    let saved = ada.submit("/settings", "/settings/save", &fields).await;
    saved
        .expect("These settings come from a standard: NIST SP 800-63B (revision 3), section 4.2.3");
    assert_eq!(world.policy().await.sessions_max, 9);

    let etag = world.policy().await.etag;
    let fields = [("etag", etag.as_str()), ("preset", "moon_phase")];
    let refused = ada.submit("/settings", "/settings/check", &fields).await;
    refused
        .expect_status(422)
        .expect("This standard is not known.");
}

#[tokio::test]
async fn bad_values_are_named_and_change_nothing() {
    let world = World::start().await;
    let mut ada = world.browser("ada", &[Role::Admin]).await;
    let before = world.policy().await;
    let etag = before.etag.as_str();
    for (changes, message) in [
        (vec![("idle", "2d")], "Idle timeout: enter"),
        (
            vec![("idle", "own"), ("idle_value", "0")],
            "Idle timeout: enter",
        ),
        (vec![("lifetime_value", "x")], "Lifetime without"),
        // These two are the authority's to refuse: one field against another, and the installation's bound.
        (vec![("lifetime_value", "91")], "Lifetime without"),
        (vec![("token_value", "9")], "Lifetime of access tokens"),
        (vec![("longest_value", "3661")], "Longest lifetime: enter"),
        (
            vec![("sessions_max", "10001")],
            "Sessions of one person: enter",
        ),
        (vec![("at_limit", "explode")], "choose what it does"),
    ] {
        let page = ada
            .submit("/settings", "/settings/check", &form(etag, &changes))
            .await;
        page.expect_status(422)
            .expect("Correct these fields. Nothing was changed.")
            .expect(message);
    }
    // Without a reason, or with one that no trail keeps.
    for reason in ["", "  ", &"x".repeat(1_025), "a\u{1}b"] {
        let mut fields = form(etag, &[("idle", "1d")]);
        fields.push(("reason", reason));
        let page = ada.submit("/settings", "/settings/save", &fields).await;
        page.expect_status(422).expect("Enter a reason");
    }
    // What is as it was needs no saving.
    let same = ada
        .submit("/settings", "/settings/check", &form(etag, &[]))
        .await;
    same.expect("Nothing differs from the settings in force");
    assert_eq!(world.policy().await, before);
}

#[tokio::test]
async fn of_two_administrators_the_second_sees_both_versions_and_chooses() {
    let world = World::start().await;
    let mut ada = world.browser("ada", &[Role::Admin]).await;
    let mut bea = world.browser("bea", &[Role::Admin]).await;
    let old = ada.get("/settings").await.field("etag").expect("a form");
    save(&mut bea, &[("sessions_max", "5")], "<b>fewer</b> devices").await;

    let changes = [("idle", "1d")];
    for (to, reason) in [("/settings/check", ""), ("/settings/save", "mine")] {
        let mut fields = form(&old, &changes);
        fields.push(("reason", reason));
        let conflict = ada.submit("/settings", to, &fields).await;
        conflict
            .expect_status(409)
            .expect("Somebody else changed the settings")
            .expect("user:bea: <b>fewer</b> devices")
            .expect("Idle timeout 7 days 1 day")
            .expect("At most this many at a time 5 No limit");
        assert!(!conflict.body.contains("<b>fewer"), "the reason is text");
    }
    assert_eq!(world.policy().await.sessions_max, 5, "nothing was undone");

    // Going on with one's own version compares with the one that was shown.
    let mut fields = form(&old, &changes);
    fields.push(("reason", ""));
    let conflict = ada.submit("/settings", "/settings/check", &fields).await;
    let shown = conflict.field("etag").expect("the version in force");
    assert_ne!(shown, old);
    let token = conflict.form_token();
    let asked = ada
        .post("/settings/check", &token, &form(&shown, &changes))
        .await;
    let preview = ada.open(&asked.local_redirect().expect("a page")).await;
    preview
        .expect_status(200)
        .expect("At most this many at a time 5 No limit");
    let mut fields = form(&shown, &changes);
    fields.push(("reason", "mine after all"));
    let saved = ada.submit("/settings", "/settings/save", &fields).await;
    saved.expect("saved and in force");
    assert_eq!(world.policy().await.sessions_max, 0);

    // The standard of a page that is outdated is shown beside what is in force, too.
    let fields = [("etag", old.as_str()), ("preset", "owasp_asvs_l3")];
    let conflict = bea.submit("/settings", "/settings/check", &fields).await;
    conflict
        .expect_status(409)
        .expect("Idle timeout 1 day 15 minutes");
}

#[tokio::test]
async fn support_sees_the_settings_and_changes_nothing() {
    let world = World::start().await;
    let mut sam = world.browser("sam", &[Role::Support]).await;
    let page = sam.get("/settings").await;
    page.expect_status(200)
        .expect("You may see the settings and change nothing.")
        .expect("Lifetime without it 7 days");
    assert!(!page.body.contains("/settings/check"), "no form");
    let before = world.policy().await;
    // A form made by hand gets no further than the authority.
    let token = sam.get("/audit").await.form_token();
    for to in ["/settings/check", "/settings/save"] {
        let mut fields = form(&before.etag, &[("idle", "1d")]);
        fields.push(("reason", "I can"));
        let mut refused = sam.post(to, &token, &fields).await;
        if let Some(question) = refused.local_redirect() {
            refused = sam.open(&question).await;
        }
        refused.expect_status(403);
    }
    assert_eq!(world.policy().await, before);

    let mut eve = world.browser("eve", &[]).await;
    eve.get("/settings").await.expect_status(403);
}

#[tokio::test]
async fn a_form_without_a_good_session_or_from_elsewhere_does_nothing() {
    let world = World::start().await;
    let SignedIn { token, session_id } = person(&world.authority, "ada", &[Role::Admin]).await;
    person(&world.authority, "bea", &[Role::Admin]).await;
    let mut ada = world.console.browser_of(&token);
    let before = world.policy().await;
    let form_token = ada.get("/settings").await.form_token();
    let mut fields = form(&before.etag, &[("idle", "1d")]);
    fields.push(("reason", "a test"));

    let to = "/settings/save";
    let foreign = ada.post_from("cross-site", to, &form_token, &fields).await;
    foreign.expect_status(403);
    ada.post(to, "", &fields).await.expect_status(409);
    let mut bea = world.browser("bea", &[Role::Admin]).await;
    let other = bea.get("/settings").await.form_token();
    ada.post(to, &other, &fields).await.expect_status(409);

    // The session ends while the form is filled in.
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id,
        reason: "a test".into(),
        ..Default::default()
    };
    let ended = world
        .authority
        .sessions(ADMIN)
        .revoke_session(request)
        .await;
    ended.expect("ended");
    let late = ada.post(to, &form_token, &fields).await;
    late.expect_status(401);
    assert_eq!(world.policy().await, before, "nothing half done");
}

#[tokio::test]
async fn a_policy_that_asks_for_a_recent_sign_in_keeps_old_sessions_from_changes() {
    let world = World::start().await;
    let hour_ago = SystemTime::now() - Duration::from_secs(3_600);
    let old = person_with(&world.authority, "ada", &[Role::Admin], |request| {
        request.auth_time = Some(hour_ago.into());
    });
    let mut old = world.console.browser_of(&old.await.token);
    let recent = |policy: &mut v1::Policy| {
        policy.reauthenticate_within = Some(prost_types::Duration {
            seconds: 600,
            nanos: 0,
        });
    };
    world.update(recent, "stricter").await;
    let before = world.policy().await;
    let form = form(
        &before.etag,
        &[
            ("recent_value", "10"),
            ("recent_unit", "minutes"),
            ("idle", "1d"),
        ],
    );
    let refused = old.submit("/settings", "/settings/check", &form).await;
    refused.expect_status(403);
    assert!(
        refused.body.contains("https://app.test/sign-in?"),
        "the way to sign in"
    );
    assert_eq!(world.policy().await, before);
    // A session of today may.
    let mut ada = world.browser("ada", &[Role::Admin]).await;
    let page = ada.submit("/settings", "/settings/check", &form).await;
    page.expect_status(200);
}

#[tokio::test]
async fn each_language_has_all_words_of_the_rooms() {
    let world = World::start().await;
    let mut ada = world.browser("ada", &[Role::Admin]).await;
    for (language, title, direction) in [
        ("en", "Settings", "ltr"),
        ("es", "Ajustes", "ltr"),
        ("et", "Seaded", "ltr"),
        ("ar", "الإعدادات", "rtl"),
    ] {
        ada = ada.header("accept-language", language);
        let page = ada.get("/settings").await;
        page.expect_status(200).expect(title);
        assert!(
            page.body
                .contains(&format!("lang=\"{language}\" dir=\"{direction}\""))
        );
        for path in ["/settings", "/api-sessions", "/api-sessions/new", "/audit"] {
            let page = ada.get(path).await;
            page.expect_status(200);
            for missing in ["settings-", "api-", "audit-", "gates-"] {
                page.expect_none(missing);
            }
            for forbidden in [" style=", "<script>", "<style", " onclick="] {
                assert!(!page.body.contains(forbidden), "{forbidden} in {path}");
            }
        }
    }
}
