//! Entries that concern tenants and users: sign-outs, disabling and enabling.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_contract::{
    delta::Scope,
    id::{EventId, TenantId, TenantSerial, UserId, UserSerial},
};

use super::{
    super::{
        audit::row::{Target, details_text},
        columns::{ONLY, columns},
        erasure,
        row::Row,
        users,
        value::Value,
        values::{ROWS_MAX, ValueRows},
    },
    batch::Batch,
};
use crate::StoreError;
use portcullis_domain::{
    Cause, Entry, EntryError, ErasedCounts, Micros, Mutation, UserRole, UserRoles,
};

columns! {
    /// A user as an entry finds it.
    FoundUserColumns { tenant_id, user_id, user_serial, tenant_serial, disabled_us, signed_in_us, roles }
}

columns! {
    /// A user that may own an API key.
    OwnerColumns { tenant_id, user_id, user_serial }
}

/// Tenants and users that entries name, in key order.
#[derive(Default)]
struct Named<'a> {
    tenants: BTreeSet<&'a TenantId>,
    users: BTreeSet<(&'a TenantId, &'a UserId)>,
}

/// Changes of a batch to the admission of a user.
#[derive(Default)]
struct Change {
    /// The entries that enable the user, by their places in the batch.
    enabling: Vec<usize>,
    /// The entries that set the user's roles.
    setting_roles: Vec<(usize, UserRoles)>,
    /// The entries that begin the erasure of the user. One does, and the others find it under way.
    erasing: Vec<usize>,
    /// The entries that end an erasure of the user, with the event that began it.
    finishing: Vec<(usize, EventId)>,
    disables: bool,
    locks: bool,
}

impl<'a> Batch<'a> {
    /// Changes tenants and users, in key order.
    pub(super) async fn change_users(&mut self) -> Result<(), StoreError> {
        // Rows that are missing are inserted: a sign-out must also bind a user that signs in just
        // now for the first time.
        let named = self.named_users();
        for tenant in named.tenants {
            let serial = users::ensure_tenant(self.db, tenant).await?;
            self.tenants.insert(tenant.clone(), serial);
        }

        // Looked up before they are inserted: mostly all exist, and an insert would take serials
        // for nothing.
        let wanted: Vec<_> = named.users.into_iter().collect();
        self.find_users(&wanted).await?;
        let missing = self.missing_users(&wanted);
        if !missing.is_empty() {
            users::insert_users(self.db, &missing).await?;
            self.find_users(&missing).await?;
        }

        // Tenants come before users in the order of locks, and an entry that is refused here must
        // change nothing.
        self.keep_administrators().await?;
        // The serials are known now, so that sign-outs that end nothing can be answered.
        self.answer_covered().await?;
        self.count_sessions().await?;
        self.cut_tenants();
        self.delete_tenants().await?;
        self.change_admission().await?;
        self.find_key_owners().await
    }

    fn named_users(&self) -> Named<'a> {
        let mut named = Named::default();
        for (_, entry) in self.pending() {
            match &entry.mutation {
                Mutation::SignOutTenant { tenant } | Mutation::DeleteTenant { tenant } => {
                    named.tenants.insert(tenant);
                }
                Mutation::SignOutUsers { tenant, users, .. } => {
                    named.tenants.insert(tenant);
                    named.users.extend(users.iter().map(|id| (tenant, id)));
                }
                Mutation::EraseUser { tenant, user } => {
                    named.tenants.insert(tenant);
                    named.users.insert((tenant, user));
                }
                Mutation::CreateApiKey(new) => {
                    named.tenants.insert(&new.tenant_id);
                    named.users.insert((&new.tenant_id, &new.owner_id));
                }
                _ => {}
            }
        }
        named
    }

    fn missing_users<'u>(
        &self,
        wanted: &[(&'u TenantId, &'u UserId)],
    ) -> Vec<(&'u TenantId, &'u UserId)> {
        let mut missing = Vec::new();
        for &(tenant, user) in wanted {
            if !self.users.contains_key(&(tenant.clone(), user.clone())) {
                missing.push((tenant, user));
            }
        }
        missing
    }

    pub(super) async fn find_users(
        &mut self,
        wanted: &[(&TenantId, &UserId)],
    ) -> Result<(), StoreError> {
        for wanted in wanted.chunks(ROWS_MAX) {
            let keys = users::key_rows(wanted.iter().copied());
            let sql = format!(
                "SELECT {} FROM users WHERE (tenant_id, user_id) IN {}",
                FoundUserColumns::names(),
                keys.list()
            );
            for row in self.db.query(&sql, keys.params()).await? {
                self.add_found_user(&row)?;
            }
        }
        Ok(())
    }

    /// Notes a user as the batch found it.
    fn add_found_user(&mut self, row: &Row) -> Result<(), StoreError> {
        let columns = FoundUserColumns::AT;
        let key = (
            row.tenant_id(columns.tenant_id)?,
            row.user_id(columns.user_id)?,
        );
        let user = UserSerial(row.unsigned(columns.user_serial)?);
        let tenant = TenantSerial(row.unsigned(columns.tenant_serial)?);
        if row.optional_int(columns.disabled_us)?.is_some() {
            self.disabled.insert(user);
        }
        if UserRoles::from_code(row.int(columns.roles)?).has(UserRole::Admin) {
            self.administrators.insert(key.clone());
        }
        // 0 stands for a user who has a row only because somebody named it.
        if row.time(columns.signed_in_us)? == Micros::default() {
            self.strangers.insert(user);
        }
        self.users.insert(key, (user, tenant));
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

    /// Begins and ends deletions of tenants.
    async fn delete_tenants(&mut self) -> Result<(), StoreError> {
        for (index, entry) in self.pending() {
            match &entry.mutation {
                Mutation::DeleteTenant { tenant } => self.begin_deletion(index, tenant).await?,
                Mutation::FinishErasure {
                    erasure,
                    tenant,
                    user: None,
                } => self.finish_deletion(index, tenant, *erasure).await?,
                _ => {}
            }
        }
        Ok(())
    }

    async fn begin_deletion(&mut self, index: usize, tenant: &TenantId) -> Result<(), StoreError> {
        let serial = self.tenants[tenant];
        let event = self.entries[index].event_id;
        if !erasure::begin(self.db, event, (tenant, None), serial.0).await? {
            self.unchanged(index);
            return Ok(());
        }
        self.cut(index, Scope::Tenant(serial), None);
        let keys = "SELECT serial FROM api_keys WHERE tenant_id = $1 ORDER BY key_id LIMIT 1";
        // A tenant without keys needs no cutoff of keys. Such a cutoff stays in every gate for good.
        if !self.db.query(keys, &[tenant.into()]).await?.is_empty() {
            self.cut_api_keys(index, Scope::Tenant(serial));
        }
        // An event of the installation: those of the tenant are erased.
        let cause = Some(Cause::Administrator);
        self.applied(index, "", &[tenant.to_string()], cause, 1);
        Ok(())
    }

    async fn finish_deletion(
        &mut self,
        index: usize,
        tenant: &TenantId,
        erasure: EventId,
    ) -> Result<(), StoreError> {
        let counts = erasure::finish_tenant(self.db, erasure, tenant).await?;
        self.finished(index, "", erasure, counts);
        Ok(())
    }

    /// Records the end of an erasure, if this entry ended it.
    fn finished(
        &mut self,
        index: usize,
        tenant: &str,
        erasure: EventId,
        counts: Option<ErasedCounts>,
    ) {
        let Some(counts) = counts else {
            self.unchanged(index);
            return;
        };
        self.applied(index, tenant, &[erasure.to_string()], None, 1);
        if let Some(row) = self.audit.last_mut() {
            row.details = details_text(&erasure::details(counts));
        }
    }

    /// Enables and disables users, one by one in key order. A user that one batch both enables and disables is disabled.
    async fn change_admission(&mut self) -> Result<(), StoreError> {
        // Roles and enabling come before disabling. In one batch the stricter entry wins, whatever
        // order the callers had.
        for ((tenant, user), change) in self.admission_changes() {
            if change.locks {
                self.lock_user(tenant, user).await?;
            }
            for (index, roles) in change.setting_roles {
                self.set_user_roles(index, tenant, user, roles).await?;
            }
            for index in change.enabling {
                self.enable_user(index, tenant, user).await?;
            }
            if change.disables {
                self.disable_user(tenant, user).await?;
            }
            for index in change.erasing {
                self.begin_erasure(index, tenant, user).await?;
            }
            for (index, erasure) in change.finishing {
                self.finish_erasure(index, tenant, user, erasure).await?;
            }
        }
        Ok(())
    }

    fn admission_changes(&self) -> BTreeMap<(&'a TenantId, &'a UserId), Change> {
        let mut changes: BTreeMap<(&TenantId, &UserId), Change> = BTreeMap::new();
        for (index, entry) in self.pending() {
            match &entry.mutation {
                Mutation::EnableUser { tenant, user } => {
                    let change = changes.entry((tenant, user)).or_default();
                    change.enabling.push(index);
                }
                Mutation::SetUserRoles {
                    tenant,
                    user,
                    roles,
                } => {
                    let change = changes.entry((tenant, user)).or_default();
                    change.setting_roles.push((index, *roles));
                }
                Mutation::EraseUser { tenant, user } => {
                    let change = changes.entry((tenant, user)).or_default();
                    change.erasing.push(index);
                    change.disables = true;
                }
                Mutation::FinishErasure {
                    erasure,
                    tenant,
                    user: Some(user),
                } => {
                    let change = changes.entry((tenant, user)).or_default();
                    change.finishing.push((index, *erasure));
                }
                Mutation::CreateApiKey(new) => {
                    let owner = (&new.tenant_id, &new.owner_id);
                    changes.entry(owner).or_default().locks = true;
                }
                _ => {
                    for user in disabled_by(entry) {
                        changes.entry(user).or_default().disables = true;
                    }
                }
            }
        }
        changes
    }

    /// Locks the owner of a new API key, so that no other transaction disables the owner meanwhile.
    async fn lock_user(&mut self, tenant: &TenantId, user: &UserId) -> Result<(), StoreError> {
        let sql = format!(
            "SELECT s.user_serial FROM users s WHERE s.tenant_id = $1 AND s.user_id = $2 {}",
            self.db.dialect.lock_rows
        );
        self.db.query(&sql, &[tenant.into(), user.into()]).await?;
        Ok(())
    }

    async fn set_user_roles(
        &mut self,
        index: usize,
        tenant: &TenantId,
        user: &UserId,
        roles: UserRoles,
    ) -> Result<(), StoreError> {
        if users::set_roles(self.db, tenant, user, roles).await? {
            self.applied_to(index, tenant.as_str(), &[Target::user(user)], None, 1);
            return Ok(());
        }
        self.unchanged_user(index, tenant, user).await
    }

    async fn disable_user(&mut self, tenant: &TenantId, user: &UserId) -> Result<(), StoreError> {
        // A user that is disabled already keeps the time at which that happened.
        let sql = "UPDATE users SET disabled_us = $3 WHERE tenant_id = $1 AND user_id = $2 AND disabled_us IS NULL";
        let values: [Value; 3] = [tenant.into(), user.into(), self.now.into()];
        self.db.query(sql, &values).await?;
        Ok(())
    }

    async fn enable_user(
        &mut self,
        index: usize,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<(), StoreError> {
        let key: [Value; 2] = [tenant.into(), user.into()];
        // A user under erasure must not open sessions again: their rows would go, and their tokens would stay good.
        if erasure::is_under_way(self.db, tenant, user).await? {
            self.refuse(index, EntryError::UserNotFound);
            return Ok(());
        }
        let enable = "UPDATE users SET disabled_us = NULL \
             WHERE tenant_id = $1 AND user_id = $2 AND disabled_us IS NOT NULL RETURNING user_serial";
        if !self.db.query(enable, &key).await?.is_empty() {
            self.applied_to(index, tenant.as_str(), &[Target::user(user)], None, 1);
            return Ok(());
        }
        self.unchanged_user(index, tenant, user).await
    }

    async fn begin_erasure(
        &mut self,
        index: usize,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<(), StoreError> {
        let (serial, _) = self.users[&(tenant.clone(), user.clone())];
        let event = self.entries[index].event_id;
        if !erasure::begin(self.db, event, (tenant, Some(user)), serial.0).await? {
            // The one that is under way has signed the user out.
            self.unchanged(index);
        }
        Ok(())
    }

    async fn finish_erasure(
        &mut self,
        index: usize,
        tenant: &TenantId,
        user: &UserId,
        erasure: EventId,
    ) -> Result<(), StoreError> {
        let counts = erasure::finish_user(self.db, erasure, (tenant, user)).await?;
        self.finished(index, tenant.as_str(), erasure, counts);
        Ok(())
    }

    /// Records that an entry changed nothing about a user, who may not exist.
    async fn unchanged_user(
        &mut self,
        index: usize,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<(), StoreError> {
        let known = "SELECT 1 FROM users WHERE tenant_id = $1 AND user_id = $2";
        let rows = self.db.query(known, &[tenant.into(), user.into()]).await?;
        if rows.is_empty() {
            self.refuse(index, EntryError::UserNotFound);
        } else {
            self.unchanged(index);
        }
        Ok(())
    }

    /// Finds out which users that are disabled own a live API key.
    async fn find_key_owners(&mut self) -> Result<(), StoreError> {
        // Only their keys have to be cut off: such a cutoff stays in every gate for good. The rows
        // of these users are locked by now, and so is that of each owner that gets a key, so no key
        // is created in between.
        let mut disabling = BTreeSet::new();
        for (_, entry) in self.pending() {
            disabling.extend(disabled_by(entry));
        }
        let disabling: Vec<_> = disabling.into_iter().collect();
        for chunk in disabling.chunks(ROWS_MAX) {
            let mut rows = ValueRows::new(chunk.iter().map(|user| self.owner_values(*user)));
            let now = rows.push(self.now);
            let sql = owners_statement(&rows, &now);
            for row in self.db.query(&sql, rows.params()).await? {
                self.key_owners.insert(UserSerial(row.unsigned(ONLY)?));
            }
        }
        Ok(())
    }

    fn owner_values(&self, (tenant, user): (&TenantId, &UserId)) -> OwnerColumns<Value> {
        let (serial, _) = self.users[&(tenant.clone(), user.clone())];
        OwnerColumns {
            tenant_id: tenant.into(),
            user_id: user.into(),
            user_serial: serial.into(),
        }
    }
}

fn owners_statement(rows: &ValueRows, now: &str) -> String {
    // A subquery for each user, so that each goes by the index of its owner.
    format!(
        "{with_v} SELECT v.user_serial FROM v WHERE (SELECT k.serial FROM api_keys k \
             WHERE k.tenant_id = v.tenant_id AND k.owner_id = v.user_id AND k.serial > 0 \
             AND k.end_event IS NULL AND (k.expires_us IS NULL OR k.expires_us > {now}) LIMIT 1) IS NOT NULL",
        with_v = rows.with_v(),
    )
}

/// The users that an entry disables.
fn disabled_by(entry: &Entry) -> Vec<(&TenantId, &UserId)> {
    match &entry.mutation {
        Mutation::SignOutUsers {
            tenant,
            users,
            disable: true,
            ..
        } => users.iter().map(|user| (tenant, user)).collect(),
        Mutation::EraseUser { tenant, user } => vec![(tenant, user)],
        _ => Vec::new(),
    }
}
