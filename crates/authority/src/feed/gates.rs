//! Gates that report the use of sessions, as this authority knows them: the time up to which each has reported all use,
//! and whether it may admit requests now.
//!
//! The sweep writes this into the store, where the authorities of an installation combine their knowledge. Without it, a
//! gate whose reports are refused or lost would make its users look idle.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::domain::{GateContact, GateId};

/// The most gates that are known at a time. The silence of a further one is not noticed.
const GATES_MAX: usize = 100_000;

/// The gates of one authority.
#[derive(Default)]
pub(crate) struct Gates(Mutex<HashMap<GateId, Known>>);

struct Known {
    /// Open streams.
    streams: usize,
    since: Instant,
    /// The last sign of life.
    alive: Instant,
    /// All use up to this was reported. None: no round of reports was complete yet.
    reported_through: Option<Instant>,
    admits_for: Duration,
    /// The gate said that it ends.
    left: bool,
}

/// An open stream of a gate, until it is dropped.
pub(crate) struct GateStream {
    gates: Arc<Gates>,
    id: GateId,
}

impl Drop for GateStream {
    fn drop(&mut self) {
        if let Some(known) = self.gates.lock().get_mut(&self.id) {
            known.streams = known.streams.saturating_sub(1);
            // The open stream was the sign of life until now. The silence of the gate counts from here.
            known.alive = Instant::now();
        }
    }
}

impl Gates {
    /// Records a stream. None: there are too many gates already.
    pub(crate) fn connect(
        self: &Arc<Self>,
        id: GateId,
        admits_for: Duration,
    ) -> Option<GateStream> {
        let mut gates = self.lock();
        let known = record_contact(&mut gates, id, admits_for)?;
        known.streams += 1;
        drop(gates);
        Some(GateStream {
            gates: Arc::clone(self),
            id,
        })
    }

    /// Records a complete round of reports, which covers all use up to `age` ago.
    pub(crate) fn record_round(&self, id: GateId, age: Duration, admits_for: Duration) {
        let mut gates = self.lock();
        if let Some(known) = record_contact(&mut gates, id, admits_for) {
            let through = Instant::now().checked_sub(age);
            // A round that arrives late must not take back a later one.
            known.reported_through = known.reported_through.max(through);
            known.left = false;
        }
    }

    /// Records that a gate has ended.
    pub(crate) fn record_end(&self, id: GateId, admits_for: Duration) {
        let mut gates = self.lock();
        if let Some(known) = record_contact(&mut gates, id, admits_for) {
            known.left = true;
        }
    }

    /// Returns the state of every gate, in the order of their ids, and the time of that.
    pub(crate) fn contacts(&self) -> (Vec<GateContact>, Instant) {
        let now = Instant::now();
        let mut contacts = Vec::new();
        for (id, known) in self.lock().iter() {
            contacts.push(known.contact(*id, now));
        }
        // Authorities that write the rows of the same gates in different orders could deadlock.
        contacts.sort_by_key(|contact| contact.id);
        (contacts, now)
    }

    /// Forgets the gates that have no stream and showed no sign of life since the store was told, at `told`.
    pub(crate) fn forget(&self, told: Instant) {
        self.lock()
            .retain(|_, known| known.streams > 0 || known.alive > told);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<GateId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records that a gate shows a sign of life now. None: there are too many gates already.
fn record_contact(
    gates: &mut HashMap<GateId, Known>,
    id: GateId,
    admits_for: Duration,
) -> Option<&mut Known> {
    let now = Instant::now();
    if !gates.contains_key(&id) && gates.len() >= GATES_MAX {
        tracing::warn!(
            gates = GATES_MAX,
            "too many gates: the silence of one more is not noticed"
        );
        return None;
    }
    let known = gates.entry(id).or_insert(Known {
        streams: 0,
        since: now,
        alive: now,
        reported_through: None,
        admits_for,
        left: false,
    });
    known.alive = now;
    known.admits_for = admits_for;
    Some(known)
}

impl Known {
    fn contact(&self, id: GateId, now: Instant) -> GateContact {
        let alive = if self.streams > 0 { now } else { self.alive };
        GateContact {
            id,
            known_for: now.saturating_duration_since(self.since),
            heard_age: self
                .reported_through
                .map(|through| now.saturating_duration_since(through)),
            alive_age: now.saturating_duration_since(alive),
            admits_for: self.admits_for,
            left: self.left,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: GateId = [1; 16];
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_gate_is_forgotten_only_after_the_store_was_told_of_its_last_sign_of_life() {
        let gates = Arc::new(Gates::default());
        let stream = gates.connect(ID, SECOND).expect("room");
        let (contacts, told) = gates.contacts();
        assert_eq!(contacts.len(), 1);
        assert_eq!(contacts[0].heard_age, None, "it has not reported");
        gates.forget(told);
        assert_eq!(gates.contacts().0.len(), 1, "its stream is open");

        let (_, told) = gates.contacts();
        drop(stream);
        gates.forget(told);
        let (contacts, told) = gates.contacts();
        assert_eq!(contacts.len(), 1, "it lived longer than was told");
        gates.forget(told);
        assert!(gates.contacts().0.is_empty());
    }

    #[test]
    fn a_gate_that_left_stays_so_while_its_stream_is_open_and_until_it_reports_again() {
        let gates = Arc::new(Gates::default());
        let _stream = gates.connect(ID, SECOND).expect("room");
        gates.record_round(ID, SECOND, SECOND);
        gates.record_end(ID, SECOND);
        let (contacts, told) = gates.contacts();
        assert!(contacts[0].left);
        gates.forget(told);
        assert!(gates.contacts().0[0].left);
        gates.record_round(ID, SECOND, SECOND);
        assert!(!gates.contacts().0[0].left);
    }

    #[test]
    fn an_open_stream_is_a_sign_of_life_and_a_report_another() {
        let gates = Arc::new(Gates::default());
        let now = Instant::now();
        let stream = gates.connect(ID, SECOND).expect("room");
        let known = |streams, alive| Known {
            streams,
            since: now,
            alive,
            reported_through: Some(now),
            admits_for: SECOND,
            left: false,
        };
        assert_eq!(
            known(1, now).contact(ID, now + SECOND).alive_age,
            Duration::ZERO
        );
        let silent = known(0, now).contact(ID, now + SECOND);
        assert_eq!(silent.alive_age, SECOND);
        assert_eq!((silent.known_for, silent.heard_age), (SECOND, Some(SECOND)));
        drop(stream);
        assert_eq!(gates.lock()[&ID].streams, 0);

        // The store was told at the very moment of the last sign of life.
        let alive = gates.lock()[&ID].alive;
        gates.forget(alive);
        assert!(gates.contacts().0.is_empty());
    }

    #[test]
    fn a_gate_beyond_the_bound_is_not_known_and_a_known_one_is() {
        let mut known = HashMap::new();
        let id = |number: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            id
        };
        for number in 0..GATES_MAX {
            let number = u32::try_from(number).expect("small");
            assert!(record_contact(&mut known, id(number), SECOND).is_some());
        }
        assert!(record_contact(&mut known, id(u32::MAX), SECOND).is_none());
        assert!(record_contact(&mut known, id(0), SECOND).is_some());
    }
}
