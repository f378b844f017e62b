//! The policy's number of sessions of a user.

use portcullis_contract::id::{EventId, SessionId, TenantId};

use crate::{
    app::{App, AppError},
    domain::{
        Actor, Cause, Entry, Mutation, Session, SignIn,
        policy::{AtLimit, Limits},
    },
};

/// The most sessions beyond the policy's number that one entry of the log ends.
const EXCESS_SESSIONS_MAX: u32 = 100;

impl App {
    /// Refuses a sign-in if its user has as many sessions as the policy allows.
    pub(super) async fn check_session_limit(
        &self,
        new: &SignIn,
        limits: &Limits,
    ) -> Result<(), AppError> {
        let Some(sessions_max) = limits.sessions_max else {
            return Ok(());
        };

        // The replaced session makes room, so that one more is read than would fill the limit.
        let active = self
            .store
            .active_sessions(&new.tenant_id, &new.user_id, sessions_max.saturating_add(1))
            .await?;
        let staying = active
            .iter()
            .filter(|session| Some(session.id) != new.replaces)
            .count();
        // Two sign-ins at a time can both pass here. The check after the opening settles that; this one spares a full
        // user the opening.
        if staying >= sessions_max as usize {
            return Err(AppError::SessionLimit);
        }
        Ok(())
    }

    /// Ends the sessions beyond the policy's number, now that the new one is open. The session that it replaces does not
    /// count.
    ///
    /// The sessions are counted after the opening: two sign-ins at the same time would otherwise each see room for one,
    /// and so would a repeated request.
    pub(super) async fn enforce_session_limit(
        &self,
        opened: &Session,
        replaced: Option<SessionId>,
        limits: &Limits,
    ) -> Result<(), AppError> {
        let Some(sessions_max) = limits.sessions_max else {
            return Ok(());
        };
        // One entry of the log ends as many sessions as one read returns. Its size bounds the lock time of a batch.
        let read_max = sessions_max.saturating_add(EXCESS_SESSIONS_MAX);
        // The new session takes one of the places.
        let others_max = sessions_max.saturating_sub(1) as usize;

        loop {
            let active = self
                .store
                .active_sessions(&opened.tenant_id, &opened.user_id, read_max)
                .await?;
            let excess: Vec<_> = active
                .iter()
                .map(|session| session.id)
                .filter(|id| *id != opened.id && Some(*id) != replaced)
                .skip(others_max)
                .collect();
            if excess.is_empty() {
                return Ok(());
            }

            // The new session is the one that goes: those that were there have users at work.
            if limits.at_limit == AtLimit::Refuse {
                let entry = end_beyond_limit(&opened.tenant_id, vec![opened.id]);
                self.log.submit(entry).await?;
                return Err(AppError::SessionLimit);
            }
            self.log
                .submit(end_beyond_limit(&opened.tenant_id, excess))
                .await?;

            // The newest sessions are read first. Stopping after a full read would end newer ones and keep the oldest.
            if active.len() < read_max as usize {
                return Ok(());
            }
        }
    }
}

fn end_beyond_limit(tenant: &TenantId, sessions: Vec<SessionId>) -> Entry {
    Entry {
        event_id: EventId::generate(),
        actor: Actor::authority(),
        reason: "beyond the policy's number of sessions".into(),
        user_message: String::new(),
        trace_parent: None,
        mutation: Mutation::RevokeSessions {
            tenant: tenant.clone(),
            sessions,
            owner: None,
            cause: Cause::SessionLimit,
        },
    }
}
