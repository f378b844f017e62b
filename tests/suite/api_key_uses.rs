//! What gates report of API keys.

use portcullis_authority::{
    domain::{ApiKey, ApiKeyHour, ApiKeyUse, Micros},
    store::{Store, sql::SqlStore},
};
use portcullis_contract::id::ApiKeyId;
use portcullis_tests::{
    api_keys::{create, current, new},
    given::tenant,
};

const HOUR_US: i64 = 3_600_000_000;

/// The hour it is. The cases do not mind when it ends meanwhile: they look an hour ahead of what they forget.
async fn now(store: &dyn Store) -> i64 {
    store.keys().await.expect("the time").1.0 / HOUR_US
}

fn used(key: &ApiKey, hour: i64, requests: u64, last_used: i64) -> ApiKeyUse {
    ApiKeyUse { tenant_id: key.tenant_id.clone(), id: key.id, hour, requests, last_used: Micros(last_used) }
}

async fn record(store: &SqlStore, uses: &[ApiKeyUse]) {
    store.record_api_key_uses(uses).await.expect("recorded");
}

async fn hours(store: &SqlStore, key: &ApiKey) -> Vec<(i64, u64)> {
    let hours = store.api_key_hours(&key.tenant_id, key.id).await.expect("hours");
    hours.into_iter().map(|ApiKeyHour { hour, requests }| (hour, requests)).collect()
}

#[tokio::test]
async fn requests_are_counted_by_key_and_hour() {
    let store = crate::place().await.store().await;
    let (one, two) = (create(&*store, &new("t", "u")).await, create(&*store, &new("t", "u")).await);
    let hour = now(&*store).await;
    record(&store, &[]).await;
    record(&store, &[used(&one, hour, 3, 70), used(&two, hour, 5, 10)]).await;
    record(&store, &[used(&one, hour - 1, 4, 60), used(&one, hour, 2, 80), used(&one, hour, 1, 75)]).await;
    assert_eq!(hours(&store, &one).await, [(hour - 1, 4), (hour, 6)], "oldest first, each hour once");
    assert_eq!(hours(&store, &two).await, [(hour, 5)]);
    let (one, two) = (current(&*store, &one).await.0, current(&*store, &two).await.0);
    assert_eq!((one.requests_24h, one.last_used), (10, Some(Micros(80))));
    assert_eq!((two.requests_24h, two.last_used), (5, Some(Micros(10))));
    record(&store, &[used(&one, hour, 1, 50)]).await;
    assert_eq!(current(&*store, &one).await.0.last_used, Some(Micros(80)), "a late report does not step back");
}

#[tokio::test]
async fn what_is_older_than_a_day_does_not_count_and_goes() {
    let place = crate::place().await;
    let store = place.store().await;
    let key = create(&*store, &new("t", "u")).await;
    let hour = now(&*store).await;
    let uses: Vec<_> = [30, 25, 24, 22, 0].into_iter().map(|ago| used(&key, hour - ago, 1, hour)).collect();
    record(&store, &uses).await;
    assert_eq!(hours(&store, &key).await, [(hour - 22, 1), (hour, 1)]);
    assert_eq!(current(&*store, &key).await.0.requests_24h, 2);
    let mut connection =
        place.engine().await.connection(portcullis_authority::store::sql::Lane::Read).await.expect("a lane");
    let kept = connection.query("SELECT hour FROM api_key_hours", &[]).await.expect("rows");
    assert_eq!(kept.len(), 2, "no row is kept that nobody reads");
}

#[tokio::test]
async fn keys_that_are_not_there_are_passed_over() {
    let store = crate::place().await.store().await;
    let key = create(&*store, &new("t", "u")).await;
    let hour = now(&*store).await;
    let unknown = ApiKey { id: ApiKeyId::generate(), ..key.clone() };
    let elsewhere = ApiKey { tenant_id: tenant("other"), ..key.clone() };
    record(&store, &[used(&unknown, hour, 1, 1), used(&elsewhere, hour, 2, 2), used(&key, hour, 4, 4)]).await;
    assert_eq!(hours(&store, &unknown).await, []);
    assert_eq!(hours(&store, &elsewhere).await, []);
    assert_eq!(hours(&store, &key).await, [(hour, 4)]);
}

#[tokio::test]
async fn a_batch_may_be_large() {
    let store = crate::place().await.store().await;
    let key = create(&*store, &new("t", "u")).await;
    let hour = now(&*store).await;
    let mut uses: Vec<_> =
        (0..10_000).map(|_| used(&ApiKey { id: ApiKeyId::generate(), ..key.clone() }, hour, 1, 1)).collect();
    uses.push(used(&key, hour, 9, 9));
    record(&store, &uses).await;
    assert_eq!(hours(&store, &key).await, [(hour, 9)]);
}

#[tokio::test]
async fn two_authorities_that_report_the_same_keys_lose_nothing() {
    let place = crate::place().await;
    let (one, two) = (place.store().await, place.store().await);
    let mut keys = Vec::new();
    for _ in 0..8 {
        keys.push(create(&*one, &new("t", "u")).await);
    }
    let hour = now(&*one).await;
    let forwards: Vec<_> = keys.iter().map(|key| used(key, hour, 1, 1)).collect();
    let backwards: Vec<_> = forwards.iter().rev().cloned().collect();
    for _ in 0..20 {
        let (first, second) = tokio::join!(one.record_api_key_uses(&forwards), two.record_api_key_uses(&backwards));
        first.and(second).expect("no deadlock");
    }
    for key in &keys {
        assert_eq!(hours(&one, key).await, [(hour, 40)]);
    }
}
