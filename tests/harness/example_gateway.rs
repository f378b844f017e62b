//! The example gateway, in the test's own process.

use std::{future::pending, net::SocketAddr};

use axum::Router;
use portcullis_example_gateway::{Gateway, RULES};
use portcullis_validator::{Rules, Validator};
use tokio::net::TcpListener;

/// The rules that the example gateway ships with.
///
/// # Panics
/// When they are not good.
#[must_use]
pub fn shipped_rules() -> Rules {
    Rules::from_toml(RULES).expect("the shipped rules")
}

/// Serves the example gateway on a free port, before the upstream at `upstream`.
///
/// # Panics
/// When the rules are not good, or there is no free port.
pub async fn serve_gateway(
    validator: &Validator,
    rules: &Rules,
    upstream: SocketAddr,
) -> SocketAddr {
    let authority = upstream.to_string().parse().expect("an address");
    let gateway = Gateway::new(validator, rules, authority).expect("good rules");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(gateway.serve(listener, pending()));
    address
}

/// Serves a router on a free port, in HTTP/1.1 and HTTP/2.
///
/// # Panics
/// When there is no free port.
pub async fn serve_router(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

/// Serves the demo upstream, and the example gateway with these rules before it.
pub async fn serve_demo(validator: &Validator, rules: &Rules) -> SocketAddr {
    let upstream = serve_router(portcullis_example_upstream::router()).await;
    serve_gateway(validator, rules, upstream).await
}
