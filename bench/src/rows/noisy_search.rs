//! Sign-ins of one tenant while another one searches, against the same tenant alone.

use std::time::Instant;

use anyhow::Result;
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{SUPPORT, TENANT},
    postgres::Cluster,
};
use tokio::task::JoinSet;

use crate::{
    measure::percentile,
    report::Report,
    seed::{self, LARGE},
    world::{Process, authorized, sign_in},
};

/// Searches at a time.
const SEARCHES: usize = 60;
/// Sessions of the tenant that searches: a name that nobody has takes about 350 ms to look for.
const SESSIONS: u64 = 400_000;
/// Sign-ins that are measured, alone and beside the searches.
const SIGN_INS: usize = 500;

pub(crate) async fn run(report: &mut Report) -> Result<()> {
    let settings = [
        "fsync=on",
        "synchronous_commit=on",
        "max_connections=300",
        "shared_buffers=1GB",
    ];
    let cluster = Cluster::start(&settings).await;
    let admin = cluster.admin().await;
    admin.batch_execute("CREATE DATABASE noisy").await?;
    let url = format!("{}/noisy", cluster.url().trim_end_matches("/postgres"));
    seed::run(&seed::Options {
        url: url.clone(),
        sessions: 10_000,
        users: 2_000,
        tenants: 10,
        large_tenant: SESSIONS,
    })
    .await?;
    admin.batch_execute("CHECKPOINT").await?;
    let authority = Process::start(|config, _| config.store.url = url).await?;

    let begun = Instant::now();
    search(&authority).await?;
    eprintln!("  (one search: {} ms)", begun.elapsed().as_millis());
    // Warm up.
    measure(&authority).await?;
    let alone = measure(&authority).await?;
    let mut searching = JoinSet::new();
    for _ in 0..SEARCHES {
        let mut sessions = authority.sessions().await?;
        searching.spawn(async move {
            loop {
                // Some are refused: that is what leaves room.
                let _ = sessions.list_sessions(authorized(request(), SUPPORT)).await;
            }
        });
    }
    let beside = measure(&authority).await?;
    searching.shutdown().await;
    report.compare("noisy_search", beside, "ms", "alone, p99 (ms)", alone);
    Ok(())
}

/// The p99 of sign-ins, in milliseconds.
async fn measure(authority: &Process) -> Result<f64> {
    let mut sessions = authority.sessions().await?;
    let mut times = Vec::with_capacity(SIGN_INS);
    for number in 0..SIGN_INS {
        let begun = Instant::now();
        sign_in(&mut sessions, &format!("{TENANT}-{number}")).await?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(percentile(&times, 0.99))
}

async fn search(authority: &Process) -> Result<()> {
    let mut sessions = authority.sessions().await?;
    sessions
        .list_sessions(authorized(request(), SUPPORT))
        .await?;
    Ok(())
}

fn request() -> v1::ListSessionsRequest {
    v1::ListSessionsRequest {
        tenant_id: LARGE.into(),
        filter: Some(v1::SessionFilter {
            user_name: "nobody-has-it".into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}
