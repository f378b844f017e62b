//! The demands of a rule on a good credential.

use portcullis_contract::id::TenantId;
use portcullis_validator_core::{ApiKeyIdentity, Identity, Rejection};

use crate::{
    refused::{Refused, UnmetDemand},
    rules::Demands,
};

/// Checks a session. `now` is the time by the database's clock, if it is known.
pub(crate) fn check_session(
    demands: &Demands,
    identity: &Identity,
    now: impl FnOnce() -> Option<u64>,
) -> Result<(), Refused> {
    check_tenant(demands, &identity.tenant_id)?;
    // The list has every accepted value: with `acr_order` also those above the demanded one.
    if !demands.acr.is_empty() && !demands.acr.contains(&identity.acr) {
        return Err(UnmetDemand::Acr.into());
    }
    if demands
        .amr
        .iter()
        .any(|method| !identity.amr.contains(method))
    {
        return Err(UnmetDemand::Amr.into());
    }
    if let Some(max_age_seconds) = demands.max_age_seconds {
        // By the clock that gave the session its time of authentication.
        // Without the time the gate is at fault and not the session: a new sign-in would not help.
        let now = now().ok_or(Rejection::Unready)?;
        if now.saturating_sub(identity.auth_time) > max_age_seconds {
            return Err(UnmetDemand::Age.into());
        }
    }
    Ok(())
}

/// Checks an API key.
pub(crate) fn check_api_key(demands: &Demands, identity: &ApiKeyIdentity) -> Result<(), Refused> {
    check_tenant(demands, &identity.tenant_id)?;
    if demands
        .scopes
        .iter()
        .any(|scope| !identity.has_scope(scope))
    {
        return Err(UnmetDemand::Scope.into());
    }
    Ok(())
}

fn check_tenant(demands: &Demands, tenant: &TenantId) -> Result<(), UnmetDemand> {
    if demands.tenants.is_empty() || demands.tenants.contains(tenant) {
        Ok(())
    } else {
        Err(UnmetDemand::Tenant)
    }
}
