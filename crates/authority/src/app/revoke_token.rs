//! Sign-outs by a token: whoever holds a token of a session may end it.
//!
//! The answer never tells whether there was anything to end, so that nobody can probe for tokens or sessions with it.

use portcullis_contract::id::{SessionId, TenantId};

use super::{
    ActingUser, App, AppError, ChangeOrigin, revoke::revoke_session, tokens::verify_access_token,
};
use crate::{
    domain::{Cause, EntryError, Mutation, Session},
    keys::RefreshKey,
    log::LogError,
};

/// A token whose session ends.
pub(crate) struct TokenRevocation {
    pub(crate) tenant_id: TenantId,
    /// An access token or a refresh token.
    pub(crate) token: String,
    /// The address of the user, for the audit trail. Empty: unknown.
    pub(crate) client_ip: String,
}

/// Ends the session of a token, if there is one. The user signed out, and the service called for the user.
pub(crate) async fn revoke_token(
    app: &App,
    mut origin: ChangeOrigin,
    revocation: TokenRevocation,
) -> Result<(), AppError> {
    let Some(session) = find_session(app, &revocation).await? else {
        return Ok(());
    };
    origin.acting_user = Some(ActingUser {
        id: session.user_id.clone(),
        ip: revocation.client_ip,
    });
    // Also for a session that has ended: the entry makes sure that its end is durable before the call is acknowledged.
    let entry = origin.entry(Mutation::RevokeSessions {
        tenant: revocation.tenant_id,
        sessions: vec![session.id],
        // The token has told the owner.
        owner: None,
        cause: Cause::User,
    });
    match app.log.submit(entry).await {
        // Retention has deleted the session since it was read.
        Ok(_) | Err(LogError::Entry(EntryError::SessionNotFound)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The tenant that a token names itself, for an edge whose requests need not name it.
pub(crate) enum TokenTenant {
    /// The tenant of a genuine access token.
    Known(TenantId),
    /// A refresh token, which names none.
    Unnamed,
    /// Not a token of this authority. There is nothing to end.
    Foreign,
}

/// Reads the tenant that a token names.
pub(crate) fn tenant_of_token(app: &App, token: &str) -> TokenTenant {
    if token.starts_with(RefreshKey::PREFIX) {
        return TokenTenant::Unnamed;
    }
    match verify_access_token(app, token) {
        Ok(identity) => TokenTenant::Known(identity.claims.tenant_id),
        Err(_) => TokenTenant::Foreign,
    }
}

/// Ends the session of a user who calls with its access token, and names one of its tokens.
///
/// # Errors
/// [`AppError::Denied`] for a token of another session.
pub(crate) async fn revoke_own_token(
    app: &App,
    origin: &ChangeOrigin,
    tenant: &TenantId,
    token: &str,
) -> Result<(), AppError> {
    let Some(named) = session_of_token(app, token).await? else {
        return Ok(());
    };
    // A session other than the caller's own is denied whether it exists or not.
    if origin.caller.own_session() != Some(named) {
        return Err(AppError::Denied);
    }
    match revoke_session(app, origin, tenant, named).await {
        // Retention has deleted the session since the caller was found.
        Ok(_) | Err(AppError::SessionNotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The session that a token names. A refresh token is not verified: its holder may end their own session anyway.
async fn session_of_token(app: &App, token: &str) -> Result<Option<SessionId>, AppError> {
    if token.starts_with(RefreshKey::PREFIX) {
        let keys = app.secrets.refresh_for(token).await?;
        return Ok(keys.read(token).ok().map(|subject| subject.session_id));
    }
    let identity = verify_access_token(app, token).ok();
    Ok(identity.map(|identity| identity.session_id))
}

async fn find_session(
    app: &App,
    revocation: &TokenRevocation,
) -> Result<Option<Session>, AppError> {
    // The two kinds have different forms, so that this choice depends on no secret.
    if revocation.token.starts_with(RefreshKey::PREFIX) {
        find_by_refresh_token(app, revocation).await
    } else {
        find_by_access_token(app, revocation).await
    }
}

/// Finds the session of a refresh token of any generation. An older one proves as much as the newest that its holder
/// once had the session, and ending the session is all that it can do.
async fn find_by_refresh_token(
    app: &App,
    revocation: &TokenRevocation,
) -> Result<Option<Session>, AppError> {
    let refresh = app.secrets.refresh_for(&revocation.token).await?;
    let Ok(subject) = refresh.read(&revocation.token) else {
        return Ok(None);
    };
    let found = app
        .store
        .session(&revocation.tenant_id, subject.session_id)
        .await?;
    // The code is computed without a row too. Otherwise the time of the answer would tell a forger which sessions exist.
    let salt = found.as_ref().map_or([0; 16], |(session, _)| session.salt);
    let is_authentic = refresh.is_authentic(&revocation.token, &salt);
    Ok(found.filter(|_| is_authentic).map(|(session, _)| session))
}

/// Finds the session of an access token, also after its `exp`.
async fn find_by_access_token(
    app: &App,
    revocation: &TokenRevocation,
) -> Result<Option<Session>, AppError> {
    // Everybody can verify the signature with the published keys, so that the time of this tells nothing new.
    let Ok(identity) = verify_access_token(app, &revocation.token) else {
        return Ok(None);
    };
    // A tenant's service cannot end sessions of another tenant, nor learn that there are any.
    if identity.tenant_id != revocation.tenant_id {
        return Ok(None);
    }
    let found = app
        .store
        .session(&identity.tenant_id, identity.session_id)
        .await?;
    // Revocations cover serials: a session of another history may have the same id.
    Ok(found
        .map(|(session, _)| session)
        .filter(|session| session.subject == identity.subject))
}
