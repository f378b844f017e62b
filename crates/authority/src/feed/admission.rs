//! Admission of snapshots: a few at a time, in the order in which they were asked for.
//!
//! Without it every gate of a herd gets so small a part of the link that none has its view before it gives up.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// How long a reader may leave a chunk before another gate gets its place.
const STALL_MAX: Duration = Duration::from_secs(10);
/// How long a snapshot is thought to take before one was sent.
const FIRST_ESTIMATE: Duration = Duration::from_secs(1);

/// The queue for snapshots of one authority.
pub struct Admission {
    slots: usize,
    queue: Mutex<Queue>,
    /// Notified when a slot becomes free.
    freed: Notify,
}

#[derive(Default)]
struct Queue {
    next: u64,
    /// In order.
    waiting: VecDeque<u64>,
    sending: HashMap<u64, Sending>,
    /// How long a snapshot took lately.
    took: Option<Duration>,
}

struct Sending {
    begun: Instant,
    moved: Instant,
}

/// A place in the queue, until dropped.
pub struct Ticket {
    admission: Arc<Admission>,
    number: u64,
}

/// What a ticket is good for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The next chunk may be sent.
    Now,
    /// Others come first.
    Wait {
        /// How many.
        ahead: u32,
        /// How long they will take, as far as can be told.
        wait: Duration,
    },
}

impl Admission {
    /// A queue that admits `slots` at a time.
    #[must_use]
    pub fn new(slots: usize) -> Arc<Self> {
        Arc::new(Self {
            slots,
            queue: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// Takes the last place. The number of streams bounds how many there are.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Ticket {
        let mut queue = self.lock();
        let number = queue.next;
        queue.next += 1;
        queue.waiting.push_back(number);
        Ticket {
            admission: Arc::clone(self),
            number,
        }
    }

    /// Waits until a slot becomes free, or for a second: readers that stall free theirs without a word.
    pub async fn freed(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.freed.notified()).await;
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Whether the next chunk may be sent. A reader that left a chunk for too long waits again, before those that came
    /// later.
    pub fn turn(&self, now: Instant) -> Turn {
        let slots = self.admission.slots;
        let mut queue = self.admission.lock();
        if let Some(sending) = queue.sending.get_mut(&self.number) {
            sending.moved = now;
            return Turn::Now;
        }
        queue
            .sending
            .retain(|_, sending| now.duration_since(sending.moved) < STALL_MAX);
        let ahead = queue.waiting.partition_point(|other| *other < self.number);
        let is_waiting = queue.waiting.get(ahead) == Some(&self.number);
        if queue.sending.len() + ahead < slots {
            if is_waiting {
                queue.waiting.remove(ahead);
            }
            let sending = Sending {
                begun: now,
                moved: now,
            };
            queue.sending.insert(self.number, sending);
            return Turn::Now;
        }
        if !is_waiting {
            queue.waiting.insert(ahead, self.number);
        }
        let took = queue.took.unwrap_or(FIRST_ESTIMATE);
        let rounds = u32::try_from(ahead / slots).unwrap_or(u32::MAX);
        Turn::Wait {
            ahead: u32::try_from(ahead + queue.sending.len()).unwrap_or(u32::MAX),
            wait: took.saturating_mul(rounds.saturating_add(1)),
        }
    }

    /// Gives the place up after the last chunk.
    pub fn finish(self, now: Instant) {
        let mut queue = self.admission.lock();
        if let Some(sending) = queue.sending.get(&self.number) {
            let took = now.duration_since(sending.begun);
            queue.took = Some(queue.took.map_or(took, |before| (before * 3 + took) / 4));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut queue = self.admission.lock();
        queue.sending.remove(&self.number);
        let ahead = queue.waiting.partition_point(|other| *other < self.number);
        if queue.waiting.get(ahead) == Some(&self.number) {
            queue.waiting.remove(ahead);
        }
        drop(queue);
        self.admission.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(admission: &Arc<Admission>, number: usize) -> Vec<Ticket> {
        (0..number).map(|_| admission.enter()).collect()
    }

    fn ahead(ticket: &Ticket, now: Instant) -> Option<u32> {
        match ticket.turn(now) {
            Turn::Now => None,
            Turn::Wait { ahead, .. } => Some(ahead),
        }
    }

    fn all_ahead(tickets: &[Ticket], now: Instant) -> Vec<Option<u32>> {
        tickets.iter().map(|ticket| ahead(ticket, now)).collect()
    }

    #[test]
    fn snapshots_are_sent_a_few_at_a_time_in_order() {
        let now = Instant::now();
        let admission = Admission::new(2);
        let mut tickets = enter(&admission, 5);
        assert_eq!(
            ahead(&tickets[4], now),
            Some(4),
            "who asks first gains nothing by it"
        );
        let turns = [None, None, Some(2), Some(3), Some(4)];
        assert_eq!(all_ahead(&tickets, now), turns);
        tickets.remove(0).finish(now);
        assert_eq!(all_ahead(&tickets, now), [None, None, Some(2), Some(3)]);
        drop(tickets.remove(2));
        assert_eq!(
            all_ahead(&tickets, now),
            [None, None, Some(2)],
            "one left the queue"
        );
    }

    #[test]
    fn the_estimate_is_what_snapshots_took() {
        let now = Instant::now();
        let admission = Admission::new(1);
        let mut tickets = enter(&admission, 4);
        assert_eq!(tickets[0].turn(now), Turn::Now);
        let now = now + Duration::from_secs(8);
        tickets.remove(0).finish(now);
        assert_eq!(tickets[0].turn(now), Turn::Now);
        let wait = Duration::from_secs(16);
        assert_eq!(tickets[2].turn(now), Turn::Wait { ahead: 2, wait });
    }

    #[test]
    fn a_reader_that_stalls_loses_its_slot_and_comes_next() {
        let begun = Instant::now();
        let admission = Admission::new(1);
        let tickets = enter(&admission, 3);
        assert_eq!(ahead(&tickets[0], begun), None);
        assert_eq!(ahead(&tickets[1], begun + STALL_MAX / 2), Some(1));
        let stalled = begun + STALL_MAX;
        assert_eq!(ahead(&tickets[1], stalled), None);
        assert_eq!(ahead(&tickets[0], stalled), Some(1));
        assert_eq!(ahead(&tickets[2], stalled), Some(2));
    }

    #[test]
    fn a_reader_that_moves_keeps_its_slot_however_long_it_takes() {
        let mut now = Instant::now();
        let admission = Admission::new(1);
        let tickets = enter(&admission, 2);
        for _ in 0..10 {
            assert_eq!(ahead(&tickets[0], now), None);
            now += STALL_MAX / 2;
            assert_eq!(ahead(&tickets[1], now), Some(1));
        }
    }
}
