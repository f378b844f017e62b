//! A service with the tower layer: the routes of the upstream, and a WebSocket that closes when its session ends.

use std::net::SocketAddr;

use axum::{
    Extension, Router,
    extract::{
        ConnectInfo,
        ws::{CloseFrame, Message, WebSocketUpgrade},
    },
    response::Response,
    routing::any,
};
use futures::{SinkExt, StreamExt};
use portcullis_validator::{
    Admission, CLOSE_CODE, CutSocket, Rejection, Rules, Validator, ValidatorLayer,
};

use crate::upstream::{Upstream, WEBSOCKET};

/// The routes of the service.
///
/// # Panics
/// When the rules are not good.
pub fn guarded_service(validator: &Validator, rules: &Rules, upstream: &Upstream) -> Router {
    let layer = ValidatorLayer::new(validator.clone(), rules)
        .expect("good rules")
        .peer(|extensions| {
            let peer = extensions.get::<ConnectInfo<SocketAddr>>()?;
            Some(peer.0.ip())
        });
    Router::new()
        .route(WEBSOCKET, any(echo))
        .fallback_service(upstream.router())
        .layer(layer)
}

async fn echo(upgrade: WebSocketUpgrade, Extension(admission): Extension<Admission>) -> Response {
    upgrade.on_upgrade(async move |socket| {
        let mut socket = CutSocket::new(socket, &admission, close_message);
        while let Some(Ok(message)) = socket.next().await {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

/// The last message of a WebSocket whose session has ended.
#[must_use]
pub fn close_message(rejection: &Rejection) -> Message {
    Message::Close(Some(CloseFrame {
        code: CLOSE_CODE,
        reason: rejection.reason().into(),
    }))
}
