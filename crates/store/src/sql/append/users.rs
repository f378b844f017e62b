//! Tenants and users: who is cut off, who may sign in.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_contract::{
    delta::Scope,
    id::{TenantId, TenantSerial, UserId, UserSerial},
};

use super::{
    super::{
        audit::Target,
        connection::{ROWS_MAX, ValueRows},
        sessions, users,
    },
    Batch,
};
use crate::{
    domain::{Cause, EntryError, Mutation},
    store::StoreError,
};

/// What a batch does to who may sign in.
#[derive(Default)]
struct Change {
    enabling: Vec<usize>,
    disables: bool,
    locks: bool,
}

impl Batch<'_> {
    /// Tenants and users, in key order; the rows of those who are cut off, or get an API key, are made when they are missing.
    pub(super) async fn change_users(&mut self) -> Result<(), StoreError> {
        let (mut tenants, mut users) = (BTreeSet::new(), BTreeSet::new());
        for (_, entry) in self.pending() {
            match &entry.mutation {
                Mutation::SignOutTenant { tenant } => {
                    tenants.insert(tenant);
                }
                Mutation::SignOutUsers {
                    tenant, users: ids, ..
                } => {
                    tenants.insert(tenant);
                    users.extend(ids.iter().map(|id| (tenant, id)));
                }
                Mutation::CreateApiKey(new) => {
                    tenants.insert(&new.tenant_id);
                    users.insert((&new.tenant_id, &new.owner_id));
                }
                _ => {}
            }
        }
        for tenant in tenants {
            let serial = users::ensure_tenant(self.connection, self.dialect, tenant).await?;
            self.tenants.insert(tenant.clone(), serial);
        }
        self.find_users(&users).await?;
        let missing: Vec<_> = users
            .iter()
            .filter(|(t, u)| !self.users.contains_key(&((*t).clone(), (*u).clone())))
            .copied()
            .collect();
        if !missing.is_empty() {
            users::insert_users(self.connection, self.dialect, &missing).await?;
            self.find_users(&missing.into_iter().collect()).await?;
        }
        self.answer_covered().await?;
        self.cut_tenants();
        self.admit_users().await?;
        self.find_key_owners().await
    }

    async fn find_users(
        &mut self,
        users: &BTreeSet<(&TenantId, &UserId)>,
    ) -> Result<(), StoreError> {
        let users: Vec<_> = users.iter().collect();
        for users in users.chunks(1_024) {
            let keys = ValueRows::new(
                users
                    .iter()
                    .map(|(tenant, user)| [tenant.as_str().into(), user.as_str().into()]),
            );
            let sql = format!(
                "SELECT tenant_id, user_id, user_serial, tenant_serial, disabled_us FROM users \
                 WHERE (tenant_id, user_id) IN (VALUES {})",
                keys.text
            );
            for row in self.connection.query(&sql, &keys.params).await? {
                let key = (
                    sessions::tenant_id(row.text(0)?)?,
                    sessions::user_id(row.text(1)?)?,
                );
                if row.optional_int(4)?.is_some() {
                    self.disabled.insert(UserSerial(row.unsigned(2)?));
                }
                self.users.insert(
                    key,
                    (UserSerial(row.unsigned(2)?), TenantSerial(row.unsigned(3)?)),
                );
            }
        }
        Ok(())
    }

    fn cut_tenants(&mut self) {
        for (index, entry) in self.pending() {
            if let Mutation::SignOutTenant { tenant } = &entry.mutation {
                self.cut(index, Scope::Tenant(self.tenants[tenant]), None);
                self.applied(index, tenant.as_str(), &[], Some(Cause::Administrator), 1);
            }
        }
    }

    /// Who of those that are disabled owns an API key that is alive: only their keys have to be cut off, in every gate and for
    /// good. Their rows are locked by now, as is that of each owner who gets a key, so no key comes in between.
    async fn find_key_owners(&mut self) -> Result<(), StoreError> {
        let mut disabling = BTreeSet::new();
        for (_, entry) in self.pending() {
            if let Mutation::SignOutUsers {
                tenant,
                users,
                disable: true,
                ..
            } = &entry.mutation
            {
                disabling.extend(users.iter().map(|user| (tenant, user)));
            }
        }
        let disabling: Vec<_> = disabling.into_iter().collect();
        for chunk in disabling.chunks(ROWS_MAX) {
            let mut rows = ValueRows::new(chunk.iter().map(|(tenant, user)| {
                let (serial, _) = self.users[&((*tenant).clone(), (*user).clone())];
                [
                    tenant.as_str().into(),
                    user.as_str().into(),
                    serial.0.into(),
                ]
            }));
            let now = rows.push(self.now.0);
            let sql = format!(
                "SELECT v.column3 FROM (VALUES {}) AS v WHERE (SELECT k.serial FROM api_keys k \
                     WHERE k.tenant_id = v.column1 AND k.owner_id = v.column2 AND k.serial > 0 \
                     AND k.end_event IS NULL AND (k.expires_us IS NULL OR k.expires_us > {now}) LIMIT 1) IS NOT NULL",
                rows.text
            );
            for row in self.connection.query(&sql, &rows.params).await? {
                self.key_owners.insert(UserSerial(row.unsigned(0)?));
            }
        }
        Ok(())
    }

    /// Who may sign in, user by user in key order. Who is both enabled and disabled stays out. The rows of who gets an API key
    /// are locked: their owners are not disabled meanwhile.
    async fn admit_users(&mut self) -> Result<(), StoreError> {
        let mut changes: BTreeMap<(&TenantId, &UserId), Change> = BTreeMap::new();
        for (index, entry) in self.pending() {
            match &entry.mutation {
                Mutation::EnableUser { tenant, user } => {
                    changes
                        .entry((tenant, user))
                        .or_default()
                        .enabling
                        .push(index);
                }
                Mutation::SignOutUsers {
                    tenant,
                    users,
                    disable: true,
                    ..
                } => {
                    users.iter().for_each(|user| {
                        changes.entry((tenant, user)).or_default().disables = true;
                    });
                }
                Mutation::CreateApiKey(new) => {
                    let owner = (&new.tenant_id, &new.owner_id);
                    changes.entry(owner).or_default().locks = true;
                }
                _ => {}
            }
        }
        let disable = "UPDATE users SET disabled_us = $3 WHERE tenant_id = $1 AND user_id = $2 AND disabled_us IS NULL";
        let lock = format!(
            "SELECT s.user_serial FROM users s WHERE s.tenant_id = $1 AND s.user_id = $2 {}",
            self.dialect.lock_rows
        );
        for ((tenant, user), change) in changes {
            if change.locks {
                let key = [tenant.as_str().into(), user.as_str().into()];
                self.connection.query(&lock, &key).await?;
            }
            for index in change.enabling {
                self.enable_user(index, tenant, user).await?;
            }
            if change.disables {
                let values = [
                    tenant.as_str().into(),
                    user.as_str().into(),
                    self.now.0.into(),
                ];
                self.connection.query(disable, &values).await?;
            }
        }
        Ok(())
    }

    async fn enable_user(
        &mut self,
        index: usize,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<(), StoreError> {
        let key = [tenant.as_str().into(), user.as_str().into()];
        let enable = "UPDATE users SET disabled_us = NULL \
             WHERE tenant_id = $1 AND user_id = $2 AND disabled_us IS NOT NULL RETURNING user_serial";
        if !self.connection.query(enable, &key).await?.is_empty() {
            self.applied_to(index, tenant.as_str(), &[Target::user(user)], None, 1);
            return Ok(());
        }
        let known = "SELECT 1 FROM users WHERE tenant_id = $1 AND user_id = $2";
        if self.connection.query(known, &key).await?.is_empty() {
            self.results[index] = Some(Err(EntryError::UserNotFound));
        } else {
            self.unchanged(index);
        }
        Ok(())
    }
}
