//! Every kind of door, behind one type.

use std::{any::Any, net::SocketAddr};

use anyhow::{Context, Result};
use axum::Router;
use portcullis_tests::gateways::{Behind, caddy, haproxy, nginx, program, traefik};

use super::{
    Settings,
    envoy::{Envoy, Filter},
    layer::Service,
    sidecar::{Sidecar, Verify},
};

/// A kind of door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Module,
    ExtAuthz,
    Nginx,
    Caddy,
    Traefik,
    Haproxy,
    Layer,
}

/// A running door. Its processes end with it.
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    _parts: Vec<Part>,
}

/// A process or a task that ends when it is dropped.
type Part = Box<dyn Any + Send>;

impl Door {
    /// Starts it, and waits until it listens. It need not be able to decide yet.
    pub(crate) async fn start(kind: Kind, settings: &Settings) -> Result<Self> {
        let mut parts: Vec<Part> = Vec::new();
        let address = match kind {
            Kind::Module => {
                let envoy = Envoy::start(&Filter::Module, settings, 1).await?;
                let address = envoy.address();
                parts.push(Box::new(envoy));
                address
            }
            Kind::ExtAuthz => {
                let sidecar = Sidecar::start(settings, Verify::Tcp).await?;
                let filter = Filter::ExtAuthz(sidecar.ext_authz());
                let envoy = Envoy::start(&filter, settings, 1).await?;
                let address = envoy.address();
                parts.push(Box::new(envoy));
                parts.push(Box::new(sidecar));
                address
            }
            Kind::Layer => {
                let routes = Router::new().fallback(async || "ok");
                let service = Service::start(settings, routes).await?;
                let address = service.address();
                parts.push(Box::new(service));
                address
            }
            Kind::Nginx | Kind::Caddy | Kind::Traefik | Kind::Haproxy => {
                start_proxy(kind, settings, &mut parts).await?
            }
        };
        Ok(Self {
            address,
            _parts: parts,
        })
    }
}

/// Starts a proxy that asks a sidecar by forward-auth.
async fn start_proxy(kind: Kind, settings: &Settings, parts: &mut Vec<Part>) -> Result<SocketAddr> {
    // Traefik knows no sockets.
    let verify = match kind {
        Kind::Traefik => Verify::Tcp,
        _ => Verify::Unix,
    };
    let sidecar = Sidecar::start(settings, verify).await?;
    let behind = Behind {
        sidecar: sidecar.forward_auth().to_owned(),
        application: settings.upstream,
    };
    let gateway = match kind {
        Kind::Nginx => nginx::start(&program::nginxes()[0], &behind).await,
        Kind::Caddy => {
            let newest = program::caddies().pop().context("no Caddy")?;
            caddy::start_with(&newest, &behind, |sample| sample).await
        }
        Kind::Traefik => traefik::start_with(&program::traefik(), &behind, |sample| sample).await,
        _ => haproxy::start(&program::haproxy(), &behind).await,
    };
    let address = gateway.http();
    parts.push(Box::new(gateway));
    parts.push(Box::new(sidecar));
    Ok(address)
}
