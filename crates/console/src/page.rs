//! The parts of every page: words, times, navigation, and the markup's answer.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, LOCATION},
};

use crate::{
    assets,
    locale::Locale,
    problem::Problem,
    reader::{Reader, Theme},
    state::State,
    times::Times,
    words::Words,
};

/// A room of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// The person's own sessions.
    Mine,
    Team,
    Settings,
    ApiSessions,
    Audit,
    Gates,
}

impl Room {
    /// The rooms for staff, in the order of the navigation.
    // Without `Gates`: only administrators of the operators' tenant may see them, and no page knows
    // whether its person is one. The settings have a link (decision 073).
    const STAFF: [Self; 4] = [Self::Team, Self::Settings, Self::ApiSessions, Self::Audit];

    /// The links to all rooms of a person.
    pub(crate) fn links(words: Words, is_staff: bool, current: Self) -> Vec<Link> {
        let mut rooms = vec![Self::Mine];
        if is_staff {
            rooms.extend(Self::STAFF);
        }
        let links = rooms.into_iter().map(|room| Link {
            path: room.path(),
            text: words.text(room.word()),
            is_current: room == current,
        });
        links.collect()
    }

    fn path(self) -> &'static str {
        match self {
            Self::Mine => "/",
            Self::Team => "/team",
            Self::Settings => "/settings",
            Self::ApiSessions => "/api-sessions",
            Self::Audit => "/audit",
            Self::Gates => "/gates",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Mine => "frame-room-mine",
            Self::Team => "frame-room-team",
            Self::Settings => "frame-room-settings",
            Self::ApiSessions => "frame-room-api-sessions",
            Self::Audit => "frame-room-audit",
            Self::Gates => "frame-room-gates",
        }
    }
}

/// A link of the navigation.
pub(crate) struct Link {
    pub(crate) path: &'static str,
    pub(crate) text: String,
    pub(crate) is_current: bool,
}

/// The parts of every page. A template has them as `page`.
pub(crate) struct Frame {
    pub(crate) words: Words,
    pub(crate) times: Times,
    pub(crate) theme: Theme,
    /// The address of the operator's style sheet.
    pub(crate) style_sheet: Option<String>,
    /// The rooms that the person may enter. Empty: nobody is signed in.
    pub(crate) rooms: Vec<Link>,
    /// A name for the page's head. Empty: nobody is signed in.
    pub(crate) name: String,
    /// The value of the field `csrf`. Empty: nobody is signed in.
    pub(crate) form_token: String,
    /// The path of this page, without its query, to come back to.
    pub(crate) path: String,
    /// The word of this answer for htmx: each element with attributes of htmx has it as `hx-nonce`.
    pub(crate) nonce: String,
    /// The application's page that removes its cookies.
    pub(crate) sign_out_url: Option<String>,
}

impl Frame {
    /// The frame of a page of nobody: a problem, or the end of a session.
    pub(crate) fn of_reader(state: &State, reader: Reader) -> Self {
        let path = reader.target.split('?').next().unwrap_or("/").to_owned();
        Self {
            words: reader.words,
            times: reader.times,
            theme: reader.theme,
            style_sheet: state.theme.as_ref().map(assets::Theme::address),
            rooms: Vec::new(),
            name: String::new(),
            form_token: String::new(),
            path,
            nonce: reader.nonce,
            sign_out_url: state.config.session.sign_out_url.clone(),
        }
    }

    /// The address of a style, a script or an image.
    pub(crate) fn asset(&self, name: &str) -> String {
        assets::address(name)
    }

    /// The language.
    pub(crate) fn locale(&self) -> Locale {
        self.words.locale()
    }

    /// The languages of the chooser.
    pub(crate) fn locales(&self) -> [Locale; 4] {
        Locale::ALL
    }

    /// The themes of the chooser.
    pub(crate) fn themes(&self) -> [Theme; 3] {
        Theme::ALL
    }
}

/// A page, or the way to one.
pub(crate) struct Page(Response);

impl Page {
    /// A page from its template.
    pub(crate) fn render(template: &impl Template) -> Result<Self, Problem> {
        match template.render() {
            Ok(text) => Ok(Self(html(text))),
            Err(error) => {
                tracing::error!(%error, "a page cannot be written");
                Err(Problem::internal())
            }
        }
    }

    /// The way to another page, after a form (303). The path is the console's own; its parts are ids, encoded.
    pub(crate) fn see_other(path: &str) -> Result<Self, Problem> {
        let Ok(location) = HeaderValue::from_str(path) else {
            return Err(Problem::internal());
        };
        let mut response = StatusCode::SEE_OTHER.into_response();
        response.headers_mut().insert(LOCATION, location);
        Ok(Self(response))
    }
}

impl From<Response> for Page {
    fn from(response: Response) -> Self {
        Self(response)
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        self.0
    }
}

/// An answer of markup.
pub(crate) fn html(text: String) -> Response {
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
