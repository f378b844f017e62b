//! Entries that an earlier batch applied: it committed, and its answer was lost.

use portcullis_contract::{id::EventId, position::Revision};

use super::{
    super::{
        audit::row::{FIRST_ROWS, event_rows, read_details},
        columns::columns,
        connection::Statement,
        row::{Row, only_row},
    },
    batch::{Applied, Batch, EntryResult},
    sessions,
};
use crate::StoreError;
use portcullis_domain::{Outcome, SignedOut};

columns! {
    /// The time, and the row of an entry in the trail. The row is null for an entry that the trail does not have.
    RecalledColumns { now_us, event_id, revision, changed, details }
}

/// An entry that the trail has.
struct Recalled {
    event: EventId,
    outcome: Outcome,
    /// The sessions that it ended, where they were counted.
    signed_out: Option<SignedOut>,
}

impl Batch<'_> {
    /// Reads the time, and answers the entries that the trail has.
    pub(super) async fn recall(&mut self) -> Result<(), StoreError> {
        // Where the sessions can be locked at once, that comes first: a lock may wait for the
        // commit of an earlier attempt, whose row must then be seen.
        let mut statements: Vec<_> = self.find_at_once().into_iter().collect();
        // Both go out together: one round trip for the whole look at the database in the usual
        // case.
        statements.push(self.look_back());
        let mut answers = self.db.run_all(&statements).await?;
        let recalled = answers.pop().unwrap_or_default();
        if let Some(found) = answers.pop() {
            self.found = Some(sessions::read_found(found)?);
        }
        self.now = only_row(&recalled, "the clock")?.time(RecalledColumns::AT.now_us)?;
        self.answer_recalled(&recalled)
    }

    /// Looks again when entries changed nothing: a lock may have waited for the commit of an earlier attempt.
    pub(super) async fn recall_again(&mut self) -> Result<(), StoreError> {
        if !self.results.iter().any(changed_nothing) {
            return Ok(());
        }
        let statement = self.look_back();
        let recalled = self.db.run(&statement).await?;
        self.answer_recalled(&recalled)
    }

    /// The statement that reads the time, and looks the entries up in the trail.
    fn look_back(&self) -> Statement {
        let ids = event_rows(self.entries.iter().map(|entry| entry.event_id));
        let columns = RecalledColumns {
            now_us: self.db.dialect.now,
            event_id: "e.event_id",
            revision: "e.revision",
            changed: "e.changed",
            details: "e.details",
        };
        let sql = format!(
            "{with_v} SELECT {columns} FROM {FIRST_ROWS}",
            with_v = ids.with_v(),
            columns = columns.select(),
        );
        Statement::new(sql, ids.into_params())
    }

    fn answer_recalled(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        for row in rows {
            if let Some(recalled) = read_recalled(row)? {
                self.answer_event(&recalled);
            }
        }
        Ok(())
    }

    /// Answers the entries with this event as the earlier attempt would have.
    fn answer_event(&mut self, recalled: &Recalled) {
        // A result of this batch stays, unless it says that nothing changed. That may be the
        // effect of the earlier attempt.
        for (index, entry) in self.entries.iter().enumerate() {
            let result = &mut self.results[index];
            let is_open = result.is_none() || changed_nothing(result);
            if !is_open || entry.event_id != recalled.event {
                continue;
            }
            *result = Some(Ok(Applied::Before(recalled.outcome)));
            if let Some(signed_out) = &recalled.signed_out {
                self.signed_out.insert(index, signed_out.clone());
            }
        }
    }
}

/// Reads an entry that the trail has. Returns none for the row of one that it does not have.
fn read_recalled(row: &Row) -> Result<Option<Recalled>, StoreError> {
    let columns = RecalledColumns::AT;
    let Some(event) = row.optional_array::<16>(columns.event_id)? else {
        return Ok(None);
    };
    let details = read_details(&row.text(columns.details)?)?;
    // The sessions have ended since, so a new count would say 0. The row has the numbers of the
    // first answer.
    let signed_out = details
        .get(SignedOut::DETAIL)
        .and_then(|detail| SignedOut::from_detail(detail));
    Ok(Some(Recalled {
        event: EventId::from_bytes(event),
        outcome: Outcome {
            revision: Revision(row.unsigned(columns.revision)?),
            changed: row.count(columns.changed)?,
        },
        signed_out,
    }))
}

fn changed_nothing(result: &Option<EntryResult>) -> bool {
    matches!(result, Some(Ok(Applied::Now(0)) | Err(_)))
}
