//! The reader's choices: language and theme. Each is a cookie, and a page to go back to.

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
    routing::post,
};
use http::header::SET_COOKIE;
use serde::Deserialize;

use crate::{
    cookies,
    forms::{parse, read_form, require_same_origin},
    locale::Locale,
    page::Page,
    problem::Problem,
    reader::Theme,
    state::State,
};

/// The path of the choosers' forms.
pub(crate) const PATH: &str = "/preferences";

pub(crate) fn routes() -> Router<State> {
    Router::new().route(PATH, post(choose))
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    language: String,
    #[serde(default)]
    theme: String,
    /// The path of the page that has the form.
    #[serde(default)]
    back: String,
}

/// Keeps a choice. It belongs to the browser and to no session, so the form has no token: pages of nobody have it too, and
/// another site that forged it would change a language.
async fn choose(request: Request) -> Result<Response, Problem> {
    require_same_origin(request.headers())?;
    let choice: Choice = parse(&read_form(request).await?)?;
    let mut response = Page::see_other(way_back(&choice.back))?.into_response();
    let language = Locale::parse(&choice.language).map(Locale::tag);
    let theme = Theme::parse(&choice.theme).map(Theme::name);
    for (name, value) in [(cookies::LANGUAGE, language), (cookies::THEME, theme)] {
        // A value that is no choice changes nothing. So a cookie gets words of a fixed list only,
        // and nothing that the form made up.
        let Some(value) = value else { continue };
        let cookie = cookies::keep(name, value).ok_or(Problem::internal())?;
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// A path of the console. Anything else, such as `//host`, leads to the first page.
fn way_back(path: &str) -> &str {
    if path.starts_with('/') && !path.starts_with("//") && path.bytes().all(is_path_byte) {
        path
    } else {
        "/"
    }
}

fn is_path_byte(byte: u8) -> bool {
    // Browsers take a backslash for a slash, so `/\host` would lead to another host.
    byte.is_ascii_graphic() && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_stays_on_the_console() {
        assert_eq!(way_back("/team/users/ada%20l"), "/team/users/ada%20l");
        for foreign in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/a\r\nset-cookie: x",
        ] {
            assert_eq!(way_back(foreign), "/", "{foreign}");
        }
    }
}
