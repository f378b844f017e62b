//! Live receipts: how many gates have dropped what a revision ended, as server-sent events.

use axum::{Router, extract::Path, response::Response, routing::get};

use crate::{person::Visitor, problem::Problem, state::State};

/// Where live receipts are.
pub(crate) const PATH: &str = "/receipts/";

pub(crate) fn routes() -> Router<State> {
    Router::new().route("/receipts/{revision}", get(follow))
}

/// Follows a receipt until every gate has dropped, also for a person whose own session it ended.
async fn follow(visitor: Visitor, Path(revision): Path<u64>) -> Result<Response, Problem> {
    let _ = (visitor, revision);
    Err(Problem::not_found())
}
