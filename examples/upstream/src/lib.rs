//! A web application behind a gate. It checks no token: it reads the identity headers, which the gate always sets or
//! removes. So only the gate may reach it.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json, Router,
    extract::ws::{WebSocket, WebSocketUpgrade},
    http::HeaderMap,
    response::{
        Response,
        sse::{Event, Sse},
    },
    routing::{any, get},
};
use futures::{Stream, StreamExt, stream};
use serde_json::{Map, Value};
use tokio::time::interval;

/// The time between two events of `/events`.
const TICK_INTERVAL: Duration = Duration::from_secs(1);

/// The identity headers, and their names in the answer of `/whoami`.
const IDENTITY: [(&str, &str); 8] = [
    ("x-portcullis-tenant", "tenant_id"),
    ("x-portcullis-user", "user_id"),
    ("x-portcullis-session", "session_id"),
    ("x-portcullis-api-key", "api_key_id"),
    ("x-portcullis-roles", "roles"),
    ("x-portcullis-scopes", "scopes"),
    ("x-portcullis-acr", "acr"),
    ("x-portcullis-amr", "amr"),
];

/// Routes `GET /whoami`, the event stream `GET /events`, and `/socket`, a WebSocket that sends each message back.
///
/// Neither stream ends by itself. The gate cuts them when the session ends.
pub fn router() -> Router {
    Router::new()
        .route("/whoami", get(whoami))
        .route("/events", get(events))
        .route("/socket", any(socket))
}

async fn whoami(headers: HeaderMap) -> Json<Value> {
    let mut identity = Map::new();
    for (header, name) in IDENTITY {
        let value = headers.get(header).and_then(|value| value.to_str().ok());
        if let Some(value) = value {
            identity.insert(name.to_owned(), value.into());
        }
    }
    Json(identity.into())
}

async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let opened = stream::iter([Ok(Event::default().event("open").data(""))]);
    let ticks = stream::unfold(interval(TICK_INTERVAL), async |mut interval| {
        interval.tick().await;
        Some((Ok(Event::default().event("tick").data("")), interval))
    });
    Sse::new(opened.chain(ticks))
}

async fn socket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.next().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
