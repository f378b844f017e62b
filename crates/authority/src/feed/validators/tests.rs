//! Lines and leases of streams, whatever number of streams a validator has.

use std::{
    sync::mpsc::{self, TryRecvError},
    thread,
};

use super::*;
use crate::{
    config::TelemetryConfig,
    feed::{
        counts::Counts,
        parts::{STALENESS, gate},
    },
    telemetry::Telemetry,
};

const REVISION: Revision = Revision(10);

fn validators() -> Arc<Validators> {
    let telemetry = Telemetry::start(&TelemetryConfig::default(), "sqlite");
    let (_, instruments) = telemetry.expect("instruments");
    Arc::new(Validators::new(Arc::new(instruments)))
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

#[test]
fn streams_and_those_whose_readers_are_behind_are_counted() {
    let validators = validators();
    assert_eq!(validators.streams(), 0);
    let registrations: Vec<_> = (1..=3)
        .map(|instance| connect(&validators, "gate", instance, 10))
        .collect();
    for (taken, registration) in [8, 9, 10].into_iter().zip(&registrations) {
        registration.connected.record_taken(Revision(taken));
    }
    assert_eq!(validators.streams(), 3);
    assert_eq!(validators.parked_streams(Revision(8)), 0);
    assert_eq!(validators.parked_streams(Revision(10)), 2);
    assert_eq!(validators.parked_streams(Revision(11)), 3);
}

#[test]
fn a_series_is_what_its_stream_said_last() {
    let validators = validators();
    assert!(validators.series().is_empty());
    let registration = connect(&validators, "gate", 1, 10);
    registration.connected.record_applied(Revision(9));
    let series = validators.series();
    let [(name, applied, age)] = series.as_slice() else {
        panic!("{series:?}");
    };
    assert_eq!((name.as_str(), *applied), ("gate", REVISION));
    assert!(*age < STALENESS);
}

#[test]
fn streams_are_counted_by_credential_and_name() {
    let validators = validators();
    let registrations = [("one", 1), ("one", 2), ("one", 2), ("other", 1)]
        .map(|(name, instance)| connect(&validators, name, instance, 10));
    let statuses = validators.list();
    let statuses: Vec<_> = statuses.iter().collect();
    let streams = streams_by_gate(&statuses);
    assert_eq!(streams.len(), 2);
    assert_eq!(streams[&("gateway", "one")], 3);
    assert_eq!(streams[&("gateway", "other")], 1);
    drop(registrations);
}

#[test]
fn the_log_may_be_of_the_lowest_version_that_a_gate_understands() {
    let validators = validators();
    assert_eq!(validators.log_version(), None);
    let mut versions = Vec::new();
    for log_version in [7, 5, 6] {
        let mut gate = gate("gate", 1);
        gate.log_version = log_version;
        versions.push(validators.register(gate, 0, 10).expect("room"));
    }
    assert_eq!(validators.log_version(), Some(5));
    assert_eq!(validators.shared_statuses().len(), 3);
}

#[test]
fn a_status_says_what_is_known_and_nothing_else() {
    let validators = validators();
    let registration = validators.register(gate("gate", 1), 0, 10).expect("room");
    let connected = &registration.connected;
    let status = connected.status();
    assert_eq!((status.probe_age, status.freshness), (None, None));
    assert_eq!(status.skew_micros, None);
    assert!(status.lapsed, "it accepts nothing yet");

    let start = Instant::now();
    connected.record_probe(Revision(10));
    connected.record_question(Revision(9), start);
    connected.record_answer(Revision(9));
    connected.record_skew(-5);
    let status = connected.status();
    assert!(status.probe_age.is_some_and(|age| age < STALENESS));
    assert!(status.freshness.is_some_and(|age| age < STALENESS));
    assert_eq!(status.skew_micros, Some(-5));
    assert!(!status.lapsed);
    connected.record_skew(i64::MIN);
    let skew = connected.status().skew_micros;
    assert_eq!(skew, Some(i64::MIN + 1), "and not unknown");

    let mut best_effort = gate("other", 1);
    best_effort.mode = ValidatorMode::BestEffort;
    let registration = validators.register(best_effort, 0, 10).expect("room");
    assert!(!registration.connected.status().lapsed, "it never does");
}

#[test]
fn a_lease_lapses_after_its_time_and_an_unanswered_probe_has_none() {
    let validators = validators();
    let registration = connect(&validators, "gate", 1, 9);
    let connected = &registration.connected;
    let lease = lease_length(STALENESS);
    assert!(lease > STALENESS && lease < STALENESS + Duration::from_millis(20));
    let past = Instant::now() - lease - Duration::from_millis(1);
    connected.record_question(Revision(9), past);
    connected.record_answer(Revision(9));
    assert!(connected.status().lapsed);

    connected.record_question(Revision(9), Instant::now());
    assert!(!connected.status().lapsed, "it will be answered");
    connected.record_silence();
    assert!(connected.status().lapsed, "it was not");
}

#[test]
fn a_smaller_claim_takes_nothing_back_and_is_no_progress() {
    let validators = validators();
    let registration = connect(&validators, "gate", 1, 9);
    let progress = validators.confirmations.progress();
    registration.connected.record_applied(Revision(9));
    registration.connected.record_applied(Revision(8));
    assert_eq!(validators.confirmations.progress(), progress);
    assert_eq!(registration.connected.applied(), Revision(9));
    registration.connected.record_applied(Revision(10));
    assert_eq!(validators.confirmations.progress(), progress + 1);
}

#[test]
fn an_ended_stream_confirms_in_its_history_alone() {
    let validators = validators();
    let registration = connect(&validators, "gate", 1, 10);
    let start = Instant::now();
    registration.connected.record_question(Revision(9), start);
    registration.connected.record_answer(Revision(9));
    drop(registration);
    let counted = |history| Counts::of(validators.lines(REVISION, start, history), start);
    assert_eq!(counted(0).confirmed, 1);
    assert_eq!(counted(1).confirmed, 0);
}

#[test]
fn an_ended_stream_is_kept_for_a_time_after_its_lease() {
    let start = Instant::now();
    let mut ended = EndedStreams::default();
    let validators = validators();
    let registration = connect(&validators, "gate", 1, 9);
    registration.connected.record_question(Revision(9), start);
    registration.connected.record_answer(Revision(9));
    ended.add(EndedStream::of(&registration.connected));
    let end = start + lease_length(STALENESS);
    let moment = Duration::from_micros(1);

    assert!(!ended.remove_old(end), "at its end it may still accept");
    assert!(ended.remove_old(end + moment), "it has lapsed");
    assert!(!ended.remove_old(end + moment), "which counts once");
    ended.remove_old(end + ENDED_KEPT - moment);
    assert_eq!(ended.streams.len(), 1);
    ended.remove_old(end + ENDED_KEPT);
    assert!(ended.streams.is_empty());
}

#[test]
fn streams_that_are_forgotten_for_want_of_room_are_remembered_by_their_end() {
    let start = Instant::now();
    let validators = validators();
    let registration = connect(&validators, "gate", 1, 9);
    registration.connected.record_question(Revision(9), start);
    registration.connected.record_answer(Revision(9));
    let mut ended = EndedStreams::default();
    for _ in 0..ENDED_MAX {
        ended.add(EndedStream::of(&registration.connected));
    }
    assert_eq!(ended.forgotten_until, None);
    ended.add(EndedStream::of(&registration.connected));
    assert_eq!(ended.streams.len(), ENDED_MAX);
    let end = start + lease_length(STALENESS);
    assert_eq!(ended.forgotten_until, Some(end));
    *validators.ended() = ended;
    assert_eq!(validators.forgotten_until(), Some(end));
}
