//! Rows of the audit trail and their digest.

use aws_lc_rs::digest::{Context, SHA256};
use portcullis_contract::{id::EventId, position::Digest};

use super::{Connection, Value, connection::ValueRows};
use crate::{
    domain::{Cause, Entry, Micros},
    store::{StoreError, event_bytes},
};

/// One thing that an entry touched.
pub(super) struct AuditRow {
    event: EventId,
    ordinal: i64,
    at: Micros,
    tenant: String,
    action: &'static str,
    target: String,
    cause: Option<Cause>,
    actor: [String; 3],
    reason: String,
    user_message: String,
    changed: u32,
}

const COLUMNS: usize = 14;

impl AuditRow {
    /// The rows of an entry that touched `targets`: at least one, so that the entry is known when it is repeated.
    pub(super) fn of(
        entry: &Entry,
        at: Micros,
        tenant: &str,
        targets: &[String],
        cause: Option<Cause>,
        changed: u32,
    ) -> Vec<Self> {
        let whole = [String::new()];
        let targets = if targets.is_empty() { &whole[..] } else { targets };
        let row = |(ordinal, target): (i64, &String)| Self {
            event: entry.event_id,
            ordinal,
            at,
            tenant: tenant.to_owned(),
            action: entry.mutation.action(),
            target: target.clone(),
            cause,
            actor: [entry.actor.name.clone(), entry.actor.via.clone(), entry.actor.ip.clone()],
            reason: entry.reason.clone(),
            user_message: entry.user_message.clone(),
            changed,
        };
        (0..).zip(targets).map(row).collect()
    }

    fn values(&self, revision: u64) -> [Value; COLUMNS] {
        let [actor, via, ip] = self.actor.clone();
        [
            event_bytes(self.event).into(),
            self.ordinal.into(),
            revision.into(),
            self.at.0.into(),
            self.tenant.clone().into(),
            self.action.into(),
            self.target.clone().into(),
            Value::Int(self.cause.map(Cause::code)),
            actor.into(),
            via.into(),
            ip.into(),
            self.reason.clone().into(),
            self.user_message.clone().into(),
            Value::from(u64::from(self.changed)),
        ]
    }

    fn update(&self, context: &mut Context) {
        let mut text = |text: &str| {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        };
        text(&self.tenant);
        text(self.action);
        text(&self.target);
        self.actor.iter().for_each(|part| text(part));
        text(&self.reason);
        text(&self.user_message);
        context.update(&self.event.to_bytes());
        for number in [self.ordinal, self.at.0, self.cause.map_or(0, Cause::code), self.changed.into()] {
            context.update(&number.to_be_bytes());
        }
    }
}

/// The digest over a batch's rows: all columns but the revision, in order of event and ordinal, every text with its
/// length before it.
pub(super) fn digest(rows: &mut [AuditRow]) -> Digest {
    rows.sort_by_key(|row| (row.event.to_bytes(), row.ordinal));
    let mut context = Context::new(&SHA256);
    rows.iter().for_each(|row| row.update(&mut context));
    context.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

const NAMES: &str = "event_id, ordinal, revision, at_us, tenant_id, action, target, cause, actor, via, actor_ip, \
     reason, user_message, changed";

/// Writes the rows of the batch at `revision`.
pub(super) async fn insert(
    connection: &mut dyn Connection,
    rows: &[AuditRow],
    revision: u64,
) -> Result<(), StoreError> {
    // PostgreSQL takes 65,535 parameters, SQLite 32,766.
    for rows in rows.chunks(1_024) {
        let values = ValueRows::new(rows.iter().map(|row| row.values(revision)));
        let sql = format!(
            "INSERT INTO audit_events ({NAMES}) VALUES {} ON CONFLICT DO NOTHING RETURNING ordinal",
            values.text
        );
        if connection.query(&sql, &values.params).await?.len() != rows.len() {
            // A commit whose answer was lost has come through after all: the next attempt will find it.
            return Err(StoreError::Conflict("an event is in the log already".into()));
        }
    }
    Ok(())
}
