//! The page of a problem: the error in the reader's language, with the remedy.

use askama::Template;
use axum::{
    extract::{Request, State as Shared},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, Method, StatusCode,
    header::{ALLOW, CONTENT_TYPE, HeaderName, RETRY_AFTER},
};

use crate::{
    page::{Frame, html},
    problem::{Content, Kind, Problem},
    reader::Reader,
    state::State,
};

/// Seconds until a page whose authority is away tries again by itself.
const RETRY_SECONDS: &str = "5";
/// Reloads the page. A header, because an element that does it in the page would take the reader's focus by surprise.
const REFRESH: HeaderName = HeaderName::from_static("refresh");

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    page: Frame,
    title: String,
    advice: String,
    fields: Vec<String>,
    /// The way on, and its words.
    link: Option<(String, String)>,
}

/// Writes the page of a problem.
pub(crate) async fn show_problems(
    Shared(state): Shared<State>,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    let reader = request.extensions().get::<Reader>().cloned();
    let response = next.run(request).await;
    let (Some(problem), Some(reader)) = (problem_of(&response), reader) else {
        return response;
    };
    let Content::Page { kind, fields } = problem.into_content() else {
        return response;
    };

    let mut page = page_of(&state, reader, &method, kind, fields);
    // A router that refuses a method says which ones there are.
    if let Some(allow) = response.headers().get(ALLOW) {
        page.headers_mut().insert(ALLOW, allow.clone());
    }
    page
}

/// The problem of an answer, also of one that the router gave by itself: it has no page.
fn problem_of(response: &Response) -> Option<Problem> {
    if let Some(problem) = response.extensions().get::<Problem>() {
        return Some(problem.clone());
    }
    let kind = response.headers().get(CONTENT_TYPE);
    let has_page = kind.is_some_and(|kind| !kind.as_bytes().starts_with(b"text/plain"));
    if has_page {
        return None;
    }
    Kind::of_status(response.status()).map(Problem::of)
}

fn page_of(
    state: &State,
    reader: Reader,
    method: &Method,
    kind: Kind,
    fields: Vec<String>,
) -> Response {
    let words = reader.words;
    let (title, mut advice) = kind.words();
    let opens_page = matches!(*method, Method::GET | Method::HEAD);
    // The call may have arrived before the connection broke.
    if kind == Kind::Away && !opens_page {
        advice = "frame-problem-away-form-advice";
    }
    let link = link_of(state, &reader, kind, opens_page);
    let page = ProblemPage {
        page: Frame::of_reader(state, reader),
        title: words.text(title),
        advice: words.text(advice),
        fields,
        link,
    };
    let mut response = match page.render() {
        Ok(text) => html(text),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    *response.status_mut() = kind.status();
    let headers = response.headers_mut();
    if matches!(kind, Kind::Away | Kind::TooMany) {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
    }
    // A form is not sent again by itself.
    if kind == Kind::Away && opens_page {
        headers.insert(REFRESH, HeaderValue::from_static(RETRY_SECONDS));
    }
    response
}

/// The way on. A form leads back to its own page, which has the same address.
fn link_of(
    state: &State,
    reader: &Reader,
    kind: Kind,
    opens_page: bool,
) -> Option<(String, String)> {
    let words = reader.words;
    let path = reader.target.split('?').next().unwrap_or("/");
    let back = if opens_page { &reader.target } else { path };
    let (location, word) = match kind {
        Kind::SignIn | Kind::SignInRecently => {
            (state.sign_in_location(back), "frame-problem-sign-in-link")
        }
        Kind::Ended => ("/signed-out".to_owned(), "frame-problem-ended-link"),
        Kind::Away | Kind::TooMany | Kind::TooSlow | Kind::OutdatedForm => {
            (back.to_owned(), "frame-problem-again-link")
        }
        Kind::Conflict | Kind::OldPage => (path.to_owned(), "frame-problem-again-link"),
        _ => ("/".to_owned(), "frame-problem-home-link"),
    };
    Some((location, words.text(word)))
}
