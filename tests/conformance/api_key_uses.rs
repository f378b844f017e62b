//! What gates report of API keys.

use std::time::Duration;

use portcullis_authority::{
    domain::{ApiKey, ApiKeyHour, ApiKeyUse, Micros},
    store::{Store, sql::Lane},
};
use portcullis_contract::id::ApiKeyId;
use portcullis_tests::{
    api_keys::{create, current, new},
    given::tenant,
    wait::eventually,
};

use crate::Engine;

const HOUR_US: i64 = 3_600_000_000;
const HOUR: Duration = Duration::from_secs(3_600);
const NOW: Duration = Duration::ZERO;

/// The hour it is, which goes on for as long as a case takes.
async fn now(store: &dyn Store) -> i64 {
    let time = async || {
        let Micros(now) = store.keys().await.expect("the time").1;
        (now % HOUR_US < HOUR_US - 20_000_000).then_some(now / HOUR_US)
    };
    eventually("the next hour", time).await
}

fn used(key: &ApiKey, requests: u64, age: Duration) -> ApiKeyUse {
    ApiKeyUse {
        tenant_id: key.tenant_id.clone(),
        id: key.id,
        requests,
        age,
    }
}

async fn record(store: &dyn Store, uses: &[ApiKeyUse]) {
    store.record_api_key_uses(uses).await.expect("recorded");
}

async fn hours(store: &dyn Store, key: &ApiKey) -> Vec<(i64, u64)> {
    let hours = store
        .api_key_hours(&key.tenant_id, key.id)
        .await
        .expect("hours");
    hours
        .into_iter()
        .map(|ApiKeyHour { hour, requests }| (hour, requests))
        .collect()
}

async fn requests_are_counted_by_key_and_hour(engine: Engine) {
    let store = engine.place().await.store().await;
    let (one, two) = (
        create(&*store, &new("t", "u")).await,
        create(&*store, &new("t", "u")).await,
    );
    let third = create(&*store, &new("t", "u")).await;
    let hour = now(&*store).await;
    record(&*store, &[]).await;
    record(
        &*store,
        &[
            used(&one, 3, HOUR),
            used(&two, 5, NOW),
            used(&third, 1, HOUR),
        ],
    )
    .await;
    record(&*store, &[used(&one, 4, HOUR)]).await;
    record(&*store, &[used(&one, 2, NOW)]).await;
    let last = current(&*store, &one)
        .await
        .0
        .last_used
        .expect("it was used");
    record(&*store, &[used(&one, 1, HOUR)]).await;
    assert_eq!(
        hours(&*store, &one).await,
        [(hour - 1, 8), (hour, 2)],
        "oldest first, each hour once"
    );
    assert_eq!(hours(&*store, &two).await, [(hour, 5)]);
    let (one, two) = (
        current(&*store, &one).await.0,
        current(&*store, &two).await.0,
    );
    assert_eq!(
        (one.requests_24h, one.last_used),
        (10, Some(last)),
        "a late report does not step back"
    );
    assert_eq!((two.requests_24h, last.0 / HOUR_US), (5, hour));
    let third = current(&*store, &third).await.0;
    assert_eq!(
        third.last_used.map(|Micros(at)| at / HOUR_US),
        Some(hour - 1)
    );
}

async fn uses_older_than_a_day_are_not_counted_and_are_deleted(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let key = create(&*store, &new("t", "u")).await;
    let hour = now(&*store).await;
    for ago in [30, 25, 24, 23, 0] {
        record(&*store, &[used(&key, 1, ago * HOUR)]).await;
    }
    assert_eq!(hours(&*store, &key).await, [(hour - 23, 1), (hour, 1)]);
    assert_eq!(current(&*store, &key).await.0.requests_24h, 2);
    let mut connection = place
        .engine()
        .await
        .connection(Lane::Write)
        .await
        .expect("a connection");
    let kept = connection
        .query("SELECT hour FROM api_key_hours", &[])
        .await
        .expect("rows");
    assert_eq!(kept.len(), 2, "no row is kept that nobody reads");
    connection
        .query("UPDATE api_key_hours SET hour = hour - 1", &[])
        .await
        .expect("an hour passes");
    drop(connection);
    assert_eq!(
        hours(&*store, &key).await,
        [(hour - 1, 1)],
        "the window moves"
    );
    assert_eq!(current(&*store, &key).await.0.requests_24h, 1);
}

async fn keys_that_are_not_there_are_passed_over(engine: Engine) {
    let store = engine.place().await.store().await;
    let key = create(&*store, &new("t", "u")).await;
    let hour = now(&*store).await;
    let unknown = ApiKey {
        id: ApiKeyId::generate(),
        ..key.clone()
    };
    let elsewhere = ApiKey {
        tenant_id: tenant("other"),
        ..key.clone()
    };
    record(
        &*store,
        &[
            used(&unknown, 1, NOW),
            used(&elsewhere, 2, NOW),
            used(&key, 4, NOW),
        ],
    )
    .await;
    assert_eq!(hours(&*store, &unknown).await, []);
    assert_eq!(hours(&*store, &elsewhere).await, []);
    assert_eq!(hours(&*store, &key).await, [(hour, 4)]);
}

async fn a_report_may_be_large(engine: Engine) {
    let store = engine.place().await.store().await;
    let key = create(&*store, &new("t", "u")).await;
    let hour = now(&*store).await;
    let unknown = || ApiKey {
        id: ApiKeyId::generate(),
        ..key.clone()
    };
    let mut uses: Vec<_> = (0..10_000).map(|_| used(&unknown(), 1, NOW)).collect();
    uses.push(used(&key, 1 << 31, NOW));
    record(&*store, &uses).await;
    record(&*store, &uses).await;
    assert_eq!(hours(&*store, &key).await, [(hour, 1 << 32)]);
}

async fn two_authorities_that_report_the_same_keys_lose_nothing(engine: Engine) {
    let place = engine.place().await;
    let (one, two) = (place.store().await, place.store().await);
    let mut keys = Vec::new();
    for _ in 0..8 {
        keys.push(create(&*one, &new("t", "u")).await);
    }
    let hour = now(&*one).await;
    let forwards: Vec<_> = keys.iter().map(|key| used(key, 1, NOW)).collect();
    let backwards: Vec<_> = forwards.iter().rev().cloned().collect();
    for _ in 0..20 {
        let (first, second) = tokio::join!(
            one.record_api_key_uses(&forwards),
            two.record_api_key_uses(&backwards)
        );
        first.and(second).expect("no deadlock");
    }
    for key in &keys {
        assert_eq!(hours(&*one, key).await, [(hour, 40)]);
    }
}

crate::on_every_engine! {
    requests_are_counted_by_key_and_hour,
    uses_older_than_a_day_are_not_counted_and_are_deleted,
    keys_that_are_not_there_are_passed_over,
    a_report_may_be_large,
    two_authorities_that_report_the_same_keys_lose_nothing,
}
