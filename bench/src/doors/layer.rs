//! A service with the tower layer, in this process.

use std::net::SocketAddr;

use anyhow::Result;
use axum::Router;
use portcullis_tests::authority::{AUDIENCE, GATEWAY, ISSUER};
use portcullis_validator::{Rules, Validator, ValidatorLayer};
use tokio::{net::TcpListener, task::JoinHandle};

use super::Settings;

/// A running service.
pub(crate) struct Service {
    address: SocketAddr,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Service {
    /// Serves these routes behind the layer.
    pub(crate) async fn start(settings: &Settings, routes: Router) -> Result<Self> {
        let validator = Validator::builder(&settings.endpoint)
            .bearer(GATEWAY)
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .max_staleness(settings.max_staleness)
            .start()?;
        let layer = ValidatorLayer::new(validator, &Rules::default())?;
        let service = routes.layer(layer);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move { axum::serve(listener, service).await });
        Ok(Self { address, serving })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
