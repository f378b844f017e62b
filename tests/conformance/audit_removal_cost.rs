//! What it costs PostgreSQL to remove audit rows in pieces while people sign in. A measurement, run by hand:
//! `ROWS=1000000 cargo test -p portcullis-tests --test conformance -- --ignored audit_removal_cost --nocapture`.

#![expect(clippy::print_stdout, reason = "it is run for its figures")]

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use portcullis_authority::{
    keys::{MasterKey, MasterKeys},
    store::{
        AuditRules, Store,
        sql::{Backend, Column, Lane, Value},
    },
};
use portcullis_contract::{id::EventId, position::Revision};
use portcullis_tests::{
    calls::{apply, head, open},
    given::{record, sign_in},
    place::Place,
    rows::query,
};

use crate::audit_retention::Master;

/// Events of one row of the outbox.
const EVENTS: u64 = 200;
/// The pause between two steps, a hundredth of the job's: a measurement takes too long otherwise.
const STEP_PAUSE: Duration = Duration::from_millis(10);
/// Sign-ins of each of four callers in a second.
const RATE: u64 = 25;

/// Lets many events wait, as sign-ins do.
async fn defer_many(engine: &Arc<dyn Backend>) {
    let mut events = Vec::new();
    let mut first = None;
    for number in 0..EVENTS {
        let event = EventId::generate();
        first.get_or_insert(event);
        let id = format!("{:032x}", u128::from_be_bytes(event.to_bytes()));
        events.push(format!(
            "[\"{id}\", 1000000, \"acme\", \"session.create\", \"ses_0123456789abcdefghjkmnpqrs\", \"user-{number}\", \
             \"user:user-{number}\", \"service:login\", \"192.0.2.{}\", {{\"device\": \"Firefox on Linux\", \"country\": \"CH\"}}]",
            number % 256
        ));
    }
    let first = first.expect("an event");
    let json = format!("[{}]", events.join(", "));
    let values: [Value; 3] = [
        first.to_bytes()[..].into(),
        (EVENTS as i64).into(),
        json.into(),
    ];
    let mut connection = engine.connection(Lane::Write).await.expect("a connection");
    connection
        .query("INSERT INTO audit_outbox VALUES ($1, $2, $3)", &values)
        .await
        .expect("the events wait");
}

/// Signs people in at a steady rate, and returns the times that it took.
async fn sign_people_in(store: &dyn Store, caller: u64, stop: &AtomicBool) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(1_000 / RATE));
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let user = format!("caller-{caller}-{}", times.len());
        let begun = Instant::now();
        open(store, &sign_in("acme", &user)).await;
        times.push(begun.elapsed());
    }
    times
}

/// The times of sign-ins while something runs.
async fn beside<T>(store: &Arc<dyn Store>, work: impl Future<Output = T>) -> (T, Vec<Duration>) {
    let stop = AtomicBool::new(false);
    let people =
        futures::future::join_all((0..4).map(|caller| sign_people_in(&**store, caller, &stop)));
    let work = async {
        let done = work.await;
        stop.store(true, Ordering::Relaxed);
        done
    };
    let (done, times) = tokio::join!(work, people);
    let mut times: Vec<_> = times.into_iter().flatten().collect();
    times.sort_unstable();
    (done, times)
}

fn percentiles(name: &str, times: &[Duration]) {
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{name}: {} sign-ins, p50 {:?}, p99 {:?}, most {:?}",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

async fn sizes(place: &Place, name: &str) {
    let sql = "SELECT pg_table_size('audit_events') / 1000000, pg_indexes_size('audit_events') / 1000000, \
         (SELECT count(*) FROM audit_events)";
    let rows = query(place, sql, &[]).await;
    let column = |number| rows[0].int(Column::nth(number)).expect("a number");
    println!(
        "{name}: {} rows, table {} MB, indexes {} MB",
        column(2),
        column(0),
        column(1)
    );
}

async fn fill(place: &Place, store: &dyn Store, rows: u64) {
    let engine = place.engine().await;
    for _ in 0..rows / EVENTS {
        defer_many(&engine).await;
        apply(store, record()).await;
    }
    let last = head(store).await;
    store.trim(last, Duration::ZERO).await.expect("trimmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of minutes"]
async fn audit_removal_cost() {
    let rows: u64 = std::env::var("ROWS").map_or(1_000_000, |rows| rows.parse().expect("a number"));
    let place = Place::postgres().await;
    let store = place.store().await;
    let begun = Instant::now();
    fill(&place, &*store, rows).await;
    println!("filled in {:?}", begun.elapsed());
    query(&place, "VACUUM ANALYZE", &[]).await;
    sizes(&place, "before").await;

    let idle = tokio::time::sleep(Duration::from_secs(20));
    let ((), times) = beside(&store, idle).await;
    percentiles("before", &times);

    let codes = Master(MasterKeys::from(MasterKey::generate()));
    let last = head(&*store).await;
    let rules = AuditRules {
        others: Some(Duration::ZERO),
        tenants: HashMap::new(),
    };
    let mut steps = Vec::new();
    let begun = Instant::now();
    let removing = async {
        let mut after = Revision(0);
        loop {
            let begun = Instant::now();
            let removed = store
                .remove_old_audit(after, last, &rules, &codes)
                .await
                .expect("a step");
            assert_eq!(removed.fault, None);
            steps.push(begun.elapsed());
            if removed.is_last {
                return;
            }
            after = removed.through;
            tokio::time::sleep(STEP_PAUSE).await;
        }
    };
    let ((), times) = beside(&store, removing).await;
    println!("removed in {:?}", begun.elapsed());
    percentiles("while rows are removed", &times);
    steps.sort_unstable();
    println!(
        "{} steps: p50 {:?}, p99 {:?}",
        steps.len(),
        steps[steps.len() / 2],
        steps[(steps.len() - 1) * 99 / 100]
    );
    sizes(&place, "after").await;
    let begun = Instant::now();
    query(&place, "VACUUM audit_events", &[]).await;
    println!("vacuumed in {:?}", begun.elapsed());
    sizes(&place, "after a vacuum").await;
    fill(&place, &*store, rows).await;
    sizes(&place, "filled again").await;
}
