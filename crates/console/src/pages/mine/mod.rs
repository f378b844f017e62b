//! A person's own sessions: the list, one session, and signing out.
//!
//! Calls name no tenant: so a person acts for themselves, whatever role they have.

mod ended;
mod item;
mod list;
mod session;
mod sign_out;
mod sign_out_others;
mod signed_out;

use axum::{Router, routing::get};
use serde::Deserialize;

use crate::state::State;

/// Sessions of a page.
const PAGE_SIZE: i32 = 50;

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route("/", get(list::show))
        .route("/ended", get(ended::show))
        .route("/sessions/{id}", get(session::show))
        .route(
            "/sessions/{id}/sign-out",
            get(sign_out::confirm).post(sign_out::end),
        )
        .route(
            "/sign-out-others",
            get(sign_out_others::confirm_others).post(sign_out_others::end_others),
        )
        .route(
            "/sign-out-everywhere",
            get(sign_out_others::confirm_everywhere).post(sign_out_others::end_everywhere),
        )
        .route("/signed-out", get(signed_out::show))
}

/// The query of an address.
#[derive(Deserialize)]
pub(super) struct Told {
    /// The outcome of a change, sealed.
    done: Option<String>,
    /// The page of a list.
    page: Option<String>,
}
