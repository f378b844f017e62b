//! Rows of the audit trail, and the digest over them.

use aws_lc_rs::digest::{Context, SHA256};
use portcullis_contract::{
    id::{EventId, UserId},
    position::{Digest, Revision},
    random,
};

use super::super::{
    columns::{Column, columns},
    connection::Statement,
    json::json,
    row::Row,
    value::Value,
    values::ValueRows,
};
use crate::StoreError;
use portcullis_domain::{Cause, Details, Entry, Micros};

columns! {
    /// The columns of an [`AuditRow`].
    AuditColumns {
        event_id,
        ordinal,
        at_us,
        tenant_id,
        action,
        target,
        cause,
        actor,
        via,
        actor_ip,
        reason,
        user_message,
        changed,
        user_id,
        details,
        digest,
        actor_proof,
        subject_proof,
        actor_erased_by,
        subject_erased_by,
    }
}

columns! {
    /// The revision of the row's batch. It is known only when the head has advanced, so it is not among the values.
    RevisionColumn after AuditColumns { revision }
}

columns! {
    /// An event to look up.
    EventColumns { event_id }
}

/// The proof of a part of a row, from which its digest is known: of the author, or of the subject.
///
/// The digest has a salt. Without it, everybody who has the digest could try all addresses or all users until one fits.
/// An erasure keeps the digest, so that the chain can be verified, and destroys the salt together with the texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sql) enum Proof {
    /// Bytes that are neither of the others: the row was changed, or is not sealed yet.
    None,
    /// The salt. The texts are there.
    Salt([u8; SALT_BYTES]),
    /// The digest. The texts were erased.
    Digest(Digest),
}

const SALT_BYTES: usize = 16;

impl Proof {
    pub(super) fn read(bytes: &[u8]) -> Self {
        // A salt has 16 bytes and a digest 32, so the length tells them apart. The statements of an
        // erasure go by the same length.
        if let Ok(salt) = bytes.try_into() {
            return Self::Salt(salt);
        }
        match bytes.try_into() {
            Ok(digest) => Self::Digest(digest),
            Err(_) => Self::None,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Salt(salt) => salt,
            Self::Digest(digest) => digest,
        }
    }

    /// The digest of a part with these texts.
    fn digest(&self, texts: &[&str]) -> Digest {
        let salt = match self {
            Self::Digest(digest) => return *digest,
            Self::Salt(salt) => &salt[..],
            Self::None => &[],
        };
        let mut context = Context::new(&SHA256);
        context.update(salt);
        for text in texts {
            add_text(&mut context, text);
        }
        to_digest(context)
    }

    pub(in crate::sql) fn is_erased(&self) -> bool {
        matches!(self, Self::Digest(_))
    }
}

/// One thing that was done to one target.
pub(in crate::sql) struct AuditRow {
    pub(in crate::sql) event: EventId,
    pub(in crate::sql) ordinal: i64,
    pub(in crate::sql) at: Micros,
    pub(in crate::sql) tenant: String,
    pub(in crate::sql) action: String,
    pub(in crate::sql) target: String,
    pub(in crate::sql) cause: Option<i64>,
    /// The name of the actor, the service that called for it, the address of the actor.
    pub(in crate::sql) actor: [String; 3],
    pub(in crate::sql) reason: String,
    pub(in crate::sql) user_message: String,
    pub(in crate::sql) changed: i64,
    /// The id of the user concerned.
    pub(in crate::sql) user: String,
    /// JSON.
    pub(in crate::sql) details: String,
    /// Over the batch's rows up to this one; see [`seal`].
    pub(in crate::sql) digest: Digest,
    /// Of the name and the address of the actor; see [`seal`].
    pub(in crate::sql) actor_proof: Proof,
    /// Of target, reason, message, user and details.
    pub(in crate::sql) subject_proof: Proof,
    /// The erasures of both parts.
    pub(in crate::sql) actor_erased_by: Option<EventId>,
    pub(in crate::sql) subject_erased_by: Option<EventId>,
}

/// A thing that an entry touched.
#[derive(Clone, Default)]
pub(in crate::sql) struct Target {
    /// The id of a session, user, key or tenant.
    pub(in crate::sql) id: String,
    /// The id of the user concerned.
    pub(in crate::sql) user: String,
}

impl Target {
    pub(in crate::sql) fn user(id: &UserId) -> Self {
        Self {
            id: id.to_string(),
            user: id.to_string(),
        }
    }
}

impl AuditRow {
    /// The rows of an entry that touched `targets`.
    pub(in crate::sql) fn of(
        entry: &Entry,
        at: Micros,
        tenant: &str,
        targets: &[Target],
        cause: Option<Cause>,
        changed: u32,
    ) -> Vec<Self> {
        // There is at least one, because a repeated entry is recognized by its row.
        let no_target = [Target::default()];
        let targets = if targets.is_empty() {
            &no_target[..]
        } else {
            targets
        };
        let mut rows = Vec::with_capacity(targets.len());
        for (ordinal, target) in (0..).zip(targets) {
            rows.push(Self {
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
                details: details_text(&entry.details),
                digest: [0; 32],
                actor_proof: Proof::None,
                subject_proof: Proof::None,
                actor_erased_by: None,
                subject_erased_by: None,
            });
        }
        rows
    }

    /// Reads [`AuditColumns`], but for the digest.
    pub(in crate::sql) fn read(row: &Row) -> Result<Self, StoreError> {
        let columns = AuditColumns::AT;
        Ok(Self {
            event: EventId::from_bytes(row.array(columns.event_id)?),
            ordinal: row.int(columns.ordinal)?,
            at: row.time(columns.at_us)?,
            tenant: row.text(columns.tenant_id)?,
            action: row.text(columns.action)?,
            target: row.text(columns.target)?,
            cause: row.optional_int(columns.cause)?,
            actor: [
                row.text(columns.actor)?,
                row.text(columns.via)?,
                row.text(columns.actor_ip)?,
            ],
            reason: row.text(columns.reason)?,
            user_message: row.text(columns.user_message)?,
            changed: row.int(columns.changed)?,
            user: row.text(columns.user_id)?,
            details: row.text(columns.details)?,
            digest: [0; 32],
            actor_proof: Proof::read(row.blob(columns.actor_proof)?),
            subject_proof: Proof::read(row.blob(columns.subject_proof)?),
            actor_erased_by: read_event(row, columns.actor_erased_by)?,
            subject_erased_by: read_event(row, columns.subject_erased_by)?,
        })
    }

    fn values(&self) -> AuditColumns<Value> {
        let [actor, via, actor_ip] = self.actor.clone();
        AuditColumns {
            event_id: self.event.into(),
            ordinal: self.ordinal.into(),
            at_us: self.at.into(),
            tenant_id: self.tenant.clone().into(),
            action: self.action.clone().into(),
            target: self.target.clone().into(),
            cause: Value::Int(self.cause),
            actor: actor.into(),
            via: via.into(),
            actor_ip: actor_ip.into(),
            reason: self.reason.clone().into(),
            user_message: self.user_message.clone().into(),
            changed: self.changed.into(),
            user_id: self.user.clone().into(),
            details: self.details.clone().into(),
            digest: self.digest[..].into(),
            actor_proof: self.actor_proof.bytes().into(),
            subject_proof: self.subject_proof.bytes().into(),
            // A new row has nothing that was erased.
            actor_erased_by: Value::Blob(None),
            subject_erased_by: Value::Blob(None),
        }
    }

    /// The digest of the author.
    pub(in crate::sql) fn actor_digest(&self) -> Digest {
        let [actor, _, ip] = &self.actor;
        self.actor_proof.digest(&[actor, ip])
    }

    /// The digest of the subject.
    pub(in crate::sql) fn subject_digest(&self) -> Digest {
        self.subject_proof.digest(&self.subject_texts())
    }

    fn subject_texts(&self) -> [&str; 5] {
        [
            &self.target,
            &self.reason,
            &self.user_message,
            &self.user,
            &self.details,
        ]
    }

    /// True if a part that was erased has a text, which no digest covers.
    pub(super) fn has_text_in_erased_part(&self) -> bool {
        let [actor, _, ip] = &self.actor;
        let actor_is_empty = actor.is_empty() && ip.is_empty();
        let subject_is_empty = self.subject_texts().iter().all(|text| text.is_empty());
        self.actor_proof.is_erased() && !actor_is_empty
            || self.subject_proof.is_erased() && !subject_is_empty
    }

    /// The digest of the row: of all columns but the revision.
    pub(super) fn row_digest(&self) -> Digest {
        let mut context = Context::new(&SHA256);
        self.update(&mut context);
        to_digest(context)
    }

    fn update(&self, context: &mut Context) {
        // Each text follows its length and everything else has a fixed length, so that no two rows have the same bytes.
        add_text(context, &self.tenant);
        add_text(context, &self.action);
        // `via` names a service and not a person. No erasure clears it, so it needs no salt.
        let [_, via, _] = &self.actor;
        add_text(context, via);
        context.update(&self.event.to_bytes());
        // There is no cause 0, so 0 stands for none. A row that somebody changed to 0 must not look like that.
        let cause = match self.cause {
            None => 0,
            Some(0) => i64::MIN,
            Some(code) => code,
        };
        for number in [self.ordinal, self.at.0, cause, self.changed] {
            context.update(&number.to_be_bytes());
        }
        context.update(&self.actor_digest());
        context.update(&self.subject_digest());
    }
}

fn read_event(row: &Row, column: Column) -> Result<Option<EventId>, StoreError> {
    let bytes = row.optional_array::<16>(column)?;
    Ok(bytes.map(EventId::from_bytes))
}

fn to_digest(context: Context) -> Digest {
    context
        .finish()
        .as_ref()
        .try_into()
        .expect("SHA-256 gives 32 bytes")
}

fn add_text(context: &mut Context, text: &str) {
    context.update(&(text.len() as u64).to_be_bytes());
    context.update(text.as_bytes());
}

/// The digest over the rows of one batch, in the order of event and ordinal.
pub(super) struct RunningDigest(Context);

impl RunningDigest {
    /// The digest over no rows.
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Adds a row, and returns the digest over the rows up to it.
    pub(super) fn add(&mut self, row: &AuditRow) -> Digest {
        self.add_digest(&row.row_digest())
    }

    /// Adds a row of which only the digest is left.
    pub(super) fn add_digest(&mut self, row: &Digest) -> Digest {
        // Over digests and not over the bytes of rows, so that rows can go and those beside them still be verified.
        self.0.update(row);
        self.digest()
    }

    pub(super) fn digest(&self) -> Digest {
        to_digest(self.0.clone())
    }
}

/// Puts the rows of a batch in order, draws their salts, and gives each the digest over the rows up to it. Returns the
/// last digest, which is that of the batch. The others tell which row somebody changed.
pub(in crate::sql) fn seal(rows: &mut [AuditRow]) -> Digest {
    // The order of the rows is part of the digest. It must not depend on the order of the calls,
    // which nobody can look up later.
    rows.sort_by_key(|row| (row.event.to_bytes(), row.ordinal));
    let mut running = RunningDigest::new();
    for row in rows {
        row.actor_proof = Proof::Salt(random());
        row.subject_proof = Proof::Salt(random());
        row.digest = running.add(row);
    }
    running.digest()
}

/// The columns of a row with its revision, for SELECT.
pub(super) fn select_columns() -> String {
    format!("{}, revision", AuditColumns::names())
}

pub(super) fn revision(row: &Row) -> Result<Revision, StoreError> {
    row.revision(RevisionColumn::AT.revision)
}

/// The statements that insert the rows of the batch at the head.
pub(in crate::sql) fn inserts(rows: &[AuditRow]) -> Vec<Statement> {
    // They fail when the trail has an event already. Then an earlier attempt has committed after
    // all and its answer was lost; the next attempt will find its rows.
    let mut statements = Vec::new();
    for rows in ValueRows::in_powers_of_two(rows.iter().map(AuditRow::values)) {
        // No ON CONFLICT: a duplicate must fail the batch, not be dropped from a digest that covers
        // it.
        let sql = format!(
            "{with_v} INSERT INTO audit_events ({columns}, revision) \
             SELECT {values}, h.revision FROM log_head h, v",
            with_v = rows.with_v(),
            columns = AuditColumns::names(),
            values = AuditColumns::of("v"),
        );
        statements.push(Statement::new(sql, rows.into_params()));
    }
    statements
}

/// Events to look up by [`FIRST_ROWS`].
pub(in crate::sql) fn event_rows(ids: impl IntoIterator<Item = EventId>) -> ValueRows {
    ValueRows::new(ids.into_iter().map(|id| EventColumns {
        event_id: Value::from(id),
    }))
}

/// The first row `e` of each of the events `v`, or nulls for an event that the trail does not have.
///
/// The outer join begins at the events, whatever the planner expects of the trail. The sum hides the ordinal, by which
/// alone the planner could go through another index.
pub(in crate::sql) const FIRST_ROWS: &str =
    "v LEFT JOIN audit_events e ON e.event_id = v.event_id AND e.ordinal + 0 = 0";

/// Details as a row keeps them. No details are the empty text.
pub(in crate::sql) fn details_text(details: &Details) -> String {
    if details.is_empty() {
        String::new()
    } else {
        json(details)
    }
}

/// Reads the details of a row.
pub(in crate::sql) fn read_details(text: &str) -> Result<Details, StoreError> {
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
            actor_proof: Proof::None,
            subject_proof: Proof::None,
            actor_erased_by: None,
            subject_erased_by: None,
        }
    }

    fn integer(number: i64) -> Vec<u8> {
        number.to_be_bytes().to_vec()
    }

    fn text(text: &str) -> Vec<u8> {
        [integer(text.len() as i64), text.as_bytes().to_vec()].concat()
    }

    fn part(proof: &Proof, texts: &[&str]) -> [u8; 32] {
        let texts: Vec<u8> = texts.iter().flat_map(|part| text(part)).collect();
        sha256(&[proof.bytes().to_vec(), texts].concat())
    }

    /// The formula at the top of `log.proto`.
    fn documented(row: &AuditRow) -> Vec<u8> {
        let [actor, via, actor_ip] = &row.actor;
        let mut bytes: Vec<u8> = [&row.tenant, &row.action, via]
            .into_iter()
            .flat_map(|part| text(part))
            .collect();
        bytes.extend(row.event.to_bytes());
        for number in [row.ordinal, row.at.0, row.cause.unwrap_or(0), row.changed] {
            bytes.extend(integer(number));
        }
        bytes.extend(part(&row.actor_proof, &[actor, actor_ip]));
        let subject = [
            &row.target[..],
            &row.reason,
            &row.user_message,
            &row.user,
            &row.details,
        ];
        bytes.extend(part(&row.subject_proof, &subject));
        bytes
    }

    fn digest_of(row: &AuditRow) -> [u8; 32] {
        sha256(&documented(row))
    }

    #[test]
    fn a_row_without_its_texts_has_the_same_digest() {
        let mut rows = [row(1, 0, "ada"), row(1, 1, "bob")];
        let digest = seal(&mut rows);
        let mut running = RunningDigest::new();
        let [mut erased, kept] = rows;
        erased.actor_proof = Proof::Digest(erased.actor_digest());
        erased.subject_proof = Proof::Digest(erased.subject_digest());
        assert!(erased.has_text_in_erased_part());
        erased.actor = [String::new(), erased.actor[1].clone(), String::new()];
        for text in [&mut erased.target, &mut erased.reason, &mut erased.user] {
            text.clear();
        }
        assert!(!erased.has_text_in_erased_part());
        running.add(&erased);
        assert_eq!(running.add(&kept), digest);
    }

    #[test]
    fn equal_texts_have_different_digests() {
        let mut rows = [row(1, 0, "ada"), row(1, 1, "ada")];
        seal(&mut rows);
        assert_ne!(rows[0].subject_digest(), rows[1].subject_digest());
        assert_ne!(rows[0].actor_digest(), rows[1].actor_digest());
    }

    #[test]
    fn the_digest_of_audit_rows_is_as_the_proto_says() {
        let mut rows = [row(2, 0, ""), row(1, 1, "ada"), row(1, 0, "")];
        let digest = seal(&mut rows);
        let order: Vec<_> = rows.iter().map(|row| row.ordinal).collect();
        assert_eq!(order, [0, 1, 0]);
        let bytes: Vec<u8> = rows.iter().flat_map(digest_of).collect();
        assert_eq!(digest, sha256(&bytes));
        let bytes: Vec<u8> = rows[..2].iter().flat_map(digest_of).collect();
        assert_eq!(rows[1].digest, sha256(&bytes));
    }
}
