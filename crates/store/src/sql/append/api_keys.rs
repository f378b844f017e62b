//! API keys: made, ended one by one, and cut off with their owner. They are few: each costs statements of its own.

use portcullis_contract::{
    delta::{Change, Scope},
    id::{ApiKeyId, Serial, TenantId},
    key::CredentialKind,
};

use super::{
    super::{
        Statement, Value,
        api_keys::CUT_EVENT,
        audit::Target,
        connection::{ROWS_MAX, ValueRows},
        sessions::to_json,
    },
    Batch,
};
use crate::{
    domain::{Cause, EntryError, Micros, Mutation, NewApiKey},
    store::{StoreError, event_bytes},
};

impl Batch<'_> {
    pub(super) async fn change_api_keys(&mut self) -> Result<(), StoreError> {
        let mut revoking = Vec::new();
        for (index, entry) in self.pending() {
            match &entry.mutation {
                Mutation::CreateApiKey(new) => self.create_api_key(index, new).await?,
                Mutation::RevokeApiKey { tenant, key } => {
                    revoking.push((tenant, key.to_bytes(), index, *key));
                }
                _ => {}
            }
        }
        // Rows are locked in their order.
        revoking.sort_unstable_by_key(|(tenant, bytes, index, _)| (*tenant, *bytes, *index));
        let mut serials = Vec::new();
        for (tenant, _, index, key) in revoking {
            serials.extend(self.revoke_api_key(index, tenant, key).await?);
        }
        if !serials.is_empty() {
            self.changes.push(Change::Revoke {
                credential: CredentialKind::ApiKey,
                serials,
            });
        }
        Ok(())
    }

    /// Whatever commits after the statement's snapshot has a greater revision than the head in it, and covers the key;
    /// whoever was disabled before that is seen to be.
    async fn create_api_key(&mut self, index: usize, new: &NewApiKey) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO api_keys (tenant_id, key_id, serial, owner_id, owner_serial, tenant_serial, opened_revision, \
                 name, scopes, audiences, created_us, expires_us) \
             SELECT u.tenant_id, $1, {serial}, u.user_id, u.user_serial, u.tenant_serial, h.revision, \
                 $2, $3, $4, $5, $6 \
             FROM log_head h, users u WHERE u.tenant_id = $7 AND u.user_id = $8 AND u.disabled_us IS NULL \
             RETURNING serial",
            serial = self.dialect.next_credential,
        );
        let values = [
            new.id.to_bytes()[..].into(),
            new.name.as_str().into(),
            to_json(&new.scopes).into(),
            to_json(&new.audiences).into(),
            self.now.0.into(),
            Value::Int(new.expires.map(|Micros(at)| at)),
            new.tenant_id.as_str().into(),
            new.owner_id.as_str().into(),
        ];
        if self.connection.query(&sql, &values).await?.is_empty() {
            self.results[index] = Some(Err(EntryError::UserDisabled));
        } else {
            let target = Target {
                id: new.id.to_string(),
                user: new.owner_id.to_string(),
            };
            self.applied_to(index, new.tenant_id.as_str(), &[target], None, 1);
        }
        Ok(())
    }

    /// The serial of the key, if this ended it.
    async fn revoke_api_key(
        &mut self,
        index: usize,
        tenant: &TenantId,
        key: ApiKeyId,
    ) -> Result<Option<Serial>, StoreError> {
        let end = format!(
            "UPDATE api_keys AS k SET end_event = $3 WHERE k.tenant_id = $1 AND k.key_id = $2 \
             AND k.end_event IS NULL AND (k.expires_us IS NULL OR k.expires_us > $4) AND {CUT_EVENT} IS NULL \
             RETURNING serial, owner_id"
        );
        let id = [tenant.as_str().into(), key.to_bytes()[..].into()];
        let event = event_bytes(self.entries[index].event_id).into();
        let values = [&id[..], &[event, self.now.0.into()]].concat();
        if let Some(row) = self.connection.query(&end, &values).await?.first() {
            let target = Target {
                id: key.to_string(),
                user: row.text(1)?,
            };
            self.applied_to(
                index,
                tenant.as_str(),
                &[target],
                Some(Cause::Administrator),
                1,
            );
            return Ok(Some(Serial(row.unsigned(0)?)));
        }
        let known = "SELECT 1 FROM api_keys WHERE tenant_id = $1 AND key_id = $2";
        if self.connection.query(known, &id).await?.is_empty() {
            self.results[index] = Some(Err(EntryError::ApiKeyNotFound));
        } else {
            self.unchanged(index);
        }
        Ok(None)
    }

    /// Has gates forget keys that were revoked and have expired: their own time refuses them. No other entry locks the rows of
    /// such keys, and only one batch at a time forgets.
    pub(super) async fn forget_api_keys(
        &mut self,
        index: usize,
        margin: i64,
    ) -> Result<(), StoreError> {
        self.connection
            .query("UPDATE installation SET keys_version = keys_version", &[])
            .await?;
        let sql = "UPDATE api_keys SET forgotten_us = $1 WHERE (tenant_id, key_id) IN \
             (SELECT k.tenant_id, k.key_id FROM api_keys k WHERE k.end_event IS NOT NULL AND k.forgotten_us IS NULL \
                 AND k.expires_us <= $1 - $2 ORDER BY k.expires_us LIMIT $3) RETURNING serial";
        let values = [
            self.now.0.into(),
            margin.into(),
            i64::from(Mutation::FORGOTTEN_MAX).into(),
        ];
        let mut serials = Vec::new();
        for row in self.connection.query(sql, &values).await? {
            serials.push(Serial(row.unsigned(0)?));
        }
        if serials.is_empty() {
            self.unchanged(index);
            return Ok(());
        }
        serials.sort_unstable();
        let changed = u32::try_from(serials.len()).unwrap_or(u32::MAX);
        self.changes.push(Change::Forget(serials));
        self.applied(index, "", &[], None, changed);
        Ok(())
    }

    pub(super) fn cut_api_keys(&mut self, index: usize, scope: Scope) {
        self.api_key_cutoffs
            .push((scope, event_bytes(self.entries[index].event_id)));
        self.changes.push(Change::Cut {
            credential: CredentialKind::ApiKey,
            scope,
            exempt: None,
        });
    }

    pub(super) fn api_key_cutoffs(&self) -> Vec<Statement> {
        let statement = |cutoffs: &[(Scope, Vec<u8>)]| {
            let rows = ValueRows::new(cutoffs.iter().map(|(scope, event)| {
                let (kind, serial) = scope.to_wire();
                [
                    i64::from(kind as i32).into(),
                    serial.into(),
                    event.clone().into(),
                ]
            }));
            let sql = format!(
                "INSERT INTO api_key_cutoffs SELECT v.column1, v.column2, h.revision, v.column3 \
                 FROM log_head h, (VALUES {}) AS v WHERE TRUE ON CONFLICT DO NOTHING",
                rows.text
            );
            Statement {
                sql,
                params: rows.params,
            }
        };
        self.api_key_cutoffs
            .chunks(ROWS_MAX)
            .map(statement)
            .collect()
    }
}
