//! The end of sessions beyond the policy's number.

use portcullis_contract::id::{SessionId, TenantId};

use crate::{
    app::{App, AppError},
    domain::{
        Cause, Details, EXCESS_SESSIONS_MAX, Entry, Mutation, SignIn, policy::PolicyViolation,
    },
};

impl App {
    /// Ends the sessions that the session of a sign-in leaves no room for. The transaction that opened it has named the
    /// first of them.
    pub(super) async fn end_excess(
        &self,
        opened: &SignIn,
        mut excess: Vec<SessionId>,
    ) -> Result<(), AppError> {
        while !excess.is_empty() {
            let may_be_more = excess.len() >= EXCESS_SESSIONS_MAX as usize;
            self.log
                .submit(end_beyond_limit(&opened.tenant_id, excess))
                .await?;
            if !may_be_more {
                return Ok(());
            }
            // Only sessions that opened before this one are named, so reading them now gives the same answer as in the
            // transaction, whoever has signed in since.
            excess = self.store.excess_sessions(opened).await?;
        }
        Ok(())
    }
}

fn end_beyond_limit(tenant: &TenantId, sessions: Vec<SessionId>) -> Entry {
    let mutation = Mutation::RevokeSessions {
        tenant: tenant.clone(),
        sessions,
        owner: None,
        cause: Cause::SessionLimit,
    };
    let rule = PolicyViolation::TooMany;
    Entry {
        reason: rule.describe().into(),
        details: Details::from([("rule".to_owned(), rule.rule().to_owned())]),
        ..Entry::internal(mutation)
    }
}
