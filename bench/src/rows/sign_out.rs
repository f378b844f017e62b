//! Signing out a user with 100,000 sessions, against one with a single session, on both stores.

use std::{path::PathBuf, time::Instant};

use anyhow::Result;
use portcullis_contract::v1;
use portcullis_tests::authority::{ADMIN, TENANT};

use crate::{
    measure::median,
    report::Report,
    world::{Process, World, authorized, sign_in},
};

const MANY: u32 = 100_000;
const ROUNDS: usize = 60;

pub(crate) async fn run(report: &mut Report) -> Result<()> {
    let world = World::start().await?;
    prepare(&world.authority).await?;
    let admin = world.cluster.admin().await;
    admin
        .batch_execute(&copies(
            "decode(lpad(to_hex(n), 32, '0'), 'hex')",
            "generate_series(1, {MANY}) AS g(n)",
        ))
        .await?;
    admin.batch_execute("ANALYZE").await?;
    let (many, one) = measure(&world.authority).await?;
    report.compare(
        "force_sign_out",
        many,
        "ms",
        "with one session, PostgreSQL (ms)",
        one,
    );

    let directory = tempfile::tempdir()?;
    let data = directory.path().join("data");
    let authority = sqlite(&data).await?;
    prepare(&authority).await?;
    drop(authority);
    let file = rusqlite::Connection::open(data.join("portcullis.db"))?;
    file.execute_batch("DROP TRIGGER session_serial")?;
    let numbers = "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {MANY}) SELECT n FROM c) g";
    file.execute_batch(&copies("unhex(printf('%032x', n))", numbers))?;
    drop(file);
    let authority = sqlite(&data).await?;
    let (many, one) = measure(&authority).await?;
    report.compare(
        "force_sign_out_sqlite",
        many,
        "ms",
        "with one session, SQLite (ms)",
        one,
    );
    Ok(())
}

async fn sqlite(data: &std::path::Path) -> Result<Process> {
    let (url, key): (String, PathBuf) = (
        format!("sqlite:{}", data.display()),
        data.with_extension("key"),
    );
    if !key.exists() {
        portcullis_tests::authority::write_private(
            &key,
            &portcullis_authority::keys::MasterKey::generate().to_base64(),
        );
    }
    Process::start(move |config, _| {
        config.store.url = url;
        config.keys.master_key_file = key;
    })
    .await
}

async fn prepare(authority: &Process) -> Result<()> {
    let mut sessions = authority.sessions().await?;
    for user in ["many", "one"] {
        sign_in(&mut sessions, user).await?;
    }
    Ok(())
}

/// Copies the one session of the user `many` until there are 100,000.
fn copies(id: &str, numbers: &str) -> String {
    let same = "user_id, user_serial, tenant_serial, opened_revision, created_us, expires_us, remember_me, \
         auth_time_us, facts, acr, ip, user_agent, device_id, app_name, salt, request_id, request_digest, \
         generation, rotated_us, end_event";
    let numbers = numbers.replace("{MANY}", &MANY.to_string());
    format!(
        "INSERT INTO sessions (tenant_id, session_id, serial, {same}) \
         SELECT tenant_id, {id}, 1000000 + n, {same} FROM sessions, {numbers} WHERE user_id = 'many'"
    )
}

/// Medians of both, in turns.
async fn measure(authority: &Process) -> Result<(f64, f64)> {
    let mut users = authority.users().await?;
    let (mut many, mut one) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (user, times) in [("many", &mut many), ("one", &mut one)] {
            let request = v1::ForceSignOutRequest {
                tenant_id: TENANT.into(),
                user_ids: vec![user.into()],
                reason: "bench".into(),
                ..Default::default()
            };
            let begun = Instant::now();
            users.force_sign_out(authorized(request, ADMIN)).await?;
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
    }
    Ok((median(many), median(one)))
}
