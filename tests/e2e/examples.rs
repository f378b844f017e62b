//! The example applications in Python and Node, over HTTP, against the real binary: one story for both.

use std::path::Path;

use portcullis_contract::v1::{
    self, session_service_client::SessionServiceClient, user_service_client::UserServiceClient,
};
use portcullis_tests::{
    application::Application,
    authority::{TENANT, Transport, sign_in, transport},
    browser::{Browser, Page},
    process::{Dev, credential},
    wait::eventually,
};

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0";
const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
const RIGHT: &str = "user=ada&password=lovelace";
const ACCESS: &str = "__Host-session";
const REFRESH: &str = "__Host-refresh";

/// An application in front of a real authority.
struct World {
    dev: Dev,
    application: Application,
    admin: String,
    login: String,
}

impl World {
    fn browser(&self, user_agent: &str) -> Browser {
        Browser::new(&self.application.address, user_agent)
    }

    /// A browser in which ada is signed in.
    async fn signed_in(&self, user_agent: &str) -> Browser {
        let mut browser = self.browser(user_agent);
        let page = browser.post("/sign-in", RIGHT).await;
        assert_greets(&page);
        browser
    }

    fn transport(&self) -> Transport {
        transport(&format!("http://{}", self.dev.grpc), &self.admin)
    }
}

fn assert_greets(page: &Page) {
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("Hello ada"), "{}", page.body);
}

/// Checks that the next page says why the session has ended, and that the cookies are gone.
async fn assert_ended(browser: &mut Browser, why: &str) {
    let page = browser.get("/").await;
    assert_eq!(page.status, 401, "{}", page.body);
    assert!(page.body.contains(why), "not `{why}`: {}", page.body);
    assert!(!browser.cookies.contains_key(ACCESS) && !browser.cookies.contains_key(REFRESH));
    let page = browser.get("/").await;
    assert!(page.status == 200 && page.body.contains("<h1>Sign in</h1>"));
}

/// The ids of the sessions on the page of devices, in its order.
fn session_ids(page: &Page) -> Vec<String> {
    let forms = page.body.split("action=\"/devices/").skip(1);
    let ids = forms.filter_map(|form| form.split_once("/sign-out\""));
    ids.map(|(id, _)| id.to_owned())
        .filter(|id| id.starts_with("ses_"))
        .collect()
}

async fn devices(browser: &mut Browser) -> Page {
    let page = browser.get("/devices").await;
    assert_eq!(page.status, 200, "{}", page.body);
    page
}

#[tokio::test]
async fn the_python_example_keeps_its_story() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let dev = Dev::start(directory.path()).await;
    let application = Application::python(&dev, directory.path()).await;
    play(dev, application, directory.path()).await;
}

#[tokio::test]
async fn the_node_example_keeps_its_story() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let dev = Dev::start(directory.path()).await;
    let application = Application::node(&dev, directory.path()).await;
    play(dev, application, directory.path()).await;
}

async fn play(dev: Dev, application: Application, directory: &Path) {
    let admin = credential(directory, "admin");
    let world = World {
        dev,
        application,
        admin,
        login: credential(directory, "login"),
    };
    people_sign_in(&world).await;
    pages_are_use_of_the_session(&world).await;
    forged_forms_are_refused(&world).await;
    a_refresh_survives_two_tabs_and_a_lost_answer(&world).await;
    people_sign_out_their_devices(&world).await;
    people_sign_out_everywhere(&world).await;
    signing_out_ends_the_session(&world).await;
    an_end_is_explained(&world).await;
    an_outage_signs_nobody_out(world).await;
}

async fn people_sign_in(world: &World) {
    let mut browser = world.browser(CHROME);
    let page = browser.get("/").await;
    assert!(page.status == 200 && page.body.contains("<h1>Sign in</h1>"));
    for (page, form) in [
        ("/devices", ""),
        ("/sign-in", "user=ada&password=wrong"),
        ("/sign-in", "user=eve&password="),
    ] {
        let page = match form {
            "" => browser.get(page).await,
            form => browser.post(page, form).await,
        };
        assert_eq!(page.status, 401);
    }
    assert!(browser.cookies.is_empty());

    let own = format!("http://{}", world.application.address);
    let page = browser.post_from(&own, "/sign-in", RIGHT).await;
    assert_eq!((page.status, page.header("location")), (303, "/"));
    for name in [ACCESS, REFRESH, "__Host-device"] {
        let prefix = format!("{name}=");
        let cookie = page
            .all("set-cookie")
            .find(|cookie| cookie.starts_with(&prefix));
        let cookie = cookie.expect(name).to_ascii_lowercase();
        for attribute in ["path=/", "secure", "httponly", "samesite=lax"] {
            assert!(cookie.split("; ").any(|part| part == attribute), "{cookie}");
        }
        // `__Host-` allows none, and a session cookie ends with the browser.
        assert!(!cookie.contains("domain"));
        assert_eq!(cookie.contains("max-age"), name == "__Host-device");
    }
    let page = browser.get("/").await;
    assert_greets(&page);
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'none'")
    );

    let remembered = browser
        .post_from(&own, "/sign-in", &format!("{RIGHT}&remember_me=true"))
        .await;
    let kept = remembered
        .all("set-cookie")
        .filter(|cookie| cookie.to_ascii_lowercase().contains("max-age=25"));
    assert_eq!(
        kept.count(),
        2,
        "30 days less a moment: {:?}",
        remembered.headers
    );
    // The session before has ended, since no cookie names it any more.
    let page = devices(&mut browser).await;
    assert_eq!(session_ids(&page).len(), 1, "{}", page.body);
}

async fn pages_are_use_of_the_session(world: &World) {
    let mut browser = world.signed_in(CHROME).await;
    let session_id = session_ids(&devices(&mut browser).await).swap_remove(0);
    let request = v1::GetSessionRequest {
        tenant_id: TENANT.into(),
        session_id,
    };
    let used = async || {
        let mut sessions = SessionServiceClient::new(world.transport());
        let answer = sessions.get_session(request.clone()).await;
        let session = answer.expect("an answer").into_inner().session;
        (session.expect("a session").actions > 0).then_some(())
    };
    eventually("the pages to be use", used).await;
}

async fn forged_forms_are_refused(world: &World) {
    let mut browser = world.signed_in(CHROME).await;
    for path in [
        "/sign-in",
        "/sign-out",
        "/devices/sign-out-others",
        "/devices/sign-out-all",
        "/devices/ses_x/sign-out",
    ] {
        for origin in ["https://evil.example", "null", "", "http://127.0.0.1:1"] {
            let page = browser.post_from(origin, path, RIGHT).await;
            assert_eq!(page.status, 403, "{path} from `{origin}`");
            assert_eq!(page.all("set-cookie").count(), 0);
        }
    }
    assert_greets(&browser.get("/").await);
}

async fn a_refresh_survives_two_tabs_and_a_lost_answer(world: &World) {
    let mut browser = world.signed_in(FIREFOX).await;
    // As if the access token had run out.
    browser.cookies.remove(ACCESS);
    let old = browser.clone();
    let (mut one, mut two) = (browser.clone(), browser.clone());
    let (first, second) = tokio::join!(one.get("/"), two.get("/devices"));
    assert_greets(&first);
    assert_eq!(second.status, 200);
    assert_ne!(one.cookies[REFRESH], old.cookies[REFRESH]);
    assert_eq!(
        one.cookies[REFRESH], two.cookies[REFRESH],
        "both tabs go on"
    );
    assert_greets(&two.get("/").await);

    // The next exchange happens, and its answer never arrives.
    one.cookies.remove(ACCESS);
    assert_greets(&one.get_and_lose("/").await);
    assert_greets(&one.get("/").await);
    assert_greets(&one.get("/").await);

    // A token of another application is not taken.
    let request = v1::CreateSessionRequest {
        audiences: vec!["another".into()],
        ..sign_in("eve")
    };
    let login = transport(&format!("http://{}", world.dev.grpc), &world.login);
    let foreign = SessionServiceClient::new(login)
        .create_session(request)
        .await;
    let foreign = foreign.expect("a sign-in").into_inner().access_token;
    let mut planted = world.browser(CHROME);
    planted.cookies.insert(ACCESS.into(), foreign);
    let page = planted.get("/").await;
    assert!(page.body.contains("<h1>Sign in</h1>"), "{}", page.body);

    // A token that is none at all is no reason to sign anybody out either.
    one.cookies.insert(ACCESS.into(), "garbage".into());
    assert_greets(&one.get("/").await);
}

async fn people_sign_out_their_devices(world: &World) {
    let mut desktop = world.signed_in(CHROME).await;
    desktop.post("/devices/sign-out-others", "").await;
    let (mut linux, mut phone) = (
        world.signed_in(FIREFOX).await,
        world.signed_in(SAFARI).await,
    );
    let page = devices(&mut desktop).await;
    assert_eq!(session_ids(&page).len(), 3, "{}", page.body);
    assert_eq!(page.body.matches("this device").count(), 1);
    for device in ["Chrome", "Firefox", "Safari", "iPhone"] {
        assert!(page.body.contains(device), "{device}: {}", page.body);
    }

    // Of somebody else, or of nobody: the same answer.
    let page = desktop
        .post("/devices/ses_01m81y29f1emtbpyqy4be0wn7v/sign-out", "")
        .await;
    assert_eq!(page.status, 404);
    // Their own list begins with the current session.
    let of_linux = session_ids(&devices(&mut linux).await).swap_remove(0);
    let page = desktop
        .post(&format!("/devices/{of_linux}/sign-out"), "")
        .await;
    assert_eq!(session_ids(&page).len(), 2, "{}", page.body);
    assert_ended(&mut linux, "You signed this device out from another one.").await;

    let page = desktop.post("/devices/sign-out-others", "").await;
    assert_eq!(session_ids(&page).len(), 1, "{}", page.body);
    assert_ended(&mut phone, "You signed this device out from another one.").await;
    assert_greets(&desktop.get("/").await);
}

async fn people_sign_out_everywhere(world: &World) {
    let (mut desktop, mut phone) = (world.signed_in(CHROME).await, world.signed_in(SAFARI).await);
    // Also when the access token has to be renewed for it: the new tokens do not outlive the answer.
    desktop.cookies.remove(ACCESS);
    let page = desktop.post("/devices/sign-out-all", "").await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("You signed out everywhere."));
    assert!(!desktop.cookies.contains_key(ACCESS) && !desktop.cookies.contains_key(REFRESH));
    assert_ended(&mut phone, "You signed this device out from another one.").await;
}

async fn signing_out_ends_the_session(world: &World) {
    for lost in [ACCESS, REFRESH] {
        let mut browser = world.signed_in(CHROME).await;
        let mut stolen = browser.clone();
        browser.cookies.remove(lost);
        let page = browser.post("/sign-out", "").await;
        assert!(page.status == 200 && page.body.contains("You signed out."));
        assert!(!browser.cookies.contains_key(ACCESS) && !browser.cookies.contains_key(REFRESH));
        assert_ended(&mut stolen, "You signed out.").await;
        // Twice is as good as once.
        assert_eq!(browser.post("/sign-out", "").await.status, 200);
    }
}

async fn an_end_is_explained(world: &World) {
    let mut browser = world.signed_in(CHROME).await;
    let session_id = session_ids(&devices(&mut browser).await).swap_remove(0);
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id,
        reason: "not for the user".into(),
        user_message: "<script>alert(1)</script> call us".into(),
        ..Default::default()
    };
    let revoked = SessionServiceClient::new(world.transport())
        .revoke_session(request)
        .await;
    revoked.expect("revoked");
    let mut without_access = browser.clone();
    let page = browser.get("/devices").await;
    assert_eq!(page.status, 401);
    assert!(
        page.body.contains("An administrator signed you out."),
        "{}",
        page.body
    );
    assert!(
        page.body.contains("&lt;script&gt;"),
        "escaped: {}",
        page.body
    );
    assert!(!page.body.contains("<script>") && !page.body.contains("not for the user"));
    // A refresh learns of the end too, and cannot ask why without an access token.
    without_access.cookies.remove(ACCESS);
    assert_ended(&mut without_access, "Your session has ended.").await;

    let mut browser = world.signed_in(CHROME).await;
    let mut users = UserServiceClient::new(world.transport());
    let disable = v1::DisableUserRequest {
        tenant_id: TENANT.into(),
        user_id: "ada".into(),
        reason: "a test".into(),
        ..Default::default()
    };
    users.disable_user(disable).await.expect("disabled");
    assert_ended(&mut browser, "Your account was disabled.").await;
    let page = browser.post("/sign-in", RIGHT).await;
    assert_eq!(page.status, 403);
    assert!(
        page.body.contains("This account is disabled."),
        "{}",
        page.body
    );
    let enable = v1::EnableUserRequest {
        tenant_id: TENANT.into(),
        user_id: "ada".into(),
        reason: "a test".into(),
        ..Default::default()
    };
    users.enable_user(enable).await.expect("enabled");
}

async fn an_outage_signs_nobody_out(world: World) {
    let mut browser = world.signed_in(CHROME).await;
    let before = browser.cookies.clone();
    let World {
        dev, application, ..
    } = world;
    dev.kill().await;
    for path in ["/", "/devices"] {
        let page = browser.get(path).await;
        assert_eq!(
            (page.status, page.header("retry-after")),
            (503, "1"),
            "{}",
            page.body
        );
        assert_eq!(browser.cookies, before);
    }
    // Not signed out, and not said to be.
    let page = browser.post("/sign-out", "").await;
    assert_eq!(page.status, 503, "{}", page.body);
    assert_eq!(browser.cookies, before);

    let output = application.output();
    for secret in [&before[ACCESS], &before[REFRESH], "lovelace"] {
        assert!(!output.contains(secret), "a secret in the log: {output}");
    }
    assert!(
        !output.contains("Traceback") && !output.contains("    at "),
        "{output}"
    );
}
