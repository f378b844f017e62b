//! Events that the follower reports while it works.

use std::time::{Duration, SystemTime};

use portcullis_contract::{position::Position, view::Frame};

/// Progress and alarms of a follower, for logs, metrics and traces.
///
/// The follower writes no logs of its own, so that a proxy module can use its host's.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A new state is in force: a delta, a snapshot, a proof of freshness, or the loss of one.
    Published(Option<Position>),
    /// A delta was applied.
    DeltaApplied {
        /// The batch.
        frame: &'a Frame,
        /// The wall clock before the delta was applied.
        received: SystemTime,
    },
    /// The authority has a queue for snapshots.
    SnapshotQueued {
        /// The number of gates before this one.
        ahead: u32,
        /// The authority's estimate of the wait.
        wait: Option<Duration>,
    },
    /// Alarm: the authority's history is another one. Both histories are enforced.
    HistoryReplaced {
        /// The position in the earlier history.
        old: Position,
    },
    /// The operator accepted the present history as the only one.
    HistoryAccepted(Option<Position>),
    /// Alarm: the view may not be used until the reason is gone.
    NotReady(&'static str),
    /// Alarm: the clocks of this machine and of the database differ by more than allowed.
    ClockDiffers {
        /// Microseconds that this machine is ahead; negative when it is behind.
        ahead_micros: i64,
        /// The most that is allowed.
        bound: Duration,
    },
    /// The clocks agree again.
    ClockAgrees {
        /// Microseconds that this machine is ahead; negative when it is behind.
        ahead_micros: i64,
    },
}
