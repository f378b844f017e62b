//! The order in which a batch is applied, and its commit.

use portcullis_contract::{
    delta::{self, Change, Scope},
    id::Serial,
    key::CredentialKind,
    position::{Digest, Position, Revision},
    view::Frame,
};
use prost::bytes::Bytes;

use super::{
    super::{
        audit::row::{inserts, seal},
        columns::columns,
        connection::Statement,
        db::Db,
        log, log_version,
        row::Row,
        value::Value,
        values::{ROWS_MAX, ValueRows},
    },
    batch::{Applied, Batch, Cutoff, EntryResult, scope_columns},
};
use crate::{Appended, LogBatch, Revoked, StoreError};
use portcullis_domain::{Entry, EntryError, Micros, Outcome};

columns! {
    /// A row of `cutoffs`, but for its revision.
    CutoffColumns { scope, scope_serial, exempt_serial, event_id, at_us }
}

/// Applies entries in one transaction and one revision.
pub(in crate::sql) async fn append(db: &mut Db, entries: &[Entry]) -> Result<Appended, StoreError> {
    append_kinds(db, entries, Change::since).await
}

/// As [`append`], with another table of kinds of entries.
pub(in crate::sql) async fn append_kinds(
    db: &mut Db,
    entries: &[Entry],
    since: fn(&Change) -> u32,
) -> Result<Appended, StoreError> {
    // Not the macro `transaction!`: the last statements of the batch have answers, which are read
    // after the commit.
    db.begin().await?;
    let mut batch = Batch::new(db, entries);
    batch.since = since;
    match batch.run().await {
        Ok(()) => {
            // A batch that changed nothing commits too, because it may speak for an earlier one: see `keep_head`.
            let answers = batch.db.finish(&batch.last).await?;
            batch.appended(&answers)
        }
        Err(error) => {
            // The caller needs this error. A rollback that fails as well drops the db.
            let _ = batch.db.rollback().await;
            Err(error)
        }
    }
}

impl Batch<'_> {
    /// Applies all entries, in the order of locks that the page of the module states.
    async fn run(&mut self) -> Result<(), StoreError> {
        // A mistake that tests seed. Otherwise no number is drawn: the head counts by itself.
        self.drawn = log::draw_number(self.db).await?;
        // Entries of an earlier attempt are answered first. Their caller never got the answer, and asks again.
        self.recall().await?;
        // Before any change: an entry that names a wrong session is refused here and leaves no
        // trace.
        self.find_kept().await?;
        self.answer_covered().await?;
        // In the order of locks that the module states. A batch of another authority may hold any
        // of these rows, and waits for ours in the same order.
        self.change_installation().await?;
        self.change_users().await?;
        self.set_policies().await?;
        self.revoke_sessions().await?;
        self.change_api_keys().await?;
        // After the last lock: an earlier attempt may have committed while this one waited for it.
        self.recall_again().await?;
        self.complete_signed_out().await?;
        // Every change has an event, but for the canary.
        if self.audit.is_empty() && self.revoked.is_empty() {
            self.keep_head();
        } else {
            self.change_by_revoked();
            // Only now are all changes known. The error fails the whole batch, so a gate never
            // receives a kind of entry that the installation has not allowed.
            log_version::refuse_later_kinds(self.db, &self.changes, self.since).await?;
            self.advance_head();
        }
        Ok(())
    }

    /// Reads the head as it is, because the batch changes nothing.
    fn keep_head(&mut self) {
        // The answer says that all this was so already. That may be visible and not yet durable,
        // because another commit still waits for a standby. Then a write makes this commit wait
        // until it is durable.
        let answers_an_entry = self
            .results
            .iter()
            .any(|result| matches!(result, Some(Ok(_))));
        let columns = log::HeadColumns::names();
        let sql = if answers_an_entry {
            format!("UPDATE log_head SET revision = revision RETURNING {columns}")
        } else {
            format!("SELECT {columns} FROM log_head")
        };
        self.last.push(Statement::new(sql, []));
    }

    /// Adds the entry of the sessions that end one by one.
    fn change_by_revoked(&mut self) {
        if !self.revoked.is_empty() {
            self.changes.push(Change::Revoke {
                credential: CredentialKind::Session,
                serials: self.revoked.clone(),
            });
        }
    }

    /// Prepares the next revision, and all that depends on it.
    fn advance_head(&mut self) {
        // Every row that another transaction could hold is locked by now. The head comes next, and
        // after it only rows that appenders write: so whoever holds the head waits for nobody, and
        // the log never stands still.
        let delta = delta::encode(&self.changes, self.trace_parents());
        let audit_digest = seal(&mut self.audit);

        // The head comes first, because the answer to the first statement is the new head. The ends of sessions after
        // it wait for nobody: their rows are locked.
        let ends = std::mem::take(&mut self.last);
        let mut head = log::advance_head(&self.db.dialect, self.now, &delta, &audit_digest);
        if let Some(number) = self.drawn {
            head = log::advance_to_number(head, number);
        }
        self.last.extend(head);
        self.last.extend(ends);
        self.last.extend(insert_cutoffs(&self.cutoffs, self.now));
        self.last.extend(self.insert_api_key_cutoffs());
        self.last.extend(inserts(&self.audit));
        self.last.append(&mut self.deferred);
        self.link = Some((delta, audit_digest));
    }

    /// The traces of the calls whose entries this batch applies. Gates continue them.
    fn trace_parents(&self) -> Vec<String> {
        let mut parents = Vec::new();
        for (entry, result) in self.entries.iter().zip(&self.results) {
            if matches!(result, Some(Ok(Applied::Now(_)))) {
                parents.extend(entry.trace_parent.clone());
            }
        }
        // A batch may hold thousands of entries. Gates need a few examples of their traces.
        parents.truncate(delta::TRACE_PARENTS_MAX);
        parents
    }

    /// The result of the batch, given the answers to its last statements.
    fn appended(mut self, answers: &[Vec<Row>]) -> Result<Appended, StoreError> {
        // The first statement reads the head or moves it: see `keep_head` and `advance_head`.
        let head = log::position(answers.first().map_or(&[], Vec::as_slice))?;
        self.complete_ends(head.revision);

        let revoked = Revoked {
            serials: self.revoked,
            cuts: cuts(&self.cutoffs),
        };
        Ok(Appended {
            outcomes: outcomes(&self.results, head.revision),
            ended: self.ended,
            signed_out: self.signed_out,
            revoked,
            committed: self.link.map(|link| committed_batch(link, head)),
        })
    }

    /// Gives the sessions that ended the revision of their end, which was not known when their rows were read.
    fn complete_ends(&mut self, revision: Revision) {
        for (session, _) in self.ended.values_mut() {
            if let Some(end) = &mut session.end {
                end.revision = revision;
            }
        }
    }
}

fn cuts(cutoffs: &[Cutoff]) -> Vec<(Scope, Option<Serial>)> {
    let mut cuts = Vec::with_capacity(cutoffs.len());
    for cutoff in cutoffs {
        cuts.push((cutoff.scope, cutoff.exempt));
    }
    cuts
}

fn committed_batch((delta, audit_digest): (Bytes, Digest), position: Position) -> LogBatch {
    let frame = Frame {
        revision: position.revision,
        delta,
        audit_digest,
    };
    LogBatch { frame, position }
}

fn outcomes(
    results: &[Option<EntryResult>],
    revision: Revision,
) -> Vec<Result<Outcome, EntryError>> {
    let mut outcomes = Vec::with_capacity(results.len());
    for result in results {
        outcomes.push(outcome(result, revision));
    }
    outcomes
}

fn outcome(result: &Option<EntryResult>, revision: Revision) -> Result<Outcome, EntryError> {
    match result {
        Some(Ok(Applied::Before(outcome))) => Ok(*outcome),
        Some(Ok(Applied::Now(changed))) => Ok(Outcome {
            revision,
            changed: *changed,
        }),
        Some(Err(error)) => Err(*error),
        // No step has taken the entry. Its caller must not believe that it was applied.
        None => Err(EntryError::Refused),
    }
}

/// The statements that insert cutoffs at the head.
fn insert_cutoffs(cutoffs: &[Cutoff], now: Micros) -> Vec<Statement> {
    let mut statements = Vec::new();
    for cutoffs in cutoffs.chunks(ROWS_MAX) {
        let rows = ValueRows::new(cutoffs.iter().map(|cutoff| cutoff_values(cutoff, now)));
        // ON CONFLICT: two entries of one batch may cut off the same scope. One row says it.
        let sql = format!(
            "{with_v} INSERT INTO cutoffs ({columns}, revision) SELECT {values}, h.revision \
             FROM log_head h, v WHERE TRUE ON CONFLICT DO NOTHING",
            with_v = rows.with_v(),
            columns = CutoffColumns::names(),
            values = CutoffColumns::of("v"),
        );
        statements.push(Statement::new(sql, rows.into_params()));
    }
    statements
}

fn cutoff_values(cutoff: &Cutoff, now: Micros) -> CutoffColumns<Value> {
    let (scope, serial) = scope_columns(&cutoff.scope);
    CutoffColumns {
        scope: scope.into(),
        scope_serial: serial.into(),
        exempt_serial: cutoff.exempt.map_or(0, |serial| serial.0).into(),
        event_id: cutoff.event.into(),
        at_us: now.into(),
    }
}
