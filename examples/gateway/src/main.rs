//! The gateway by itself: `GATEWAY_BEARER=… cargo run -p portcullis-example-gateway`.

use std::{env, error::Error, fs};

use portcullis_example_gateway::{Gateway, RULES};
use portcullis_validator::{Rules, Validator};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bearer = env::var("GATEWAY_BEARER").map_err(|_| "set GATEWAY_BEARER to a credential")?;
    let validator = Validator::builder(setting("AUTHORITY", "http://127.0.0.1:7400"))
        .bearer(bearer)
        .issuer(setting("ISSUER", "http://127.0.0.1:7480"))
        .audience(setting("AUDIENCE", "gateway"))
        .name("example gateway")
        .start()?;
    let rules = match env::var("RULES") {
        Ok(file) => fs::read_to_string(file)?,
        Err(_) => RULES.to_owned(),
    };
    let upstream = setting("UPSTREAM", "127.0.0.1:7491").parse()?;
    let gateway = Gateway::new(&validator, &Rules::from_toml(&rules)?, upstream)?;

    let listener = TcpListener::bind(setting("LISTEN", "127.0.0.1:7490")).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let terminated = async move {
        terminate.recv().await;
    };
    gateway.serve(listener, terminated).await;

    // Reports the use of the last requests, and that the authority need not wait for this gate.
    validator.close().await;
    Ok(())
}

fn setting(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}
