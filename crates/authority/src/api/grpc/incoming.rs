//! A request as its handler gets it: the message, and the caller whom the layer found.

use std::{sync::Arc, time::Instant};

use portcullis_contract::id::TenantId;
use tonic::Request;

use super::{auth::TenantShare, parse::Fields};
use crate::{
    app::{AppError, Caller},
    telemetry::sampled_parent,
};

/// An authenticated request.
pub(crate) struct Incoming<T> {
    pub(crate) caller: Caller,
    pub(crate) message: T,
    /// The trace to which the changes of the request belong.
    pub(crate) trace_parent: Option<String>,
    pub(crate) received: Instant,
    /// None: the caller is not a service.
    tenant_share: Option<Arc<TenantShare>>,
}

impl<T> Incoming<T> {
    /// Takes the caller that the layer found. A request without one is denied, so that a mistake in the layers cannot open
    /// a handler to everybody.
    pub(crate) fn new(request: Request<T>) -> Result<Self, AppError> {
        // Extensions are set by our own layers. Nothing that a caller sends ends up there.
        let extensions = request.extensions();
        let caller = extensions.get::<Caller>().cloned();
        let caller = caller.ok_or(AppError::Denied)?;
        let tenant_share = extensions.get::<Arc<TenantShare>>().cloned();

        // Kept traces cost memory. A service may ask for them, a user may not.
        let trace_header = match &caller {
            Caller::Service(_) => request.metadata().get("traceparent"),
            Caller::User(_) => None,
        };
        let trace_parent = sampled_parent(trace_header.and_then(|value| value.to_str().ok()));

        Ok(Self {
            caller,
            trace_parent,
            received: Instant::now(),
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
        if self.caller.own_user().is_none() {
            let tenant = Fields::one("tenant_id", |fields| fields.tenant("tenant_id", tenant_id))?;
            return Ok(Some(tenant));
        }
        if tenant_id.is_empty() {
            return Ok(None);
        }
        // A malformed id is no user's own: the answer is the same as for another tenant.
        match TenantId::parse(tenant_id) {
            Ok(tenant) => Ok(Some(tenant)),
            Err(_) => Err(AppError::Denied),
        }
    }
}
