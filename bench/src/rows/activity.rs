//! What gates report of 100,000 live sessions, beside pgbench's single-row updates on the same server.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use portcullis_contract::{
    id::SessionId,
    v1::{self, revocation_service_client::RevocationServiceClient},
};
use portcullis_tests::authority::{GATEWAY, TENANT};

use crate::{
    measure::rate,
    peers::pgbench,
    report::Report,
    world::{World, authorized, sign_in},
};

const SESSIONS: usize = 100_000;
/// Sessions of one report.
const BATCH: usize = 10_000;
/// Each reports the sessions of its own users, batch after batch.
const GATES: usize = 2;
const WARM_UP: Duration = Duration::from_secs(2);
const TIME: Duration = Duration::from_secs(10);

pub(crate) async fn run(world: &World, report: &mut Report) -> Result<()> {
    let admin = world.cluster.admin().await;
    admin
        .batch_execute("CREATE TABLE peer (id BIGINT PRIMARY KEY, active BIGINT NOT NULL) WITH (fillfactor = 50)")
        .await?;
    admin
        .batch_execute("INSERT INTO peer SELECT n, 0 FROM generate_series(1, 100000) n")
        .await?;
    sign_in(&mut world.authority.sessions().await?, "live").await?;
    admin.batch_execute(&copies()).await?;
    admin.batch_execute("VACUUM ANALYZE").await?;
    let update =
        "\\set id random(1, 100000)\nUPDATE peer SET active = active + 1 WHERE id = :id;\n";
    let updates = pgbench::rate(&world.cluster, 64, update).await?;
    let batches = Arc::new(batches());
    let client = RevocationServiceClient::new(world.authority.channel().await?);
    let reports = rate(GATES, WARM_UP, TIME, |gate| {
        let (client, batches, mut turn) = (client.clone(), Arc::clone(&batches), 0);
        move || {
            let (mut client, batches) = (client.clone(), Arc::clone(&batches));
            turn = (turn + 1) % (batches.len() / GATES);
            let activities = batches[turn * GATES + gate].clone();
            async move {
                let report = authorized(
                    v1::ReportActivityRequest {
                        activities,
                        ..Default::default()
                    },
                    GATEWAY,
                );
                client.report_activity(report).await?;
                Ok(())
            }
        }
    })
    .await?;
    let rows = reports * BATCH as f64;
    report.compare(
        "activity_flush",
        rows,
        "rows/s",
        "pgbench single-row updates (1/s)",
        updates,
    );
    Ok(())
}

/// Copies the one session until there are as many, as wide as those of browsers.
fn copies() -> String {
    let same = "tenant_serial, opened_revision, created_us, expires_us, remember_me, auth_time_us, facts, acr, \
         salt, generation, active_us";
    let wide = "'203.0.113.7', 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0', \
         '{\"browser\":\"Firefox\",\"browser_version\":\"128.0\",\"os\":\"Linux\",\"model\":\"\"}', \
         '{\"city\":\"Lisbon\",\"country\":\"PT\",\"isp\":\"Example Telecom\"}'";
    format!(
        "INSERT INTO sessions (tenant_id, session_id, serial, user_id, user_serial, device_id, app_name, ip, user_agent, \
             device, place, {same}) \
         SELECT tenant_id, decode(lpad(to_hex(n), 32, '0'), 'hex'), 1000000 + n, 'user-' || n, 1000000 + n, \
             'device-' || n, '', {wide}, {same} FROM sessions, generate_series(1, {SESSIONS}) AS g(n) \
         WHERE user_id = 'live'"
    )
}

fn batches() -> Vec<Vec<v1::Activity>> {
    let activity = |number: usize| v1::Activity {
        tenant_id: TENANT.into(),
        credential_id: SessionId::from_bytes((number as u128).to_be_bytes()).to_string(),
        requests: 3,
        age: Some(prost_types::Duration {
            seconds: 2,
            nanos: 0,
        }),
        ip: "203.0.113.7".into(),
        last_page: "/orders/17".into(),
    };
    let all: Vec<_> = (1..=SESSIONS).map(activity).collect();
    all.chunks(BATCH).map(<[_]>::to_vec).collect()
}
