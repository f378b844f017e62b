//! The pages, a room a subject. A room's handlers take a [`Person`](crate::person::Person) and return a page or a problem.

mod answer;
mod api_sessions;
mod audit;
mod gates;
mod mine;
mod settings;
mod team;

use axum::Router;

use crate::state::State;

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .merge(mine::routes())
        .merge(team::routes())
        .merge(settings::routes())
        .merge(api_sessions::routes())
        .merge(audit::routes())
        .merge(gates::routes())
}
