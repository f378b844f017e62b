//! A person's own sessions: the list, one session, signing out, and what comes after.

use portcullis_contract::v1::{self, UserRole};
use portcullis_tests::{
    authority::{ADMIN, TENANT, TestAuthority},
    console::{ACCOUNT, SIGN_OUT, TestConsole, person, person_with},
    gate::refused,
    geography::{BERLIN, SYDNEY, write_cities, write_operators},
};

use super::{FIREFOX, IPHONE, client};

/// An authority that knows two places.
async fn with_places(directory: &tempfile::TempDir) -> TestAuthority {
    let cities = directory.path().join("city.mmdb");
    let operators = directory.path().join("isp.mmdb");
    write_cities(&cities, &[("8.8.8", BERLIN), ("9.9.9", SYDNEY)]);
    write_operators(&operators, &[("8.8.8", "Example Net")]);
    TestAuthority::with(|config| {
        config.places.city_database_file = Some(cities);
        config.places.network_database_file = Some(operators);
    })
    .await
}

#[tokio::test]
async fn the_list_has_the_current_session_first_and_the_others_by_device_and_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let authority = with_places(&directory).await;
    let console = TestConsole::start(&authority).await;
    let phone = person_with(&authority, "ada", &[], |request| {
        request.client = client("8.8.8.9", IPHONE);
    })
    .await;
    let laptop = person_with(&authority, "ada", &[], |request| {
        request.client = client("8.8.8.8", FIREFOX);
    })
    .await;
    let bob = person(&authority, "bob", &[]).await;

    let page = console.browser_of(&laptop.token).get("/").await;
    page.expect_status(200)
        .expect("My sessions")
        .expect("This session Firefox 128 on Windows 10 This device")
        .expect("Phones In the last 24 hours")
        .expect("on iPhone (iOS 17.2)")
        .expect("Berlin, Germany")
        .expect("8.8.8.8")
        .expect("Active now")
        .expect("Last active just now")
        .expect("Sign out all others")
        .expect("Sign out everywhere")
        .expect("Ended sessions");
    let (current, others) = page.body.split_once("id=\"others\"").expect("two parts");
    assert!(current.contains(&laptop.session_id) && !current.contains(&phone.session_id));
    assert!(others.contains(&phone.session_id) && !others.contains(&laptop.session_id));
    // Nobody else's.
    assert!(!page.body.contains(&bob.session_id));
}

#[tokio::test]
async fn an_administrator_sees_their_own_sessions_and_not_the_team_s() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let ada = person(&authority, "ada", &[UserRole::Admin]).await;
    let bob = person(&authority, "bob", &[]).await;
    let mut browser = console.browser_of(&ada.token);
    let page = browser.get("/").await;
    assert!(page.body.contains(&ada.session_id) && !page.body.contains(&bob.session_id));
    // One of another person has a page for them, and a sign-out that wants a reason.
    let path = format!("/sessions/{}", bob.session_id);
    browser
        .get(&path)
        .await
        .expect_status(200)
        .expect("User id");
    let confirm = format!("{path}/sign-out");
    browser
        .get(&confirm)
        .await
        .expect("Reason")
        .expect("Text for the user");
    let fields = [("reason", "stolen laptop"), ("user_message", "Call us")];
    let page = browser.submit(&confirm, &confirm, &fields).await;
    page.expect("The session was signed out.")
        .expect("stolen laptop");
    // The person reads the message, and not the reason.
    let page = console.browser_of(&bob.token).open("/").await;
    page.expect("An administrator ended it.")
        .expect("Call us")
        .expect_none("stolen laptop");
    // And another person's page is nobody else's.
    let eve = person(&authority, "eve", &[]).await;
    let page = console.browser_of(&eve.token).get(&path).await;
    page.expect_status(404);
}

#[tokio::test]
async fn a_session_s_page_has_everything_that_is_known_about_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let authority = with_places(&directory).await;
    let console = TestConsole::start(&authority).await;
    let ada = person_with(&authority, "ada", &[], |request| {
        request.client = client("8.8.8.8", FIREFOX);
        request.amr = vec!["pwd".into(), "otp".into(), "unheard-of".into()];
        request.acr = "urn:level:2".into();
    })
    .await;
    let path = format!("/sessions/{}", ada.session_id);
    let page = console.browser_of(&ada.token).get(&path).await;
    for words in [
        "Firefox 128 on Windows 10",
        "Place Berlin, Germany",
        "Network operator Example Net",
        "Address 8.8.8.8",
        "Signed in",
        "Last active",
        "Requests",
        "Sign-ins on this device 1",
        "Signed in with password, one-time code, unheard-of",
        "Level of sign-in urn:level:2",
        "Identity confirmed",
        "Ends at the latest",
        "Session id",
        "Active now",
        "This device",
        "Sign out",
    ] {
        page.expect(words);
    }
    page.expect(&ada.session_id);
}

#[tokio::test]
async fn a_suspicious_session_is_marked_with_advice_and_buttons() {
    let directory = tempfile::tempdir().expect("a directory");
    let authority = with_places(&directory).await;
    let console = TestConsole::start(&authority).await;
    let home = person_with(&authority, "ada", &[], |request| {
        request.client = client("8.8.8.8", FIREFOX);
    })
    .await;
    // At once on the other side of the earth.
    let away = person_with(&authority, "ada", &[], |request| {
        request.client = client("9.9.9.9", IPHONE);
    })
    .await;
    let page = console.browser_of(&home.token).get("/").await;
    page.expect("Please check")
        .expect("This session looks unusual")
        .expect("faster than an aircraft")
        .expect("Berlin")
        .expect("If this was not you:")
        .expect("Sign this session out")
        .expect("Change your password");
    let end = format!("href=\"/sessions/{}/sign-out\"", away.session_id);
    assert!(page.body.contains(&end));
    assert!(page.body.contains(&format!("href=\"{ACCOUNT}\"")));
}

#[tokio::test]
async fn signing_one_out_names_it_first_and_shows_the_receipt() {
    let directory = tempfile::tempdir().expect("a directory");
    let authority = with_places(&directory).await;
    let console = TestConsole::start(&authority).await;
    let gate = authority.ready_gate().await;
    let ada = person(&authority, "ada", &[]).await;
    let other = person_with(&authority, "ada", &[], |request| {
        request.client = client("8.8.8.8", IPHONE);
    })
    .await;
    let mut browser = console.browser_of(&ada.token);
    let confirm = format!("/sessions/{}/sign-out", other.session_id);
    browser
        .get(&confirm)
        .await
        .expect("Sign this session out?")
        .expect("iPhone")
        .expect("Berlin, Germany")
        .expect("Last active just now");
    // A page that asks changes nothing.
    assert_eq!(
        portcullis_tests::gate::verdict(&gate, &other.token).await,
        None
    );

    let page = browser.submit(&confirm, &confirm, &[]).await;
    page.expect("The session was signed out.");
    // Two gates: the test's, and the console's own.
    page.expect("All 2 gates have dropped it, within")
        .expect("ms.");
    assert!(
        !page.body.contains("data-receipt"),
        "there is nothing left to follow"
    );
    assert!(!page.body.contains(&other.session_id));
    refused(&gate, &other.token).await;
    // A link that claims another sign-out is nobody's word.
    let forged = browser
        .get("/?done=eyJ3IjoibWluZS1kb25lLW9uZSJ9.AAAA")
        .await;
    forged.expect_none("was signed out");

    browser
        .get("/ended")
        .await
        .expect("You ended it from another session.");
}

#[tokio::test]
async fn signing_the_current_one_out_leads_to_a_page_that_says_so() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let ada = person(&authority, "ada", &[]).await;
    let mut browser = console.browser_of(&ada.token);
    let confirm = format!("/sessions/{}/sign-out", ada.session_id);
    let page = browser.submit(&confirm, &confirm, &[]).await;
    page.expect_status(200)
        .expect("You are signed out")
        .expect("You signed out.")
        .expect("The gate has dropped it, within")
        .expect("Sign in");
    assert!(page.body.contains(&format!("href=\"{SIGN_OUT}\"")));
    // Every page leads there now, and a person without a cookie gets it without details.
    browser.open("/").await.expect("You signed out.");
    console
        .browser()
        .get("/signed-out")
        .await
        .expect("There is no session");
}

#[tokio::test]
async fn all_others_are_listed_and_end_and_the_current_one_too_on_request() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    // The session of the first round stays signed in.
    for (include_current, listed) in [(false, 2), (true, 3)] {
        let ada = person(&authority, "ada", &[UserRole::Admin]).await;
        let others = [
            person(&authority, "ada", &[UserRole::Admin]).await,
            person(&authority, "ada", &[UserRole::Admin]).await,
        ];
        let bob = person(&authority, "bob", &[]).await;
        let mut browser = console.browser_of(&ada.token);
        let page = browser.get("/sign-out-others").await;
        page.expect(&format!("{listed} other sessions end"))
            .expect("End the current one too");
        for other in &others {
            assert!(page.body.contains(&other.session_id));
        }
        assert!(!page.body.contains(&ada.session_id));

        let fields: &[_] = if include_current {
            &[("include_current", "yes")]
        } else {
            &[]
        };
        let page = browser
            .submit("/sign-out-others", "/sign-out-others", fields)
            .await;
        for other in &others {
            refused(console.console().validator(), &other.token).await;
        }
        console
            .browser_of(&bob.token)
            .get("/")
            .await
            .expect_status(200);
        if include_current {
            page.expect("You are signed out everywhere.");
        } else {
            page.expect("All other sessions were signed out.")
                .expect("nowhere else");
        }
    }
}

#[tokio::test]
async fn signing_out_everywhere_ends_every_session() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let ada = person(&authority, "ada", &[]).await;
    let other = person(&authority, "ada", &[]).await;
    let mut browser = console.browser_of(&ada.token);
    let page = browser
        .submit("/sign-out-everywhere", "/sign-out-everywhere", &[])
        .await;
    page.expect("You are signed out")
        .expect("You are signed out everywhere.");
    for token in [&ada.token, &other.token] {
        refused(console.console().validator(), token).await;
    }
}

#[tokio::test]
async fn a_person_may_leave_where_the_tenant_hides_sessions() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let ada = person(&authority, "ada", &[]).await;
    change_policy(&authority, |policy| policy.users_see_sessions = false).await;
    let mut browser = console.browser_of(&ada.token);
    let page = browser.get("/").await;
    page.expect_status(200)
        .expect("does not show sessions here")
        .expect("Sign out of this session");
    browser
        .get("/ended")
        .await
        .expect_status(403)
        .expect("does not allow this");
    let confirm = format!("/sessions/{}/sign-out", ada.session_id);
    let page = browser.submit(&confirm, &confirm, &[]).await;
    page.expect("You are signed out");
}

#[tokio::test]
async fn others_end_only_after_a_recent_sign_in_where_the_tenant_says_so() {
    let authority = TestAuthority::sqlite().await;
    let console = TestConsole::start(&authority).await;
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3_600);
    let ada = person_with(&authority, "ada", &[], |request| {
        request.auth_time = Some(hour_ago.into());
    })
    .await;
    let other = person(&authority, "ada", &[]).await;
    let recent = prost_types::Duration {
        seconds: 600,
        nanos: 0,
    };
    change_policy(&authority, |policy| {
        policy.reauthenticate_within = Some(recent);
    })
    .await;
    let mut browser = console.browser_of(&ada.token);
    let confirm = format!("/sessions/{}/sign-out", other.session_id);
    let page = browser.submit(&confirm, &confirm, &[]).await;
    page.expect_status(403)
        .expect("confirm that it is you")
        .expect("Nothing was changed");
    // The way back is the question, which asks again.
    assert!(
        page.body.contains(&format!("return_to={confirm}")),
        "{}",
        page.body
    );
    console
        .browser_of(&other.token)
        .get("/")
        .await
        .expect_status(200);
}

async fn change_policy(authority: &TestAuthority, change: impl FnOnce(&mut v1::Policy)) {
    let mut tenants = authority.tenants(ADMIN);
    let request = v1::GetPolicyRequest {
        tenant_id: TENANT.into(),
    };
    let current = tenants.get_policy(request).await.expect("a policy");
    let mut policy = current.into_inner().policy.expect("a policy");
    change(&mut policy);
    let request = v1::UpdatePolicyRequest {
        tenant_id: TENANT.into(),
        policy: Some(policy),
        reason: "a test".into(),
        ..Default::default()
    };
    tenants.update_policy(request).await.expect("an update");
}
