//! Tests of beats: their proof, and its readers.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    config::ReadinessConfig,
    domain::Micros,
    feed::{
        parts::{AUTHORITY, Parts, STALENESS, gate},
        validators::Registration,
    },
    keys::{MasterKey, MasterKeys},
};

fn beating(parts: &Parts) -> Beating {
    let master = MasterKeys::from(MasterKey::generate());
    Beating {
        store: parts.store.clone(),
        heads: Arc::new(master.head_codes()),
        sharing: Arc::clone(&parts.sharing),
        interval: STALENESS,
        readiness: Arc::new(Readiness::new(&ReadinessConfig::default())),
    }
}

/// A gate connects, so that the roster has another version.
fn connect(parts: &Parts) -> Registration {
    parts
        .validators
        .register(gate("gate", 1), 0, 10)
        .expect("room")
}

#[tokio::test]
async fn a_beat_stands_behind_a_roster_with_every_gate_that_waits() {
    let parts = Parts::new().await;
    let beating = beating(&parts);
    for _ in 0..2 {
        let _gate = connect(&parts);
        let needed = parts.validators.roster_version();
        let beat = beating.try_beat().await.expect("a beat");
        assert!(beat.roster >= needed, "{beat:?}");
    }
}

#[tokio::test]
async fn a_row_that_was_removed_is_written_again_before_the_beat() {
    let parts = Parts::new().await;
    let beating = beating(&parts);
    let _gate = connect(&parts);
    let beat = beating.try_beat().await.expect("a beat");
    let row = parts.store.peers(&[9; 16]).await.expect("read").remove(0);
    let removed = parts.store.remove_share(&AUTHORITY, row.version).await;
    removed.expect("removed");
    let again = beating.try_beat().await.expect("a beat");
    assert_eq!(again.roster, beat.roster);
}

#[tokio::test]
async fn a_roster_is_written_once_for_each_version() {
    let parts = Parts::new().await;
    let version = async || {
        let rows = parts.store.peers(&[9; 16]).await.expect("read");
        rows.first().map(|row| row.version)
    };
    let _gate = connect(&parts);
    let needed = parts.sharing.roster_version();
    parts.sharing.share_roster(needed).await.expect("written");
    let written = version().await;
    assert!(written.is_some());
    parts.sharing.share_roster(needed).await.expect("nothing");
    assert_eq!(version().await, written, "it was there");
    assert!(parts.sharing.share().await.expect("written") > 0);

    parts.sharing.forget_shared();
    let before = version().await;
    parts.sharing.share_roster(needed).await.expect("written");
    assert!(version().await > before);
}

#[tokio::test]
async fn a_clock_that_was_set_back_proves_nothing_until_it_is_right() {
    let parts = Parts::new().await;
    let beating = beating(&parts);
    let mut beat = beating.try_beat().await.expect("a beat");
    let problems = beating.readiness.problems();
    let is_reported = || problems.borrow().contains_key(&Condition::Clock);
    assert!(!beating.reports_set_back(&beat));
    assert!(!is_reported());

    let floor = beat.clock_floor;
    beat.clock_floor = Micros(beat.time.0 + 3_600_000_000);
    assert!(beating.reports_set_back(&beat));
    assert!(is_reported());
    beat.clock_floor = floor;
    assert!(!beating.reports_set_back(&beat));
    assert!(!is_reported());
}

#[tokio::test]
async fn whoever_asks_gets_the_signed_head_of_a_later_beat() {
    let parts = Parts::new().await;
    let master = MasterKeys::from(MasterKey::generate());
    let readiness = Arc::new(Readiness::new(&ReadinessConfig::default()));
    let tasks = Supervisor::new(Arc::clone(&readiness), CancellationToken::new());
    let beats = Beats::start(
        parts.store.clone(),
        Arc::new(master.head_codes()),
        Arc::clone(&parts.sharing),
        STALENESS,
        &tasks,
    );
    assert_eq!(beats.authority(), AUTHORITY);
    let answers = [beats.ask().expect("room"), beats.ask().expect("room")];
    let head = parts.store.head().await.expect("read");
    for answer in answers {
        let signed = timeout(STALENESS, answer).await.expect("in time");
        let signed = signed.expect("an answer");
        assert_eq!(signed.beat.head, head);
        assert!(master.head_codes().verify(head, &signed.head_code));
    }
}
