//! From the acknowledgement to the first 401 through Envoy, beside the closing of a gate in this process.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::{sync::oneshot, task::spawn_blocking};

use crate::{
    doors::{
        Session, Settings, admits,
        envoy::{Envoy, Filter},
        sign_in_many,
    },
    effort::Effort,
    load::{BlockingConnection, with_token},
    measure::median,
    peers::nginx::Nginx,
    report::{Bar, Report},
    rows::propagate::propagation,
    world::{World, revoke},
};

const ROUNDS: usize = 60;
/// The time through Envoy by that of a gate in this process.
const RATIO_MAX: f64 = 1.5;

pub(crate) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let world = World::start().await?;
    let upstream = Nginx::upstream().await?;
    let settings = Settings {
        endpoint: world.authority.endpoint().to_owned(),
        upstream: upstream.address(),
        max_staleness: Duration::from_secs(30),
    };
    let envoy = Envoy::start(&Filter::Module, &settings, 1).await?;
    let gate = world.authority.gate().await?;
    let rounds = effort.count(ROUNDS);
    let sessions = sign_in_many(&world.authority, rounds).await?;

    let (mut through_envoy, mut alone) = (Vec::new(), Vec::new());
    for session in &sessions {
        admits(envoy.address(), &session.token).await?;
        through_envoy.push(refusal(&world, envoy.address(), session).await?);
        alone.push(propagation(&world, std::slice::from_ref(&gate)).await?);
    }
    report.compare_within(
        "propagate_envoy",
        median(through_envoy),
        "ms",
        ("propagate_one, from the call (ms)", median(alone)),
        Bar::RatioAtMost(RATIO_MAX),
    );
    Ok(())
}

/// Milliseconds from the acknowledgement to the first 401 of a connection that asks all the time.
async fn refusal(world: &World, address: SocketAddr, session: &Session) -> Result<f64> {
    let request = with_token(&session.token);
    let (first, admitted) = oneshot::channel();
    let asking = spawn_blocking(move || ask_until_refused(address, &request, first));
    admitted.await.context("a live session is refused")?;

    let mut sessions = world.authority.sessions().await?;
    revoke(&mut sessions, session.id.clone()).await?;
    let acknowledged = Instant::now();
    let refused = asking.await??;
    // The gate may learn it before the caller.
    let late = refused.saturating_duration_since(acknowledged);
    Ok(late.as_secs_f64() * 1000.0)
}

fn ask_until_refused(
    address: SocketAddr,
    request: &[u8],
    first: oneshot::Sender<()>,
) -> Result<Instant> {
    let mut connection = BlockingConnection::open(address)?;
    let mut first = Some(first);
    loop {
        let status = connection.exchange(request)?;
        if status != 200 {
            ensure!(status == 401, "an ended session gets {status}");
            return Ok(Instant::now());
        }
        if let Some(first) = first.take() {
            // The caller may have failed meanwhile.
            let _ = first.send(());
        }
    }
}
