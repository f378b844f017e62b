//! The page of a problem: the error in the reader's language, with the remedy.

use askama::Template;
use axum::{
    extract::{Request, State as Shared},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
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
    let opens_page = matches!(*request.method(), Method::GET | Method::HEAD);
    let reader = request.extensions().get::<Reader>().cloned();
    let response = next.run(request).await;
    let (Some(problem), Some(reader)) = (problem_of(&response), reader) else {
        return response;
    };
    let Content::Page { kind, fields } = problem.into_content() else {
        return response;
    };

    let mut page = page_of(&state, reader, opens_page, kind, fields);
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
    // The router and its extractors answer with plain text or without a type. Pages, files and
    // events have other types.
    let has_page = kind.is_some_and(|kind| !kind.as_bytes().starts_with(b"text/plain"));
    if has_page {
        return None;
    }
    Kind::of_status(response.status()).map(Problem::of)
}

fn page_of(
    state: &State,
    reader: Reader,
    opens_page: bool,
    kind: Kind,
    fields: Vec<String>,
) -> Response {
    let words = reader.words;
    let (title, advice) = words_of(kind, opens_page);
    let link = link_of(state, &reader, kind, opens_page);
    let page = ProblemPage {
        page: Frame::of_reader(state, reader),
        title: words.text(title),
        advice: words.text(advice),
        fields,
        link,
    };
    let mut response = render(&page);
    *response.status_mut() = kind.status();
    set_retry(response.headers_mut(), kind, opens_page);
    response
}

fn render(page: &ProblemPage) -> Response {
    match page.render() {
        Ok(text) => html(text),
        // The page of a problem has no problem page of its own, so the status alone must do.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The ids of the title, and of the remedy.
fn words_of(kind: Kind, opens_page: bool) -> (&'static str, &'static str) {
    let (title, advice) = kind.words();
    // The call of a form may have arrived before the connection broke.
    if kind == Kind::Away && !opens_page {
        return (title, "frame-problem-away-form-advice");
    }
    (title, advice)
}

fn set_retry(headers: &mut HeaderMap, kind: Kind, opens_page: bool) {
    let seconds = HeaderValue::from_static(RETRY_SECONDS);
    if matches!(kind, Kind::Away | Kind::TooMany) {
        headers.insert(RETRY_AFTER, seconds.clone());
    }
    // A form is not sent again by itself.
    if kind == Kind::Away && opens_page {
        headers.insert(REFRESH, seconds);
    }
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
        // Without the query: it has the page token or the question that is out of date.
        Kind::Conflict | Kind::OldPage => (path.to_owned(), "frame-problem-again-link"),
        _ => ("/".to_owned(), "frame-problem-home-link"),
    };
    Some((location, words.text(word)))
}
