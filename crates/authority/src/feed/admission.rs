//! Admission of snapshots: a few are sent at a time, in the order in which they were requested.
//!
//! Without it, when many gates connect at once, each gets so small a part of the link that none has its view before it
//! gives up.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// The longest time that a reader may leave a chunk before another gate gets its slot.
const STALL_MAX: Duration = Duration::from_secs(10);
/// The estimate of a snapshot's time before one was sent.
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
    /// The numbers of waiting tickets, in ascending order.
    waiting: VecDeque<u64>,
    sending: HashMap<u64, Sending>,
    /// The time that snapshots took lately.
    took: Option<Duration>,
}

struct Sending {
    begun: Instant,
    moved: Instant,
}

/// A place in the queue, until it is dropped.
pub struct Ticket {
    admission: Arc<Admission>,
    number: u64,
}

/// The turn of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The next chunk may be sent.
    Now,
    /// Others come first.
    Wait {
        /// The number of the others.
        ahead: u32,
        /// The estimated time until this ticket's turn.
        wait: Duration,
    },
}

impl Admission {
    /// Makes a queue that admits `slots` snapshots at a time.
    #[must_use]
    pub fn new(slots: usize) -> Arc<Self> {
        Arc::new(Self {
            slots,
            queue: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// Takes the last place. The number of streams bounds the number of places.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Ticket {
        let mut queue = self.lock();
        let number = queue.next;
        queue.next += 1;
        // Numbers rise under this lock, so the back keeps the order in which `waiting_before`
        // searches.
        queue.waiting.push_back(number);
        Ticket {
            admission: Arc::clone(self),
            number,
        }
    }

    /// Waits until a slot becomes free, or for a second: a slot whose reader stalls becomes free without a notification.
    pub async fn freed(&self) {
        // A slot that becomes free between `turn` and this line notifies nobody here. The bound covers that case too.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.freed.notified()).await;
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Returns whether the next chunk may be sent. A reader that left a chunk for too long waits again, before those
    /// that came later.
    pub fn turn(&self, now: Instant) -> Turn {
        let slots = self.admission.slots;
        let mut queue = self.admission.lock();
        if let Some(sending) = queue.sending.get_mut(&self.number) {
            // A connection asks only when it has room, so the question shows that it took the chunk before.
            sending.moved = now;
            return Turn::Now;
        }

        // Only a waiting ticket takes slots from stalled readers: without one, a slow reader may take its time.
        queue.drop_stalled(now);
        let ahead = queue.waiting_before(self.number);
        if queue.sending.len() + ahead < slots {
            queue.start_sending(self.number, now);
            return Turn::Now;
        }
        queue.rejoin(self.number, ahead);

        queue.wait(ahead, slots)
    }

    /// Gives up the slot after the last chunk.
    pub fn finish(self, now: Instant) {
        let mut queue = self.admission.lock();
        // There is none if the slot was lost meanwhile, and with it the time at which the transfer began.
        let Some(sending) = queue.sending.get(&self.number) else {
            return;
        };
        let took = now.duration_since(sending.begun);
        // A moving average, so that one slow link does not decide the estimate.
        let average = match queue.took {
            Some(before) => (before * 3 + took) / 4,
            None => took,
        };
        queue.took = Some(average);
    }
}

impl Queue {
    /// The number of waiting tickets before this one.
    fn waiting_before(&self, number: u64) -> usize {
        self.waiting.partition_point(|other| *other < number)
    }

    /// Puts a ticket back into its place, unless it waits there already.
    fn rejoin(&mut self, number: u64, ahead: usize) {
        // A stalled reader that lost its slot comes back to its old place.
        if self.waiting.get(ahead) != Some(&number) {
            self.waiting.insert(ahead, number);
        }
    }

    /// The turn of a ticket with `ahead` others before it.
    fn wait(&self, ahead: usize, slots: usize) -> Turn {
        // All slots turn over about once in the time of a snapshot. So the first `slots` tickets in
        // line wait for one such time, and each further group for one more.
        let took = self.took.unwrap_or(FIRST_ESTIMATE);
        let rounds = u32::try_from(ahead / slots).unwrap_or(u32::MAX);
        Turn::Wait {
            ahead: u32::try_from(ahead + self.sending.len()).unwrap_or(u32::MAX),
            wait: took.saturating_mul(rounds.saturating_add(1)),
        }
    }

    fn remove_waiting(&mut self, number: u64) {
        let index = self.waiting_before(number);
        if self.waiting.get(index) == Some(&number) {
            self.waiting.remove(index);
        }
    }

    fn start_sending(&mut self, number: u64, now: Instant) {
        self.remove_waiting(number);
        let sending = Sending {
            begun: now,
            moved: now,
        };
        self.sending.insert(number, sending);
    }

    /// Takes the slots of readers that left a chunk for too long.
    fn drop_stalled(&mut self, now: Instant) {
        self.sending
            .retain(|_, sending| now.duration_since(sending.moved) < STALL_MAX);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut queue = self.admission.lock();
        queue.sending.remove(&self.number);
        queue.remove_waiting(self.number);
        drop(queue);
        // All are woken: a single one could be a ticket whose turn it is not.
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

    #[test]
    fn the_estimate_moves_a_quarter_towards_each_transfer() {
        let now = Instant::now();
        let admission = Admission::new(2);
        let mut tickets = enter(&admission, 8);
        assert_eq!(all_ahead(&tickets[..2], now), [None, None]);
        let wait = |ticket: &Ticket| match ticket.turn(now) {
            Turn::Wait { wait, .. } => wait,
            Turn::Now => panic!("its turn"),
        };
        // Two at a time: the sixth behind them waits for two rounds more than the first.
        assert_eq!(wait(&tickets[2]), FIRST_ESTIMATE);
        assert_eq!(wait(&tickets[6]), 3 * FIRST_ESTIMATE);
        tickets.remove(0).finish(now + Duration::from_secs(8));
        tickets.remove(0).finish(now + Duration::from_secs(4));
        let queue = admission.lock();
        assert_eq!(queue.took, Some(Duration::from_secs(7)));
    }

    #[tokio::test]
    async fn who_waits_for_a_slot_is_told_of_one() {
        use futures::FutureExt;

        let now = Instant::now();
        let admission = Admission::new(1);
        let sending = admission.enter();
        assert_eq!(sending.turn(now), Turn::Now);
        let mut freed = Box::pin(admission.freed());
        assert!(freed.as_mut().now_or_never().is_none());
        sending.finish(now);
        freed.await;
    }
}
