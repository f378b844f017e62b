//! The reader of a page: language, time zone and theme, whoever they are.

use axum::{
    extract::{FromRequestParts, Request},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, request::Parts};

use crate::{
    cookies, locale::Locale, problem::Problem, security::Nonce, state::State, times::Times,
    words::Words,
};

/// Light or dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    /// As the system has it.
    Auto,
    Light,
    Dark,
}

impl Theme {
    /// All of them, in the order of the chooser.
    pub(crate) const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    /// Its name in cookies and in markup.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The id of its name for people.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => "frame-theme-auto",
            Self::Light => "frame-theme-light",
            Self::Dark => "frame-theme-dark",
        }
    }

    /// The theme of a name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.name() == name)
    }
}

/// The reader of a page.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) words: Words,
    pub(crate) times: Times,
    pub(crate) theme: Theme,
    /// The path and query of the request.
    pub(crate) target: String,
    /// The word of this answer for htmx.
    pub(crate) nonce: String,
}

impl Reader {
    fn of_request(headers: &HeaderMap, target: &str, nonce: String) -> Self {
        let words = Words::of(Locale::of_request(headers));
        let theme = cookies::cookie(headers, cookies::THEME).and_then(Theme::parse);
        Self {
            words,
            times: Times::of_request(headers, words),
            theme: theme.unwrap_or(Theme::Auto),
            target: target.to_owned(),
            nonce,
        }
    }
}

/// Finds the reader before anything else, so that a refusal is in their language too.
pub(crate) async fn find_reader(mut request: Request, next: Next) -> Response {
    let target = request.uri().path_and_query();
    let target = target.map_or("/", |target| target.as_str());
    // `secure` is outside of this layer and has made the nonce. Without one htmx would leave the
    // page alone, and the page would work by links and forms.
    let nonce = request.extensions().get::<Nonce>();
    let nonce = nonce.map(|Nonce(nonce)| nonce.clone()).unwrap_or_default();
    let reader = Reader::of_request(request.headers(), target, nonce);
    request.extensions_mut().insert(reader);
    next.run(request).await
}

impl FromRequestParts<State> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        // Every route is behind `find_reader`.
        parts.extensions.get().cloned().ok_or(Problem::internal())
    }
}
