//! Entries that concern API keys: created, ended one by one, and cut off with their owner. There are few, so each takes
//! statements of its own.

use portcullis_contract::{
    delta::{Change, Scope},
    id::{ApiKeyId, Serial, TenantId, UserId},
    key::CredentialKind,
};

use super::{
    super::{
        api_keys::CUT_EVENT,
        audit::row::Target,
        columns::{ONLY, columns},
        connection::Statement,
        erasure::IS_ADMITTED,
        json::json,
        turns,
        value::Value,
        values::{ROWS_MAX, ValueRows},
    },
    batch::{Batch, Cutoff, count_of, scope_columns},
};
use crate::StoreError;
use portcullis_domain::{Cause, EntryError, Micros, Mutation, NewApiKey};

columns! {
    /// A key that was ended.
    EndedKeyColumns { serial, owner_id }
}

columns! {
    /// A revoked key that gates forget.
    ForgottenKeyColumns { serial, expires_us }
}

columns! {
    /// A row of `api_key_cutoffs`, but for its revision.
    KeyCutoffColumns { scope, scope_serial, event_id, at_us }
}

/// A revocation of one key, in the order of locks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Revocation<'a> {
    tenant: &'a TenantId,
    key: [u8; 16],
    index: usize,
}

impl Batch<'_> {
    pub(super) async fn change_api_keys(&mut self) -> Result<(), StoreError> {
        let mut revocations = Vec::new();
        for (index, entry) in self.pending() {
            match &entry.mutation {
                Mutation::CreateApiKey(new) => self.create_api_key(index, new).await?,
                Mutation::RevokeApiKey { tenant, key } => revocations.push(Revocation {
                    tenant,
                    key: key.to_bytes(),
                    index,
                }),
                _ => {}
            }
        }
        // In key order, so that two appenders cannot wait for each other in a circle.
        revocations.sort_unstable();
        let mut serials = Vec::new();
        for revocation in revocations {
            serials.extend(self.revoke_api_key(revocation).await?);
        }
        if !serials.is_empty() {
            self.changes.push(Change::Revoke {
                credential: CredentialKind::ApiKey,
                serials,
            });
        }
        Ok(())
    }

    /// Creates a key, unless its owner is disabled.
    async fn create_api_key(&mut self, index: usize, new: &NewApiKey) -> Result<(), StoreError> {
        // The statement reads the head in its own snapshot. A cutoff that commits later has a
        // greater revision, and covers the key; an owner that was disabled before is seen to be.
        let sql = format!(
            "INSERT INTO api_keys (tenant_id, key_id, serial, owner_id, owner_serial, tenant_serial, opened_revision, \
                 name, scopes, audiences, created_us, expires_us) \
             SELECT u.tenant_id, $1, {serial}, u.user_id, u.user_serial, u.tenant_serial, h.revision, \
                 $2, $3, $4, $5, $6 \
             FROM log_head h, users u WHERE u.tenant_id = $7 AND u.user_id = $8 AND u.disabled_us IS NULL \
                 AND {IS_ADMITTED} \
             RETURNING serial",
            serial = self.db.dialect.next_credential,
        );
        let values = self.new_key_values(new);
        if self.db.query(&sql, &values).await?.is_empty() {
            self.refuse(index, EntryError::UserDisabled);
        } else {
            let target = key_target(new.id, &new.owner_id);
            self.applied_to(index, new.tenant_id.as_str(), &[target], None, 1);
        }
        Ok(())
    }

    fn new_key_values(&self, new: &NewApiKey) -> [Value; 8] {
        [
            new.id.into(),
            new.name.as_str().into(),
            json(&new.scopes).into(),
            json(&new.audiences).into(),
            self.now.into(),
            new.expires.into(),
            (&new.tenant_id).into(),
            (&new.owner_id).into(),
        ]
    }

    /// Ends one key, and returns its serial. Returns none when it has ended already or does not exist.
    async fn revoke_api_key(
        &mut self,
        revocation: Revocation<'_>,
    ) -> Result<Option<Serial>, StoreError> {
        // The statement locks and ends in one: two appenders that revoke the same key cannot both
        // be told that they ended it.
        let Revocation { tenant, key, index } = revocation;
        let event = self.entries[index].event_id;
        let values: [Value; 4] = [tenant.into(), key[..].into(), event.into(), self.now.into()];
        if let Some(row) = self.db.query(&end_statement(), &values).await?.first() {
            let columns = EndedKeyColumns::AT;
            self.record_revoked(&revocation, &row.user_id(columns.owner_id)?);
            return Ok(Some(row.serial(columns.serial)?));
        }
        self.answer_ended_key(index, &values[..2]).await?;
        Ok(None)
    }

    fn record_revoked(&mut self, revocation: &Revocation<'_>, owner: &UserId) {
        let target = key_target(ApiKeyId::from_bytes(revocation.key), owner);
        let tenant = revocation.tenant.as_str();
        let cause = Some(Cause::Administrator);
        self.applied_to(revocation.index, tenant, &[target], cause, 1);
    }

    /// Answers the revocation of a key that was not ended just now: it has ended before, or does not exist.
    async fn answer_ended_key(&mut self, index: usize, key: &[Value]) -> Result<(), StoreError> {
        let known = "SELECT 1 FROM api_keys WHERE tenant_id = $1 AND key_id = $2";
        if self.db.query(known, key).await?.is_empty() {
            self.refuse(index, EntryError::ApiKeyNotFound);
        } else {
            self.unchanged(index);
        }
        Ok(())
    }

    /// Lets gates forget revoked keys that have expired by more than `margin_us`: their own expiry refuses them.
    pub(super) async fn forget_api_keys(
        &mut self,
        index: usize,
        margin_us: i64,
    ) -> Result<(), StoreError> {
        // One batch at a time forgets. No other entry locks the rows of such keys.
        self.lock_installation().await?;
        let (serials, expired) = self.mark_forgotten(margin_us).await?;
        if serials.is_empty() {
            self.unchanged(index);
            return Ok(());
        }
        // A clock that goes back behind it would make a forgotten key valid again.
        turns::raise_clock_floor(self.db, expired).await?;

        let changed = count_of(serials.len());
        self.changes.push(Change::Forget(serials));
        self.applied(index, "", &[], None, changed);
        Ok(())
    }

    /// Marks expired keys as forgotten. Returns their serials, and the latest of their expiries.
    async fn mark_forgotten(
        &mut self,
        margin_us: i64,
    ) -> Result<(Vec<Serial>, Micros), StoreError> {
        let sql = format!(
            "UPDATE api_keys SET forgotten_us = $1 WHERE (tenant_id, key_id) IN \
             (SELECT k.tenant_id, k.key_id FROM api_keys k WHERE k.end_event IS NOT NULL AND k.forgotten_us IS NULL \
                 AND k.expires_us <= $1 - $2 ORDER BY k.expires_us LIMIT $3) RETURNING {}",
            ForgottenKeyColumns::names()
        );
        let values = self.expiry_values(margin_us);
        let columns = ForgottenKeyColumns::AT;
        let mut serials = Vec::new();
        let mut expired = Micros::default();
        for row in self.db.query(&sql, &values).await? {
            serials.push(row.serial(columns.serial)?);
            expired = expired.max(row.time(columns.expires_us)?);
        }
        // The order of RETURNING is undefined. Sorted, the same entries make the same delta.
        serials.sort_unstable();
        Ok((serials, expired))
    }

    /// The values of a statement that compares expiries with the time, for as many keys as one entry may have.
    fn expiry_values(&self, margin_us: i64) -> [Value; 3] {
        [
            self.now.into(),
            margin_us.into(),
            i64::from(Mutation::FORGOTTEN_MAX).into(),
        ]
    }

    /// Revokes again the forgotten keys that may not have expired, at most [`Mutation::FORGOTTEN_MAX`]. Returns their
    /// number.
    pub(super) async fn revoke_forgotten_api_keys(
        &mut self,
        margin_us: i64,
    ) -> Result<u32, StoreError> {
        // With the margin, so that the next small step of the clock finds none that has just expired.
        let sql = "UPDATE api_keys SET forgotten_us = NULL WHERE (tenant_id, key_id) IN \
             (SELECT k.tenant_id, k.key_id FROM api_keys k WHERE k.forgotten_us IS NOT NULL \
                 AND k.expires_us > $1 - $2 ORDER BY k.expires_us LIMIT $3) RETURNING serial";
        let values = self.expiry_values(margin_us);
        let mut serials = Vec::new();
        for row in self.db.query(sql, &values).await? {
            serials.push(row.serial(ONLY)?);
        }
        if serials.is_empty() {
            return Ok(0);
        }
        // The order of RETURNING is undefined. Sorted, the same entries make the same delta.
        serials.sort_unstable();
        let revoked = count_of(serials.len());
        self.changes.push(Change::Revoke {
            credential: CredentialKind::ApiKey,
            serials,
        });
        Ok(revoked)
    }

    /// Cuts off all API keys of a scope.
    pub(super) fn cut_api_keys(&mut self, index: usize, scope: Scope) {
        self.api_key_cutoffs.push(Cutoff {
            scope,
            exempt: None,
            event: self.entries[index].event_id,
        });
        self.changes.push(Change::Cut {
            credential: CredentialKind::ApiKey,
            scope,
            exempt: None,
        });
    }

    /// The statements that insert the cutoffs of API keys at the head.
    pub(super) fn insert_api_key_cutoffs(&self) -> Vec<Statement> {
        let mut statements = Vec::new();
        // An earlier statement of this transaction has advanced the head, so `h.revision` is the
        // revision of this batch.
        for cutoffs in self.api_key_cutoffs.chunks(ROWS_MAX) {
            let rows = ValueRows::new(cutoffs.iter().map(|cutoff| cutoff_values(cutoff, self.now)));
            let sql = format!(
                "{with_v} INSERT INTO api_key_cutoffs ({columns}, revision) SELECT {values}, h.revision \
                 FROM log_head h, v WHERE TRUE ON CONFLICT DO NOTHING",
                with_v = rows.with_v(),
                columns = KeyCutoffColumns::names(),
                values = KeyCutoffColumns::of("v"),
            );
            statements.push(Statement::new(sql, rows.into_params()));
        }
        statements
    }
}

fn end_statement() -> String {
    // A key that a cutoff covers has ended already. Its first end stays the one that is shown.
    format!(
        "UPDATE api_keys AS k SET end_event = $3, ended_us = $4 WHERE k.tenant_id = $1 AND k.key_id = $2 \
         AND k.end_event IS NULL AND (k.expires_us IS NULL OR k.expires_us > $4) AND {CUT_EVENT} IS NULL \
         RETURNING {}",
        EndedKeyColumns::names()
    )
}

fn key_target(id: ApiKeyId, owner: &UserId) -> Target {
    Target {
        id: id.to_string(),
        user: owner.to_string(),
    }
}

fn cutoff_values(cutoff: &Cutoff, now: Micros) -> KeyCutoffColumns<Value> {
    let (scope, serial) = scope_columns(&cutoff.scope);
    KeyCutoffColumns {
        scope: scope.into(),
        scope_serial: serial.into(),
        event_id: cutoff.event.into(),
        at_us: now.into(),
    }
}
