//! Policies: replaced as a whole, when they are still what their editor saw.

use std::collections::BTreeMap;

use portcullis_contract::id::TenantId;

use super::{super::users, Batch};
use crate::{
    domain::{EntryError, Mutation, Policy},
    store::StoreError,
};

impl Batch<'_> {
    /// Policies, tenant by tenant in key order.
    pub(super) async fn set_policies(&mut self) -> Result<(), StoreError> {
        let mut changes: BTreeMap<&TenantId, Vec<(usize, &Policy, u64)>> = BTreeMap::new();
        for (index, entry) in self.pending() {
            if let Mutation::SetPolicy {
                tenant,
                policy,
                expected,
            } = &entry.mutation
            {
                changes
                    .entry(tenant)
                    .or_default()
                    .push((index, policy, *expected));
            }
        }
        for (tenant, changes) in changes {
            users::ensure_tenant(self.connection, self.dialect, tenant).await?;
            for (index, policy, expected) in changes {
                self.set_policy(index, tenant, policy, expected).await?;
            }
        }
        Ok(())
    }

    /// The sweep begins anew with every change, from before the first session.
    async fn set_policy(
        &mut self,
        index: usize,
        tenant: &TenantId,
        policy: &Policy,
        expected: u64,
    ) -> Result<(), StoreError> {
        let sql = match expected {
            0 => {
                "INSERT INTO policies (tenant_id, policy, version, sweep_from, changed_us) \
                 VALUES ($1, $2, $3 + 1, $4, $5) ON CONFLICT DO NOTHING RETURNING version"
            }
            _ => {
                "UPDATE policies SET policy = $2, version = version + 1, sweep_from = $4, changed_us = $5 \
                 WHERE tenant_id = $1 AND version = $3 RETURNING version"
            }
        };
        let start: &[u8] = &[];
        let values = [
            tenant.as_str().into(),
            policy.encode().into(),
            expected.into(),
            start.into(),
            self.now.0.into(),
        ];
        if self.connection.query(sql, &values).await?.is_empty() {
            self.results[index] = Some(Err(EntryError::PolicyChanged));
        } else {
            self.applied(index, tenant.as_str(), &[tenant.to_string()], None, 1);
        }
        Ok(())
    }
}
