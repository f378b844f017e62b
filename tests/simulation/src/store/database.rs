//! The transactions of the database. They run on a host of their own, so that one whose client has crashed goes on.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_contract::{
    delta::{self, Change, Scope},
    id::{SessionId, UserSerial},
    key::CredentialKind,
    position::Position,
    view::{Frame, Subject},
};
use portcullis_domain::{Entry, EntryError, Micros, Mutation, Outcome, is_set_back};
use portcullis_store::{Appended, Beat, LogBatch, Revoked, StoreError};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    cluster::Cluster,
    rows::{Batch, Record, Row, Rows, TENANT, Touch, Turned},
};
use crate::{
    bug::Bug,
    dice::Dice,
    history::{History, Revocation, Target},
    users,
};

/// The longest wait for a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest wait for the standby. A wait that is given up has committed on this server alone.
const STANDBY_TIMEOUT: Duration = Duration::from_millis(800);
/// The pause between two looks at something that is awaited.
const LOOK: Duration = Duration::from_millis(10);
/// The most jobs that wait for the database's host.
const JOBS_MAX: usize = 4_096;

/// A transaction or a read.
pub type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The database.
pub struct Database {
    cluster: Mutex<Cluster>,
    head_locks: [tokio::sync::Mutex<()>; 2],
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) dice: Dice,
    history: Arc<History>,
    bug: Option<Bug>,
}

/// How a wait for the standby ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waited {
    /// The standby has it.
    Durable,
    /// Nobody knows. It is committed here.
    Cancelled,
    /// The server crashed or was replaced meanwhile.
    Broken,
}

/// A session that was found alive, or opened.
pub struct Found {
    /// Its row.
    pub row: Row,
    /// The database's clock in the snapshot.
    pub now: Micros,
}

impl Database {
    /// A database, and the jobs that its host has to run.
    pub fn new(
        cluster: Cluster,
        dice: Dice,
        history: Arc<History>,
        bug: Option<Bug>,
    ) -> (Arc<Self>, mpsc::Receiver<Job>) {
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        let database = Self {
            cluster: Mutex::new(cluster),
            head_locks: Default::default(),
            jobs,
            dice,
            history,
            bug,
        };
        (Arc::new(database), waiting)
    }

    /// The servers.
    pub fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// The epoch of a server that is up.
    fn epoch(&self, server: usize) -> Result<u64, StoreError> {
        let cluster = self.cluster();
        let server = &cluster.servers[server];
        match server.up && !server.is_standby {
            true => Ok(server.epoch),
            false => Err(unavailable("the server is down, or a standby")),
        }
    }

    /// Reads from what is visible on a server.
    pub(super) async fn read<T>(
        &self,
        server: usize,
        read: impl FnOnce(&Rows) -> T,
    ) -> Result<T, StoreError> {
        let epoch = self.epoch(server)?;
        let result = read(&self.cluster().servers[server].rows);
        sleep(self.dice.duration(0..=2_000)).await;
        match self.epoch(server)? == epoch {
            true => Ok(result),
            false => Err(unavailable("the connection broke")),
        }
    }

    /// Writes a record that is visible at once: nobody is told that it is durable.
    pub(super) fn write_lazily(&self, server: usize, record: Record) -> Result<(), StoreError> {
        self.epoch(server)?;
        let mut cluster = self.cluster();
        let end = cluster.write(server, record);
        cluster.show(server, end);
        Ok(())
    }

    /// Writes the checkpoint of a position that the server's log has, and says whether it has.
    pub(super) async fn save_checkpoint(
        &self,
        server: usize,
        at: Position,
        record: Record,
    ) -> Result<bool, StoreError> {
        let (head, chain) = self
            .read(server, |rows| (rows.head(), rows.chain(at.revision)))
            .await?;
        let is_known = head.incarnation == at.incarnation && chain == Some(at.chain);
        if is_known {
            self.write_lazily(server, record)?;
        }
        Ok(is_known)
    }

    /// Waits until the standby has the log up to `end`.
    async fn wait_durable(&self, server: usize, end: usize, epoch: u64) -> Waited {
        let mut waited = self.dice.duration(500..=8_000);
        sleep(waited).await;
        loop {
            match self.epoch(server) {
                Ok(now) if now == epoch => {}
                _ => return Waited::Broken,
            }
            if self.cluster().replicate(server, end) {
                return Waited::Durable;
            }
            if waited > STANDBY_TIMEOUT {
                return Waited::Cancelled;
            }
            sleep(LOOK).await;
            waited += LOOK;
        }
    }

    /// Commits a record, and returns once it is durable.
    async fn commit(&self, server: usize, record: Record, epoch: u64) -> Result<(), StoreError> {
        let end = self.cluster().write(server, record);
        let waited = if self.has(Bug::AcknowledgedBeforeDurable) {
            // The standby is a few records behind.
            self.cluster().replicate(server, end.saturating_sub(3));
            Waited::Durable
        } else {
            self.wait_durable(server, end, epoch).await
        };
        if waited == Waited::Broken {
            return Err(unavailable("the connection broke"));
        }
        self.cluster().show(server, end);
        match waited {
            Waited::Durable => Ok(()),
            // PostgreSQL says `OK` and warns; the real store voids such a commit by the warning.
            _ => Err(unavailable("the wait for the standby was cancelled")),
        }
    }

    /// A beat: the head that is visible when its transaction begins, told once its own write is durable.
    pub(super) async fn beat(
        &self,
        server: usize,
        authority: [u8; 16],
    ) -> Result<Beat, StoreError> {
        let epoch = self.epoch(server)?;
        let beat = {
            let cluster = self.cluster();
            let rows = &cluster.servers[server].rows;
            Beat {
                head: rows.head(),
                time: cluster.clock(elapsed()),
                roster: rows.roster(&authority),
                clock_floor: rows.clock_floor(),
            }
        };
        if self.has(Bug::BeatWritesNothing) {
            return Ok(beat);
        }
        self.commit(server, Record::Touch(Touch::Nothing), epoch)
            .await?;
        Ok(beat)
    }

    /// Appends a batch, under the lock of the head.
    pub(super) async fn append(
        &self,
        server: usize,
        entries: &[Entry],
    ) -> Result<Appended, StoreError> {
        let lock = &self.head_locks[server];
        let was_locked = lock.try_lock().is_err();
        let Ok(_held) = timeout(LOCK_TIMEOUT, lock.lock()).await else {
            return Err(StoreError::Conflict("the head is locked".to_owned()));
        };
        let epoch = self.epoch(server)?;
        sleep(self.dice.duration(100..=2_000)).await;
        // Read before the locks of the next statement: nobody else may write while the head is held.
        if self.epoch(server)? != epoch {
            return Err(unavailable("the connection broke"));
        }

        let (mut batch, mut appended) = self.prepare(server, entries);
        if was_locked && self.has(Bug::SequenceAsCursor) {
            // Its number was drawn before that of the batch that the readers have: no cursor looks there any more.
            batch.skip();
        }
        let signs_everyone_out = batch.answers_set_back;
        let Some((record, committed)) = batch.into_record() else {
            // The answer says that all this was so already. That may be visible and not durable yet, so this commit waits,
            // too.
            let answers_an_entry = appended.outcomes.iter().any(Result::is_ok);
            if answers_an_entry && !self.has(Bug::UnchangedNotAwaited) {
                let touch = Record::Touch(Touch::Nothing);
                self.commit(server, touch, epoch).await?;
            }
            return Ok(appended);
        };
        let number = signs_everyone_out.then(|| self.record_sign_out());
        self.commit(server, record, epoch).await?;
        if let Some(number) = number {
            let mut events = self.history.events();
            events.revocations[number].acknowledged =
                Some((elapsed(), committed.position.revision));
        }
        appended.committed = Some(committed);
        Ok(appended)
    }

    /// Records that an authority signs everyone out by itself. Returns the number of the revocation.
    fn record_sign_out(&self) -> usize {
        let mut events = self.history.events();
        events.counts.set_back += 1;
        events.revocations.push(Revocation {
            target: Target::Everyone,
            requested: elapsed(),
            acknowledged: None,
            lost: false,
        });
        events.revocations.len() - 1
    }

    fn prepare(&self, server: usize, entries: &[Entry]) -> (Preparing, Appended) {
        let mut cluster = self.cluster();
        let stamp = cluster.clock(elapsed());
        cluster.clock_latest = cluster.clock_latest.max(stamp);
        let latest = cluster.clock_latest;
        let rows = &cluster.servers[server].rows;
        let mut preparing = Preparing {
            before: rows.head(),
            stamp,
            latest,
            changes: Vec::new(),
            disabled: Vec::new(),
            outcomes: Vec::new(),
            turned: None,
            clock_floor: None,
            answers_set_back: false,
            is_skipped: false,
            audit_digest: self.dice.bytes(),
            turns_too_early: self.has(Bug::TurnsByTheClockAlone),
        };
        let mut outcomes = Vec::with_capacity(entries.len());
        for entry in entries {
            let outcome = match rows.outcome(entry.event_id) {
                Some(known) => Ok(known),
                None => preparing.add(rows, entry),
            };
            outcomes.push(outcome);
        }
        let appended = Appended {
            outcomes,
            ended: HashMap::new(),
            signed_out: HashMap::new(),
            revoked: preparing.revoked(),
            committed: None,
        };
        (preparing, appended)
    }

    /// Opens a session. None: the user is disabled.
    pub async fn sign_in(
        &self,
        server: usize,
        user: UserSerial,
    ) -> Result<Option<Found>, StoreError> {
        let epoch = self.epoch(server)?;
        // One snapshot for the head and for whether the user may sign in.
        let (seen, now, serial) = {
            let mut cluster = self.cluster();
            let rows = &cluster.servers[server].rows;
            if rows.is_disabled(user) {
                return Ok(None);
            }
            let seen = rows.head().revision;
            let now = cluster.clock(elapsed());
            (seen, now, cluster.draw_serial())
        };
        sleep(self.dice.duration(0..=30_000)).await;
        if self.epoch(server)? != epoch {
            return Err(unavailable("the connection broke"));
        }
        let opened = match self.has(Bug::HeadReadLast) {
            true => self.cluster().servers[server].rows.head().revision,
            false => seen,
        };
        let row = Row {
            id: SessionId::generate(),
            subject: Subject {
                serial,
                user,
                tenant: TENANT,
                opened,
            },
            seen,
        };
        self.commit(server, Record::SignIn(row.clone()), epoch)
            .await?;
        Ok(Some(Found { row, now }))
    }

    /// Finds a session alive, for a refresh. None: it has ended.
    pub async fn refresh(&self, server: usize, id: SessionId) -> Result<Option<Found>, StoreError> {
        let epoch = self.epoch(server)?;
        let found = {
            let cluster = self.cluster();
            let rows = &cluster.servers[server].rows;
            let now = cluster.clock(elapsed());
            let row = rows.session(id).cloned();
            row.filter(|row| self.may_refresh(rows, row))
                .map(|row| Found { row, now })
        };
        if found.is_some() {
            self.commit(server, Record::Touch(Touch::Nothing), epoch)
                .await?;
        }
        Ok(found)
    }

    fn may_refresh(&self, rows: &Rows, row: &Row) -> bool {
        match self.has(Bug::RefreshIgnoresCutoffs) {
            true => rows.ended(row.subject.serial).is_none(),
            false => !rows.is_over(&row.subject),
        }
    }

    /// Records that an authority counted time: the latest that the clock has shown.
    pub fn count_time(&self, elapsed: Duration) {
        let mut cluster = self.cluster();
        let now = cluster.clock(elapsed);
        cluster.clock_latest = cluster.clock_latest.max(now);
    }
}

/// A batch that is put together.
struct Preparing {
    before: Position,
    stamp: Micros,
    latest: Micros,
    changes: Vec<Change>,
    disabled: Vec<(UserSerial, bool)>,
    outcomes: Vec<(portcullis_contract::id::EventId, Outcome)>,
    turned: Option<Turned>,
    clock_floor: Option<Micros>,
    /// Whether it signs everyone out because the clock was set back.
    answers_set_back: bool,
    is_skipped: bool,
    audit_digest: [u8; 32],
    turns_too_early: bool,
}

impl Preparing {
    /// Adds an entry. This is the model of `crates/store/src/sql/append`.
    fn add(&mut self, rows: &Rows, entry: &Entry) -> Result<Outcome, EntryError> {
        let credential = CredentialKind::Session;
        let changed = match &entry.mutation {
            Mutation::RevokeSessions { sessions, .. } => {
                let mut serials = Vec::new();
                for id in sessions {
                    let row = rows.session(*id).ok_or(EntryError::SessionNotFound)?;
                    // One that has ended already, by itself or by a cutoff, is enforced by what ended it.
                    if !rows.is_over(&row.subject) {
                        serials.push(row.subject.serial);
                    }
                }
                let changed = serials.len();
                if changed > 0 {
                    self.changes.push(Change::Revoke {
                        credential,
                        serials,
                    });
                }
                changed
            }
            Mutation::SignOutUsers {
                users: named,
                keep,
                disable,
                ..
            } => {
                let exempt = match keep {
                    // A restore may have lost the session that is to be kept. Without it nobody is signed out.
                    Some(id) => {
                        let row = rows.session(*id).ok_or(EntryError::SessionNotFound)?;
                        Some(row.subject.serial)
                    }
                    None => None,
                };
                for user in named {
                    let user = users::serial(user);
                    self.changes.push(Change::Cut {
                        credential,
                        scope: Scope::User(user),
                        exempt,
                    });
                    if *disable {
                        self.disabled.push((user, true));
                    }
                }
                named.len()
            }
            Mutation::EnableUser { user, .. } => {
                self.disabled.push((users::serial(user), false));
                1
            }
            Mutation::SignOutTenant { .. } => {
                self.changes.push(Change::Cut {
                    credential,
                    scope: Scope::Tenant(TENANT),
                    exempt: None,
                });
                1
            }
            Mutation::Turn { life, margin } => usize::from(self.add_turn(rows, *life, *margin)),
            Mutation::ClockSetBack { .. } => usize::from(self.add_sign_out(rows)),
            Mutation::Repeat { serials, cuts } => {
                self.changes.push(Change::Revoke {
                    credential,
                    serials: serials.clone(),
                });
                let repeated = cuts.iter().map(|(scope, exempt)| Change::Cut {
                    credential,
                    scope: *scope,
                    exempt: *exempt,
                });
                self.changes.extend(repeated);
                serials.len() + cuts.len()
            }
            _ => return Err(EntryError::Refused),
        };
        let revision = match changed {
            // What had happened before is enforced by the head as it is.
            0 => self.before.revision,
            _ => self.before.revision.next(),
        };
        let outcome = Outcome {
            revision,
            changed: u32::try_from(changed).unwrap_or(u32::MAX),
        };
        if changed > 0 {
            self.outcomes.push((entry.event_id, outcome));
        }
        Ok(outcome)
    }

    /// Signs everyone out if the clock is behind its floor. The floor falls with it.
    fn add_sign_out(&mut self, rows: &Rows) -> bool {
        let is_needed = is_set_back(self.stamp, rows.clock_floor());
        if is_needed {
            self.changes.push(Change::Cut {
                credential: CredentialKind::Session,
                scope: Scope::Everyone,
                exempt: None,
            });
            self.clock_floor = Some(Micros(0));
            self.answers_set_back = true;
        }
        is_needed
    }

    fn add_turn(&mut self, rows: &Rows, life: Duration, margin: Duration) -> bool {
        let period = life + margin;
        let since = rows.since_turn(self.latest, elapsed());
        let is_due = match self.turns_too_early {
            true => since.turned.after(period) <= self.stamp,
            false => since.is_due(period, self.stamp),
        };
        if is_due {
            self.changes.push(Change::Turn);
            self.turned = Some(Turned {
                at: since.turning_at(self.stamp),
                counted_from: elapsed(),
            });
            if !self.turns_too_early {
                self.clock_floor = Some(since.floor_after_turn(life));
            }
        }
        is_due
    }

    fn revoked(&self) -> Revoked {
        let mut revoked = Revoked::default();
        for change in &self.changes {
            match change {
                Change::Revoke { serials, .. } => revoked.serials.extend(serials),
                Change::Cut { scope, exempt, .. } => revoked.cuts.push((*scope, *exempt)),
                _ => {}
            }
        }
        revoked
    }

    /// Leaves the readers of the log with an empty batch.
    fn skip(&mut self) {
        self.is_skipped = true;
    }

    fn into_record(self) -> Option<(Record, LogBatch)> {
        if self.outcomes.is_empty() {
            return None;
        }
        let shown: &[Change] = match self.is_skipped {
            true => &[],
            false => &self.changes,
        };
        let frame = Frame {
            revision: self.before.revision.next(),
            delta: delta::encode(shown, Vec::new()),
            audit_digest: self.audit_digest,
        };
        let position = after(self.before, &frame);
        let batch = Batch {
            frame: frame.clone(),
            head: position,
            changes: self.changes,
            disabled: self.disabled,
            outcomes: self.outcomes,
            turned: self.turned,
            clock_floor: self.clock_floor,
        };
        let committed = LogBatch { frame, position };
        Some((Record::Batch(Arc::new(batch)), committed))
    }
}

/// The position after a batch.
pub fn after(before: Position, frame: &Frame) -> Position {
    Position {
        incarnation: before.incarnation,
        revision: frame.revision,
        chain: before.chain.next(&frame.delta, &frame.audit_digest),
    }
}

/// The time since the simulation began.
pub fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

pub(super) fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}
