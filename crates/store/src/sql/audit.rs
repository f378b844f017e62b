//! Rows of the audit trail and their digest.

use aws_lc_rs::digest::{Context, SHA256};
use portcullis_contract::{
    id::{EventId, UserId},
    position::Digest,
};

use super::{Row, Statement, Value, connection::ValueRows};
use crate::{
    domain::{Cause, Details, Entry, Micros},
    store::{StoreError, event_bytes},
};

/// One thing that was done to one target.
pub(super) struct AuditRow {
    pub(super) event: EventId,
    pub(super) ordinal: i64,
    pub(super) at: Micros,
    pub(super) tenant: String,
    pub(super) action: String,
    pub(super) target: String,
    pub(super) cause: Option<i64>,
    /// Its name, the service that called for it, its address.
    pub(super) actor: [String; 3],
    pub(super) reason: String,
    pub(super) user_message: String,
    pub(super) changed: i64,
    /// Whom it concerns.
    pub(super) user: String,
    /// JSON.
    pub(super) details: String,
    /// Of the batch's rows up to this one; see [`seal`].
    pub(super) digest: Digest,
}

/// What an entry touched.
#[derive(Clone, Default)]
pub(super) struct Target {
    /// The id of a session, user, key or tenant.
    pub(super) id: String,
    /// The user whom it concerns.
    pub(super) user: String,
}

impl Target {
    /// A user.
    pub(super) fn user(id: &UserId) -> Self {
        Self {
            id: id.to_string(),
            user: id.to_string(),
        }
    }
}

const COLUMNS: usize = 16;

/// The columns, in the order in which [`AuditRow::read`] takes them.
pub(super) const NAMES: &str = "event_id, ordinal, revision, at_us, tenant_id, action, target, cause, actor, via, \
     actor_ip, reason, user_message, changed, user_id, details, digest";

impl AuditRow {
    /// The rows of an entry that touched `targets`: at least one, so that the entry is known when it is repeated.
    pub(super) fn of(
        entry: &Entry,
        at: Micros,
        tenant: &str,
        targets: &[Target],
        cause: Option<Cause>,
        changed: u32,
    ) -> Vec<Self> {
        let whole = [Target::default()];
        let targets = if targets.is_empty() {
            &whole[..]
        } else {
            targets
        };
        let row = |(ordinal, target): (i64, &Target)| Self {
            event: entry.event_id,
            ordinal,
            at,
            tenant: tenant.to_owned(),
            action: entry.mutation.action().to_owned(),
            target: target.id.clone(),
            cause: cause.map(Cause::code),
            actor: [
                entry.actor.name.clone(),
                entry.actor.via.clone(),
                entry.actor.ip.clone(),
            ],
            reason: entry.reason.clone(),
            user_message: entry.user_message.clone(),
            changed: changed.into(),
            user: target.user.clone(),
            details: String::new(),
            digest: [0; 32],
        };
        (0..).zip(targets).map(row).collect()
    }

    /// Reads [`NAMES`], but for the revision and the digest.
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            event: EventId::from_bytes(row.array(0)?),
            ordinal: row.int(1)?,
            at: Micros(row.int(3)?),
            tenant: row.text(4)?,
            action: row.text(5)?,
            target: row.text(6)?,
            cause: row.optional_int(7)?,
            actor: [row.text(8)?, row.text(9)?, row.text(10)?],
            reason: row.text(11)?,
            user_message: row.text(12)?,
            changed: row.int(13)?,
            user: row.text(14)?,
            details: row.text(15)?,
            digest: [0; 32],
        })
    }

    /// [`NAMES`], but for the revision.
    fn values(&self) -> [Value; COLUMNS] {
        let [actor, via, ip] = self.actor.clone();
        [
            event_bytes(self.event).into(),
            self.ordinal.into(),
            self.at.0.into(),
            self.tenant.clone().into(),
            self.action.clone().into(),
            self.target.clone().into(),
            Value::Int(self.cause),
            actor.into(),
            via.into(),
            ip.into(),
            self.reason.clone().into(),
            self.user_message.clone().into(),
            self.changed.into(),
            self.user.clone().into(),
            self.details.clone().into(),
            self.digest[..].into(),
        ]
    }

    /// All columns but the revision, every text with its length before it. User and details came later: where one of
    /// them is said, they stand at the end, behind a number that is no length.
    fn update(&self, context: &mut Context) {
        let mut text = |text: &str| {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        };
        text(&self.tenant);
        text(&self.action);
        text(&self.target);
        self.actor.iter().for_each(|part| text(part));
        text(&self.reason);
        text(&self.user_message);
        context.update(&self.event.to_bytes());
        // No cause is not cause 0, which there is none of.
        let cause = self
            .cause
            .map_or(0, |code| if code == 0 { i64::MIN } else { code });
        for number in [self.ordinal, self.at.0, cause, self.changed] {
            context.update(&number.to_be_bytes());
        }
        if !(self.user.is_empty() && self.details.is_empty()) {
            context.update(&u64::MAX.to_be_bytes());
            for text in [&self.user, &self.details] {
                context.update(&(text.len() as u64).to_be_bytes());
                context.update(text.as_bytes());
            }
        }
    }
}

/// The digest over rows of one batch, in order of event and ordinal.
pub(super) struct Running(Context);

impl Running {
    /// Over no row yet.
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Over one row more.
    pub(super) fn add(&mut self, row: &AuditRow) -> Digest {
        row.update(&mut self.0);
        self.digest()
    }

    /// Over all so far.
    pub(super) fn digest(&self) -> Digest {
        self.0
            .clone()
            .finish()
            .as_ref()
            .try_into()
            .expect("SHA-256 gives 32 bytes")
    }
}

/// Puts a batch's rows in order, gives each the digest over all up to it, and returns the last, which is the batch's.
/// The others tell which row it was that somebody changed.
pub(super) fn seal(rows: &mut [AuditRow]) -> Digest {
    rows.sort_by_key(|row| (row.event.to_bytes(), row.ordinal));
    let mut running = Running::new();
    for row in rows {
        row.digest = running.add(row);
    }
    running.digest()
}

/// What writes the rows of the batch that the head stands at. It fails where the trail has an event already: a commit whose answer
/// was lost has come through after all, and the next attempt will find it.
pub(super) fn inserts(rows: &[AuditRow]) -> Vec<Statement> {
    let rows: Vec<_> = rows.iter().map(AuditRow::values).collect();
    let columns = (3..=COLUMNS)
        .map(|number| format!("v.column{number}"))
        .collect::<Vec<_>>()
        .join(", ");
    let insert = |rows: ValueRows| {
        let select = format!("SELECT v.column1, v.column2, h.revision, {columns}");
        let sql = format!(
            "INSERT INTO audit_events ({NAMES}) {select} FROM log_head h, (VALUES {}) AS v",
            rows.text
        );
        Statement {
            sql,
            params: rows.params,
        }
    };
    ValueRows::in_powers_of_two(&rows)
        .into_iter()
        .map(insert)
        .collect()
}

/// The first rows `e` of events, or nulls for those that the trail has not. An outer join begins at the ids, whatever the
/// planner thinks of the trail; and the sum hides the ordinal from it, by which alone it might go through another index.
pub(super) fn firsts(ids: &ValueRows) -> String {
    format!(
        "(VALUES {}) AS v LEFT JOIN audit_events e ON e.event_id = v.column1 AND e.ordinal + 0 = 0",
        ids.text
    )
}

/// Details as the rows keep them: none is an empty text.
pub(super) fn details_text(details: &Details) -> String {
    if details.is_empty() {
        String::new()
    } else {
        serde_json::to_string(details).expect("strings serialize")
    }
}

/// Details of a row.
pub(super) fn details(text: &str) -> Result<Details, StoreError> {
    if text.is_empty() {
        return Ok(Details::new());
    }
    serde_json::from_str(text)
        .map_err(|_| StoreError::Internal("details are not an object of texts".into()))
}

#[cfg(test)]
mod tests {
    use portcullis_contract::position::sha256;

    use super::*;

    fn row(event: u8, ordinal: i64, user: &str) -> AuditRow {
        AuditRow {
            event: EventId::from_bytes([event; 16]),
            ordinal,
            at: Micros(1_700_000_000_000_000),
            tenant: "acme".into(),
            action: "session.revoke".into(),
            target: "ses_1".into(),
            cause: None,
            actor: [
                "user:ada".into(),
                "service:back-office".into(),
                String::new(),
            ],
            reason: "grün".into(),
            user_message: String::new(),
            changed: 1,
            user: user.into(),
            details: String::new(),
            digest: [0; 32],
        }
    }

    fn integer(number: i64) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    fn text(text: &str) -> Vec<u8> {
        [integer(text.len() as i64), text.as_bytes().to_vec()].concat()
    }

    /// The formula at the top of `log.proto`.
    fn documented(row: &AuditRow) -> Vec<u8> {
        let [actor, via, actor_ip] = &row.actor;
        let texts = [
            &row.tenant,
            &row.action,
            &row.target,
            actor,
            via,
            actor_ip,
            &row.reason,
            &row.user_message,
        ];
        let mut bytes: Vec<u8> = texts.iter().flat_map(|part| text(part)).collect();
        bytes.extend(row.event.to_bytes());
        for number in [row.ordinal, row.at.0, row.cause.unwrap_or(0), row.changed] {
            bytes.extend(integer(number));
        }
        if !(row.user.is_empty() && row.details.is_empty()) {
            bytes.extend([0xff; 8]);
            bytes.extend(text(&row.user));
            bytes.extend(text(&row.details));
        }
        bytes
    }

    #[test]
    fn the_digest_of_audit_rows_is_what_the_proto_says() {
        let mut rows = [row(2, 0, ""), row(1, 1, "ada"), row(1, 0, "")];
        let digest = seal(&mut rows);
        let order: Vec<_> = rows.iter().map(|row| row.ordinal).collect();
        assert_eq!(order, [0, 1, 0]);
        let bytes: Vec<u8> = rows.iter().flat_map(documented).collect();
        assert_eq!(digest, sha256(&bytes));
        let bytes: Vec<u8> = rows[..2].iter().flat_map(documented).collect();
        assert_eq!(rows[1].digest, sha256(&bytes));
    }
}
