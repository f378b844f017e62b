//! The figures of `portcullis size`, against a real PostgreSQL that did each thing some thousand times.

use std::{collections::BTreeMap, process::Command};

use futures::{StreamExt, TryStreamExt, stream};
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, LOGIN, TENANT, TestAuthority, session_id, sign_in},
    postgres::{Admin, Cluster},
    process::binary,
    wait::eventually,
};
use serde_json::Value;

const PEOPLE: usize = 2_000;
/// Calls at a time, as a busy service makes them.
const CALLS: usize = 16;
/// How far a figure may be from what was measured, in percent. A person with long names takes more.
const TOLERANCE_PERCENT: f64 = 40.0;

/// Room that the server takes, in bytes, and rows of the trail.
struct Room {
    people: f64,
    sessions: f64,
    events: f64,
    event_rows: f64,
    batches: f64,
    batch_rows: f64,
    /// Bytes of write-ahead log since the server began.
    wal: f64,
}

impl Room {
    async fn of(admin: &Admin) -> Self {
        let number = async |sql: &str| -> f64 {
            let text = admin.text(&format!("SELECT ({sql})::text")).await;
            text.parse().expect("a number")
        };
        let size = async |table: &str| number(&format!("pg_total_relation_size('{table}')")).await;
        let rows = async |table: &str| number(&format!("SELECT count(*) FROM {table}")).await;
        Self {
            people: size("users").await + size("user_history").await,
            sessions: size("sessions").await,
            events: size("audit_events").await,
            event_rows: rows("audit_events").await,
            batches: size("log_batches").await,
            batch_rows: rows("log_batches").await,
            wal: number("pg_current_wal_insert_lsn() - '0/0'").await,
        }
    }
}

/// The bytes of one thing, by the command.
fn figures() -> BTreeMap<String, f64> {
    let mut command = Command::new(binary());
    command.args(["size", "--users", "1", "-o", "json"]);
    let printed = command.output().expect("it runs").stdout;
    let sizes: Value = serde_json::from_slice(&printed).expect("JSON");
    let sizes = sizes.as_array().expect("a list").iter();
    // A sum has no figure of one thing.
    let sizes = sizes.filter_map(|size| {
        let what = size["what"].as_str().expect("a name").to_owned();
        Some((what, size["bytes_each"].as_f64()?))
    });
    sizes.collect()
}

/// A person as companies have them, with a browser at home.
fn person(number: usize) -> v1::CreateSessionRequest {
    let id = format!("8c6f2f0e-{number:012}");
    v1::CreateSessionRequest {
        user: Some(v1::SessionUser {
            id: id.clone(),
            user_name: format!("joan.walker.{number}"),
            given_name: "Joan".into(),
            family_name: "Walker".into(),
            email: format!("joan.walker.{number}@example.com"),
            ..Default::default()
        }),
        client: Some(v1::Client {
            ip: format!("203.0.{}.{}", number / 200 % 200, number % 200 + 1),
            user_agent:
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                         Chrome/142.0.0.0 Safari/537.36"
                    .into(),
            device_id: format!("device-{number:024}"),
            ..Default::default()
        }),
        request_id: format!("request-{number:016}"),
        amr: vec!["pwd".into(), "otp".into()],
        ..sign_in(&id)
    }
}

async fn sign_in_people(
    authority: &TestAuthority,
    people: std::ops::Range<usize>,
) -> Vec<v1::CreateSessionResponse> {
    let sign_ins = people.map(|number| {
        let mut sessions = authority.sessions(LOGIN);
        async move { sessions.create_session(person(number)).await }
    });
    let created: Vec<_> = stream::iter(sign_ins)
        .buffer_unordered(CALLS)
        .try_collect()
        .await
        .expect("sign-ins");
    created
        .into_iter()
        .map(tonic::Response::into_inner)
        .collect()
}

async fn refresh(authority: &TestAuthority, created: &[v1::CreateSessionResponse]) {
    let refreshes = created.iter().map(|created| {
        let mut sessions = authority.sessions(LOGIN);
        let request = v1::RefreshSessionRequest {
            tenant_id: TENANT.into(),
            refresh_token: created.refresh_token.clone(),
            ..Default::default()
        };
        async move { sessions.refresh_session(request).await }
    });
    let refreshed = stream::iter(refreshes).buffer_unordered(CALLS);
    let _refreshed: Vec<_> = refreshed.try_collect().await.expect("refreshes");
}

/// One after the other, so that each is a batch of its own.
async fn sign_out(authority: &TestAuthority, created: &[v1::CreateSessionResponse]) {
    let mut sessions = authority.sessions(ADMIN);
    for created in created {
        let request = v1::RevokeSessionRequest {
            tenant_id: TENANT.into(),
            session_id: session_id(created),
            reason: "A laptop was lost on a train.".into(),
            ..Default::default()
        };
        sessions.revoke_session(request).await.expect("a sign-out");
    }
}

/// Waits until the trail has every event that was left for it.
async fn the_trail_is_whole(admin: &Admin) {
    eventually("the trail to be whole", async || {
        let left = admin.text("SELECT count(*)::text FROM audit_outbox").await;
        (left == "0").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_figures_of_a_size_are_those_of_a_database() {
    // Full page images depend on the time between checkpoints, and the figures leave them out.
    let postgres = Cluster::start(&["full_page_writes=off", "fsync=off"]).await;
    let authority = TestAuthority::postgres(&postgres.url()).await;
    let admin = postgres.admin().await;
    // The first pages of each table and index hold little.
    sign_in_people(&authority, 0..200).await;
    the_trail_is_whole(&admin).await;

    let before = Room::of(&admin).await;
    let created = sign_in_people(&authority, 200..200 + PEOPLE).await;
    the_trail_is_whole(&admin).await;
    let signed_in = Room::of(&admin).await;
    refresh(&authority, &created).await;
    the_trail_is_whole(&admin).await;
    let refreshed = Room::of(&admin).await;
    sign_out(&authority, &created).await;
    the_trail_is_whole(&admin).await;
    let signed_out = Room::of(&admin).await;

    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let people = PEOPLE as f64;
    let events = signed_out.event_rows - before.event_rows;
    // A sign-in, a refresh and a sign-out write one event each, as the command reckons.
    #[expect(clippy::float_cmp, reason = "small whole numbers")]
    let is_counted = events == 3.0 * people;
    assert!(is_counted, "{events} events of {people} people");
    let batches = signed_out.batch_rows - refreshed.batch_rows;
    let measured = [
        ("users", (signed_in.people - before.people) / people),
        ("sessions", (signed_in.sessions - before.sessions) / people),
        ("audit events", (signed_out.events - before.events) / events),
        (
            "log batches",
            (signed_out.batches - refreshed.batches) / batches,
        ),
        ("sign-ins", (signed_in.wal - before.wal) / people),
        ("refreshes", (refreshed.wal - signed_in.wal) / people),
        ("sign-outs", (signed_out.wal - refreshed.wal) / people),
    ];
    let figures = figures();
    let mut wrong = Vec::new();
    for (what, measured) in measured {
        let figure = figures[what];
        println!("{what}: {measured:.0} bytes each, the figure is {figure}");
        if (figure / measured - 1.0).abs() * 100.0 > TOLERANCE_PERCENT {
            wrong.push(format!(
                "{what}: {figure} where {measured:.0} were measured"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
