//! Recovery: a new history that no gate can take for the old one.

use std::time::Duration;

use portcullis_contract::{
    delta::{self, Change, Scope},
    key::CredentialKind,
    position::{Incarnation, Position, Revision},
    view::Frame,
};

use super::{
    audit::row::{AuditRow, inserts, seal},
    checkpoints,
    columns::ONLY,
    connection::Statement,
    db::Db,
    installation::now,
    log,
    transaction::transaction,
    value::Value,
};
use crate::{Checkpoint, Recovered, StoreError};
use portcullis_domain::{Cause, Entry, Micros, Mutation, time::span};

/// An authority that has beaten within this time may still be running: it beats once a second.
const BEAT_RECENT: Duration = Duration::from_secs(30);

/// The number by which a recovery advances the revision and the serials: more than the lost history can have used.
pub(super) const RECOVERY_STRIDE: u64 = 1 << 32;

/// Begins a new history: a new incarnation, with the revision and every serial far beyond the old ones, and, if
/// `sign_out`, with everyone signed out.
pub(super) async fn recover(
    db: &mut Db,
    incarnation: Incarnation,
    sign_out: bool,
    checkpoint: &Checkpoint<'_>,
) -> Result<Recovered, StoreError> {
    let recovery = Recovery {
        incarnation,
        sign_out,
        entry: recovery_entry(),
    };
    transaction!(db, recovery.begin_history(db, checkpoint), then last)
}

struct Recovery {
    incarnation: Incarnation,
    sign_out: bool,
    /// The entry that the audit trail shows.
    entry: Entry,
}

impl Recovery {
    async fn begin_history(
        &self,
        db: &mut Db,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<(Recovered, Vec<Statement>), StoreError> {
        let now = now(db).await?;
        // Sequences are outside of transactions on PostgreSQL. If the recovery fails, they have
        // advanced in vain, which harms nothing.
        for statement in (db.dialect.advance_sequences)(RECOVERY_STRIDE) {
            db.query(&statement, &[]).await?;
        }

        // The lock first: an authority that still runs must not append between the old head and the new one.
        let lock = "UPDATE log_head SET revision = revision";
        db.query(lock, &[]).await?;
        let old = log::head(db).await?;
        refuse_beside_authority(db).await?;
        self.jump(db).await?;

        let (recovered, last) = self.append_first_batch(db, now, old).await?;
        // In the same transaction: an authority that starts after the recovery must find the new
        // view, or no recovery.
        let (view, code) = checkpoint(&recovered)?;
        checkpoints::insert(db, recovered.head.revision, &view, &code).await?;
        Ok((recovered, last))
    }

    /// Moves the head to the revision before the first one of the new history.
    async fn jump(&self, db: &mut Db) -> Result<(), StoreError> {
        let jump = "UPDATE log_head SET incarnation = $1, revision = revision + $2";
        let values: [Value; 2] = [self.incarnation.0[..].into(), (RECOVERY_STRIDE - 1).into()];
        db.query(jump, &values).await?;
        Ok(())
    }

    /// Appends the first batch of the new history. Returns it, and the last statements of the transaction.
    async fn append_first_batch(
        &self,
        db: &mut Db,
        now: Micros,
        old: Position,
    ) -> Result<(Recovered, Vec<Statement>), StoreError> {
        let cause = Some(Cause::Recovery);
        let changed = u32::from(self.sign_out);
        let mut rows = AuditRow::of(&self.entry, now, "", &[], cause, changed);
        let audit_digest = seal(&mut rows);
        let delta = delta::encode(&self.changes(), Vec::new());

        let [advance, batch] = log::advance_head(&db.dialect, now, &delta, &audit_digest);
        let head = log::position(&db.run(&advance).await?)?;
        let frame = Frame {
            revision: head.revision,
            delta,
            audit_digest,
        };

        let mut last = vec![batch];
        last.extend(inserts(&rows));
        if self.sign_out {
            last.extend(self.cutoffs(head.revision, now));
        }
        Ok((Recovered { frame, old, head }, last))
    }

    fn changes(&self) -> Vec<Change> {
        if !self.sign_out {
            return Vec::new();
        }
        vec![
            cut_everyone(CredentialKind::Session),
            cut_everyone(CredentialKind::ApiKey),
        ]
    }

    /// The statements that insert the cutoffs of everyone (scope 3).
    fn cutoffs(&self, revision: Revision, now: Micros) -> [Statement; 2] {
        let sessions = "INSERT INTO cutoffs (scope, scope_serial, revision, exempt_serial, event_id, at_us) \
             VALUES (3, 0, $1, 0, $2, $3)";
        let api_keys = "INSERT INTO api_key_cutoffs (scope, scope_serial, revision, event_id, at_us) \
             VALUES (3, 0, $1, $2, $3)";
        let values: [Value; 3] = [revision.into(), self.entry.event_id.into(), now.into()];
        [
            Statement::new(sessions, values.clone()),
            Statement::new(api_keys, values),
        ]
    }
}

/// Refuses a recovery while an authority runs: its next revocations would be acknowledged and missing from the new
/// history.
async fn refuse_beside_authority(db: &mut Db) -> Result<(), StoreError> {
    // With both ends: a beat from the future was written while the clock was ahead, and would
    // refuse every recovery until then.
    let sql = format!(
        "SELECT count(*) FROM authority_beat \
         WHERE authority_id <> $2 AND beat_us BETWEEN {now} - $1 AND {now} + $1",
        now = db.dialect.now
    );
    // The check of writes is not an authority. On SQLite there are no other rows: the lock of the directory keeps
    // authorities out.
    let values: [Value; 2] = [span(BEAT_RECENT).into(), log::WRITE_CHECK[..].into()];
    let rows = db.query(&sql, &values).await?;
    let beating = rows.first().map_or(Ok(0), |row| row.int(ONLY))?;
    if beating == 0 {
        return Ok(());
    }
    let seconds = BEAT_RECENT.as_secs();
    Err(StoreError::InUse(format!(
        "an authority has beaten within the last {seconds} s: stop every authority, wait {seconds} s and try again"
    )))
}

fn recovery_entry() -> Entry {
    Entry {
        reason: "portcullis recover".into(),
        ..Entry::internal(Mutation::SignOutEveryone)
    }
}

fn cut_everyone(credential: CredentialKind) -> Change {
    Change::Cut {
        credential,
        scope: Scope::Everyone,
        exempt: None,
    }
}
