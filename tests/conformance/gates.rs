//! What an installation knows of its gates.

use std::time::Duration;

use portcullis_authority::{
    domain::{GateContact, GateRecord, Micros},
    store::Store,
};

use crate::Engine;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A gate with this first byte that has reported all use up to this many seconds ago.
fn contact(id: u8, heard: Option<u32>, alive: u32) -> GateContact {
    GateContact {
        id: [id; 16],
        known_for: 100 * SECOND,
        heard_age: heard.map(|age| age * SECOND),
        alive_age: alive * SECOND,
        admits_for: 5 * SECOND,
        left: false,
    }
}

async fn record(store: &dyn Store, contacts: &[GateContact]) -> (Vec<GateRecord>, Micros) {
    store.record_gates(contacts, DAY).await.expect("recorded")
}

/// For each gate how many seconds ago it was heard of and there, in ascending order.
async fn ages(store: &dyn Store, contacts: &[GateContact]) -> Vec<(u64, u64)> {
    let (gates, now) = record(store, contacts).await;
    let age = |at: Micros| (now.since(at).as_secs_f64()).round() as u64;
    let mut ages: Vec<_> = gates
        .iter()
        .map(|gate| (age(gate.heard), age(gate.alive)))
        .collect();
    ages.sort_unstable();
    ages
}

async fn the_newest_contact_that_any_authority_recorded_counts(engine: Engine) {
    let place = engine.place().await;
    let (one, other) = (place.store().await, place.store().await);
    assert!(ages(&*one, &[]).await.is_empty());
    assert_eq!(ages(&*one, &[contact(1, Some(40), 20)]).await, [(40, 20)]);
    // The gate moved to another authority, which has not heard a report yet.
    assert_eq!(ages(&*other, &[contact(1, None, 0)]).await, [(40, 0)]);
    assert_eq!(ages(&*other, &[contact(1, Some(3), 0)]).await, [(3, 0)]);
    // The first still says what it knew.
    assert_eq!(ages(&*one, &[contact(1, Some(50), 50)]).await, [(3, 0)]);
}

async fn a_gate_that_has_not_reported_yet_had_nothing_to_tell_when_it_came(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    assert_eq!(ages(&*store, &[contact(1, None, 0)]).await, [(100, 0)]);
}

async fn many_gates_are_recorded_together(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let contacts: Vec<_> = (0..7).map(|id| contact(id, Some(1), 0)).collect();
    let (gates, _) = record(&*store, &contacts).await;
    assert_eq!(gates.len(), 7);
    assert!(gates.iter().all(|gate| gate.admits_for == 5 * SECOND));
}

async fn gates_that_leave_or_have_been_away_for_long_are_forgotten(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let mut leaving = contact(1, Some(0), 0);
    let contacts = [leaving.clone(), contact(2, Some(60), 60)];
    assert_eq!(record(&*store, &contacts).await.0.len(), 2);
    leaving.left = true;
    assert_eq!(ages(&*store, &[leaving]).await, [(60, 60)]);

    // It could admit for 5 s more.
    let kept = store.record_gates(&[], 57 * SECOND).await.expect("read");
    assert_eq!(kept.0.len(), 1);
    let kept = store.record_gates(&[], 50 * SECOND).await.expect("read");
    assert!(kept.0.is_empty());
}

crate::on_every_engine! {
    the_newest_contact_that_any_authority_recorded_counts,
    a_gate_that_has_not_reported_yet_had_nothing_to_tell_when_it_came,
    many_gates_are_recorded_together,
    gates_that_leave_or_have_been_away_for_long_are_forgotten,
}
