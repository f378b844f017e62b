//! The console of `dev`: the one that operators run, with the demonstration beside it on the same address.

use std::net::SocketAddr;

use anyhow::Result;
use portcullis_console::{Config, Console as Running, Secret};
use tokio::net::TcpListener;

use super::{
    first_minute::{ACCOUNT, FirstMinute, Parts, SIGN_IN, SIGN_OUT},
    parts::Dev,
};

/// A running console.
pub(super) struct Console {
    running: Running,
    pub(super) address: SocketAddr,
}

impl Console {
    /// Starts the console and the demonstration, with its data if `data` is set.
    pub(super) async fn start(listener: TcpListener, dev: &Dev, data: bool) -> Result<Self> {
        let address = listener.local_addr()?;
        let parts = Parts {
            authority: dev.authority.grpc_address,
            gateway: dev.gateway,
            validator: &dev.validator,
            credentials: &dev.credentials,
            data,
        };
        // Before the pages are served, so that the first one already has people and policies.
        let demonstration = FirstMinute::start(&parts).await?;
        let config = config(address, dev);
        let running = Running::start_with(&config, listener, |pages| demonstration.add_to(pages))?;
        Ok(Self { running, address })
    }

    pub(super) async fn close(self) {
        self.running.shut_down().await;
    }
}

fn config(address: SocketAddr, dev: &Dev) -> Config {
    let mut config = Config::default();
    config.server.listen = address;
    // The stage shows the console in a frame. People type either name of this machine.
    config.server.frame_ancestors = vec![
        format!("http://{address}"),
        format!("http://localhost:{}", address.port()),
    ];
    // The demonstration tells the address that the browser pretends to have.
    config.server.trusted_proxies = "127.0.0.0/8,::1".into();
    config.authority.endpoints = vec![format!("http://{}", dev.authority.grpc_address)];
    // A gate's credential and no administrator's: every call of a page carries the token of its
    // person.
    config.authority.bearer = Some(Secret::new(&dev.credentials.gateway));
    config.authority.issuer.clone_from(&dev.issuer);
    config.authority.name = Some("dev console".into());
    config.session.sign_in_url = SIGN_IN.into();
    config.session.sign_out_url = Some(SIGN_OUT.into());
    config.session.account_url = Some(ACCOUNT.into());
    config
}
