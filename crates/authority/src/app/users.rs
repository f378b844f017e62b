//! Users: read one, list many, disable and enable one.

use portcullis_contract::id::{TenantId, UserId};

use super::{App, AppError, ChangeOrigin};
use crate::{
    domain::{
        Cause, Micros, Mutation, PageCursor, User, UserFilter, UserOrder, UserRoles, UserSummary,
        listing::TENANT_SESSIONS_COUNTED_MAX,
    },
    feed::Enforcement,
};

/// One page of a list of users.
pub(crate) struct UserPage {
    pub(crate) users: Vec<UserSummary>,
    /// The time of the page.
    pub(crate) now: Micros,
    /// The position of the next page. None: this is the last one.
    pub(crate) next: Option<PageCursor>,
    /// Active sessions of the tenant, up to [`TENANT_SESSIONS_COUNTED_MAX`]. 0 on every page but the first.
    pub(crate) sessions: u32,
    /// Whether the tenant has more sessions than that.
    pub(crate) is_capped: bool,
}

/// Returns one user.
pub(crate) async fn get_user(
    app: &App,
    tenant: &TenantId,
    user: &UserId,
) -> Result<User, AppError> {
    let found = app.store.user(tenant, user).await?;
    found.ok_or(AppError::UserNotFound)
}

/// Lists the users that match a filter, from a position on.
pub(crate) async fn list_users(
    app: &App,
    filter: &UserFilter,
    order: UserOrder,
    after: Option<&PageCursor>,
    page_size: u32,
) -> Result<UserPage, AppError> {
    let page = app
        .store
        .list_users(filter, order, after, page_size)
        .await?;
    // The count costs as much as a page, and it would be the same on each.
    let sessions = if after.is_none() {
        count_sessions(app, &filter.tenant_id).await?
    } else {
        0
    };
    Ok(UserPage {
        users: page.items,
        now: page.now,
        next: page.next,
        sessions: sessions.min(TENANT_SESSIONS_COUNTED_MAX),
        is_capped: sessions > TENANT_SESSIONS_COUNTED_MAX,
    })
}

/// Counts the active sessions of a tenant, up to one more than the maximum.
async fn count_sessions(app: &App, tenant: &TenantId) -> Result<u32, AppError> {
    // The one more tells a full count from a capped one.
    let count = app
        .store
        .count_sessions(tenant, TENANT_SESSIONS_COUNTED_MAX + 1)
        .await?;
    Ok(count)
}

/// Disables a user and ends all their sessions.
pub(crate) async fn disable_user(
    app: &App,
    origin: &ChangeOrigin,
    tenant: &TenantId,
    user: &UserId,
) -> Result<(User, Enforcement), AppError> {
    origin.forbid_own_account(std::slice::from_ref(user))?;
    // A user who never signed in can be disabled too, which creates a row. The rate bounds how many a caller creates.
    app.admit_named_users(tenant, std::slice::from_ref(user))
        .await?;
    let mutation = Mutation::SignOutUsers {
        tenant: tenant.clone(),
        users: vec![user.clone()],
        keep: None,
        disable: true,
        cause: Cause::UserDisabled,
    };
    let (_, enforcement) = app.apply_change(origin, mutation).await?;
    // Read after the append, because the append chooses the time of disabling.
    let user = get_user(app, tenant, user).await?;
    Ok((user, enforcement))
}

/// Lets a disabled user sign in again. Their ended sessions stay ended.
pub(crate) async fn enable_user(
    app: &App,
    origin: &ChangeOrigin,
    tenant: &TenantId,
    user: &UserId,
) -> Result<User, AppError> {
    let mutation = Mutation::EnableUser {
        tenant: tenant.clone(),
        user: user.clone(),
    };
    app.apply_change(origin, mutation).await?;
    get_user(app, tenant, user).await
}

/// Replaces the roles of a user. They are in force when this returns.
pub(crate) async fn set_user_roles(
    app: &App,
    origin: &ChangeOrigin,
    tenant: &TenantId,
    user: &UserId,
    roles: UserRoles,
) -> Result<User, AppError> {
    origin.forbid_own_account(std::slice::from_ref(user))?;
    let mutation = Mutation::SetUserRoles {
        tenant: tenant.clone(),
        user: user.clone(),
        roles,
    };
    app.apply_change(origin, mutation).await?;
    get_user(app, tenant, user).await
}
