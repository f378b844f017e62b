//! Policies: replaced as a whole, if they are still as their editor saw them.

use std::collections::BTreeMap;

use portcullis_contract::id::TenantId;

use super::{
    super::{users, value::Value},
    batch::Batch,
};
use crate::StoreError;
use portcullis_domain::{EntryError, Mutation, Policy};

impl Batch<'_> {
    /// Sets policies, tenant by tenant in key order.
    pub(super) async fn set_policies(&mut self) -> Result<(), StoreError> {
        let mut changes: BTreeMap<&TenantId, Vec<(usize, &Policy, u64)>> = BTreeMap::new();
        for (index, entry) in self.pending() {
            if let Mutation::SetPolicy {
                tenant,
                policy,
                expected,
            } = &entry.mutation
            {
                let of_tenant = changes.entry(tenant).or_default();
                of_tenant.push((index, policy, *expected));
            }
        }
        for (tenant, changes) in changes {
            users::ensure_tenant(self.db, tenant).await?;
            for (index, policy, expected) in changes {
                self.set_policy(index, tenant, policy, expected).await?;
            }
        }
        Ok(())
    }

    /// Sets a policy, if its version is the expected one. Version 0 is that of a tenant without a policy.
    async fn set_policy(
        &mut self,
        index: usize,
        tenant: &TenantId,
        policy: &Policy,
        expected: u64,
    ) -> Result<(), StoreError> {
        // The statement itself compares the version. A read before it could be overtaken by another
        // editor, whose policy would be lost without a word.
        let sql = if expected == 0 {
            "INSERT INTO policies (tenant_id, policy, version, sweep_from, changed_us) \
             VALUES ($1, $2, $3 + 1, $4, $5) ON CONFLICT DO NOTHING RETURNING version"
        } else {
            "UPDATE policies SET policy = $2, version = version + 1, sweep_from = $4, changed_us = $5 \
             WHERE tenant_id = $1 AND version = $3 RETURNING version"
        };
        // The empty id is before every session: the sweep walks through all sessions again after each change.
        let before_all: &[u8] = &[];
        let values: [Value; 5] = [
            tenant.into(),
            policy.encode().into(),
            expected.into(),
            before_all.into(),
            self.now.into(),
        ];
        // No row: another editor was faster, and this one must see that policy first.
        if self.db.query(sql, &values).await?.is_empty() {
            self.refuse(index, EntryError::PolicyChanged);
        } else {
            self.applied(index, tenant.as_str(), &[tenant.to_string()], None, 1);
        }
        Ok(())
    }
}
