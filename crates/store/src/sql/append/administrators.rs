//! The last administrator of a tenant, whom no entry may take away.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_contract::id::{TenantId, UserId};

use super::{
    super::{columns::columns, value::Value},
    batch::Batch,
};
use crate::StoreError;
use portcullis_domain::{Entry, EntryError, Mutation, UserRole, UserRoles};

columns! {
    /// An administrator of a tenant.
    AdministratorColumns { user_id }
}

/// The entries that may take administrators from a tenant, by their places in the batch.
type Taking<'a> = BTreeMap<&'a TenantId, Vec<(usize, &'a [UserId])>>;

impl<'a> Batch<'a> {
    /// Refuses each entry after which its tenant would have no administrator, though it has one.
    ///
    /// A tenant may be without one from the beginning: services have roles of their own.
    pub(super) async fn keep_administrators(&mut self) -> Result<(), StoreError> {
        for (tenant, taking) in self.taking() {
            let mut left = self.lock_administrators(tenant, &taking).await?;
            if left.is_empty() {
                continue;
            }
            for (index, users) in taking {
                let taken: BTreeSet<_> = users.iter().filter(|user| left.contains(*user)).collect();
                if taken.len() == left.len() {
                    self.refuse(index, EntryError::LastAdministrator);
                    continue;
                }
                left.retain(|user| !taken.contains(user));
            }
        }
        Ok(())
    }

    fn taking(&self) -> Taking<'a> {
        let mut taking = Taking::new();
        for (index, entry) in self.pending() {
            if let Some(tenant) = entry.mutation.tenant()
                && self.may_take(entry, tenant)
            {
                let users = entry.mutation.users_without_admin();
                taking.entry(tenant).or_default().push((index, users));
            }
        }
        taking
    }

    fn may_take(&self, entry: &Entry, tenant: &TenantId) -> bool {
        let users = entry.mutation.users_without_admin();
        // The users of a sign-out were looked up. Those of new roles were not, and such entries are rare.
        if matches!(entry.mutation, Mutation::SetUserRoles { .. }) {
            return !users.is_empty();
        }
        users.iter().any(|user| {
            self.administrators
                .contains(&(tenant.clone(), user.clone()))
        })
    }

    /// The administrators of a tenant who are not disabled: all, or one more than the entries name. Until the transaction
    /// ends, no other appender takes one away.
    async fn lock_administrators(
        &mut self,
        tenant: &TenantId,
        taking: &[(usize, &[UserId])],
    ) -> Result<BTreeSet<UserId>, StoreError> {
        self.lock_tenant(tenant).await?;
        // One more than the entries name is enough. If it is found, an administrator stays whatever
        // they take, and a tenant of many administrators costs no more.
        let named: usize = taking.iter().map(|(_, users)| users.len()).sum();
        let values: [Value; 2] = [tenant.into(), (named as u64 + 1).into()];
        let mut administrators = BTreeSet::new();
        for row in self.db.query(&select_administrators(), &values).await? {
            administrators.insert(row.user_id(AdministratorColumns::AT.user_id)?);
        }
        Ok(administrators)
    }

    /// Locks a tenant before any user of the batch is locked, in the order of tenants.
    async fn lock_tenant(&mut self, tenant: &TenantId) -> Result<(), StoreError> {
        // The tenant and not its administrators: two batches that each take a different
        // administrator would lock different rows, and together leave none.
        let lock = format!(
            "SELECT s.tenant_serial FROM tenants s WHERE s.tenant_id = $1 {}",
            self.db.dialect.lock_rows
        );
        self.db.query(&lock, &[tenant.into()]).await?;
        Ok(())
    }
}

fn select_administrators() -> String {
    format!(
        "SELECT {} FROM users WHERE tenant_id = $1 AND roles > 0 AND (roles & {admin}) > 0 \
         AND disabled_us IS NULL ORDER BY user_id LIMIT $2",
        AdministratorColumns::names(),
        admin = UserRoles::from_iter([UserRole::Admin]).code(),
    )
}
