//! Sign-outs of many: of users, of a tenant, of everyone. Each is one entry of the log, however many sessions it ends.

use portcullis_contract::id::{TenantId, UserId};

use super::{App, AppError, ChangeOrigin};
use crate::{
    domain::{Cause, Mutation},
    feed::Enforcement,
};

/// Ends all sessions of users. With `disable`, the users cannot sign in again until they are enabled.
pub(crate) async fn sign_out_users(
    app: &App,
    origin: &ChangeOrigin,
    tenant: TenantId,
    users: Vec<UserId>,
    disable: bool,
) -> Result<Enforcement, AppError> {
    app.admit_named_users(&tenant, &users).await?;
    let cause = if disable {
        Cause::UserDisabled
    } else {
        Cause::Administrator
    };
    let mutation = Mutation::SignOutUsers {
        tenant,
        users,
        keep: None,
        disable,
        cause,
    };
    let (_, enforcement) = app.apply_change(origin, mutation).await?;
    Ok(enforcement)
}

/// Ends all sessions of a tenant. `is_forced` must be true: the call can sign out millions, and a mistake cannot be
/// undone.
pub(crate) async fn sign_out_tenant(
    app: &App,
    origin: &ChangeOrigin,
    tenant: TenantId,
    is_forced: bool,
) -> Result<Enforcement, AppError> {
    if !is_forced {
        return Err(AppError::ForceRequired);
    }
    let mutation = Mutation::SignOutTenant { tenant };
    let (_, enforcement) = app.apply_change(origin, mutation).await?;
    Ok(enforcement)
}

/// Ends all sessions of the installation. `is_forced` must be true, as for a tenant.
pub(crate) async fn sign_out_everyone(
    app: &App,
    origin: &ChangeOrigin,
    is_forced: bool,
) -> Result<Enforcement, AppError> {
    if !is_forced {
        return Err(AppError::ForceRequired);
    }
    let (_, enforcement) = app.apply_change(origin, Mutation::SignOutEveryone).await?;
    Ok(enforcement)
}
