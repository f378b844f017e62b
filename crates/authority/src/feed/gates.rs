//! Gates that report the use of sessions, as this authority knows them: until when each has told everything, and
//! whether it may admit requests now.
//!
//! The sweep writes this into the store, where the authorities of an installation put together what each of them
//! knows. Without it a gate whose reports are refused or lost would make its users look idle.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::domain::{GateContact, GateId};

/// Gates that are known at a time. The silence of more is not noticed.
const GATES_MAX: usize = 100_000;

/// The gates of one authority.
#[derive(Default)]
pub(crate) struct Gates(Mutex<HashMap<GateId, Known>>);

struct Known {
    /// Streams that are open.
    streams: usize,
    since: Instant,
    /// The last sign of life.
    alive: Instant,
    /// All use up to this was reported. None: no round of reports was complete yet.
    heard: Option<Instant>,
    admits_for: Duration,
    /// The gate said that it ends.
    left: bool,
}

/// An open stream of a gate, until dropped.
pub(crate) struct GateStream {
    gates: Arc<Gates>,
    id: GateId,
}

impl Drop for GateStream {
    fn drop(&mut self) {
        if let Some(known) = self.gates.lock().get_mut(&self.id) {
            known.streams = known.streams.saturating_sub(1);
            known.alive = Instant::now();
        }
    }
}

impl Gates {
    /// Notes a stream. None: there are too many gates already.
    pub(crate) fn connect(
        self: &Arc<Self>,
        id: GateId,
        admits_for: Duration,
    ) -> Option<GateStream> {
        let mut gates = self.lock();
        let known = know(&mut gates, id, admits_for)?;
        known.streams += 1;
        drop(gates);
        Some(GateStream {
            gates: Arc::clone(self),
            id,
        })
    }

    /// Notes a round of reports that tells of all use up to `age` ago.
    pub(crate) fn complete(&self, id: GateId, age: Duration, admits_for: Duration) {
        let mut gates = self.lock();
        if let Some(known) = know(&mut gates, id, admits_for) {
            let through = Instant::now().checked_sub(age);
            known.heard = known.heard.max(through);
            known.left = false;
        }
    }

    /// Notes that a gate has ended.
    pub(crate) fn leave(&self, id: GateId, admits_for: Duration) {
        let mut gates = self.lock();
        if let Some(known) = know(&mut gates, id, admits_for) {
            known.left = true;
        }
    }

    /// What is known of every gate, in the order of their ids, and when that was so.
    pub(crate) fn contacts(&self) -> (Vec<GateContact>, Instant) {
        let now = Instant::now();
        let mut contacts: Vec<_> = self
            .lock()
            .iter()
            .map(|(id, known)| known.contact(*id, now))
            .collect();
        contacts.sort_by_key(|contact| contact.id);
        (contacts, now)
    }

    /// Forgets the gates that have no stream and were not heard of since the store was told, at `told`.
    pub(crate) fn forget(&self, told: Instant) {
        self.lock()
            .retain(|_, known| known.streams > 0 || known.alive > told);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<GateId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entry of a gate that shows a sign of life now.
fn know(
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
        heard: None,
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
            heard_age: self.heard.map(|heard| now.saturating_duration_since(heard)),
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
        gates.complete(ID, SECOND, SECOND);
        gates.leave(ID, SECOND);
        let (contacts, told) = gates.contacts();
        assert!(contacts[0].left);
        gates.forget(told);
        assert!(gates.contacts().0[0].left);
        gates.complete(ID, SECOND, SECOND);
        assert!(!gates.contacts().0[0].left);
    }
}
