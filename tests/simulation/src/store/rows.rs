//! What a database server shows: the rows after the transactions that are visible there.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc, time::Duration};

use portcullis_contract::{
    delta::{Change, Scope},
    id::{EventId, Serial, SessionId, TenantSerial, UserSerial},
    key::CredentialKind,
    position::{Chain, Incarnation, Position, Revision},
    view::{Frame, Subject, View},
};
use portcullis_domain::{Micros, Outcome, SinceTurn};
use portcullis_store::LogBatch;
use prost::bytes::Bytes;

/// A transaction, as the write-ahead log has it.
#[derive(Clone)]
pub enum Record {
    /// A batch of the log.
    Batch(Arc<Batch>),
    /// A sign-in.
    SignIn(Row),
    /// A write that changes nothing that anybody reads: a beat, a refresh, a roster.
    Touch(Touch),
    /// A checkpoint.
    Checkpoint(Revision, Bytes, Bytes),
    /// Deltas up to here were deleted.
    Trim(Revision),
    /// A recovery jumped to this position of another history, and appended its first batch.
    Recover(Position, Arc<Batch>),
}

/// A small write.
#[derive(Clone)]
pub enum Touch {
    /// A durable write of an authority, or a refresh.
    Nothing,
    /// The roster of an authority has this version.
    Roster([u8; 16], u64),
}

/// A batch of the log with its effects on rows.
pub struct Batch {
    /// As validators receive it.
    pub frame: Frame,
    /// The position after it.
    pub head: Position,
    /// Its changes.
    pub changes: Vec<Change>,
    /// The users who are disabled from now on, or are not any more.
    pub disabled: Vec<(UserSerial, bool)>,
    /// The outcomes of its entries.
    pub outcomes: Vec<(EventId, Outcome)>,
    /// The record of a turn.
    pub turned: Option<Turned>,
    /// The floor of the database's clock from now on, if it changes.
    pub clock_floor: Option<Micros>,
}

/// The record of a turn.
#[derive(Clone, Copy)]
pub struct Turned {
    /// The time by which the next one is reckoned.
    pub at: Micros,
    /// When it was, by a clock that nobody sets.
    pub counted_from: Duration,
}

/// A session.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its public id.
    pub id: SessionId,
    /// Its numbers, with the revision that its token carries.
    pub subject: Subject,
    /// The head of the log in the snapshot that found the user enabled. The same, unless a bug is seeded.
    pub seen: Revision,
}

/// The rows.
#[derive(Clone)]
pub struct Rows {
    /// The view at the head, as the real code builds it.
    view: View,
    log: BTreeMap<Revision, (Frame, Chain)>,
    trimmed: Revision,
    sessions: BTreeMap<Serial, Row>,
    ended: BTreeMap<Serial, Revision>,
    cuts: Vec<(Scope, Option<Serial>, Revision)>,
    disabled: BTreeMap<UserSerial, bool>,
    outcomes: BTreeMap<[u8; 16], Outcome>,
    checkpoints: Vec<(Revision, Bytes, Bytes)>,
    rosters: BTreeMap<[u8; 16], u64>,
    turned: Turned,
    clock_floor: Micros,
}

/// The tenant of all sessions.
pub const TENANT: TenantSerial = TenantSerial(1);

impl Rows {
    /// An empty installation.
    pub fn new(incarnation: Incarnation, now: Micros) -> Self {
        Self {
            view: View::empty(incarnation),
            log: BTreeMap::new(),
            trimmed: Revision(0),
            sessions: BTreeMap::new(),
            ended: BTreeMap::new(),
            cuts: Vec::new(),
            disabled: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            checkpoints: Vec::new(),
            rosters: BTreeMap::new(),
            turned: Turned {
                at: now,
                counted_from: Duration::ZERO,
            },
            clock_floor: Micros(0),
        }
    }

    /// Applies a transaction that becomes visible.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Batch(batch) => self.apply_batch(batch),
            Record::Recover(before, batch) => {
                self.view = self.view.rebased(*before);
                self.apply_batch(batch);
            }
            Record::SignIn(row) => {
                self.sessions.insert(row.subject.serial, row.clone());
            }
            Record::Touch(Touch::Nothing) => {}
            Record::Touch(Touch::Roster(authority, version)) => {
                self.rosters.insert(*authority, *version);
            }
            Record::Checkpoint(revision, view, code) => {
                self.checkpoints
                    .push((*revision, view.clone(), code.clone()));
                self.checkpoints
                    .sort_by_key(|(revision, ..)| Reverse(*revision));
                self.checkpoints.truncate(2);
            }
            Record::Trim(through) => self.trimmed = self.trimmed.max(*through),
        }
    }

    fn apply_batch(&mut self, batch: &Batch) {
        let next = self.view.apply(&batch.frame);
        self.view = next.expect("the next batch of the log");
        self.log
            .insert(batch.head.revision, (batch.frame.clone(), batch.head.chain));
        for change in &batch.changes {
            self.apply_change(change, batch.head.revision);
        }
        self.disabled.extend(batch.disabled.iter().copied());
        for (id, outcome) in &batch.outcomes {
            self.outcomes.insert(id.to_bytes(), *outcome);
        }
        if let Some(turned) = batch.turned {
            self.turned = turned;
        }
        if let Some(floor) = batch.clock_floor {
            self.clock_floor = floor;
        }
    }

    fn apply_change(&mut self, change: &Change, revision: Revision) {
        match change {
            Change::Revoke {
                credential: CredentialKind::Session,
                serials,
            } => {
                for serial in serials {
                    self.ended.entry(*serial).or_insert(revision);
                }
            }
            Change::Cut {
                credential: CredentialKind::Session,
                scope,
                exempt,
            } => self.cuts.push((*scope, *exempt, revision)),
            _ => {}
        }
    }

    /// The head of the log.
    pub fn head(&self) -> Position {
        self.view.position()
    }

    /// The view at the head.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The chain at a revision.
    pub fn chain(&self, revision: Revision) -> Option<Chain> {
        if revision == Revision(0) {
            return Some(Chain::default());
        }
        let (_, chain) = self.log.get(&revision)?;
        Some(*chain)
    }

    /// The batches after a revision. None: the first of them was trimmed.
    pub fn after(&self, revision: Revision, limit: u32) -> Option<Vec<LogBatch>> {
        if revision < self.trimmed {
            return None;
        }
        let later = self.log.range(revision.next()..);
        let batches = later.map(|(revision, (frame, chain))| LogBatch {
            frame: frame.clone(),
            position: Position {
                incarnation: self.head().incarnation,
                revision: *revision,
                chain: *chain,
            },
        });
        Some(batches.take(limit as usize).collect())
    }

    /// A session by its id.
    pub fn session(&self, id: SessionId) -> Option<&Row> {
        self.sessions.values().find(|row| row.id == id)
    }

    /// When a session was ended by itself.
    pub fn ended(&self, serial: Serial) -> Option<Revision> {
        self.ended.get(&serial).copied()
    }

    /// Whether a cutoff covers the session. Cutoffs are kept as history: nothing is forgotten here.
    pub fn is_cut(&self, subject: &Subject) -> bool {
        self.cuts.iter().any(|(scope, exempt, revision)| {
            let covers = match scope {
                Scope::User(user) => *user == subject.user,
                Scope::Tenant(tenant) => *tenant == subject.tenant,
                Scope::Everyone => true,
            };
            covers && *exempt != Some(subject.serial) && subject.opened < *revision
        })
    }

    /// Whether the session has ended, in any way.
    pub fn is_over(&self, subject: &Subject) -> bool {
        self.ended.contains_key(&subject.serial) || self.is_cut(subject)
    }

    /// Whether a user may not sign in.
    pub fn is_disabled(&self, user: UserSerial) -> bool {
        self.disabled.get(&user).copied().unwrap_or(false)
    }

    /// The outcome of an entry that was applied before.
    pub fn outcome(&self, id: EventId) -> Option<Outcome> {
        self.outcomes.get(&id.to_bytes()).copied()
    }

    /// The kept checkpoints, newest first.
    pub fn checkpoints(&self) -> &[(Revision, Bytes, Bytes)] {
        &self.checkpoints
    }

    /// The version of an authority's roster.
    pub fn roster(&self, authority: &[u8; 16]) -> u64 {
        self.rosters.get(authority).copied().unwrap_or(0)
    }

    /// The record of turns. `latest` is the greatest time that the database's clock has shown.
    pub fn since_turn(&self, latest: Micros, elapsed: Duration) -> SinceTurn {
        let counted = elapsed.saturating_sub(self.turned.counted_from);
        SinceTurn {
            turned: self.turned.at,
            latest,
            counted_us: i64::try_from(counted.as_micros()).unwrap_or(i64::MAX),
            clock_floor: self.clock_floor,
        }
    }

    /// The floor of the database's clock.
    pub fn clock_floor(&self) -> Micros {
        self.clock_floor
    }
}
