//! Tenants and users: who is cut off, who may sign in.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_contract::{
    delta::Scope,
    id::{TenantId, TenantSerial, UserId, UserSerial},
};

use super::{
    super::{audit::Target, connection::ValueRows, sessions, users},
    Batch,
};
use crate::{
    domain::{Cause, EntryError, Mutation},
    store::StoreError,
};

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
        self.cut_tenants();
        self.admit_users().await
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
                "SELECT tenant_id, user_id, user_serial, tenant_serial FROM users \
                 WHERE (tenant_id, user_id) IN (VALUES {})",
                keys.text
            );
            for row in self.connection.query(&sql, &keys.params).await? {
                let key = (
                    sessions::tenant_id(row.text(0)?)?,
                    sessions::user_id(row.text(1)?)?,
                );
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

    /// Who may sign in, user by user in key order. Who is both enabled and disabled stays out.
    async fn admit_users(&mut self) -> Result<(), StoreError> {
        let mut changes: BTreeMap<(&TenantId, &UserId), (Vec<usize>, bool)> = BTreeMap::new();
        for (index, entry) in self.pending() {
            match &entry.mutation {
                Mutation::EnableUser { tenant, user } => {
                    changes.entry((tenant, user)).or_default().0.push(index);
                }
                Mutation::SignOutUsers {
                    tenant,
                    users,
                    disable: true,
                    ..
                } => {
                    users
                        .iter()
                        .for_each(|user| changes.entry((tenant, user)).or_default().1 = true);
                }
                _ => {}
            }
        }
        let disable = "UPDATE users SET disabled_us = $3 WHERE tenant_id = $1 AND user_id = $2 AND disabled_us IS NULL";
        for ((tenant, user), (enabling, disabling)) in changes {
            for index in enabling {
                self.enable_user(index, tenant, user).await?;
            }
            if disabling {
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
