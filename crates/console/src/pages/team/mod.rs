//! The team: its users and sessions, and the ends that administrators make of them.
//!
//! Names, email addresses and network addresses stand in no address of a page. A search is sent by a form, and answered
//! with an address that has it [sealed](crate::seal). Every ending is asked first, with a preview of the authority,
//! and told afterwards.

mod address;
mod confirm;
mod controls;
mod desk;
mod enable;
mod end_matching;
mod end_selected;
mod finding;
mod force_sign_out;
mod gone;
mod listing;
mod matching;
mod outcome;
mod role_form;
mod roles;
mod rows;
mod search;
mod searching;
mod sessions;
mod user;
mod users;
mod whole_team;

use axum::{Router, routing::get};
use serde::Deserialize;

use crate::{page::Page, problem::Problem, state::State};

/// The state in an address. Empty: none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Sealed {
    q: String,
}

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route(address::USERS, get(users::show).post(users::search))
        .route(
            address::SESSIONS,
            get(sessions::show).post(sessions::search),
        )
        .route("/team/users/{id}", get(user::show))
        .merge(endings())
        .route("/team/done", get(outcome::show))
}

/// Routes that end something, or let somebody in again. A form whose session ended leads back to the address that it
/// was sent to, so each of those has a page too.
fn endings() -> Router<State> {
    Router::new()
        .route(
            force_sign_out::PATH,
            get(force_sign_out::show).post(force_sign_out::perform),
        )
        .route(
            force_sign_out::PREVIEW,
            get(force_sign_out::show_preview).post(force_sign_out::preview),
        )
        .route(
            "/team/users/{id}/force-sign-out",
            get(force_sign_out::preview_user),
        )
        .route(
            "/team/users/{id}/disable",
            get(force_sign_out::preview_disable),
        )
        .route(
            "/team/users/{id}/enable",
            get(enable::show).post(enable::perform),
        )
        .route(
            "/team/users/{id}/roles",
            get(user::to_user).post(roles::change),
        )
        .route(
            end_selected::PATH,
            get(to_sessions).post(end_selected::perform),
        )
        .route(
            end_selected::PREVIEW,
            get(end_selected::show_preview).post(end_selected::preview),
        )
        .route(
            matching::PATH,
            get(end_matching::show).post(end_matching::perform),
        )
        .route(
            whole_team::PATH,
            get(whole_team::show).post(whole_team::perform),
        )
}

async fn to_sessions() -> Result<Page, Problem> {
    Page::see_other(address::SESSIONS)
}
