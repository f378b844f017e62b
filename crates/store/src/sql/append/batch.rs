//! A batch while it is applied.

use std::collections::{HashMap, HashSet};

use portcullis_contract::{
    delta::{Change, Scope},
    id::{EventId, Serial, TenantId, TenantSerial, UserId, UserSerial},
    key::CredentialKind,
    position::Digest,
};
use prost::bytes::Bytes;

use super::super::{
    audit::{
        outbox,
        row::{AuditRow, Target, details_text},
    },
    connection::Statement,
    db::Db,
    row::Row,
};
use portcullis_domain::{Cause, Entry, EntryError, Micros, Outcome, Session, SignedOut};

/// The most audit rows that an entry writes together with its change. The others wait in the outbox, in the same
/// transaction: an entry of a thousand users must not make the other entries of the batch wait for its rows.
const AUDIT_ROWS_AT_ONCE_MAX: usize = 64;

pub(super) struct Batch<'a> {
    pub(super) db: &'a mut Db,
    pub(super) entries: &'a [Entry],
    /// The version of the log since which there are entries of a kind.
    pub(super) since: fn(&Change) -> u32,
    /// The result of each entry. The revision is filled in when there is one.
    pub(super) results: Vec<Option<EntryResult>>,
    pub(super) now: Micros,
    /// The number of the batch, if it was drawn from a sequence: a mistake that only tests make.
    pub(super) drawn: Option<i64>,
    pub(super) audit: Vec<AuditRow>,
    pub(super) changes: Vec<Change>,
    pub(super) cutoffs: Vec<Cutoff>,
    pub(super) api_key_cutoffs: Vec<Cutoff>,
    /// The serials of sessions that end one by one.
    pub(super) revoked: Vec<Serial>,
    /// Sessions that were ended by an entry of their own, by the entry's place in the batch.
    pub(super) ended: HashMap<usize, (Session, Micros)>,
    /// The statements that let audit rows wait.
    pub(super) deferred: Vec<Statement>,
    /// The delta and the digest of the audit rows, which the chain links. With it, `last` begins with the new head.
    pub(super) link: Option<(Bytes, Digest)>,
    /// The statement of the head, and those that depend on it. They go out together with the COMMIT.
    pub(super) last: Vec<Statement>,
    /// The sessions to end, where they were read together with the clock.
    pub(super) found: Option<HashMap<SessionKey, FoundSession>>,
    pub(super) users: HashMap<(TenantId, UserId), (UserSerial, TenantSerial)>,
    pub(super) tenants: HashMap<TenantId, TenantSerial>,
    /// Users that were disabled before this batch.
    pub(super) disabled: HashSet<UserSerial>,
    /// Users that were administrators before this batch, disabled or not.
    pub(super) administrators: HashSet<(TenantId, UserId)>,
    /// Users that own a live API key.
    pub(super) key_owners: HashSet<UserSerial>,
    /// The session that a sign-out keeps, by the entry's place in the batch.
    pub(super) kept: HashMap<usize, Serial>,
    /// Users who have never signed in.
    pub(super) strangers: HashSet<UserSerial>,
    /// The sessions that sign-outs end, by the entry's place in the batch.
    pub(super) signed_out: HashMap<usize, SignedOut>,
}

pub(super) type EntryResult = Result<Applied, EntryError>;

/// The effect of an entry.
#[derive(Clone, Copy)]
pub(super) enum Applied {
    /// By an earlier batch.
    Before(Outcome),
    /// By this batch. The number counts the things that it changed.
    Now(u32),
}

/// A session as an entry finds it.
pub(super) struct FoundSession {
    pub(super) serial: Serial,
    pub(super) user: String,
    pub(super) is_over: bool,
    pub(super) row: Row,
}

pub(super) type SessionKey = (TenantId, [u8; 16]);

/// A sign-out of everything in a scope.
pub(super) struct Cutoff {
    pub(super) scope: Scope,
    /// The session that stays signed in.
    pub(super) exempt: Option<Serial>,
    pub(super) event: EventId,
}

impl<'a> Batch<'a> {
    pub(super) fn new(db: &'a mut Db, entries: &'a [Entry]) -> Self {
        Self {
            db,
            entries,
            since: Change::since,
            results: vec![None; entries.len()],
            now: Micros::default(),
            drawn: None,
            audit: Vec::new(),
            changes: Vec::new(),
            cutoffs: Vec::new(),
            api_key_cutoffs: Vec::new(),
            revoked: Vec::new(),
            ended: HashMap::new(),
            deferred: Vec::new(),
            link: None,
            last: Vec::new(),
            found: None,
            users: HashMap::new(),
            tenants: HashMap::new(),
            disabled: HashSet::new(),
            administrators: HashSet::new(),
            key_owners: HashSet::new(),
            kept: HashMap::new(),
            strangers: HashSet::new(),
            signed_out: HashMap::new(),
        }
    }

    /// The entries without a result so far, with their places in the batch.
    pub(super) fn pending(&self) -> impl Iterator<Item = (usize, &'a Entry)> + use<'a> {
        let entries = self.entries;
        // Copied, so that the caller can change the batch while it goes through the entries.
        let is_pending: Vec<_> = self.results.iter().map(Option::is_none).collect();
        entries
            .iter()
            .enumerate()
            .filter(move |(index, _)| is_pending[*index])
    }

    /// Records that an entry is applied, with an audit row for each target.
    pub(super) fn applied(
        &mut self,
        index: usize,
        tenant: &str,
        targets: &[String],
        cause: Option<Cause>,
        changed: u32,
    ) {
        let mut without_user = Vec::with_capacity(targets.len());
        for id in targets {
            without_user.push(Target {
                id: id.clone(),
                user: String::new(),
            });
        }
        self.applied_to(index, tenant, &without_user, cause, changed);
    }

    /// The same as [`applied`](Self::applied), for targets that concern users.
    pub(super) fn applied_to(
        &mut self,
        index: usize,
        tenant: &str,
        targets: &[Target],
        cause: Option<Cause>,
        changed: u32,
    ) {
        let entry = &self.entries[index];
        let mut rows = AuditRow::of(entry, self.now, tenant, targets, cause, changed);
        self.add_sessions_ended(index, &mut rows);

        if rows.len() > AUDIT_ROWS_AT_ONCE_MAX {
            let rest = rows.split_off(AUDIT_ROWS_AT_ONCE_MAX);
            self.deferred.extend(outbox::defer_rest(&rest));
        }
        self.audit.extend(rows);
        self.results[index] = Some(Ok(Applied::Now(changed)));
    }

    /// Adds the number of sessions that an entry ended to the details of its rows, if they were counted.
    fn add_sessions_ended(&self, index: usize, rows: &mut [AuditRow]) {
        // In the first row only: a repeated entry is answered from it, and the number is of the entry as a whole.
        if let (Some(signed_out), Some(first)) = (self.signed_out.get(&index), rows.first_mut()) {
            let mut details = self.entries[index].details.clone();
            details.insert(SignedOut::DETAIL.to_owned(), signed_out.detail());
            first.details = details_text(&details);
        }
    }

    /// Records that an entry is applied and changed nothing.
    pub(super) fn unchanged(&mut self, index: usize) {
        // Without a row in the trail, so a repetition is not recalled. It is judged anew.
        self.results[index] = Some(Ok(Applied::Now(0)));
    }

    /// Records that an entry cannot be applied.
    pub(super) fn refuse(&mut self, index: usize, error: EntryError) {
        self.results[index] = Some(Err(error));
    }

    /// Signs out all sessions of a scope, but for one.
    pub(super) fn cut(&mut self, index: usize, scope: Scope, exempt: Option<Serial>) {
        self.cutoffs.push(Cutoff {
            scope,
            exempt,
            event: self.entries[index].event_id,
        });
        self.changes.push(Change::Cut {
            credential: CredentialKind::Session,
            scope,
            exempt,
        });
    }
}

/// A number of targets as outcomes have it. The bounds of entries are far below the greatest number.
pub(super) fn count_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The number of a scope in the rows, and the serial that it is of.
pub(super) fn scope_columns(scope: &Scope) -> (i64, u64) {
    let (kind, serial) = scope.to_wire();
    (i64::from(kind as i32), serial)
}
