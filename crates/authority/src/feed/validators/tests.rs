//! Lines and leases of streams, whatever number of streams a validator has.

use std::{
    sync::mpsc::{self, TryRecvError},
    thread,
};

use super::*;
use crate::{config::TelemetryConfig, feed::counts::Counts, telemetry::Telemetry};

const REVISION: Revision = Revision(10);
const STALENESS: Duration = Duration::from_secs(5);

fn validators() -> Arc<Validators> {
    let telemetry = Telemetry::start(&TelemetryConfig::default(), "sqlite");
    let (_, instruments) = telemetry.expect("instruments");
    Arc::new(Validators::new(Arc::new(instruments)))
}

fn gate(name: &str, instance: u8) -> Gate {
    Gate {
        caller: "gateway".into(),
        name: name.into(),
        address: "127.0.0.1:1".into(),
        version: "1.2.3".into(),
        log_version: 1,
        instance: Some([instance; 16]),
        mode: ValidatorMode::Strict,
        max_staleness: STALENESS,
    }
}

fn connect(validators: &Arc<Validators>, name: &str, instance: u8, applied: u64) -> Registration {
    let gate = gate(name, instance);
    let registration = validators.register(gate, 0, 1_000).expect("room");
    registration.connected.record_probe(Revision(applied));
    registration
}

fn counts(validators: &Validators, since: Instant, now: Instant) -> Counts {
    Counts::of(validators.lines(REVISION, since, 0), now)
}

fn confirmed(validators: &Validators) -> (u32, u32) {
    let now = Instant::now();
    let counts = counts(validators, now, now);
    (counts.validators, counts.confirmed)
}

#[test]
fn a_gate_counts_once_however_often_it_connects() {
    let validators = validators();
    let _one = connect(&validators, "one", 1, 10);
    let many: Vec<_> = (0..5)
        .map(|instance| connect(&validators, "many", instance, 10))
        .collect();
    assert_eq!(confirmed(&validators), (2, 2));
    assert_eq!(validators.list().len(), 6, "each is listed");
    drop(many);
    assert_eq!(confirmed(&validators), (1, 1), "they proved nothing");
}

#[test]
fn a_gate_has_confirmed_what_all_of_its_validators_have() {
    let validators = validators();
    let _ahead = connect(&validators, "gate", 1, 10);
    let behind = connect(&validators, "gate", 2, 9);
    assert_eq!(confirmed(&validators), (1, 0));
    drop(behind);
    assert_eq!(confirmed(&validators), (1, 1));
}

#[test]
fn a_validator_has_confirmed_what_one_of_its_streams_has() {
    let validators = validators();
    let _ahead = connect(&validators, "gate", 1, 10);
    let _behind = connect(&validators, "gate", 1, 9);
    assert_eq!(confirmed(&validators), (1, 1));
}

#[test]
fn a_validator_is_pending_until_its_last_answer_without_the_revision_is_too_old() {
    let validators = validators();
    let registration = connect(&validators, "gate", 1, 9);
    let connected = &registration.connected;
    let start = Instant::now();
    connected.record_question(Revision(9), start);
    connected.record_answer(Revision(9));
    connected.record_question(Revision(10), start + Duration::from_secs(2));
    connected.record_answer(Revision(10));

    let lapse = start + lease_length(STALENESS);
    let before = counts(&validators, start, lapse);
    assert_eq!((before.pending, before.lapsed), (1, 0));
    assert_eq!(before.next_lapse, Some(lapse));
    let after = counts(&validators, start, lapse + Duration::from_micros(1));
    assert_eq!((after.pending, after.lapsed), (0, 1));
}

#[test]
fn a_stream_that_ended_counts_until_its_lease_has() {
    let validators = validators();
    let registration = connect(&validators, "gate", 1, 9);
    let start = Instant::now();
    registration.connected.record_question(Revision(9), start);
    registration.connected.record_answer(Revision(9));
    drop(registration);

    let end = start + lease_length(STALENESS);
    let moment = Duration::from_micros(1);
    assert_eq!(counts(&validators, start, end).pending, 1);
    // A receipt that began before shows the lapse. One that begins later does not know the gate.
    let lapsed = counts(&validators, end - moment, end + moment);
    assert_eq!((lapsed.validators, lapsed.lapsed), (1, 1));
    assert_eq!(counts(&validators, end, end + moment).validators, 0);
    assert_eq!(validators.roster(end - moment).len(), 1);
    assert!(validators.roster(end).is_empty());
}

#[test]
fn the_roster_changes_when_a_lease_ends() {
    let validators = validators();
    let version = validators.roster_version();
    let registration = connect(&validators, "gate", 1, 9);
    assert!(validators.roster_version() > version);
    let start = Instant::now();
    registration.connected.record_question(Revision(9), start);
    drop(registration);
    let version = validators.roster_version();
    let end = start + lease_length(STALENESS);
    validators.remove_lapsed(start);
    assert_eq!(validators.roster_version(), version);
    // The probe that waited got no answer, so there is no lease that could end.
    validators.remove_lapsed(end + Duration::from_secs(1));
    assert_eq!(validators.roster_version(), version);

    let registration = connect(&validators, "gate", 1, 9);
    let start = end + Duration::from_secs(1);
    registration.connected.record_question(Revision(9), start);
    registration.connected.record_answer(Revision(9));
    drop(registration);
    let version = validators.roster_version();
    validators.remove_lapsed(start + lease_length(STALENESS) + Duration::from_secs(1));
    assert!(validators.roster_version() > version);
}

#[test]
fn what_was_confirmed_in_another_history_is_not_confirmed() {
    let validators = validators();
    let _gate = connect(&validators, "gate", 1, 10);
    let now = Instant::now();
    let counts = Counts::of(validators.lines(REVISION, now, 1), now);
    assert_eq!((counts.validators, counts.confirmed), (1, 0));
}

#[test]
fn a_gate_counts_once_while_it_connects_again() {
    let validators = validators();
    let _first = connect(&validators, "gate", 1, 10);
    // So many that streams of the gate come and go during each count.
    let others: Vec<_> = (0..500)
        .map(|number| connect(&validators, &format!("other {number}"), 1, 10))
        .collect();
    let (stop, stopped) = mpsc::sync_channel::<()>(1);
    let connecting = thread::spawn({
        let validators = Arc::clone(&validators);
        move || {
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                drop(connect(&validators, "gate", 1, 10));
                validators.remove_lapsed(Instant::now());
            }
        }
    });
    for _ in 0..2_000 {
        assert_eq!(confirmed(&validators).0 as usize, others.len() + 1);
    }
    drop(stop);
    connecting.join().expect("no panic");
}
