//! Helpers of handlers that are not use cases yet.

use std::time::Instant;

use portcullis_contract::{id::TenantId, v1};

use super::{incoming::Incoming, parse::Fields, render};
use crate::{
    app::{ActingUser, App, AppError, Caller, ChangeOrigin, preview},
    domain::{Entry, Mutation, Outcome, Selection},
};

impl<T> Incoming<T> {
    /// The log entry of this request.
    pub(crate) fn entry(
        &self,
        fields: Fields,
        acting_user: Option<ActingUser>,
        reason: String,
        user_message: String,
        mutation: Option<Mutation>,
    ) -> Result<Entry, AppError> {
        let origin = ChangeOrigin {
            caller: self.caller.clone(),
            acting_user,
            reason,
            user_message,
            trace_parent: self.trace_parent.clone(),
            received: self.received,
        };
        let entry = mutation.map(|mutation| origin.entry(mutation));
        fields.finish(entry)?.ok_or(AppError::Internal)
    }
}

impl App {
    pub(crate) async fn append(
        &self,
        entry: Entry,
        received: Instant,
    ) -> Result<(Outcome, v1::Enforcement), AppError> {
        let outcome = self.log.submit(entry).await?;
        let enforcement = self
            .validators
            .enforcement(outcome.revision, received.elapsed());
        Ok((outcome, render::enforcement(&enforcement)))
    }

    pub(crate) async fn preview(
        &self,
        caller: &Caller,
        tenant: &TenantId,
        selection: &Selection,
    ) -> Result<v1::Preview, AppError> {
        let preview = preview::preview(self, caller, tenant, selection).await?;
        Ok(render::preview(&preview))
    }
}
