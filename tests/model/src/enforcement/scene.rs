//! Scenes: what can happen in a run of the model. Each is small enough to be walked whole.

use crate::log::Kind;

/// The bounds of a run.
#[derive(Clone, Debug)]
pub struct Scene {
    /// For the output.
    pub name: &'static str,
    /// The ticks that may pass. `max_staleness` is one.
    pub ticks_max: u8,
    /// The entries that may be written, in all.
    pub writes_max: u8,
    /// The kinds of entries.
    pub kinds: &'static [Kind],
    /// The kinds that the last entry may be of.
    pub last_kinds: &'static [Kind],
    /// Whether there is a synchronous standby, which may be promoted.
    pub standby: bool,
    /// Whether the server may be restored from a backup.
    pub restore: bool,
    /// Whether a second session may sign in.
    pub sign_in: bool,
    /// Whether snapshots of any age may arrive, and batches out of order.
    pub transfers: bool,
    /// Whether a check may be paused between its look-up and its verdict. Where it may not, a check leaves no state behind.
    pub pauses_checks: bool,
}

impl Scene {
    /// A synchronous failover, with an old primary that lives on.
    #[must_use]
    pub const fn failover() -> Self {
        Self {
            name: "failover",
            ticks_max: 2,
            writes_max: 1,
            kinds: &[Kind::Revoke],
            last_kinds: &[Kind::Revoke],
            standby: true,
            restore: false,
            sign_in: false,
            transfers: false,
            pauses_checks: false,
        }
    }

    /// A restore from a backup, which loses acknowledged entries.
    #[must_use]
    pub const fn restore() -> Self {
        Self {
            name: "restore",
            kinds: &[Kind::Revoke, Kind::Other],
            writes_max: 3,
            last_kinds: &[Kind::Revoke, Kind::Other],
            standby: false,
            restore: true,
            pauses_checks: true,
            ..Self::failover()
        }
    }

    /// Sign-ins that race sign-outs.
    #[must_use]
    pub const fn cutoff() -> Self {
        Self {
            name: "cutoff",
            writes_max: 2,
            kinds: &[Kind::Cut, Kind::Revoke],
            last_kinds: &[Kind::Cut, Kind::Revoke],
            standby: false,
            sign_in: true,
            pauses_checks: true,
            ..Self::failover()
        }
    }

    /// Snapshots and batches that come too late, or out of order.
    #[must_use]
    pub const fn transfer() -> Self {
        Self {
            name: "transfer",
            writes_max: 2,
            kinds: &[Kind::Revoke, Kind::Other],
            last_kinds: &[Kind::Revoke, Kind::Other],
            standby: false,
            transfers: true,
            pauses_checks: true,
            ..Self::failover()
        }
    }
}
