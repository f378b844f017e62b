//! A quiet tenant, first alone and then beside one rude caller of each kind, on PostgreSQL.
//!
//! The rude callers never stop by themselves and never wait politely. The quiet tenant's calls, its sessions and its
//! gates must not notice them.

mod quiet;
pub(crate) mod rude;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcullis_contract::v1;
use portcullis_tests::authority::{ADMIN, TENANT, session_id};
use tokio_util::sync::CancellationToken;

use self::{
    quiet::{Latencies, Sessions},
    rude::{Kind, Rude},
};
use crate::{
    measure::percentile,
    report::Report,
    world::{World, authorized, revoke, sign_in},
};

/// The quiet tenant alone.
const ALONE: Duration = Duration::from_secs(60);
/// Sessions that are used once a second all the time.
const SESSIONS: usize = 200;
/// A session in use must outlive this many times over.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The quiet tenant's p99 beside the rude callers, against alone.
const RATIO_MAX: f64 = 3.0;

/// Measures for `minutes`; `kinds` are the rude callers, or all of them.
pub(crate) async fn run(minutes: u64, kinds: &[Kind], report: &mut Report) -> Result<()> {
    let world = World::start_with(|config| {
        config.tokens.access_token_lifetime = Duration::from_secs(60 * 60);
    })
    .await?;
    end_idle_sessions(&world).await?;

    let gates = [
        world.authority.strict_gate().await?,
        world.authority.strict_gate().await?,
        world.authority.strict_gate().await?,
    ];
    let sessions = Sessions::open(&world, SESSIONS).await?;
    let stop = CancellationToken::new();
    let use_of_sessions = tokio::spawn(sessions.use_until(gates.clone().into(), stop.clone()));

    let alone = quiet::measure(&world, ALONE).await?;
    eprintln!("  alone: {alone}");

    let ended = ended_token(&world).await?;
    let rude = Rude::start(&world, &gates[0], &ended, kinds).await?;
    let beside = quiet::measure(&world, Duration::from_secs(60 * minutes)).await?;
    eprintln!("  beside: {beside}");
    rude.stop().await?;

    stop.cancel();
    let seen = use_of_sessions.await?;
    eprintln!("  {seen}");
    compare(report, &alone, &beside);
    report.add("soak_sessions_refused", seen.refused as f64, "sessions");
    report.add("soak_gate_not_fresh", seen.not_fresh as f64, "samples");
    ensure!(
        seen.refused == 0 && seen.not_fresh == 0,
        "a session in use ended, or a gate was not fresh"
    );
    Ok(())
}

fn compare(report: &mut Report, alone: &Latencies, beside: &Latencies) {
    let rows = [
        ("soak_sign_in_p99", &beside.sign_in, &alone.sign_in),
        ("soak_refresh_p99", &beside.refresh, &alone.refresh),
        ("soak_revoke_p99", &beside.revoke, &alone.revoke),
    ];
    for (name, beside, alone) in rows {
        let (beside, alone) = (percentile(beside, 0.99), percentile(alone, 0.99));
        report.compare(name, beside, "ms", "the same tenant alone (ms)", alone);
        if beside > RATIO_MAX * alone {
            eprintln!("  {name} misses its bar of {RATIO_MAX}");
        }
    }
}

/// Has the tenant's sessions end when they are not used for [`IDLE_TIMEOUT`].
async fn end_idle_sessions(world: &World) -> Result<()> {
    let mut tenants = world.authority.tenants().await?;
    let request = v1::GetPolicyRequest {
        tenant_id: TENANT.into(),
    };
    let current = tenants
        .get_policy(authorized(request, ADMIN))
        .await?
        .into_inner();
    let policy = v1::Policy {
        idle_timeout: Some(IDLE_TIMEOUT.try_into()?),
        ..current.policy.context("a policy")?
    };
    let request = v1::UpdatePolicyRequest {
        tenant_id: TENANT.into(),
        policy: Some(policy),
        reason: "soak".into(),
        ..Default::default()
    };
    tenants.update_policy(authorized(request, ADMIN)).await?;
    Ok(())
}

/// A token of a user whose session was revoked: its holder has a grudge.
async fn ended_token(world: &World) -> Result<String> {
    let mut sessions = world.authority.sessions().await?;
    let created = sign_in(&mut sessions, "mallory").await?;
    revoke(&mut sessions, session_id(&created)).await?;
    Ok(created.access_token)
}
