//! The pages of the demonstration: the sign-in, and the stage that shows the console beside the gateway's answers.

use std::{convert::Infallible, sync::Arc, time::Duration};

use askama::Template;
use axum::{
    Router,
    body::Bytes,
    extract::{Query, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, USER_AGENT},
    },
    middleware,
    response::{
        Html, IntoResponse, Redirect, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures::{Stream, stream};
use portcullis_contract::v1::Client;
use serde::Deserialize;
use tokio::{sync::watch, time::sleep};

use super::{
    cookies, data,
    device::{Device, View},
    devices::Devices,
    guard::guard,
    hardware::{self, Hardware},
    people::{self, Person},
    places::Town,
};

/// The page that `dev` names: the console beside the gateway's answers.
pub(crate) const STAGE: &str = "/demo";
/// The sign-in page, for the console.
pub(crate) const SIGN_IN: &str = "/demo/sign-in";
/// The page that forgets the signed-in person, for the console.
pub(crate) const SIGN_OUT: &str = "/demo/sign-out";
/// The page where an application lets people change their password, for the console.
pub(crate) const ACCOUNT: &str = "/demo/account";

/// The shortest time between two messages to a panel. Answers in between are shown together.
const MESSAGE_INTERVAL: Duration = Duration::from_millis(50);

/// The pages below `/demo`.
pub(super) fn routes(devices: Devices) -> Router {
    Router::new()
        .route(STAGE, get(stage))
        .route(SIGN_IN, get(show_sign_in).post(sign_in))
        .route(SIGN_OUT, get(sign_out))
        .route(ACCOUNT, get(account))
        .route("/demo/panel", get(panel))
        .route("/demo/answers", get(answers))
        .route("/demo/assets/demo.css", get(style))
        .route("/demo/assets/demo.js", get(script))
        // Around these pages only: the console has protection of its own.
        .layer(middleware::from_fn(guard))
        .with_state(devices)
}

/// A page that could not be made.
struct Failure(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let problem = format!("{:#}", self.0);
        let page = Problem { problem: &problem }.render().map(Html);
        match page {
            Ok(page) => (StatusCode::BAD_GATEWAY, page).into_response(),
            Err(_) => (StatusCode::BAD_GATEWAY, problem).into_response(),
        }
    }
}

#[derive(Template)]
#[template(path = "demo/problem.html")]
struct Problem<'a> {
    problem: &'a str,
}

#[derive(Template)]
#[template(path = "demo/sign_in.html")]
struct SignInPage<'a> {
    tenants: [(&'a str, Vec<&'static Person>); 2],
    devices: [Hardware; 3],
}

#[derive(Template)]
#[template(path = "demo/stage.html")]
struct StagePage<'a> {
    person: &'a str,
    tenant: &'a str,
    role: &'a str,
    gateway: String,
    views: Vec<View>,
}

#[derive(Template)]
#[template(path = "demo/panel.html")]
struct PanelPage {
    views: Vec<View>,
}

#[derive(Template)]
#[template(path = "demo/account.html")]
struct AccountPage;

/// The device of the browser that calls.
fn device_of(devices: &Devices, headers: &HeaderMap) -> Option<Arc<Device>> {
    devices.find(cookies::read(headers, cookies::DEVICE)?)
}

async fn stage(State(devices): State<Devices>, headers: HeaderMap) -> Result<Response, Failure> {
    let Some(device) = device_of(&devices, &headers) else {
        return Ok(Redirect::to(SIGN_IN).into_response());
    };
    let page = StagePage {
        person: &device.person.name(),
        tenant: device.person.tenant_name(),
        role: device.person.role_word(),
        gateway: devices.gateway().to_string(),
        views: devices.views(),
    };
    Ok(Html(page.render()?).into_response())
}

/// The query of the sign-in page.
#[derive(Deserialize)]
struct SignInQuery {
    /// The console's page to go back to.
    return_to: Option<String>,
    /// Set when somebody wants to be another person.
    choose: Option<String>,
}

/// Shows whom one can be. A browser that is signed in gets a fresh token instead, and goes back to where it came from:
/// the console sends people here when their access token has expired.
async fn show_sign_in(
    State(devices): State<Devices>,
    Query(query): Query<SignInQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    if let Some(device) = device_of(&devices, &headers)
        && query.choose.is_none()
    {
        devices.renew(&device).await;
        if device.is_signed_in() {
            return Ok(send_back(&device, query.return_to));
        }
    }
    let page = SignInPage {
        tenants: [people::SCHOOL, people::COMPANY].map(choices_of),
        devices: hardware::CHOICES,
    };
    Ok(Html(page.render()?).into_response())
}

/// Sends a browser back to where it came from, with a fresh token.
fn send_back(device: &Device, return_to: Option<String>) -> Response {
    // Another site could otherwise send people through this page to wherever it likes.
    let back = return_to.filter(|path| is_own_path(path));
    let mut response = Redirect::to(back.as_deref().unwrap_or(STAGE)).into_response();
    let headers = response.headers_mut();
    cookies::set(headers, cookies::SESSION, &device.access_token());
    response
}

/// The name of a tenant, and its people on the sign-in page.
fn choices_of(tenant: &str) -> (&'static str, Vec<&'static Person>) {
    let of_tenant: Vec<_> = people::choices()
        .filter(|person| person.tenant == tenant)
        .collect();
    let name = of_tenant.first().map_or("", |person| person.tenant_name());
    (name, of_tenant)
}

/// Whether an address to go back to is a path of this host.
fn is_own_path(path: &str) -> bool {
    let has_odd_bytes = path
        .bytes()
        .any(|byte| !byte.is_ascii_graphic() || byte == b'\\');
    path.starts_with('/') && !path.starts_with("//") && !has_odd_bytes
}

/// The form of the sign-in page.
#[derive(Deserialize)]
struct SignInForm {
    person: String,
    /// The devices to sign in on beside this browser.
    #[serde(default)]
    device: Vec<String>,
}

/// Signs a person in, in this browser and on the devices that were ticked.
async fn sign_in(
    State(devices): State<Devices>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let Some((person, chosen)) = read_form(&body) else {
        // A form that was changed by hand: the page again.
        return Ok(Redirect::to(SIGN_IN).into_response());
    };
    // First, because a sign-in at home after one in Sydney would look like an impossible journey.
    let device = sign_in_here(&devices, person, &headers).await?;
    sign_in_elsewhere(&devices, person, &chosen).await?;

    let mut response = Redirect::to(STAGE).into_response();
    let headers = response.headers_mut();
    cookies::set(headers, cookies::DEVICE, &device.key);
    // The console reads the token from this cookie. The other one finds the device, when the token
    // has expired.
    cookies::set(headers, cookies::SESSION, &device.access_token());
    Ok(response)
}

/// The person and the keys of the devices. None if nobody is like that.
fn read_form(body: &[u8]) -> Option<(&'static Person, Vec<String>)> {
    let form: SignInForm = serde_html_form::from_bytes(body).ok()?;
    Some((people::find(&form.person)?, form.device))
}

/// Signs a person in on the devices with these keys.
async fn sign_in_elsewhere(
    devices: &Devices,
    person: &'static Person,
    chosen: &[String],
) -> Result<(), Failure> {
    for hardware in hardware::CHOICES {
        if chosen.iter().any(|key| key == hardware.key) {
            sign_in_on(devices, person, hardware).await?;
        }
    }
    Ok(())
}

async fn sign_in_on(
    devices: &Devices,
    person: &'static Person,
    hardware: Hardware,
) -> Result<(), Failure> {
    let household = data::household(person);
    // The laptop is far away: a session that its owner should look at.
    let town = if hardware == hardware::LAPTOP {
        Town::Sydney
    } else {
        person.home
    };
    let address = town.address(household);
    let client = hardware.client(person.id, address);
    let place = (hardware.name.to_owned(), town, address);
    devices.sign_in(person, place, client).await?;
    Ok(())
}

/// Signs the person in with this browser's own user agent. Its address is one of the person's home, because this machine's
/// own has no place.
async fn sign_in_here(
    devices: &Devices,
    person: &'static Person,
    headers: &HeaderMap,
) -> Result<Arc<Device>, Failure> {
    let address = person.home.address(data::household(person));
    let user_agent = headers
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok());
    let client = Client {
        ip: address.to_string(),
        user_agent: user_agent.unwrap_or_default().into(),
        device_id: format!("demo-{}-browser", person.id),
        ..Default::default()
    };
    let place = ("This browser".to_owned(), person.home, address);
    Ok(devices.sign_in(person, place, client).await?)
}

/// Forgets the browser's device. The session has ended already, or goes on without this browser.
async fn sign_out() -> Response {
    let mut response = Redirect::to(SIGN_IN).into_response();
    let headers = response.headers_mut();
    cookies::remove(headers, cookies::DEVICE);
    cookies::remove(headers, cookies::SESSION);
    response
}

async fn account() -> Result<Html<String>, Failure> {
    Ok(Html(AccountPage.render()?))
}

/// The panel for a browser without scripts. It has a link and no timer: a page that reloads itself takes a screen reader back
/// to its start.
async fn panel(State(devices): State<Devices>) -> Result<Html<String>, Failure> {
    let page = PanelPage {
        views: devices.views(),
    };
    Ok(Html(page.render()?))
}

/// The panel's lines, again whenever an answer has changed.
async fn answers(
    State(devices): State<Devices>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut changes = devices.changes();
    // The first message comes at once.
    changes.mark_changed();
    let messages = stream::unfold((devices, changes), next_message);
    Sse::new(messages).keep_alive(KeepAlive::default())
}

type Listener = (Devices, watch::Receiver<()>);

async fn next_message(
    (devices, mut changes): Listener,
) -> Option<(Result<Event, Infallible>, Listener)> {
    changes.changed().await.ok()?;
    let event = Event::default().json_data(devices.views()).ok()?;
    // After the look, so that an answer of this pause wakes the next message.
    sleep(MESSAGE_INTERVAL).await;
    Some((Ok(event), (devices, changes)))
}

async fn style() -> impl IntoResponse {
    let text = HeaderValue::from_static("text/css; charset=utf-8");
    (
        [(CONTENT_TYPE, text)],
        include_str!("../../../assets/demo/demo.css"),
    )
}

async fn script() -> impl IntoResponse {
    let text = HeaderValue::from_static("text/javascript; charset=utf-8");
    (
        [(CONTENT_TYPE, text)],
        include_str!("../../../assets/demo/demo.js"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_stays_on_this_host() {
        for own in ["/", "/sessions/ses_1", "/team?state=x%2Fy"] {
            assert!(is_own_path(own), "{own}");
        }
        for other in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a b",
            "/\r\nset-cookie: a=b",
        ] {
            assert!(!is_own_path(other), "{other:?}");
        }
    }
}
