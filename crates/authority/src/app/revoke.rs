//! Revocations of sessions: one, several, or all others of a user.

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::{App, AppError, Caller, ChangeOrigin, SessionDetail, TokenRefusal};
use crate::{
    config::Role,
    domain::{Cause, Micros, Mutation, Session},
    feed::Enforcement,
    log::Acknowledged,
};

/// A session that was revoked.
pub(crate) struct RevokedSession {
    pub(crate) session: SessionDetail,
    pub(crate) enforcement: Enforcement,
}

/// Revokes one session. A user may revoke their own ones, and always the one that they call with.
pub(crate) async fn revoke_session(
    app: &App,
    origin: &ChangeOrigin,
    tenant: &TenantId,
    id: SessionId,
) -> Result<RevokedSession, AppError> {
    let caller = &origin.caller;
    admit_revocation(app, caller, id)?;
    let mutation = Mutation::RevokeSessions {
        tenant: tenant.clone(),
        sessions: vec![id],
        // The appender refuses a session of another user, inside its transaction.
        owner: caller.own_user().cloned(),
        cause: cause_of_revocation(app, origin, tenant, id).await?,
    };

    // The appender returns the row that it has ended, which saves a read in the ordinary case.
    let entry = origin.entry(mutation);
    app.expect_receipt(origin);
    let Acknowledged { outcome, ended, .. } = app.log.submit_for_effect(entry).await?;
    let enforcement = app.receipt(origin, outcome.revision).await;
    let (session, now) = match ended {
        Some(ended) => ended,
        // The entry has ended nothing, as a rule because the session had ended already. The appender has compared the
        // owner, so it is not compared again.
        None => app.find_session(tenant, id, None).await?,
    };
    Ok(RevokedSession {
        session: ended_detail(app, caller, session, now).await?,
        enforcement,
    })
}

/// Admits a user's revocation of a session. Services are held to nothing here.
fn admit_revocation(app: &App, caller: &Caller, id: SessionId) -> Result<(), AppError> {
    let Caller::User(user) = caller else {
        return Ok(());
    };
    if user.identity.session_id != id {
        app.admit_beyond_own_session(caller)?;
        return app.admit_user_change(caller);
    }
    // The session of the call ends once, so that it needs no rate, and nothing that was done before can use the rate up.
    // Ending it again costs a write that ends nothing, and is held to the rate.
    if user.has_ended {
        return app.admit_user_change(caller);
    }
    Ok(())
}

/// The part of an ended session that the caller may see.
async fn ended_detail(
    app: &App,
    caller: &Caller,
    session: Session,
    now: Micros,
) -> Result<SessionDetail, AppError> {
    if let Caller::User(user) = caller {
        let is_valid = !matches!(user.beyond_own_session, Err(TokenRefusal::Invalid(_)));
        let policy = app.policies.of(&session.tenant_id).await?;
        if !is_valid || !policy.users_see_sessions {
            return Ok(SessionDetail::outline(session, caller, now));
        }
    }
    let view = app.view_without_profile(caller, session, now).await?;
    Ok(SessionDetail::Whole(Box::new(view)))
}

/// A user who ends their own session signs out, also when a service calls for them.
async fn cause_of_revocation(
    app: &App,
    origin: &ChangeOrigin,
    tenant: &TenantId,
    id: SessionId,
) -> Result<Cause, AppError> {
    if let Some(own) = origin.caller.own_session() {
        return Ok(if own == id {
            Cause::User
        } else {
            Cause::AnotherDevice
        });
    }
    let Some(acting) = &origin.acting_user else {
        return Ok(Cause::Administrator);
    };
    // The row may have changed until the entry is applied. That changes no more than the wording of the cause.
    let (session, _) = app.find_session(tenant, id, None).await?;
    Ok(if session.user_id == acting.id {
        Cause::User
    } else {
        Cause::Administrator
    })
}

/// Revokes several sessions. Returns how many of them were alive.
pub(crate) async fn revoke_sessions(
    app: &App,
    origin: &ChangeOrigin,
    tenant: TenantId,
    sessions: Vec<SessionId>,
) -> Result<(u32, Enforcement), AppError> {
    let mutation = Mutation::RevokeSessions {
        tenant,
        sessions,
        // Only administrators may make this call, and they may end the sessions of every user.
        owner: None,
        cause: Cause::Administrator,
    };
    let (outcome, enforcement) = app.apply_change(origin, mutation).await?;
    Ok((outcome.changed, enforcement))
}

/// A change of a user's credentials, as a login service reports it, that the caller may report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReportedChange {
    cause: Option<Cause>,
}

impl ReportedChange {
    /// Checks that the caller may end the other sessions of a user for `cause`. A login service may do so only for a
    /// change that it reports, and a user reports none.
    pub(crate) fn check(caller: &Caller, cause: Option<Cause>) -> Result<Self, AppError> {
        match caller {
            Caller::User(_) if cause.is_some() => Err(AppError::Denied),
            // Ending sessions without a reported change is an administrator's act. A service with both roles may do
            // either.
            Caller::Service(service) if cause.is_none() && !service.has_role(Role::Admin) => {
                Err(AppError::Denied)
            }
            _ => Ok(Self { cause }),
        }
    }
}

/// The other sessions of a user.
pub(crate) struct OtherSessions {
    pub(crate) user: UserId,
    /// The session that stays. None: all end.
    pub(crate) keep: Option<SessionId>,
    pub(crate) reported: ReportedChange,
}

/// Revokes all sessions of a user but one.
pub(crate) async fn revoke_other_sessions(
    app: &App,
    origin: &ChangeOrigin,
    tenant: TenantId,
    others: OtherSessions,
) -> Result<Enforcement, AppError> {
    // Users are held to a rate of changes. Services are held to a rate of unknown users, each of whom becomes a row.
    let is_own_user = origin.caller.own_user().is_some();
    app.admit_user_change(&origin.caller)?;
    if !is_own_user {
        app.admit_named_users(&tenant, std::slice::from_ref(&others.user))
            .await?;
    }

    let is_for_themselves = origin
        .acting_user
        .as_ref()
        .is_some_and(|acting| acting.id == others.user);
    let cause = match others.reported.cause {
        Some(reported) => reported,
        None if is_own_user || is_for_themselves => Cause::AnotherDevice,
        None => Cause::Administrator,
    };
    // A cutoff of the user, and not a list of sessions: it costs the same for one session as for a thousand, and covers
    // sign-ins that are under way.
    let mutation = Mutation::SignOutUsers {
        tenant,
        users: vec![others.user],
        keep: others.keep,
        disable: false,
        cause,
    };
    let (_, enforcement) = app.apply_change(origin, mutation).await?;
    Ok(enforcement)
}
