//! Policies of tenants: read and replace.

use portcullis_contract::id::TenantId;

use super::{App, AppError, ChangeOrigin};
use crate::domain::{Details, Entry, Mutation, Policy, policy::POLICY_AGE_MAX};

/// A policy and its version.
pub(crate) struct VersionedPolicy {
    pub(crate) policy: Policy,
    /// 0: the tenant has set none, and the installation's default is in force.
    pub(crate) version: u64,
}

/// Returns the policy that is in force for a tenant.
pub(crate) async fn get_policy(app: &App, tenant: &TenantId) -> Result<VersionedPolicy, AppError> {
    // Read from the store and not from the cache: the etag of an older version would make the next update fail.
    match app.store.policy(tenant).await? {
        Some((policy, version)) => Ok(VersionedPolicy { policy, version }),
        None => Ok(VersionedPolicy {
            policy: app.policies.default().clone(),
            version: 0,
        }),
    }
}

/// Replaces a tenant's policy, if it still has the version that the caller has read. When this returns, every authority
/// follows the new one.
pub(crate) async fn update_policy(
    app: &App,
    origin: &ChangeOrigin,
    tenant: &TenantId,
    policy: Policy,
    expected: u64,
) -> Result<VersionedPolicy, AppError> {
    let changes = changes(app, tenant, &policy, expected).await?;
    // The appender compares the version within its transaction. Compared here, two administrators could both pass, and
    // the second would undo the change of the first without seeing it.
    let mutation = Mutation::SetPolicy {
        tenant: tenant.clone(),
        policy: Box::new(policy),
        expected,
    };
    let entry = Entry {
        details: changes,
        ..origin.entry(mutation)
    };
    app.log.submit(entry).await?;

    // This authority follows the new policy from here on.
    let known = app.policies.reload(tenant).await?;
    // Others may have read the policy of before just before it was replaced, and follow it for as long as that. The
    // answer promises that nobody does.
    if app.store.is_shared() {
        tokio::time::sleep(POLICY_AGE_MAX).await;
    }
    Ok(VersionedPolicy {
        policy: Policy::clone(&known.policy),
        version: known.version,
    })
}

/// The fields that the new policy changes.
async fn changes(
    app: &App,
    tenant: &TenantId,
    policy: &Policy,
    expected: u64,
) -> Result<Details, AppError> {
    let current = get_policy(app, tenant).await?;
    // A version has one content. If this is the one that the new policy replaces, the differences are right whatever
    // happens until the appender has compared the version.
    if current.version != expected {
        return Err(AppError::EtagMismatch);
    }
    Ok(current.policy.changes(policy))
}
