//! The quiet tenant: a few calls a second, and sessions in use at the gates.

use std::{
    fmt,
    future::Future,
    time::{Duration, Instant},
};

use anyhow::Result;
use portcullis_contract::v1;
use portcullis_tests::authority::{LOGIN, TENANT, session_id};
use portcullis_validator::Validator;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    measure::percentile,
    world::{World, authorized, revoke, sign_in},
};

/// Calls of each kind: ten a second.
const CALL_INTERVAL: Duration = Duration::from_millis(100);
/// Each session is used, and each gate looked at, once in this time.
const USE_INTERVAL: Duration = Duration::from_secs(1);
/// A session that takes part in refreshes is replaced after so many.
const REFRESHES: usize = 50;

/// How long calls took, in milliseconds.
#[derive(Default)]
pub(super) struct Latencies {
    pub(super) sign_in: Vec<f64>,
    pub(super) refresh: Vec<f64>,
    pub(super) revoke: Vec<f64>,
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("sign-in", &self.sign_in),
            ("refresh", &self.refresh),
            ("revoke", &self.revoke),
        ];
        for (name, values) in rows {
            write!(
                f,
                "{name} p50 {:.1} p99 {:.1} ms ({} calls); ",
                percentile(values, 0.5),
                percentile(values, 0.99),
                values.len()
            )?;
        }
        Ok(())
    }
}

/// Calls as the tenant's login service and administrator do, for `time`. A call that fails fails the run.
pub(super) async fn measure(world: &World, time: Duration) -> Result<Latencies> {
    let deadline = Instant::now() + time;
    let (sign_in, refresh, revoke) = tokio::try_join!(
        sign_ins(world, deadline),
        refreshes(world, deadline),
        revocations(world, deadline)
    )?;
    Ok(Latencies {
        sign_in,
        refresh,
        revoke,
    })
}

async fn sign_ins(world: &World, deadline: Instant) -> Result<Vec<f64>> {
    let sessions = world.authority.sessions().await?;
    let mut number = 0;
    every(deadline, async || {
        number += 1;
        let user = format!("visitor-{}", number % 500);
        timed(sign_in(&mut sessions.clone(), &user))
            .await
            .map(|(_, time)| time)
    })
    .await
}

async fn refreshes(world: &World, deadline: Instant) -> Result<Vec<f64>> {
    let mut sessions = world.authority.sessions().await?;
    let mut token = sign_in(&mut sessions, "refresher").await?.refresh_token;
    let mut left = REFRESHES;
    every(deadline, async || {
        if left == 0 {
            token = sign_in(&mut sessions, "refresher").await?.refresh_token;
            left = REFRESHES;
        }
        left -= 1;
        let request = v1::RefreshSessionRequest {
            tenant_id: TENANT.into(),
            refresh_token: token.clone(),
            ..Default::default()
        };
        let refresh = sessions.refresh_session(authorized(request, LOGIN));
        let (answer, time) = timed(async { Ok(refresh.await?) }).await?;
        token = answer.into_inner().refresh_token;
        Ok(time)
    })
    .await
}

async fn revocations(world: &World, deadline: Instant) -> Result<Vec<f64>> {
    let mut sessions = world.authority.sessions().await?;
    let mut number = 0;
    every(deadline, async || {
        number += 1;
        let user = format!("leaver-{}", number % 500);
        let created = sign_in(&mut sessions, &user).await?;
        timed(revoke(&mut sessions, session_id(&created)))
            .await
            .map(|(_, time)| time)
    })
    .await
}

/// Calls once every [`CALL_INTERVAL`] until the deadline; the milliseconds that each call reports.
async fn every(deadline: Instant, mut call: impl AsyncFnMut() -> Result<f64>) -> Result<Vec<f64>> {
    let mut ticks = interval(CALL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut times = Vec::new();
    while Instant::now() < deadline {
        ticks.tick().await;
        times.push(call().await?);
    }
    Ok(times)
}

async fn timed<T>(call: impl Future<Output = Result<T>>) -> Result<(T, f64)> {
    let begun = Instant::now();
    let answer = call.await?;
    Ok((answer, begun.elapsed().as_secs_f64() * 1000.0))
}

/// Access tokens of sessions in use.
pub(super) struct Sessions(Vec<String>);

/// The verdicts of the gates on the sessions in use.
pub(super) struct Seen {
    /// Sessions that a gate refused.
    pub(super) refused: usize,
    /// How often a gate was not fresh when it was looked at.
    pub(super) not_fresh: usize,
    looks: usize,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sessions refused, a gate not fresh {} times of {}",
            self.refused, self.not_fresh, self.looks
        )
    }
}

impl Sessions {
    pub(super) async fn open(world: &World, count: usize) -> Result<Self> {
        let mut sessions = world.authority.sessions().await?;
        let mut tokens = Vec::with_capacity(count);
        for number in 0..count {
            let created = sign_in(&mut sessions, &format!("resident-{number}")).await?;
            tokens.push(created.access_token);
        }
        Ok(Self(tokens))
    }

    /// Uses each session at one of the gates, again and again.
    pub(super) async fn use_until(self, gates: Vec<Validator>, stop: CancellationToken) -> Seen {
        let mut seen = Seen {
            refused: 0,
            not_fresh: 0,
            looks: 0,
        };
        let mut refused = vec![false; self.0.len()];
        let mut ticks = interval(USE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            for gate in &gates {
                seen.looks += 1;
                seen.not_fresh += usize::from(!gate.is_ready());
            }
            for (number, token) in self.0.iter().enumerate() {
                let gate = &gates[number % gates.len()];
                match gate.check(token) {
                    Err(rejection) if !rejection.is_unavailable() && !refused[number] => {
                        eprintln!("  resident-{number}: {rejection}");
                        refused[number] = true;
                    }
                    _ => {}
                }
            }
        }
        seen.refused = refused.iter().filter(|refused| **refused).count();
        seen
    }
}
