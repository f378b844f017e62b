//! Logouts at identity providers: a provider's logout token ends the sessions that it names.

use std::collections::BTreeMap;

use portcullis_contract::id::{EventId, SessionId, TenantId};

use super::{App, AppError};
use crate::{
    domain::{Actor, Cause, Details, Entry, EntryError, Mutation, ProviderLogout},
    identity_providers::{LogoutRefusal, LogoutToken},
    log::LogError,
};

/// The most sessions of one entry of the log.
const STEP_SESSIONS: u32 = 500;
/// The most steps of one logout. A person with more sessions takes a repetition.
const STEPS_MAX: usize = 20;

/// The reason in the audit trail.
const REASON: &str = "back-channel logout";

/// Ends the sessions that a logout token names, and returns when that is durable.
///
/// # Errors
/// [`AppError::Invalid`] for a token that fails a check, or that has counted before.
pub(crate) async fn end_sessions(app: &App, token: &str) -> Result<(), AppError> {
    let token = match app.identity_providers.verify(token).await {
        Ok(token) => token,
        Err(LogoutRefusal::Invalid(problem)) => {
            app.instruments.refusals.count_credential("logout_token");
            return Err(invalid(problem));
        }
        Err(LogoutRefusal::Unavailable) => return Err(AppError::Unavailable),
    };
    if app.store.knows_logout_token(&token.digest).await? {
        return Err(invalid("jti: the token was used before"));
    }
    end_named(app, &token.logout).await?;
    // Last, so that a provider may repeat a token whose logout failed. Two at the same moment end the same sessions.
    remember(app, &token).await
}

fn invalid(problem: &'static str) -> AppError {
    AppError::invalid("logout_token", problem)
}

async fn remember(app: &App, token: &LogoutToken) -> Result<(), AppError> {
    let remembering = app.store.remember_logout_token(&token.digest, token.keep);
    Ok(remembering.await?)
}

/// Ends sessions step by step until none is left.
async fn end_named(app: &App, logout: &ProviderLogout) -> Result<(), AppError> {
    for _ in 0..STEPS_MAX {
        let found = app.store.provider_sessions(logout, STEP_SESSIONS).await?;
        let is_last = found.len() < STEP_SESSIONS as usize;
        for (tenant, sessions) in by_tenant(found) {
            end(app, logout, tenant, sessions).await?;
        }
        if is_last {
            return Ok(());
        }
    }
    // The token was not remembered, so the provider may repeat it, and the repetition goes on.
    Err(AppError::Unavailable)
}

fn by_tenant(found: Vec<(TenantId, SessionId)>) -> BTreeMap<TenantId, Vec<SessionId>> {
    let mut sorted: BTreeMap<TenantId, Vec<SessionId>> = BTreeMap::new();
    for (tenant, session) in found {
        sorted.entry(tenant).or_default().push(session);
    }
    sorted
}

async fn end(
    app: &App,
    logout: &ProviderLogout,
    tenant: TenantId,
    sessions: Vec<SessionId>,
) -> Result<(), AppError> {
    let entry = Entry {
        event_id: EventId::generate(),
        actor: Actor::identity_provider(&logout.named.issuer),
        reason: REASON.to_owned(),
        user_message: String::new(),
        details: Details::new(),
        counts_sessions: false,
        trace_parent: None,
        mutation: Mutation::RevokeSessions {
            tenant,
            sessions,
            owner: None,
            cause: Cause::IdentityProvider,
        },
    };
    match app.log.submit(entry).await {
        // Retention has deleted one of them since it was found. The next step finds those that are left.
        Ok(_) | Err(LogError::Entry(EntryError::SessionNotFound)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
