//! The first minute: the console with a sign-in that asks for no password, people and devices to try it with, and the
//! gateway's answers beside it.
//!
//! It is part of `dev` alone. A console that operators run has none of this.

mod accounts;
mod beside;
mod clicks;
mod cookies;
mod data;
mod device;
mod devices;
mod door;
mod guard;
mod hardware;
mod pages;
mod people;
mod places;

use std::net::SocketAddr;

use anyhow::Result;
use axum::{Router, middleware};
use portcullis_validator::Validator;

use self::{accounts::Accounts, devices::Devices, door::Door};
use crate::credentials::Credentials;

pub(crate) use self::{
    pages::{ACCOUNT, SIGN_IN, SIGN_OUT, STAGE},
    people::SCHOOL as OPERATORS,
    places::write_databases,
};

/// The other parts of `dev` that the demonstration needs.
pub(crate) struct Parts<'a> {
    pub(crate) authority: SocketAddr,
    pub(crate) gateway: SocketAddr,
    pub(crate) validator: &'a Validator,
    pub(crate) credentials: &'a Credentials,
    /// Whether people, devices, keys and a trail are made.
    pub(crate) data: bool,
}

/// The sign-in, the panel, and the devices behind them.
pub(crate) struct FirstMinute {
    devices: Devices,
}

impl FirstMinute {
    /// Prepares the tenants, and makes the demo data if it was asked for.
    pub(crate) async fn start(parts: &Parts<'_>) -> Result<Self> {
        let accounts = Accounts::new(parts.authority, parts.credentials)?;
        data::set_policies(&accounts).await?;
        if parts.data {
            data::make(&accounts, parts.validator).await?;
        }
        let devices = Devices::new(accounts, Door::new(parts.gateway));
        Ok(Self { devices })
    }

    /// The console's pages, with those of the demonstration beside them.
    pub(crate) fn add_to(self, console: Router) -> Router {
        let devices = self.devices.clone();
        let console = console.layer(middleware::from_fn_with_state(devices, beside::prepare));
        console.merge(pages::routes(self.devices))
    }
}
