//! The tools of every administrators' room: the reader, their words, and the seal of addresses.

use askama::Template;
use axum::response::IntoResponse;
use http::StatusCode;
use jiff::tz::TimeZone;
use serde::{Serialize, de::DeserializeOwned};
use tonic::Status;
use tonic_types::StatusExt;

use super::{address, search::WrongFields};
use crate::{
    page::{Frame, Page, Room},
    person::Person,
    problem::Problem,
    seal::{Context, Seal, SealFailed},
    state::State,
    times::Times,
    words::Words,
};

/// A reader in a room of administrators.
pub(super) struct Desk<'a> {
    pub(super) person: &'a Person,
    seal: &'a Seal,
}

/// A page of the team, for its own navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Users,
    Sessions,
    Force,
    Everyone,
}

/// The parts of all pages of the team. A template has them as `team`.
pub(super) struct TeamFrame {
    pub(super) tab: Tab,
    /// Whether the page shows buttons that change something. The authority decides about the calls.
    pub(super) may_change: bool,
}

impl TeamFrame {
    pub(super) fn has_tab(&self, tab: Tab) -> bool {
        self.tab == tab
    }
}

impl<'a> Desk<'a> {
    pub(super) fn new(state: &'a State, person: &'a Person) -> Self {
        Self {
            person,
            seal: &state.seal,
        }
    }

    pub(super) fn words(&self) -> &Words {
        &self.person.words
    }

    pub(super) fn times(&self) -> &Times {
        &self.person.times
    }

    /// The reader's time zone.
    pub(super) fn zone(&self) -> TimeZone {
        // The zone was found by this name at the beginning of the request, so UTC stands for itself
        // here.
        TimeZone::get(self.times().zone()).unwrap_or(TimeZone::UTC)
    }

    pub(super) fn tenant(&self) -> String {
        self.person.tenant.clone()
    }

    /// Whether a user is the reader.
    pub(super) fn is_own(&self, user_id: &str) -> bool {
        self.person.user_id == user_id
    }

    pub(super) fn frame(&self) -> Frame {
        self.person.frame(Room::Team)
    }

    pub(super) fn team(&self, tab: Tab) -> TeamFrame {
        TeamFrame {
            tab,
            may_change: self.person.roles.administers(),
        }
    }

    /// Seals a value that belongs to this reader and a page.
    pub(super) fn close<T: Serialize>(&self, page: &str, value: &T) -> Result<String, SealFailed> {
        self.seal.close(self.context(page), value)
    }

    /// Opens a value that was sealed for this reader and a page.
    pub(super) fn open<T: DeserializeOwned>(&self, page: &str, sealed: &str) -> Option<T> {
        self.seal.open(self.context(page), sealed)
    }

    fn context<'b>(&'b self, page: &'b str) -> Context<'b> {
        Context {
            tenant: &self.person.tenant,
            user_id: &self.person.user_id,
            page,
        }
    }
}

/// A page whose form has fields without a valid value. Nothing was done.
pub(super) fn render_form(template: &impl Template, wrong: &WrongFields) -> Result<Page, Problem> {
    let page = Page::render(template)?;
    if wrong.is_empty() {
        return Ok(page);
    }
    let mut response = page.into_response();
    *response.status_mut() = StatusCode::BAD_REQUEST;
    Ok(response.into())
}

/// A name with its own page.
pub(super) struct NamedUser {
    pub(super) name: String,
    pub(super) address: String,
    /// Whether the user has never signed in.
    pub(super) is_unknown: bool,
}

impl NamedUser {
    pub(super) fn of(user_id: &str, name: String, is_unknown: bool) -> Self {
        Self {
            name,
            address: address::user(user_id),
            is_unknown,
        }
    }
}

/// The reason of an error of the authority. Empty: the error is not the authority's.
pub(super) fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map(|info| info.reason).unwrap_or_default()
}

/// The fields that the authority refused. Empty: the error is about something else.
pub(super) fn refused_fields(status: &Status) -> WrongFields {
    let Some(request) = status.get_details_bad_request() else {
        return Vec::new();
    };
    let names = request.field_violations.into_iter();
    names
        .map(|violation| field_name(&violation.field).to_owned())
        .collect()
}

/// The fields of a refused call that the person can correct in the form. Any other refusal is a problem.
pub(super) fn correctable_fields(status: Status) -> Result<WrongFields, Problem> {
    let wrong = refused_fields(&status);
    if wrong.is_empty() {
        return Err(status.into());
    }
    Ok(wrong)
}

/// The name of a form's field for a field of a request: `filter.network` is `network`, and `user_ids[3]` is `user_ids`.
fn field_name(field: &str) -> &str {
    let name = field.trim_start_matches("filter.");
    name.split('[').next().unwrap_or(name)
}
