//! The gates, for operators.

use axum::Router;

use crate::state::State;

pub(crate) fn routes() -> Router<State> {
    Router::new()
}
