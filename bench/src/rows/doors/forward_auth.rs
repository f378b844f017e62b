//! Requests a second through NGINX: without a gate, with the sidecar, and with LemonLDAP::NG's handler.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;

use crate::{
    effort::Effort,
    load::{self, get},
    measure::median,
    peers::{lemonldap::Lemonldap, nginx::Nginx},
    report::Report,
};

const CONNECTIONS: usize = 32;
const SESSIONS: usize = 1_000;
/// Measured in turns, so that a slow moment of the machine falls into all.
const ROUNDS: usize = 4;
const TIME: Duration = Duration::from_millis(1_500);

/// A gateway and the requests of its sessions.
struct Gateway {
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    rates: Vec<f64>,
}

impl Gateway {
    fn new(address: SocketAddr, headers: &[String]) -> Self {
        let requests = headers
            .iter()
            .map(|header| get("/", std::slice::from_ref(header)));
        Self {
            address,
            requests: Arc::new(requests.collect()),
            rates: Vec::new(),
        }
    }
}

pub(crate) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let upstream = Nginx::upstream().await?;
    let plain = Nginx::plain(upstream.address()).await?;
    let lemonldap = Lemonldap::start(SESSIONS).await?;
    let guarded = Nginx::start(2, &lemonldap.nginx_server(), upstream.address()).await?;
    let cookies: Vec<_> = lemonldap
        .sessions
        .iter()
        .map(|id| format!("Cookie: lemonldap={id}"))
        .collect();

    let mut gateways = [
        Gateway::new(plain.address(), &cookies),
        Gateway::new(guarded.address(), &cookies),
    ];
    for round in 0..=ROUNDS {
        for gateway in &mut gateways {
            let requests = Arc::clone(&gateway.requests);
            let time = effort.time(TIME);
            let rate = load::rate(gateway.address, requests, CONNECTIONS, time).await?;
            // The first round fills caches.
            if round > 0 {
                gateway.rates.push(rate);
            }
        }
    }
    let [plain, lemonldap] = gateways.map(|gateway| median(gateway.rates));
    report.compare("lemonldap", lemonldap, "1/s", "plain NGINX (1/s)", plain);
    Ok(())
}
