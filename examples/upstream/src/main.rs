//! The application by itself: `cargo run -p portcullis-example-upstream`. `LISTEN` is its address.

use std::env;

use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:7491".to_owned());
    let listener = TcpListener::bind(listen).await?;
    Ok(axum::serve(listener, portcullis_example_upstream::router()).await?)
}
