//! The page for an address that no longer opens: it was made with another secret, or for somebody else.

use askama::Template;
use axum::response::IntoResponse;
use http::StatusCode;

use super::desk::{Desk, Tab, TeamFrame};
use crate::{
    page::{Frame, Page},
    problem::Problem,
};

#[derive(Template)]
#[template(path = "team/gone.html")]
struct GonePage {
    page: Frame,
    team: TeamFrame,
    /// Where to begin again.
    again: &'static str,
}

/// Shows nothing of the list: the reader would take everybody in it for results of their search.
pub(super) fn page(desk: &Desk<'_>, tab: Tab, again: &'static str) -> Result<Page, Problem> {
    let page = GonePage {
        page: desk.frame(),
        team: desk.team(tab),
        again,
    };
    let mut response = Page::render(&page)?.into_response();
    *response.status_mut() = StatusCode::GONE;
    Ok(response.into())
}
