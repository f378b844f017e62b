//! The gateway by itself: `GATEWAY_BEARER=… cargo run -p portcullis-example-gateway`.

use std::{env, net::SocketAddr};

use portcullis_validator::{TrustedProxies, Validator};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bearer = env::var("GATEWAY_BEARER").map_err(|_| "set GATEWAY_BEARER to a credential")?;
    let validator = Validator::builder(setting("AUTHORITY", "http://127.0.0.1:7400"))
        .bearer(bearer)
        .issuer(setting("ISSUER", "http://127.0.0.1:7480"))
        .audience(setting("AUDIENCE", "gateway"))
        .name("example gateway")
        .start()?;

    // The networks of your own proxies, for example `10.0.0.0/8`. By default nobody is believed about addresses.
    let proxies: TrustedProxies = setting("TRUSTED_PROXIES", "").parse()?;

    let listener = TcpListener::bind(setting("LISTEN", "127.0.0.1:7490")).await?;
    let router = portcullis_example_gateway::router(&validator, &proxies);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let mut terminate = signal(SignalKind::terminate())?;
    axum::serve(listener, service)
        .with_graceful_shutdown(async move {
            terminate.recv().await;
        })
        .await?;

    // Reports the use of the last requests, and that the authority need not wait for this gate.
    validator.close().await;
    Ok(())
}

fn setting(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}
