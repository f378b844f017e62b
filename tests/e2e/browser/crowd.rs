//! More people than a page lists, and one whose names are an attack.

use std::path::Path;

use portcullis_contract::v1::{self, session_service_client::SessionServiceClient};
use portcullis_tests::{
    authority::transport,
    process::{Dev, credential},
};

/// The company of the demonstration.
const COMPANY: &str = "harbour-freight";
/// The school of the demonstration.
const SCHOOL: &str = "northfield-school";

/// More than two pages of users.
const PEOPLE: usize = 120;

/// Markup, a formula, and a name that has no place to break. It must reach no page but as text.
const HOSTILE: &str = "<img src=x onerror=canary()>\"'&{{7*7}}</title><script>canary()</script>";
const FORMULA: &str = "=HYPERLINK(\"https://evil.example\";canary())";

/// Signs everybody in with the login service's credential of `dev`.
pub(super) async fn sign_in_crowd(dev: &Dev, data: &Path) {
    let login = credential(data, "login");
    let endpoint = format!("http://{}", dev.grpc);
    let mut sessions = SessionServiceClient::new(transport(&endpoint, &login));
    let mut requests = vec![hostile()];
    requests.extend((0..PEOPLE).map(crew));
    for request in requests {
        let created = sessions.create_session(request).await;
        created.expect("a sign-in");
    }
}

fn crew(number: usize) -> v1::CreateSessionRequest {
    v1::CreateSessionRequest {
        tenant_id: COMPANY.into(),
        user: Some(v1::SessionUser {
            id: format!("c-{number:03}"),
            user_name: format!("crew.{number:03}"),
            given_name: "Sam".into(),
            family_name: format!("Crew{number:03}"),
            ..Default::default()
        }),
        client: Some(v1::Client {
            ip: "203.0.113.200".into(),
            user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0"
                .into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn hostile() -> v1::CreateSessionRequest {
    v1::CreateSessionRequest {
        tenant_id: SCHOOL.into(),
        user: Some(v1::SessionUser {
            id: "x/<b>&?#..%2F".into(),
            user_name: HOSTILE.into(),
            given_name: FORMULA.into(),
            family_name: "W".repeat(200),
            ..Default::default()
        }),
        client: Some(v1::Client {
            ip: "203.0.113.201".into(),
            user_agent: HOSTILE.into(),
            app_name: HOSTILE.into(),
            app_version: "<b>".into(),
            os: HOSTILE.into(),
            device_model: HOSTILE.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}
