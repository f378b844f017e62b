//! Calls a second by 64 callers, beside pgbench on the same server.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result};
use portcullis_contract::v1;
use portcullis_tests::authority::{LOGIN, TENANT, session_id};

use crate::{
    measure::rate,
    peers::pgbench,
    report::Report,
    world::{World, authorized, revoke, sign_in},
};

const CALLERS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_secs(6);
/// Sessions that are opened before the rows that end or renew them.
const SESSIONS: usize = 200_000;

/// Users of each caller, known before, who sign in in turn: nobody signs in a hundred times a second.
const USERS: usize = 100;

/// What the rows that end or renew sessions need of them.
struct Opened {
    session_id: String,
    refresh_token: String,
}

pub(crate) async fn run(world: &World, report: &mut Report) -> Result<()> {
    let admin = world.cluster.admin().await;
    let table =
        "CREATE TABLE peer (id BIGSERIAL PRIMARY KEY, a TEXT, b TEXT, n BIGINT NOT NULL DEFAULT 0)";
    admin.batch_execute(table).await?;
    let insert = "INSERT INTO peer (a, b) VALUES ('01h455vb4pex5vsknk084sn02q', 'revoked by an administrator');\n";
    let inserts = pgbench::rate(&world.cluster, 64, insert).await?;
    create(world, report, inserts).await?;
    let opened = Arc::new(Mutex::new(open(world).await?));
    refresh(world, report, &opened).await?;
    revocations(world, report, &opened, inserts).await
}

async fn create(world: &World, report: &mut Report, inserts: f64) -> Result<()> {
    let sessions = world.authority.sessions().await?;
    let known = |caller: usize| {
        let mut sessions = sessions.clone();
        async move {
            for turn in 0..USERS {
                sign_in(&mut sessions, &user(caller, turn)).await?;
            }
            Ok::<_, anyhow::Error>(())
        }
    };
    futures::future::try_join_all((0..CALLERS).map(known)).await?;
    let opened = rate(CALLERS, WARM_UP, TIME, |caller| {
        let (sessions, mut turn) = (sessions.clone(), 0);
        move || {
            let mut sessions = sessions.clone();
            turn = (turn + 1) % USERS;
            async move { sign_in(&mut sessions, &user(caller, turn)).await.map(drop) }
        }
    })
    .await?;
    report.compare(
        "create_rate",
        opened,
        "1/s",
        "pgbench single-row inserts (1/s)",
        inserts,
    );
    Ok(())
}

/// A user of one caller: two sign-ins of one user at a time would wait for each other.
fn user(caller: usize, turn: usize) -> String {
    format!("user-{caller}-{turn}")
}

async fn open(world: &World) -> Result<Vec<Opened>> {
    let sessions = world.authority.sessions().await?;
    let each = |caller: usize| {
        let mut sessions = sessions.clone();
        async move {
            let mut opened = Vec::new();
            for turn in 0..SESSIONS / CALLERS {
                let created = sign_in(&mut sessions, &user(caller, turn % USERS)).await?;
                opened.push(Opened {
                    session_id: session_id(&created),
                    refresh_token: created.refresh_token,
                });
            }
            Ok::<_, anyhow::Error>(opened)
        }
    };
    Ok(futures::future::try_join_all((0..CALLERS).map(each))
        .await?
        .into_iter()
        .flatten()
        .collect())
}

async fn refresh(
    world: &World,
    report: &mut Report,
    opened: &Arc<Mutex<Vec<Opened>>>,
) -> Result<()> {
    let update = "\\set id random(1, 20000)\nUPDATE peer SET n = n + 1 WHERE id = :id;\n";
    let updates = pgbench::rate(&world.cluster, 64, update).await?;
    let sessions = world.authority.sessions().await?;
    let refreshed = rate(CALLERS, WARM_UP, TIME, |_| {
        let sessions = sessions.clone();
        let opened = Arc::clone(opened);
        // Each caller renews sessions of its own, one after the other.
        let mut own: Vec<String> = {
            let mut all = opened.lock().expect("no holder panics");
            let at = all.len() - 100;
            all.split_off(at)
                .into_iter()
                .map(|opened| opened.refresh_token)
                .collect()
        };
        let mut turn = 0;
        let tokens = Arc::new(Mutex::new(std::mem::take(&mut own)));
        move || {
            let mut sessions = sessions.clone();
            let tokens = Arc::clone(&tokens);
            turn = (turn + 1) % 100;
            let at = turn;
            async move {
                let refresh_token = tokens.lock().expect("no holder panics")[at].clone();
                let request = v1::RefreshSessionRequest {
                    tenant_id: TENANT.into(),
                    refresh_token,
                    ..Default::default()
                };
                let refreshed = sessions
                    .refresh_session(authorized(request, LOGIN))
                    .await?
                    .into_inner();
                tokens.lock().expect("no holder panics")[at] = refreshed.refresh_token;
                Ok(())
            }
        }
    })
    .await?;
    report.compare(
        "refresh_rate",
        refreshed,
        "1/s",
        "pgbench single-row updates (1/s)",
        updates,
    );
    Ok(())
}

async fn revocations(
    world: &World,
    report: &mut Report,
    opened: &Arc<Mutex<Vec<Opened>>>,
    inserts: f64,
) -> Result<()> {
    let sessions = world.authority.sessions().await?;
    let revoked = rate(CALLERS, WARM_UP, TIME, |_| {
        let (sessions, opened) = (sessions.clone(), Arc::clone(opened));
        move || {
            let mut sessions = sessions.clone();
            let next = opened.lock().expect("no holder panics").pop();
            async move {
                let opened = next.context("the sessions ran out: open more")?;
                revoke(&mut sessions, opened.session_id).await.map(drop)
            }
        }
    })
    .await?;
    report.compare(
        "revoke_rate",
        revoked,
        "1/s",
        "pgbench single-row inserts (1/s)",
        inserts,
    );
    Ok(())
}
