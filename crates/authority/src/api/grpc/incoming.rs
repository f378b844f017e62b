//! A request as its handler gets it: the message, and the caller whom the layer found.

use std::{sync::Arc, time::Instant};

use portcullis_contract::id::TenantId;
use tonic::Request;

use super::{auth::CallDeadline, parse::Fields};
use crate::{
    api::access::TenantShare,
    app::{AppError, Caller, UserCaller},
    telemetry::sampled_parent,
};

/// An authenticated request.
pub(crate) struct Incoming<T> {
    pub(crate) caller: Caller,
    pub(crate) message: T,
    /// The trace to which the changes of the request belong.
    pub(crate) trace_parent: Option<String>,
    pub(crate) received: Instant,
    /// The time by which a call that waits has to answer, so that the answer arrives before the deadline.
    pub(crate) answer_by: Instant,
    /// None: the caller is not a service.
    tenant_share: Option<Arc<TenantShare>>,
}

impl<T> Incoming<T> {
    /// Takes the caller that the layer found. A request without one is denied, so that a mistake in the layers cannot open
    /// a handler to everybody.
    pub(crate) fn new(request: Request<T>) -> Result<Self, AppError> {
        Self::read(request)?.admitted()
    }

    /// Takes the caller of a call that users make about themselves, and people in a role about their tenant.
    ///
    /// A person who names the tenant acts in the role, and otherwise for themselves: so a page that shows administrators
    /// their own devices cannot show or end those of others by mistake.
    pub(crate) fn new_in_role(
        request: Request<T>,
        is_about_tenant: impl Fn(&T, &UserCaller) -> bool,
    ) -> Result<Self, AppError> {
        let mut incoming = Self::read(request)?;
        if let Caller::User(user) = &incoming.caller
            && let Some(in_role) = &user.in_role
            && is_about_tenant(&incoming.message, user)
        {
            in_role.admitted.clone()?;
            incoming.caller = Caller::Staff(Arc::clone(&in_role.staff));
        }
        incoming.admitted()
    }

    /// Refuses a user whom the policy does not let see their own sessions.
    fn admitted(self) -> Result<Self, AppError> {
        if let Caller::User(user) = &self.caller {
            user.as_user.clone()?;
        }
        Ok(self)
    }

    fn read(request: Request<T>) -> Result<Self, AppError> {
        // Extensions are set by our own layers. Nothing that a caller sends ends up there.
        let extensions = request.extensions();
        let caller = extensions.get::<Caller>().cloned();
        let caller = caller.ok_or(AppError::Denied)?;
        let tenant_share = extensions.get::<Arc<TenantShare>>().cloned();
        let deadline = extensions.get::<CallDeadline>().copied();

        // Kept traces cost memory. A service may ask for them, a person may not.
        let trace_header = match &caller {
            Caller::Service(_) => request.metadata().get("traceparent"),
            Caller::User(_) | Caller::Staff(_) => None,
        };
        let trace_parent = sampled_parent(trace_header.and_then(|value| value.to_str().ok()));

        let received = Instant::now();
        Ok(Self {
            caller,
            trace_parent,
            received,
            // Without a deadline, which only a mistake in the layers can cause, nothing waits.
            answer_by: deadline.map_or(received, |deadline| deadline.answer_by(received)),
            tenant_share,
            message: request.into_inner(),
        })
    }

    /// The tenant that the request is about. A service that may name any tenant is held to its share of calls for this
    /// one.
    pub(crate) fn tenant(&self, tenant_id: &str) -> Result<TenantId, AppError> {
        let named = self.named_tenant(tenant_id)?;
        let tenant = self.caller.choose_tenant(named)?;
        // The one tenant of a bound service has the whole share of its caller.
        if self.caller.own_tenant().is_none()
            && let Some(share) = &self.tenant_share
        {
            share.take(&tenant)?;
        }
        Ok(tenant)
    }

    fn named_tenant(&self, tenant_id: &str) -> Result<Option<TenantId>, AppError> {
        if matches!(self.caller, Caller::Service(_)) {
            let tenant = Fields::one("tenant_id", |fields| fields.tenant("tenant_id", tenant_id))?;
            return Ok(Some(tenant));
        }
        if tenant_id.is_empty() {
            return Ok(None);
        }
        // A malformed id is no person's own: the answer is the same as for another tenant.
        match TenantId::parse(tenant_id) {
            Ok(tenant) => Ok(Some(tenant)),
            Err(_) => Err(AppError::Denied),
        }
    }
}
