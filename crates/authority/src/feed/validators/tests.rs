//! Counting gates, whatever number of streams they have.

use std::{
    sync::mpsc::{self, TryRecvError},
    thread,
};

use super::*;
use crate::{config::TelemetryConfig, telemetry::Telemetry};

fn validators() -> Arc<Validators> {
    let telemetry = Telemetry::start(&TelemetryConfig::default(), "sqlite");
    let (_, instruments) = telemetry.expect("instruments");
    Arc::new(Validators::new(Arc::new(instruments)))
}

fn connect(validators: &Arc<Validators>, name: &str, applied: u64) -> Registration {
    let gate = Gate {
        caller: "gateway".into(),
        name: name.into(),
        address: "127.0.0.1:1".into(),
        mode: ValidatorMode::Strict,
        max_staleness: Duration::from_secs(5),
    };
    let registration = validators.register(gate, 1_000).expect("room");
    registration.connected.record_probe(Revision(applied));
    registration
}

fn count(validators: &Validators) -> (u32, u32) {
    let enforcement = validators.enforcement(Revision(10), Duration::ZERO);
    (enforcement.validators, enforcement.confirmed)
}

#[test]
fn a_gate_counts_once_however_often_it_connects() {
    let validators = validators();
    let _one = connect(&validators, "one", 10);
    let many: Vec<_> = (0..5).map(|_| connect(&validators, "many", 10)).collect();
    assert_eq!(count(&validators), (2, 2));
    assert_eq!(validators.list().len(), 6, "each is listed");
    drop(many);
    assert_eq!(count(&validators), (1, 1));
}

#[test]
fn a_gate_has_confirmed_what_all_of_its_streams_have() {
    let validators = validators();
    let _ahead = connect(&validators, "gate", 10);
    let behind = connect(&validators, "gate", 9);
    assert_eq!(count(&validators), (1, 0));
    drop(behind);
    assert_eq!(count(&validators), (1, 1));
    assert_eq!(validators.gates.len(), 1);
}

#[test]
fn a_gate_counts_once_while_it_connects_again() {
    let validators = validators();
    let _first = connect(&validators, "gate", 10);
    // So many that streams of the gate come and go during each count.
    let others: Vec<_> = (0..500)
        .map(|number| connect(&validators, &format!("other {number}"), 10))
        .collect();
    let (stop, stopped) = mpsc::sync_channel::<()>(1);
    let connecting = thread::spawn({
        let validators = Arc::clone(&validators);
        move || {
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                drop(connect(&validators, "gate", 10));
            }
        }
    });
    for _ in 0..5_000 {
        assert_eq!(count(&validators).0 as usize, others.len() + 1);
    }
    drop(stop);
    connecting.join().expect("no panic");
}
