//! The cost of a decision for a request through Envoy.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;

use crate::{
    doors::{
        Settings, admits,
        envoy::{Envoy, Filter},
        sidecar::{Sidecar, Verify},
        sign_in_many,
    },
    effort::Effort,
    load::{self, get, latencies, with_token},
    measure::{median, percentile},
    peers::{nginx::Nginx, redis_authz::RedisAuthz},
    report::{Bar, Report},
    world::Process,
};

const SESSIONS: usize = 1_000;
const CONNECTIONS: usize = 32;
/// Measured in turns, so that a slow moment of the machine falls into all.
const LATENCY_ROUNDS: usize = 30;
/// Requests of a round, on one connection.
const REQUESTS: usize = 500;
const RATE_ROUNDS: usize = 5;
const RATE_TIME: Duration = Duration::from_millis(1_200);

/// Microseconds that the module may add to the median.
const MODULE_ADDED_MAX: f64 = 15.0;
/// The time that the module adds, as a share of the time that the sidecar adds.
const MODULE_SHARE_MAX: f64 = 0.1;
const MODULE_RATE_MIN: f64 = 0.9;
/// The time that the sidecar adds, as a share of the time that a service adds that asks Redis.
const EXT_AUTHZ_SHARE_MAX: f64 = 0.7;

/// An Envoy and the requests of its sessions.
struct Gateway {
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
}

impl Gateway {
    /// The median of a round on one connection, in microseconds.
    async fn latency(&self) -> Result<f64> {
        let address = self.address;
        let requests = Arc::clone(&self.requests);
        let round = move || latencies(address, &requests, REQUESTS);
        let times = tokio::task::spawn_blocking(round).await??;
        Ok(percentile(&times, 0.5))
    }

    async fn rate(&self, time: Duration) -> Result<f64> {
        load::rate(self.address, Arc::clone(&self.requests), CONNECTIONS, time).await
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
    let requests: Vec<_> = sessions
        .iter()
        .map(|session| with_token(&session.token))
        .collect();
    let requests = Arc::new(requests);

    let sidecar = Sidecar::start(&settings, Verify::Tcp).await?;
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("redis-authz.sock");
    let redis = RedisAuthz::start(&socket, SESSIONS).await?;
    let filters = [
        Filter::None,
        Filter::Module,
        Filter::ExtAuthz(sidecar.ext_authz()),
        Filter::ExtAuthz(socket),
    ];
    let mut envoys = Vec::new();
    for filter in &filters {
        // One worker, which then is what takes time: the second core has the load and the upstream.
        envoys.push(Envoy::start(filter, &settings, 1).await?);
    }
    let [plain, module, ext_authz, asks_redis] = &envoys[..] else {
        anyhow::bail!("an Envoy for each filter");
    };
    for envoy in [plain, module, ext_authz] {
        admits(envoy.address(), &sessions[0].token).await?;
    }
    let gateway = |envoy: &Envoy, requests: &Arc<Vec<Vec<u8>>>| Gateway {
        address: envoy.address(),
        requests: Arc::clone(requests),
    };
    let cookies = redis
        .sessions
        .iter()
        .map(|header| get("/", std::slice::from_ref(header)));
    let cookies = Arc::new(cookies.collect());
    let gateways = [
        gateway(plain, &requests),
        gateway(module, &requests),
        gateway(ext_authz, &requests),
        gateway(asks_redis, &cookies),
    ];
    report_latencies(&gateways, effort, report).await?;
    report_rates(&gateways, effort, report).await
}

async fn report_latencies(
    gateways: &[Gateway; 4],
    effort: Effort,
    report: &mut Report,
) -> Result<()> {
    let mut plain = Vec::new();
    let mut added: [Vec<f64>; 3] = Default::default();
    for round in 0..=effort.count(LATENCY_ROUNDS) {
        let without = gateways[0].latency().await?;
        let mut with = Vec::new();
        for gateway in &gateways[1..] {
            with.push(gateway.latency().await? - without);
        }
        // The first round fills caches.
        if round > 0 {
            plain.push(without);
            for (all, one) in added.iter_mut().zip(with) {
                all.push(one);
            }
        }
    }
    let plain = median(plain);
    let [module, ext_authz, asks_redis] = added.map(median);
    report.compare_within(
        "envoy_module",
        module,
        "µs added",
        ("Envoy without a filter, p50 (µs)", plain),
        Bar::ValueAtMost(MODULE_ADDED_MAX),
    );
    report.compare_within(
        "envoy_module_share",
        module,
        "µs added",
        ("envoy_ext_authz (µs added)", ext_authz),
        Bar::RatioAtMost(MODULE_SHARE_MAX),
    );
    report.compare_within(
        "envoy_ext_authz",
        ext_authz,
        "µs added",
        ("ext_authz that asks Redis (µs added)", asks_redis),
        Bar::RatioAtMost(EXT_AUTHZ_SHARE_MAX),
    );
    Ok(())
}

async fn report_rates(gateways: &[Gateway; 4], effort: Effort, report: &mut Report) -> Result<()> {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..=effort.count(RATE_ROUNDS) {
        let time = effort.time(RATE_TIME);
        let plain = gateways[0].rate(time).await?;
        let module = gateways[1].rate(time).await?;
        // The first round fills caches.
        if round > 0 {
            without.push(plain);
            with.push(module);
        }
    }
    report.compare_within(
        "envoy_module_rate",
        median(with),
        "1/s",
        ("Envoy without a filter (1/s)", median(without)),
        Bar::RatioAtLeast(MODULE_RATE_MIN),
    );
    Ok(())
}
