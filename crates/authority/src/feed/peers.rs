//! The other authorities: their validators, for receipts, and the revisions that their callers wait for.
//!
//! Each authority writes a row ([`Sharing`]). Before a beat answers the probes of a validator, the validator is in the
//! row. A receipt for revision R reads the rows after R was committed, so it finds every validator that any authority
//! proved fresh without R; those that come later are proved fresh with R.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use portcullis_contract::position::Revision;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    ValidatorStatus, Validators,
    counts::Line,
    roster::{RosterEntry, decode_roster, decode_statuses},
    sharing::Sharing,
    validators::lease_length,
};
use crate::store::{EnforcementStore, PeerRow, StoreError};

/// The time between two looks at the others, while there are others: they may wait for validators of this authority.
const LOOK_INTERVAL: Duration = Duration::from_millis(25);
/// The time between two looks while this authority is alone.
const LONELY_INTERVAL: Duration = Duration::from_secs(1);
/// The longest wait for the store in one look.
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);
/// The time between two writes of the status of all streams.
const STATUS_INTERVAL: Duration = Duration::from_secs(2);
/// An authority is alive for this long after its last beat was seen. It beats every second or two.
const ALIVE: Duration = Duration::from_secs(10);
/// The row of a dead authority is removed when its validators have lapsed for this long.
const DEAD_KEPT: Duration = Duration::from_secs(60);
/// The most bytes of rosters that are written in a second for receipts of others.
const PROGRESS_BYTES_PER_SECOND: u64 = 4 << 20;

/// The other authorities, as last read.
pub(crate) struct Peers {
    store: Arc<dyn EnforcementStore>,
    validators: Arc<Validators>,
    sharing: Arc<Sharing>,
    staleness_max: Duration,
    seen: Mutex<Seen>,
    /// Wakes the loop: a receipt needs a look.
    needed: Notify,
}

#[derive(Default)]
struct Seen {
    peers: HashMap<[u8; 16], Peer>,
    /// The beginning of the last complete look.
    looked: Option<Instant>,
    /// Whether the last look failed.
    failed: bool,
}

/// Another authority.
struct Peer {
    name: String,
    /// The version of the row that was read last.
    version: u64,
    /// The count of its beats. None: it has ended, or its store needs no beats.
    beat: Option<u64>,
    /// When a new beat of it was last seen.
    alive: Instant,
    roster: Vec<RosterEntry>,
    wanted: Revision,
}

impl Peer {
    /// Whether it beat lately. An authority that has ended has no count of beats, nor has one of an engine that needs none:
    /// there is only one process then.
    fn is_live(&self, now: Instant) -> bool {
        self.beat.is_some() && self.alive + ALIVE >= now
    }
}

/// An authority, for operators.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) is_answering: bool,
    pub(crate) beat_age: Duration,
    pub(crate) statuses: Vec<ValidatorStatus>,
}

/// State of the loop, which only the loop changes.
struct Written {
    /// The confirmations that the last row has.
    progress: u64,
    wanted: Revision,
    /// The next row with confirmations may be written at this time.
    next: Instant,
    next_statuses: Instant,
}

/// The time between two rows with confirmations. Large rosters are written less often.
fn progress_pause(roster_bytes: usize) -> Duration {
    Duration::from_micros(roster_bytes as u64 * 1_000_000 / PROGRESS_BYTES_PER_SECOND)
}

impl Peers {
    pub(crate) fn new(
        store: Arc<dyn EnforcementStore>,
        validators: Arc<Validators>,
        sharing: Arc<Sharing>,
        staleness_max: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            validators,
            sharing,
            staleness_max,
            seen: Mutex::default(),
            needed: Notify::new(),
        })
    }

    /// The lines of the others' validators about a revision that the log had by `known`.
    pub(super) fn lines(&self, revision: Revision, known: Instant) -> Vec<Line> {
        let seen = self.seen();
        let mut lines = Vec::new();
        for peer in seen.peers.values() {
            for entry in &peer.roster {
                let lease = lease_length(entry.max_staleness);
                // What a dead authority proved was too old before the log had the revision.
                if peer.alive + lease < known {
                    continue;
                }
                lines.push(Line {
                    validator: entry.validator,
                    strict: entry.strict,
                    confirmed: entry.applied >= revision,
                    // A probe that arrives after the log had the revision is answered with it, and a dead authority
                    // answers none.
                    accepts_until: Some(known.min(peer.alive) + lease),
                });
            }
        }
        lines
    }

    /// Returns whether the others were looked at after `known`. If not, the loop is told to.
    pub(super) fn were_seen_after(&self, known: Instant) -> bool {
        let is_new = self.seen().looked.is_some_and(|looked| looked >= known);
        if !is_new {
            self.needed.notify_one();
        }
        is_new
    }

    /// Returns whether the last look failed.
    pub(super) fn are_unknown(&self) -> bool {
        let seen = self.seen();
        seen.failed || seen.looked.is_none()
    }

    /// Looks at the others until this is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let now = Instant::now();
        let mut written = Written {
            progress: 0,
            wanted: Revision(0),
            next: now,
            next_statuses: now,
        };
        // An authority without a row could be of any version. Without this, one without gates would have none.
        if let Err(error) = self.sharing.share().await {
            error.log("the other authorities do not know of this one yet");
        }
        loop {
            let looked = self.look_in_time(&mut written).await;
            self.seen().failed = looked.is_err();
            if let Err(error) = looked {
                error.log("the validators of other authorities are unknown");
            }
            // Also after an error: the callers that wait say that they do not know.
            self.validators.confirmations.record_progress();

            let pause = match self.has_live_peer(Instant::now()) {
                true => LOOK_INTERVAL,
                false => LONELY_INTERVAL,
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.needed.notified() => {}
            }
        }
    }

    async fn look_in_time(&self, written: &mut Written) -> Result<(), StoreError> {
        match timeout(LOOK_TIMEOUT, self.look(written)).await {
            Ok(looked) => looked,
            Err(_) => Err(StoreError::Unavailable(
                "the other authorities cannot be read in time".into(),
            )),
        }
    }

    async fn look(&self, written: &mut Written) -> Result<(), StoreError> {
        self.validators.remove_lapsed(Instant::now());
        if self.has_live_peer(Instant::now()) {
            self.tell(written).await?;
        }

        // Before the rows are read: a receipt may rely on a look only if it began after the log had
        // the revision.
        let begun = Instant::now();
        let rows = self.store.peers(&self.sharing.authority()).await?;
        let changed = self.take_rows(&rows, Instant::now());
        for authority in changed {
            self.read_roster(authority).await?;
        }
        self.seen().looked = Some(begun);

        self.validators.confirmations.want(self.wanted_by_peers());
        self.remove_dead(&rows).await
    }

    /// Writes this authority's row for the others: the revisions that callers here wait for, and those that validators
    /// here confirmed.
    async fn tell(&self, written: &mut Written) -> Result<(), StoreError> {
        let now = Instant::now();
        let confirmations = &self.validators.confirmations;
        let wanted = match confirmations.waiting() {
            0 => Revision(0),
            _ => *confirmations.wanted().borrow(),
        };
        let progress = confirmations.progress();
        let is_awaited = self.wanted_by_peers() > Revision(0);
        let has_news = is_awaited && progress != written.progress && now >= written.next;
        if wanted != written.wanted || has_news {
            self.sharing.set_wanted(wanted);
            let bytes = self.sharing.share().await?;
            written.wanted = wanted;
            written.progress = progress;
            written.next = now + progress_pause(bytes);
        }
        if now >= written.next_statuses {
            self.sharing.share_statuses().await?;
            written.next_statuses = now + STATUS_INTERVAL;
        }
        Ok(())
    }

    /// Takes over the rows, and returns the authorities whose roster has to be read.
    fn take_rows(&self, rows: &[PeerRow], now: Instant) -> Vec<[u8; 16]> {
        let mut seen = self.seen();
        let mut changed = Vec::new();
        // A row that is gone was of an authority whose validators have lapsed.
        seen.peers
            .retain(|id, _| rows.iter().any(|row| row.authority == *id));
        for row in rows {
            let peer = seen.peers.entry(row.authority).or_insert_with(|| Peer {
                name: row.name.clone(),
                version: 0,
                beat: row.beat,
                // It may have beaten a moment ago.
                alive: now,
                roster: Vec::new(),
                wanted: Revision(0),
            });
            if peer.beat != row.beat {
                peer.beat = row.beat;
                // An authority whose count is gone has ended, after its last beat.
                peer.alive = now;
            }
            peer.wanted = row.wanted;
            // The version itself is taken over with the roster. If the roster cannot be read, the
            // next look tries again.
            if peer.version != row.version {
                changed.push(row.authority);
            }
        }
        changed
    }

    async fn read_roster(&self, authority: [u8; 16]) -> Result<(), StoreError> {
        // The row may have been removed since the look began. The next look drops the peer.
        let Some((version, bytes)) = self.store.peer_roster(&authority).await? else {
            return Ok(());
        };
        let roster = decode_roster(&bytes).ok_or_else(|| {
            StoreError::Internal("the roster of an authority does not decode".into())
        })?;
        if let Some(peer) = self.seen().peers.get_mut(&authority) {
            peer.version = version;
            peer.roster = roster;
        }
        Ok(())
    }

    /// Removes the rows of authorities that died so long ago that no validator can accept by their proofs.
    async fn remove_dead(&self, rows: &[PeerRow]) -> Result<(), StoreError> {
        let now = Instant::now();
        let dead = lease_length(self.staleness_max) + DEAD_KEPT;
        for row in rows {
            let is_dead = match self.seen().peers.get(&row.authority) {
                Some(peer) => peer.alive + dead < now,
                None => false,
            };
            if is_dead {
                // Only this version: an authority that was hung and is back has written a later
                // one, with its gates.
                self.store.remove_share(&row.authority, row.version).await?;
            }
        }
        Ok(())
    }

    /// The greatest revision for which callers of others wait.
    fn wanted_by_peers(&self) -> Revision {
        let now = Instant::now();
        let seen = self.seen();
        // The callers of a dead authority are gone. Its last wish would keep this one writing its
        // roster for nobody.
        let alive = seen.peers.values().filter(|peer| peer.is_live(now));
        alive.map(|peer| peer.wanted).max().unwrap_or(Revision(0))
    }

    fn has_live_peer(&self, now: Instant) -> bool {
        let seen = self.seen();
        seen.peers.values().any(|peer| peer.is_live(now))
    }

    /// The authorities that were alive lately, this one first, with the status of their streams.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn replicas(&self) -> Result<Vec<Replica>, StoreError> {
        let mut replicas = vec![self.this_replica()];
        for (authority, name, alive) in self.live_peers() {
            let shared = self.store.peer_statuses(&authority).await?;
            let Some((bytes, age)) = shared else {
                continue;
            };
            replicas.push(Replica {
                name,
                is_answering: false,
                beat_age: alive.elapsed(),
                // Damaged statuses are shown as none: they are not worth an error.
                statuses: decode_statuses(&bytes, age).unwrap_or_default(),
            });
        }
        Ok(replicas)
    }

    /// The answering authority alone.
    pub(crate) fn this_replica(&self) -> Replica {
        Replica {
            name: self.sharing.name().to_owned(),
            is_answering: true,
            beat_age: Duration::ZERO,
            statuses: self.validators.list(),
        }
    }

    fn live_peers(&self) -> Vec<([u8; 16], String, Instant)> {
        let now = Instant::now();
        let mut live = Vec::new();
        for (authority, peer) in &self.seen().peers {
            if peer.is_live(now) {
                live.push((*authority, peer.name.clone(), peer.alive));
            }
        }
        live.sort_by(|one, next| one.1.cmp(&next.1));
        live
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
