//! The erasure of users and tenants: its row, and the steps that remove the data of the user or the tenant.
//!
//! Each step is one small transaction that locks the row of the erasure first, so the steps of several authorities take
//! turns, and the numbers in the row are those of the rows that went.

use std::time::Duration;

use portcullis_contract::{
    id::{EventId, TenantId, UserId},
    position::Digest,
};

use super::{
    audit::row::{AuditColumns, AuditRow},
    columns::{Column, columns},
    cutoffs::IS_CUT,
    db::Db,
    json::json,
    row::{Row, only_row},
    transaction::transaction,
    value::Value,
    values::ValueRows,
};
use crate::StoreError;
use portcullis_domain::{Details, ErasedCounts, Erasure, Mutation, erased_owner};

columns! {
    /// A row of `erasures`.
    ErasureColumns { event_id, tenant_id, user_id, serial, begun_us, sessions, audit_parts, other_rows }
}

columns! {
    /// The time of the answer.
    NowColumn after ErasureColumns { now_us }
}

columns! {
    /// The numbers of an erasure.
    CountColumns { sessions, audit_parts, other_rows }
}

columns! {
    /// A part of an audit row to erase, with the digest that takes the place of its salt.
    ErasedPartColumns { event_id, ordinal, proof }
}

/// A user, or the whole tenant.
type Subject<'a> = (&'a TenantId, Option<&'a UserId>);

/// True if the tenant of the user `u` is not being deleted.
pub(super) const IS_ADMITTED: &str = "(SELECT e.serial FROM erasures e \
     WHERE e.tenant_id = u.tenant_id AND e.user_id = '' LIMIT 1) IS NULL";

/// True if the tenant of the sign-in `v` is not being deleted.
pub(super) const OF_SIGN_IN_IS_ADMITTED: &str = "(SELECT e.serial FROM erasures e \
     WHERE e.tenant_id = v.tenant_id AND e.user_id = '' LIMIT 1) IS NULL";

/// A part of an audit row: the columns to clear, and the column of its proof.
struct Part {
    clear: &'static str,
    proof: &'static str,
    erased_by: &'static str,
    digest: fn(&AuditRow) -> Digest,
}

/// The actor and its address.
const ACTOR: Part = Part {
    clear: "actor = '', actor_ip = ''",
    proof: "actor_proof",
    erased_by: "actor_erased_by",
    digest: AuditRow::actor_digest,
};

/// The action and its subject, in words that may name the user.
const SUBJECT: Part = Part {
    clear: "target = '', reason = '', user_message = '', user_id = '', details = ''",
    proof: "subject_proof",
    erased_by: "subject_erased_by",
    digest: AuditRow::subject_digest,
};

/// Begins an erasure, in the transaction of its entry. Returns false when it is under way already.
pub(super) async fn begin(
    db: &mut Db,
    event: EventId,
    (tenant, user): Subject<'_>,
    serial: u64,
) -> Result<bool, StoreError> {
    let sql = format!(
        "INSERT INTO erasures (event_id, tenant_id, user_id, serial, begun_us) VALUES ($1, $2, $3, $4, {now}) \
         ON CONFLICT DO NOTHING RETURNING serial",
        now = db.dialect.now,
    );
    let user = user.map_or("", UserId::as_str);
    let values: [Value; 4] = [event.into(), tenant.into(), user.into(), serial.into()];
    Ok(!db.query(&sql, &values).await?.is_empty())
}

/// Whether an erasure of this user is under way.
pub(super) async fn is_under_way(
    db: &mut Db,
    tenant: &TenantId,
    user: &UserId,
) -> Result<bool, StoreError> {
    let sql = "SELECT serial FROM erasures WHERE tenant_id = $1 AND user_id = $2";
    let rows = db.query(sql, &[tenant.into(), user.into()]).await?;
    Ok(!rows.is_empty())
}

/// Ends the erasure of a user, in the transaction of its entry. Returns none when it has ended before.
pub(super) async fn finish_user(
    db: &mut Db,
    event: EventId,
    (tenant, user): (&TenantId, &UserId),
) -> Result<Option<ErasedCounts>, StoreError> {
    let counts = end(db, event).await?;
    if counts.is_some() {
        let delete = "DELETE FROM users WHERE tenant_id = $1 AND user_id = $2";
        db.query(delete, &[tenant.into(), user.into()]).await?;
    }
    Ok(counts)
}

/// Ends the deletion of a tenant, in the transaction of its entry. Returns none when it has ended before.
pub(super) async fn finish_tenant(
    db: &mut Db,
    event: EventId,
    tenant: &TenantId,
) -> Result<Option<ErasedCounts>, StoreError> {
    let counts = end(db, event).await?;
    if counts.is_some() {
        // Users that a sign-out has named since the last step are few.
        for table in ["users", "policies", "tenants"] {
            let delete = format!("DELETE FROM {table} WHERE tenant_id = $1");
            db.query(&delete, &[tenant.into()]).await?;
        }
    }
    Ok(counts)
}

async fn end(db: &mut Db, event: EventId) -> Result<Option<ErasedCounts>, StoreError> {
    let sql = format!(
        "DELETE FROM erasures WHERE event_id = $1 RETURNING {}",
        CountColumns::names()
    );
    let rows = db.query(&sql, &[event.into()]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let columns = CountColumns::AT;
    Ok(Some(ErasedCounts {
        sessions: row.unsigned(columns.sessions)?,
        audit_parts: row.unsigned(columns.audit_parts)?,
        other_rows: row.unsigned(columns.other_rows)?,
    }))
}

/// The details of the event that ends an erasure.
pub(super) fn details(counts: ErasedCounts) -> Details {
    let numbers = [
        ("sessions", counts.sessions),
        (ErasedCounts::AUDIT_PARTS_DETAIL, counts.audit_parts),
        ("other_rows", counts.other_rows),
    ];
    let mut details = Details::new();
    for (name, number) in numbers {
        details.insert(name.to_owned(), number.to_string());
    }
    details
}

/// The erasures that are under way, oldest first.
pub(super) async fn list(db: &mut Db, limit: u32) -> Result<Vec<Erasure>, StoreError> {
    let sql = format!(
        "SELECT {columns}, {now} AS now_us FROM erasures ORDER BY begun_us, event_id LIMIT $1",
        columns = ErasureColumns::names(),
        now = db.dialect.now,
    );
    let rows = db.query(&sql, &[i64::from(limit).into()]).await?;
    rows.iter().map(read).collect()
}

/// The erasure of a user or a tenant that is under way.
pub(super) async fn find(
    db: &mut Db,
    (tenant, user): Subject<'_>,
) -> Result<Option<Erasure>, StoreError> {
    let sql = format!(
        "SELECT {columns}, {now} AS now_us FROM erasures WHERE tenant_id = $1 AND user_id = $2",
        columns = ErasureColumns::names(),
        now = db.dialect.now,
    );
    let user = user.map_or("", UserId::as_str);
    let rows = db.query(&sql, &[tenant.into(), user.into()]).await?;
    rows.first().map(read).transpose()
}

fn read(row: &Row) -> Result<Erasure, StoreError> {
    let columns = ErasureColumns::AT;
    let begun = row.time(columns.begun_us)?;
    let now = row.time(NowColumn::AT.now_us)?;
    let age_us = u64::try_from(now.0 - begun.0).unwrap_or_default();
    Ok(Erasure {
        id: EventId::from_bytes(row.array(columns.event_id)?),
        tenant_id: row.tenant_id(columns.tenant_id)?,
        user_id: read_user(&row.text(columns.user_id)?)?,
        serial: row.unsigned(columns.serial)?,
        begun,
        age: Duration::from_micros(age_us),
        removed: ErasedCounts {
            sessions: row.unsigned(columns.sessions)?,
            audit_parts: row.unsigned(columns.audit_parts)?,
            other_rows: row.unsigned(columns.other_rows)?,
        },
    })
}

fn read_user(id: &str) -> Result<Option<UserId>, StoreError> {
    if id.is_empty() {
        return Ok(None);
    }
    let user = UserId::parse(id)
        .map_err(|_| StoreError::Internal("an erasure of something that is no user".into()))?;
    Ok(Some(user))
}

/// Whether the outbox has an event that names the user, or the tenant.
pub(super) async fn has_pending_events(db: &mut Db, erasure: &Erasure) -> Result<bool, StoreError> {
    // The outbox is JSON. As the user concerned and as the actor (`user:<id>`), the id stands at the end of a string.
    let id = match &erasure.user_id {
        Some(user) => user.as_str(),
        None => erasure.tenant_id.as_str(),
    };
    let pattern = format!("%{}\"%", pattern_of(&in_json(id)));
    let sql = "SELECT size FROM audit_outbox WHERE events LIKE $1 ESCAPE '\\' LIMIT 1";
    Ok(!db.query(sql, &[pattern.into()]).await?.is_empty())
}

/// Removes at most `limit` rows of one kind.
pub(super) async fn erase_some(
    db: &mut Db,
    erasure: &Erasure,
    limit: u32,
) -> Result<ErasedCounts, StoreError> {
    transaction!(db, async {
        let mut step = Step {
            db: &mut *db,
            erasure,
            limit,
        };
        if !step.lock().await? {
            return Ok(ErasedCounts::default());
        }
        let counts = step.run().await?;
        if !counts.is_nothing() {
            step.count(counts).await?;
        }
        Ok::<_, StoreError>(counts)
    })
}

struct Step<'a> {
    db: &'a mut Db,
    erasure: &'a Erasure,
    limit: u32,
}

impl Step<'_> {
    /// Locks the row of the erasure. Returns false when it has ended.
    async fn lock(&mut self) -> Result<bool, StoreError> {
        let sql = "UPDATE erasures SET sessions = sessions WHERE event_id = $1 RETURNING serial";
        Ok(!self
            .db
            .query(sql, &[self.erasure.id.into()])
            .await?
            .is_empty())
    }

    async fn count(&mut self, counts: ErasedCounts) -> Result<(), StoreError> {
        let sql = "UPDATE erasures SET sessions = sessions + $2, audit_parts = audit_parts + $3, \
             other_rows = other_rows + $4 WHERE event_id = $1";
        let values: [Value; 4] = [
            self.erasure.id.into(),
            counts.sessions.into(),
            counts.audit_parts.into(),
            counts.other_rows.into(),
        ];
        self.db.query(sql, &values).await?;
        Ok(())
    }

    /// Removes rows of the first kind that has some.
    async fn run(&mut self) -> Result<ErasedCounts, StoreError> {
        let user = self.erasure.user_id.as_ref();
        let mut counts = ErasedCounts {
            audit_parts: self.erase_parts().await?,
            ..ErasedCounts::default()
        };
        if counts.is_nothing() {
            let (sql, values) = sessions_statement(&self.erasure.tenant_id, user);
            counts.sessions = self.change(&sql, values).await?;
        }
        if counts.is_nothing() {
            counts.other_rows = match user {
                Some(user) => self.remove_others_of_user(user).await?,
                None => self.remove_others_of_tenant().await?,
            };
        }
        Ok(counts)
    }

    /// Runs a statement whose parameter `$1` is the limit, and returns the number of its rows.
    async fn change(&mut self, sql: &str, more: Vec<Value>) -> Result<u64, StoreError> {
        let mut values: Vec<Value> = vec![i64::from(self.limit).into()];
        values.extend(more);
        Ok(self.db.query(sql, &values).await?.len() as u64)
    }

    async fn remove_others_of_user(&mut self, user: &UserId) -> Result<u64, StoreError> {
        let key: Vec<Value> = vec![(&self.erasure.tenant_id).into(), user.into()];
        let mut with_owner = key.clone();
        with_owner.push(erased_owner(self.erasure.serial).into());
        // The use of a key is found by its owner, so it goes before the owner does.
        let statements = [
            (HISTORY, key.clone()),
            (KEY_HOURS, key.clone()),
            (API_KEYS, with_owner),
        ];
        for (sql, values) in statements {
            let removed = self.change(sql, values).await?;
            if removed > 0 {
                return Ok(removed);
            }
        }
        Ok(self.db.query(NAMES, &key).await?.len() as u64)
    }

    async fn remove_others_of_tenant(&mut self) -> Result<u64, StoreError> {
        // Users last: while one is there, no other user can take its id.
        let tables = [
            ("user_history", "tenant_id, user_id, kind, value"),
            ("api_key_hours", "tenant_id, key_id, hour"),
            ("api_keys", "tenant_id, key_id"),
            ("users", "tenant_id, user_id"),
        ];
        for (table, key) in tables {
            let sql = format!(
                "DELETE FROM {table} WHERE ({key}) IN \
                     (SELECT {key} FROM {table} WHERE tenant_id = $2 ORDER BY {key} LIMIT $1) \
                 RETURNING tenant_id"
            );
            let tenant = vec![(&self.erasure.tenant_id).into()];
            let removed = self.change(&sql, tenant).await?;
            if removed > 0 {
                return Ok(removed);
            }
        }
        Ok(0)
    }

    /// Erases parts of audit rows. An erased part leaves the indexes by user and by actor, so the next step finds others.
    async fn erase_parts(&mut self) -> Result<u64, StoreError> {
        // One kind a step, so that a step stays within its limit whatever the trail has.
        let kinds = match &self.erasure.user_id {
            Some(user) => parts_of_user(user),
            None => parts_of_tenant(),
        };
        for found in kinds {
            let rows = self.find_rows(&found).await?;
            if !rows.is_empty() {
                return self.erase_part(found.part, &rows).await;
            }
        }
        Ok(0)
    }

    async fn find_rows(&mut self, found: &Found) -> Result<Vec<AuditRow>, StoreError> {
        // A row that somebody has changed has no salt to destroy.
        let sql = format!(
            "SELECT {columns} FROM audit_events WHERE tenant_id = $1 AND {condition} AND length({proof}) = 16 \
             ORDER BY {by}, at_us, event_id, ordinal LIMIT $3",
            columns = AuditColumns::names(),
            condition = found.condition,
            proof = found.part.proof,
            by = found.by,
        );
        let values: [Value; 3] = [
            (&self.erasure.tenant_id).into(),
            found.value.clone(),
            i64::from(self.limit).into(),
        ];
        let rows = self.db.query(&sql, &values).await?;
        rows.iter().map(AuditRow::read).collect()
    }

    async fn erase_part(&mut self, part: &Part, rows: &[AuditRow]) -> Result<u64, StoreError> {
        let mut erased = ValueRows::new(rows.iter().map(|row| ErasedPartColumns {
            event_id: Value::from(row.event),
            ordinal: row.ordinal.into(),
            proof: (part.digest)(row)[..].into(),
        }));
        let by = erased.push(self.erasure.id);
        let sql = format!(
            "{with_v} UPDATE audit_events SET {clear}, {proof} = v.proof, {erased_by} = {by} FROM v \
             WHERE audit_events.event_id = v.event_id AND audit_events.ordinal = v.ordinal \
                 AND length(audit_events.{proof}) = 16 \
             RETURNING audit_events.ordinal",
            with_v = erased.with_v(),
            clear = part.clear,
            proof = part.proof,
            erased_by = part.erased_by,
        );
        Ok(self.db.query(&sql, erased.params()).await?.len() as u64)
    }
}

/// A part of some rows of the tenant.
struct Found {
    part: &'static Part,
    /// With the parameter `$2`.
    condition: String,
    value: Value,
    /// The column of the index that finds them. Its order is that of the statement, so that no step sorts all rows.
    by: &'static str,
}

impl Found {
    fn new(
        part: &'static Part,
        condition: impl Into<String>,
        value: impl Into<Value>,
        by: &'static str,
    ) -> Self {
        Self {
            part,
            condition: condition.into(),
            value: value.into(),
            by,
        }
    }
}

/// The subject of the rows about a user, the author of those by the user, and the subject of changes of the policy that
/// name the user.
fn parts_of_user(user: &UserId) -> Vec<Found> {
    let author = format!("user:{user}");
    let in_policy = format!("%users.{}.%", pattern_of(&in_json(user.as_str())));
    let of_policies = format!(
        "action = '{}' AND details LIKE $2 ESCAPE '\\'",
        Mutation::UPDATE_POLICY
    );
    vec![
        Found::new(&SUBJECT, "user_id = $2", user, "user_id"),
        Found::new(&ACTOR, "actor = $2", author, "actor"),
        Found::new(&SUBJECT, of_policies, in_policy, "action"),
    ]
}

/// The subject of the rows about users, the authors of all rows, and the subject of changes of the whole tenant.
fn parts_of_tenant() -> Vec<Found> {
    vec![
        Found::new(&SUBJECT, "user_id > $2", "", "user_id"),
        Found::new(&ACTOR, "actor > $2", "", "actor"),
        Found::new(&SUBJECT, "action = $2", Mutation::UPDATE_POLICY, "action"),
        Found::new(&SUBJECT, "action = $2", Mutation::SIGN_OUT_TENANT, "action"),
    ]
}

/// Deletes sessions of a tenant, or of one user. A session that no cutoff covers would keep its tokens, so it stays.
fn sessions_statement(tenant: &TenantId, user: Option<&UserId>) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = vec![tenant.into()];
    let mut of = "s.tenant_id = $2".to_owned();
    if let Some(user) = user {
        values.push(user.into());
        of.push_str(" AND s.user_id = $3 AND s.serial > 0");
    }
    let sql = format!(
        "DELETE FROM sessions WHERE (tenant_id, session_id) IN (SELECT s.tenant_id, s.session_id FROM sessions s \
             WHERE {of} AND {IS_CUT} ORDER BY s.session_id LIMIT $1) \
         RETURNING serial"
    );
    (sql, values)
}

const HISTORY: &str = "DELETE FROM user_history WHERE tenant_id = $2 AND user_id = $3 AND (kind, value) IN \
         (SELECT h.kind, h.value FROM user_history h WHERE h.tenant_id = $2 AND h.user_id = $3 \
             ORDER BY h.kind, h.value LIMIT $1) \
     RETURNING kind";

const KEY_HOURS: &str = "DELETE FROM api_key_hours WHERE (tenant_id, key_id, hour) IN \
         (SELECT h.tenant_id, h.key_id, h.hour FROM api_keys k \
             JOIN api_key_hours h ON h.tenant_id = k.tenant_id AND h.key_id = k.key_id \
             WHERE k.tenant_id = $2 AND k.owner_id = $3 AND k.serial > 0 LIMIT $1) \
     RETURNING hour";

/// The keys have ended. Their rows stay under another name: gates that forget a revoked key learn it from its row.
const API_KEYS: &str = "UPDATE api_keys SET owner_id = $4, name = '', scopes = '[]', audiences = '[]', active_us = NULL \
     WHERE (tenant_id, key_id) IN (SELECT k.tenant_id, k.key_id FROM api_keys k \
         WHERE k.tenant_id = $2 AND k.owner_id = $3 AND k.serial > 0 ORDER BY k.key_id LIMIT $1) \
     RETURNING serial";

/// The row itself stays until the end, so that the user stays disabled.
const NAMES: &str = "UPDATE users SET user_name = '', given_name = '', family_name = '', email = '', \
         name_key = '', person_key = '', email_key = '', roles = 0, signed_in_us = 0, placed_us = 0, placed_at = '{}' \
     WHERE tenant_id = $1 AND user_id = $2 AND (user_name <> '' OR given_name <> '' OR family_name <> '' OR email <> '' \
         OR name_key <> '' OR person_key <> '' OR email_key <> '' OR roles <> 0 OR signed_in_us <> 0 OR placed_us <> 0 \
         OR placed_at <> '{}') \
     RETURNING user_serial";

/// An id as it stands within a string of JSON.
fn in_json(id: &str) -> String {
    let quoted = json(id);
    quoted[1..quoted.len() - 1].to_owned()
}

/// A text as a part of a pattern of LIKE.
fn pattern_of(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// Removes copies of deleted rows that the engine keeps beside its tables. Returns false when readers were in the way.
pub(super) async fn overwrite_deleted(db: &mut Db) -> Result<bool, StoreError> {
    let Some(statement) = db.dialect.overwrite_deleted else {
        return Ok(true);
    };
    let rows = db.query(statement, &[]).await?;
    let was_busy = only_row(&rows, "the checkpoint")?.is_true(Column::nth(0))?;
    Ok(!was_busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_in_json_whatever_its_characters() {
        let pattern = pattern_of(&in_json("100%_\"ada\\"));
        assert_eq!(pattern, r#"100\%\_\\"ada\\\\"#);
    }
}
