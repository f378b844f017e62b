//! The group commit: a batch of entries in one transaction and one revision.
//!
//! Locks are taken in one order, whatever the batch: the installation's row, tenants and users, policies, sessions, API
//! keys, then the head, then rows that only appenders write. Nobody who holds the head waits for anybody. Who takes
//! events that wait holds the installation's row.

mod api_keys;
mod covered;
mod installation;
mod policies;
mod records;
mod sessions;
mod users;

use std::collections::{HashMap, HashSet};

use portcullis_contract::{
    delta::{self, Change, Scope},
    id::{Serial, TenantId, TenantSerial, UserId, UserSerial},
    key::CredentialKind,
    position::{Digest, Revision, sha256},
    view::Frame,
};
use prost::bytes::Bytes;

use super::{
    Connection, Dialect, Row, Statement,
    audit::{self, AuditRow, Target},
    connection::{ROWS_MAX, ValueRows},
    log, pending,
};
use crate::{
    domain::{Cause, Entry, EntryError, Micros, Outcome, Session},
    store::{Appended, Revoked, StoreError, event_bytes},
};

pub(super) async fn append(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    entries: &[Entry],
) -> Result<Appended, StoreError> {
    connection.begin().await?;
    let mut batch = Batch::new(connection, dialect, entries);
    match batch.run().await {
        Ok(()) => {
            // A batch that changed nothing still commits: it writes when it speaks for an earlier one.
            let answers = batch.connection.finish(&batch.last).await?;
            batch.appended(&answers)
        }
        Err(error) => {
            // The failure is the news; a rollback that fails too drops the connection.
            let _ = batch.connection.rollback().await;
            Err(error)
        }
    }
}

/// The audit rows that an entry writes with what it does. The rest waits in the outbox, in the same transaction: an entry of
/// a thousand users must not make others wait for its rows in the trail.
const AUDIT_ROWS_AT_ONCE_MAX: usize = 64;

struct Batch<'a> {
    connection: &'a mut dyn Connection,
    dialect: &'a Dialect,
    entries: &'a [Entry],
    /// What each entry comes to; the revision is filled in once there is one.
    results: Vec<Option<Result<Done, EntryError>>>,
    now: Micros,
    audit: Vec<AuditRow>,
    changes: Vec<Change>,
    cutoffs: Vec<(Scope, Option<Serial>, Vec<u8>)>,
    revoked: Vec<Serial>,
    /// Sessions that were ended by an entry of their own.
    ended: HashMap<usize, (Session, Micros)>,
    api_key_cutoffs: Vec<(Scope, Vec<u8>)>,
    /// What lets audit rows wait.
    deferred: Vec<Statement>,
    /// What is linked to the chain: the delta, and the digest of the audit rows. Then `last` begins with the new head.
    link: Option<(Bytes, Digest)>,
    /// The head, and what hangs on it.
    last: Vec<Statement>,
    /// The sessions to end, where they were looked up at the beginning.
    found: Option<HashMap<SessionKey, Found>>,
    users: HashMap<(TenantId, UserId), (UserSerial, TenantSerial)>,
    tenants: HashMap<TenantId, TenantSerial>,
    /// Users who are disabled before the batch.
    disabled: HashSet<UserSerial>,
    /// Users who own an API key that is alive.
    key_owners: HashSet<UserSerial>,
    /// The sessions that sign-outs keep, by entry.
    kept: HashMap<usize, Serial>,
}

#[derive(Clone, Copy)]
enum Done {
    /// By an earlier batch.
    Before(Outcome),
    /// By this one.
    Now(u32),
}

/// A session as an entry meets it.
struct Found {
    serial: Serial,
    user: String,
    over: bool,
    row: Row,
}

type SessionKey = (TenantId, [u8; 16]);

impl<'a> Batch<'a> {
    fn new(connection: &'a mut dyn Connection, dialect: &'a Dialect, entries: &'a [Entry]) -> Self {
        Self {
            connection,
            dialect,
            entries,
            results: vec![None; entries.len()],
            now: Micros::default(),
            audit: Vec::new(),
            changes: Vec::new(),
            cutoffs: Vec::new(),
            revoked: Vec::new(),
            ended: HashMap::new(),
            api_key_cutoffs: Vec::new(),
            deferred: Vec::new(),
            link: None,
            last: Vec::new(),
            found: None,
            users: HashMap::new(),
            tenants: HashMap::new(),
            disabled: HashSet::new(),
            key_owners: HashSet::new(),
            kept: HashMap::new(),
        }
    }

    async fn run(&mut self) -> Result<(), StoreError> {
        self.recall().await?;
        self.find_kept().await?;
        self.answer_covered().await?;
        self.change_installation().await?;
        self.change_users().await?;
        self.set_policies().await?;
        self.revoke_sessions().await?;
        self.change_api_keys().await?;
        self.recall_again().await?;
        if self.audit.is_empty() {
            self.stand_still();
        } else {
            self.advance();
        }
        Ok(())
    }

    /// What became of it, with the answers to its last statements.
    fn appended(mut self, answers: &[Vec<Row>]) -> Result<Appended, StoreError> {
        let head = log::position(answers.first().map_or(&[], Vec::as_slice))?;
        let revision = head.revision;
        let committed = self.link.map(|(delta, audit_digest)| {
            (
                Frame {
                    revision,
                    delta,
                    audit_digest,
                },
                head,
            )
        });
        let outcome = |result: &Option<Result<Done, EntryError>>| match result {
            Some(Ok(Done::Before(outcome))) => Ok(*outcome),
            Some(Ok(Done::Now(changed))) => Ok(Outcome {
                revision,
                changed: *changed,
            }),
            Some(Err(error)) => Err(*error),
            None => Err(EntryError::Refused),
        };
        for end in self
            .ended
            .values_mut()
            .filter_map(|(session, _)| session.end.as_mut())
        {
            end.revision = revision;
        }
        let cuts = self
            .cutoffs
            .iter()
            .map(|(scope, exempt, _)| (*scope, *exempt))
            .collect();
        Ok(Appended {
            outcomes: self.results.iter().map(outcome).collect(),
            ended: self.ended,
            revoked: Revoked {
                serials: self.revoked,
                cuts,
            },
            committed,
        })
    }

    /// Takes the time, and answers entries that an earlier batch applied: their COMMIT happened and its answer was lost.
    /// After the locks, where these are taken at once: who waits for one may wait for that COMMIT.
    async fn recall(&mut self) -> Result<(), StoreError> {
        let mut statements: Vec<_> = self.find_at_once().into_iter().collect();
        statements.push(self.look_back());
        let mut answers = self.connection.query_all(&statements).await?;
        let rows = answers.pop().unwrap_or_default();
        self.found = answers.pop().map(sessions::read_found).transpose()?;
        let stamp = rows
            .first()
            .ok_or_else(|| StoreError::Internal("no clock".into()))?
            .int(0)?;
        self.now = Micros(stamp);
        self.take_back(&rows)
    }

    /// Once more when entries came to nothing: it may have been an earlier attempt's COMMIT that a lock was waited for.
    async fn recall_again(&mut self) -> Result<(), StoreError> {
        if !self.results.iter().any(came_to_nothing) {
            return Ok(());
        }
        let Statement { sql, params } = self.look_back();
        let rows = self.connection.query(&sql, &params).await?;
        self.take_back(&rows)
    }

    /// What asks the trail for the entries.
    fn look_back(&self) -> Statement {
        let ids = ValueRows::new(
            self.entries
                .iter()
                .map(|entry| [event_bytes(entry.event_id).into()]),
        );
        let sql = format!(
            "SELECT {now}, e.event_id, e.revision, e.changed FROM {firsts}",
            now = self.dialect.now,
            firsts = audit::firsts(&ids),
        );
        Statement {
            sql,
            params: ids.params,
        }
    }

    fn take_back(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        for row in rows
            .iter()
            .filter(|row| row.optional_blob(1).is_ok_and(|event| event.is_some()))
        {
            let event: [u8; 16] = row.array(1)?;
            let changed = u32::try_from(row.int(3)?).unwrap_or(u32::MAX);
            let outcome = Outcome {
                revision: Revision(row.unsigned(2)?),
                changed,
            };
            for (result, entry) in self.results.iter_mut().zip(self.entries) {
                if entry.event_id.to_bytes() == event
                    && (result.is_none() || came_to_nothing(result))
                {
                    *result = Some(Ok(Done::Before(outcome)));
                }
            }
        }
        Ok(())
    }

    fn pending(&self) -> impl Iterator<Item = (usize, &'a Entry)> + use<'a> {
        let open: Vec<_> = self.results.iter().map(Option::is_none).collect();
        self.entries
            .iter()
            .enumerate()
            .filter(move |(index, _)| open[*index])
    }

    /// Records that an entry is applied, with its audit rows.
    fn applied(
        &mut self,
        index: usize,
        tenant: &str,
        targets: &[String],
        cause: Option<Cause>,
        changed: u32,
    ) {
        let targets: Vec<_> = targets
            .iter()
            .map(|id| Target {
                id: id.clone(),
                user: String::new(),
            })
            .collect();
        self.applied_to(index, tenant, &targets, cause, changed);
    }

    /// As [`applied`](Self::applied), where the targets concern users.
    fn applied_to(
        &mut self,
        index: usize,
        tenant: &str,
        targets: &[Target],
        cause: Option<Cause>,
        changed: u32,
    ) {
        let entry = &self.entries[index];
        let mut rows = AuditRow::of(entry, self.now, tenant, targets, cause, changed);
        if rows.len() > AUDIT_ROWS_AT_ONCE_MAX {
            let rest = rows.split_off(AUDIT_ROWS_AT_ONCE_MAX);
            self.deferred.extend(pending::defer_rest(&rest));
        }
        self.audit.extend(rows);
        self.results[index] = Some(Ok(Done::Now(changed)));
    }

    fn unchanged(&mut self, index: usize) {
        self.results[index] = Some(Ok(Done::Now(0)));
    }

    fn cut(&mut self, index: usize, scope: Scope, exempt: Option<Serial>) {
        self.cutoffs
            .push((scope, exempt, event_bytes(self.entries[index].event_id)));
        self.changes.push(Change::Cut {
            credential: CredentialKind::Session,
            scope,
            exempt,
        });
    }

    /// The head as it is: it enforces all that was so already. What is visible may not be durable yet; a write makes this
    /// commit wait until it is.
    fn stand_still(&mut self) {
        let vouches = self
            .results
            .iter()
            .any(|result| matches!(result, Some(Ok(_))));
        let sql = match vouches {
            true => {
                "UPDATE log_head SET revision = revision RETURNING incarnation, revision, chain"
            }
            false => "SELECT incarnation, revision, chain FROM log_head",
        };
        self.last.push(Statement {
            sql: sql.into(),
            params: Vec::new(),
        });
    }

    /// The next revision, and all that hangs on it. What is locked by now is all that is ever waited for.
    fn advance(&mut self) {
        if !self.revoked.is_empty() {
            let serials = self.revoked.clone();
            self.changes.push(Change::Revoke {
                credential: CredentialKind::Session,
                serials,
            });
        }
        let parents = self.pending_trace_parents();
        let delta = delta::encode(&self.changes, parents);
        let audit_digest = audit::seal(&mut self.audit);
        let ends = std::mem::take(&mut self.last);
        self.last
            .extend(advance_head(self.dialect, self.now, &delta, &audit_digest));
        self.last.extend(ends);
        self.last.extend(self.cutoffs());
        self.last.extend(self.api_key_cutoffs());
        self.last.extend(audit::inserts(&self.audit));
        self.last.append(&mut self.deferred);
        self.link = Some((delta, audit_digest));
    }

    fn pending_trace_parents(&self) -> Vec<String> {
        let applied = self.entries.iter().zip(&self.results);
        let now = applied.filter(|(_, result)| matches!(result, Some(Ok(Done::Now(_)))));
        now.filter_map(|(entry, _)| entry.trace_parent.clone())
            .take(delta::TRACE_PARENTS_MAX)
            .collect()
    }

    fn cutoffs(&self) -> Vec<Statement> {
        let statement = |cutoffs: &[(Scope, Option<Serial>, Vec<u8>)]| {
            let rows = ValueRows::new(cutoffs.iter().map(|(scope, exempt, event)| {
                let (kind, serial) = scope.to_wire();
                let exempt = exempt.map_or(0, |serial| serial.0);
                [
                    i64::from(kind as i32).into(),
                    serial.into(),
                    exempt.into(),
                    event.clone().into(),
                ]
            }));
            let sql = format!(
                "INSERT INTO cutoffs SELECT v.column1, v.column2, h.revision, v.column3, v.column4 \
                 FROM log_head h, (VALUES {}) AS v WHERE TRUE ON CONFLICT DO NOTHING",
                rows.text
            );
            Statement {
                sql,
                params: rows.params,
            }
        };
        self.cutoffs.chunks(ROWS_MAX).map(statement).collect()
    }
}

fn came_to_nothing(result: &Option<Result<Done, EntryError>>) -> bool {
    matches!(result, Some(Ok(Done::Now(0)) | Err(_)))
}

/// What advances the head, and answers with the new one; and what writes the batch's row.
pub(super) fn advance_head(
    dialect: &Dialect,
    stamp: Micros,
    delta: &[u8],
    audit_digest: &Digest,
) -> [Statement; 2] {
    let delta_digest = sha256(delta);
    let link = [delta_digest, *audit_digest].concat();
    let advance = format!(
        "UPDATE log_head SET revision = revision + 1, chain = {} RETURNING incarnation, revision, chain",
        dialect.next_chain
    );
    let insert = "INSERT INTO log_batches (revision, delta, audit_digest, chain, stamped_us, delta_digest) \
         SELECT h.revision, $1, $2, h.chain, $3, $4 FROM log_head h";
    let params = vec![
        delta.into(),
        audit_digest[..].into(),
        stamp.0.into(),
        delta_digest[..].into(),
    ];
    [
        Statement {
            sql: advance,
            params: vec![link.into()],
        },
        Statement {
            sql: insert.into(),
            params,
        },
    ]
}
