//! Requests a second through NGINX: without a gate, with the sidecar, and with LemonLDAP::NG's handler.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;

use crate::{
    doors::{Door, Kind, Settings, admits, sign_in_many},
    effort::Effort,
    load::{self, get},
    measure::median,
    peers::{lemonldap::Lemonldap, nginx::Nginx},
    report::{Bar, Report},
    world::Process,
};

const CONNECTIONS: usize = 32;
const SESSIONS: usize = 1_000;
/// Measured in turns, so that a slow moment of the machine falls into all.
const ROUNDS: usize = 4;
const TIME: Duration = Duration::from_millis(1_500);

const OF_PLAIN_MIN: f64 = 0.25;
const OF_LEMONLDAP_MIN: f64 = 5.0;

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
    let authority = Process::start(|_, _| {}).await?;
    let upstream = Nginx::upstream().await?;
    let settings = Settings {
        endpoint: authority.endpoint().to_owned(),
        upstream: upstream.address(),
        max_staleness: Duration::from_secs(30),
    };
    let sessions = sign_in_many(&authority, SESSIONS).await?;
    let bearers: Vec<_> = sessions
        .iter()
        .map(|session| format!("Authorization: Bearer {}", session.token))
        .collect();
    let plain = Nginx::plain(upstream.address()).await?;
    let door = Door::start(Kind::Nginx, &settings).await?;
    admits(door.address, &sessions[0].token).await?;
    let lemonldap = Lemonldap::start(SESSIONS).await?;
    let asks_lemonldap = Nginx::start(2, &lemonldap.nginx_server(), upstream.address()).await?;
    let cookies: Vec<_> = lemonldap
        .sessions
        .iter()
        .map(|id| format!("Cookie: lemonldap={id}"))
        .collect();

    let mut gateways = [
        Gateway::new(plain.address(), &bearers),
        Gateway::new(door.address, &bearers),
        Gateway::new(asks_lemonldap.address(), &cookies),
    ];
    // The first round fills caches.
    for round in 0..=effort.count(ROUNDS) {
        for gateway in &mut gateways {
            let requests = Arc::clone(&gateway.requests);
            let time = effort.time(TIME);
            let rate = load::rate(gateway.address, requests, CONNECTIONS, time).await?;
            if round > 0 {
                gateway.rates.push(rate);
            }
        }
    }
    let [plain, door, lemonldap] = gateways.map(|gateway| median(gateway.rates));
    report.compare_within(
        "forward_auth",
        door,
        "1/s",
        ("plain NGINX (1/s)", plain),
        Bar::RatioAtLeast(OF_PLAIN_MIN),
    );
    report.compare_within(
        "forward_auth_lemonldap",
        door,
        "1/s",
        ("NGINX with LemonLDAP::NG (1/s)", lemonldap),
        Bar::RatioAtLeast(OF_LEMONLDAP_MIN),
    );
    Ok(())
}
