//! Checks that one core of the sidecar's answers in a second.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use envoy_types::pb::envoy::service::auth::v3::{
    AttributeContext, CheckRequest, attribute_context, authorization_client::AuthorizationClient,
};
use tonic::transport::{Channel, Endpoint};

use crate::{
    doors::{
        Session, Settings,
        sidecar::{Sidecar, Verify},
        sign_in_many,
    },
    effort::Effort,
    load::{self, HOST, get},
    measure::{cpu_microseconds, rate},
    report::Report,
    world::Process,
};

const SESSIONS: usize = 1_000;
const CALLERS: usize = 32;
const WARM_UP: Duration = Duration::from_millis(500);
const TIME: Duration = Duration::from_secs(2);

pub(crate) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let authority = Process::start(|_, _| {}).await?;
    let settings = Settings {
        endpoint: authority.endpoint().to_owned(),
        upstream: authority.addresses().1,
        max_staleness: Duration::from_secs(30),
    };
    let sessions = sign_in_many(&authority, SESSIONS).await?;
    let sidecar = Sidecar::start(&settings, Verify::Tcp).await?;
    let time = effort.time(TIME);

    let address = sidecar.forward_auth().parse()?;
    let requests = Arc::new(sessions.iter().map(verify).collect());
    let (cpu, begun) = (cpu_microseconds(sidecar.id())?, Instant::now());
    let answered = load::rate(address, requests, CALLERS, time).await?;
    let cores = cores(&sidecar, cpu, begun)?;
    report.add("sidecar_rate", answered / cores, "1/s/core");

    let checks = Arc::new(sessions.iter().map(check).collect::<Vec<_>>());
    let client = connect(sidecar.ext_authz()).await?;
    let (cpu, begun) = (cpu_microseconds(sidecar.id())?, Instant::now());
    let answered = rate(CALLERS, WARM_UP.min(time), time, |caller| {
        let client = client.clone();
        let checks = Arc::clone(&checks);
        let mut turn = caller;
        move || {
            let mut client = client.clone();
            turn += 1;
            let check = checks[turn % checks.len()].clone();
            async move {
                let answer = client.check(check).await?.into_inner();
                let code = answer.status.map(|status| status.code);
                ensure!(code == Some(0), "a live session gets {code:?}");
                Ok(())
            }
        }
    })
    .await?;
    let cores = self::cores(&sidecar, cpu, begun)?;
    report.add("sidecar_rate_ext_authz", answered / cores, "1/s/core");
    Ok(())
}

/// How many cores the sidecar has used since then.
fn cores(sidecar: &Sidecar, cpu_before: f64, begun: Instant) -> Result<f64> {
    let used = cpu_microseconds(sidecar.id())? - cpu_before;
    Ok(used / 1e6 / begun.elapsed().as_secs_f64())
}

fn verify(session: &Session) -> Vec<u8> {
    verify_token(&session.token)
}

/// A check over HTTP, as Caddy and Traefik send it.
pub(crate) fn verify_token(token: &str) -> Vec<u8> {
    let headers = [
        format!("Authorization: Bearer {token}"),
        "X-Forwarded-Method: GET".to_owned(),
        "X-Forwarded-Uri: /".to_owned(),
        "X-Forwarded-Proto: http".to_owned(),
        format!("X-Forwarded-Host: {HOST}"),
        "X-Forwarded-For: 203.0.113.9".to_owned(),
    ];
    get("/verify", &headers)
}

/// A check over gRPC, as Envoy sends it.
fn check(session: &Session) -> CheckRequest {
    let token = format!("Bearer {}", session.token);
    let headers = [
        (":authority", HOST),
        (":method", "GET"),
        (":path", "/"),
        (":scheme", "http"),
        ("authorization", &token),
        ("x-forwarded-proto", "http"),
    ];
    let headers: HashMap<_, _> = headers
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let http = attribute_context::HttpRequest {
        method: "GET".into(),
        path: "/".into(),
        host: HOST.into(),
        scheme: "http".into(),
        protocol: "HTTP/1.1".into(),
        headers,
        ..Default::default()
    };
    let request = attribute_context::Request {
        http: Some(http),
        ..Default::default()
    };
    CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(request),
            ..Default::default()
        }),
    }
}

async fn connect(socket: PathBuf) -> Result<AuthorizationClient<Channel>> {
    // The endpoint's own form of a Unix socket.
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display()))?;
    Ok(AuthorizationClient::new(endpoint.connect().await?))
}
