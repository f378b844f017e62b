//! The measurement of the calls of endpoints, also of those that are refused.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use crate::{
    api::http::paths::{INTROSPECT, LOGOUT, REVOKE},
    telemetry::Instruments,
};

/// The routes that are measured. A caller could fill the metrics with others.
const ROUTES: &[&str] = &[INTROSPECT, REVOKE, LOGOUT];

/// Measures one call by its route and status. Nothing that the caller sends is read.
pub(in crate::api::http) async fn observe(
    State(instruments): State<Arc<Instruments>>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let path = request.uri().path();
    let route = ROUTES.iter().find(|route| **route == path);
    let response = next.run(request).await;
    if let Some(route) = route {
        let status = response.status();
        instruments
            .http_calls
            .record(route, status, begun.elapsed());
    }
    response
}
