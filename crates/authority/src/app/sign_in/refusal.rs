//! Refused sign-ins in the audit trail.

use tokio::time::Instant;

use super::SignInRequest;
use crate::{
    app::{App, AppError, Caller},
    refused_sign_ins::RefusedSignIn,
};

impl App {
    /// Records that a sign-in was refused, if the trail keeps refusals for this reason.
    pub(super) async fn record_refusal(
        &self,
        caller: &Caller,
        request: &SignInRequest,
        error: &AppError,
    ) {
        let Some((reason, rule)) = recorded_reason(error) else {
            return;
        };
        let refused = RefusedSignIn {
            tenant_id: request.tenant_id.clone(),
            user_id: request.user_id.clone(),
            reason,
            rule,
            ip: request.client.ip.clone(),
            service: caller.service_name().into(),
        };
        let Some(due) = self.refused_sign_ins.count(refused, Instant::now()) else {
            return;
        };
        // The caller gets the same answer in any case: a trail that cannot be written must not hide the reason.
        if let Err(error) = self.store.add_events_of_now(vec![due.event.clone()]).await {
            error.log("a refused sign-in is not in the audit trail yet");
            self.refused_sign_ins.put_back(vec![due], Instant::now());
        }
    }
}

/// The reason and the rule that the trail keeps. None for a failure that says nothing about the user, such as a field
/// that is invalid or a store that is away.
fn recorded_reason(error: &AppError) -> Option<(&'static str, &'static str)> {
    match error {
        AppError::UserDisabled => Some(("USER_DISABLED", "")),
        AppError::SessionLimit => Some(("SESSION_LIMIT", "")),
        AppError::RequestIdReused => Some(("REQUEST_ID_REUSED", "")),
        AppError::PolicyForbids(rule) => Some(("POLICY_FORBIDS", rule)),
        AppError::QuotaExceeded(limit) => Some(("QUOTA_EXCEEDED", limit)),
        _ => None,
    }
}
