//! Sign-outs of many: of users, of a tenant, of everyone. Each is one entry of the log, however many sessions it ends.

use portcullis_contract::id::{TenantId, UserId};

use super::{App, AppError, ChangeOrigin};
use crate::{
    domain::{Cause, Mutation, SignedOut},
    feed::Enforcement,
};

/// Ends all sessions of users. With `disable`, the users cannot sign in again until they are enabled.
pub(crate) async fn sign_out_users(
    app: &App,
    origin: &ChangeOrigin,
    tenant: TenantId,
    users: Vec<UserId>,
    disable: bool,
) -> Result<(SignedOut, Enforcement), AppError> {
    if disable {
        origin.forbid_own_account(&users)?;
    }
    // A named user who never signed in gets a row, so that a cutoff can stand in it. The rate bounds how many.
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
    app.apply_sign_out(origin, mutation).await
}

/// Ends all sessions of a tenant. Fails unless `is_forced`.
pub(crate) async fn sign_out_tenant(
    app: &App,
    origin: &ChangeOrigin,
    tenant: TenantId,
    is_forced: bool,
) -> Result<(SignedOut, Enforcement), AppError> {
    // The call can sign out millions, and nobody can undo it.
    if !is_forced {
        return Err(AppError::ForceRequired);
    }
    // One cutoff covers all sessions of the tenant, so the entry costs the same for a tenant of any size.
    app.apply_sign_out(origin, Mutation::SignOutTenant { tenant })
        .await
}

/// Ends all sessions of the installation. Fails unless `is_forced`.
pub(crate) async fn sign_out_everyone(
    app: &App,
    origin: &ChangeOrigin,
    is_forced: bool,
) -> Result<Enforcement, AppError> {
    // Checked here and not at the edge, so that no other way to this use case can skip it.
    if !is_forced {
        return Err(AppError::ForceRequired);
    }
    let (_, enforcement) = app.apply_change(origin, Mutation::SignOutEveryone).await?;
    Ok(enforcement)
}
