//! Changes: entries for the log, in the name of a caller.

use std::time::Instant;

use portcullis_contract::id::{EventId, TenantId, UserId};

use super::{ActingUser, App, AppError, Caller};
use crate::{
    domain::{Details, Entry, Mutation, Outcome, SignedOut},
    feed::Enforcement,
};

/// The origin of a change: the caller, the person for whom a service calls, and the reason. The audit trail keeps it
/// beside the change.
#[derive(Debug)]
pub(crate) struct ChangeOrigin {
    pub(crate) caller: Caller,
    pub(crate) acting_user: Option<ActingUser>,
    /// For administrators. Empty: none was given.
    pub(crate) reason: String,
    /// For the user whom the change concerns. Empty: none was given.
    pub(crate) user_message: String,
    /// The trace to which the change belongs, where the caller may ask for traces.
    pub(crate) trace_parent: Option<String>,
    /// The time at which the request was received, from which its enforcement is measured.
    pub(crate) received: Instant,
    /// The time until which the answer waits for enforcement. None: it does not wait.
    pub(crate) enforced_until: Option<Instant>,
}

impl ChangeOrigin {
    /// The origin of a change that needs no words, such as the end of a session that a sign-in replaces.
    pub(crate) fn wordless(
        caller: Caller,
        trace_parent: Option<String>,
        received: Instant,
    ) -> Self {
        Self {
            caller,
            acting_user: None,
            reason: String::new(),
            user_message: String::new(),
            trace_parent,
            received,
            enforced_until: None,
        }
    }

    /// Refuses a change that would take a person's own role or admission away. Somebody else can give it back.
    pub(crate) fn forbid_own_account(&self, users: &[UserId]) -> Result<(), AppError> {
        if users.iter().any(|user| self.caller.is_staff_member(user)) {
            return Err(AppError::OwnAccount);
        }
        Ok(())
    }

    /// The log entry of this change.
    pub(crate) fn entry(&self, mutation: Mutation) -> Entry {
        let mut details = Details::new();
        if let Mutation::SetUserRoles { roles, .. } = &mutation {
            details.insert("roles".to_owned(), roles.names());
        }
        Entry {
            // Chosen here: the appender recognises an entry by it when it repeats a batch whose answer was lost.
            event_id: EventId::generate(),
            actor: self.caller.actor(self.acting_user.as_ref()),
            reason: self.reason.clone(),
            user_message: self.user_message.clone(),
            details,
            counts_sessions: false,
            trace_parent: self.trace_parent.clone(),
            mutation,
        }
    }
}

impl App {
    /// Appends a change to the log. It is durable when this returns.
    pub(crate) async fn apply_change(
        &self,
        origin: &ChangeOrigin,
        mutation: Mutation,
    ) -> Result<(Outcome, Enforcement), AppError> {
        // Before the entry: the gates' question then follows the batch in one write, and no stream
        // is woken twice.
        self.expect_receipt(origin);
        let outcome = self.log.submit(origin.entry(mutation)).await?;
        let enforcement = self.receipt(origin, outcome.revision).await;
        Ok((outcome, enforcement))
    }

    /// Signs out users or a tenant, as [`apply_change`](Self::apply_change) does, and counts the sessions that end.
    pub(crate) async fn apply_sign_out(
        &self,
        origin: &ChangeOrigin,
        mutation: Mutation,
    ) -> Result<(SignedOut, Enforcement), AppError> {
        let entry = Entry {
            counts_sessions: true,
            ..origin.entry(mutation)
        };
        self.expect_receipt(origin);
        let effect = self.log.submit_for_effect(entry).await?;
        let enforcement = self.receipt(origin, effect.outcome.revision).await;
        Ok((effect.signed_out.unwrap_or_default(), enforcement))
    }

    /// Admits a change that ends sessions. Users have a rate, because each change costs an entry of the log.
    pub(crate) fn admit_user_change(&self, caller: &Caller) -> Result<(), AppError> {
        // Services have no rate here: the permits of the edge and the queue of the log bound their changes.
        if let Caller::User(user) = caller {
            let identity = &user.identity;
            self.limits
                .admit_user_change(&identity.tenant_id, &identity.user_id)?;
        }
        Ok(())
    }

    /// Admits the users whom a sign-out names.
    pub(crate) async fn admit_named_users(
        &self,
        tenant: &TenantId,
        users: &[UserId],
    ) -> Result<(), AppError> {
        // The outer error is of the store, the inner one of the limit. A store that fails must not look like a limit
        // that was reached.
        Ok(self.limits.admit_named_users(tenant, users).await??)
    }
}
