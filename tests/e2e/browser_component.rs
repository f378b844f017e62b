//! `<portcullis-sessions>` in a real browser, on a page of an application of another origin.

use portcullis_contract::v1::{self, session_service_client::SessionServiceClient};
use portcullis_tests::{
    authority::transport,
    chromium::run_script_with,
    embedding::Application,
    process::{Dev, credential},
};

/// Texts that are markup, code or controls of direction where a page takes them for more than texts.
const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'</script>${1}{0}";
/// A tenant of the demonstration, and somebody who is not in it.
const TENANT: &str = "northfield-school";
const USER: &str = "n-hostile";

#[tokio::test]
async fn a_page_of_an_application_shows_and_ends_its_users_sessions() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let application = Application::bind().await;
    let origin = application.origin();
    let dev = Dev::start_for_pages_of(&data, &origin).await;

    let authority = format!("http://{}", dev.grpc.trim_start_matches("http://"));
    let (console, _) = dev.console.rsplit_once('/').expect("a page");
    application.serve(&authority, console);
    let login = credential(&data, "login");
    let mut sessions = SessionServiceClient::new(transport(&authority, &login));
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let created = sessions.create_session(hostile()).await;
        tokens.push(created.expect("a sign-in").into_inner().access_token);
    }
    // One of the two has ended.
    let ended = v1::RevokeTokenRequest {
        tenant_id: TENANT.into(),
        token: tokens[1].clone(),
        ..Default::default()
    };
    sessions.revoke_token(ended).await.expect("ended");

    let variables = [
        ("APPLICATION", origin.as_str()),
        ("HOSTILE", HOSTILE),
        ("HOSTILE_TOKEN", &tokens[0]),
        ("ENDED_TOKEN", &tokens[1]),
    ];
    run_script_with("component.test.js", &dev, directory.path(), &variables).await;
}

fn hostile() -> v1::CreateSessionRequest {
    v1::CreateSessionRequest {
        tenant_id: TENANT.into(),
        user: Some(v1::SessionUser {
            id: USER.into(),
            ..Default::default()
        }),
        client: Some(v1::Client {
            app_name: HOSTILE.into(),
            os: HOSTILE.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}
