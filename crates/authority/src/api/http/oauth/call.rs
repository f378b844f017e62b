//! One call of an endpoint: its form, its caller, and its share of the load, as the layer of gRPC does for an rpc.
//!
//! The credential may be in the form, so the form is read first, on the account of the peer's network. It is small.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, request::Parts};
use portcullis_contract::id::TenantId;
use tokio::time::{Instant as Deadline, timeout_at};

use super::{
    client::{Client, Scheme},
    error::{no_store, refuse},
    form::Form,
};
use crate::{
    api::access::{
        Access, Class, Holder, Owner, Presented, Rule, TenantShare, address_of, check_service,
        holder, rule,
    },
    app::{
        App, AppError, Caller,
        revoke_token::{TokenTenant, tenant_of_token},
    },
    net::{Held, Peer, network},
};

/// The largest form, in bytes: a token, an id and a secret.
pub(in crate::api::http) const FORM_BYTES_MAX: usize = 16 << 10;

/// An endpoint: another form of some rpcs. Their rows of the table name the permitted callers.
pub(super) struct Endpoint {
    /// The rpc of services.
    pub(super) service_rpc: &'static str,
    /// The rpc of users with their own access token.
    pub(super) user_rpc: &'static str,
    /// Whether a client without a secret may call with the token that the call is about.
    pub(super) takes_public_clients: bool,
}

/// The state of the endpoints.
pub(super) struct Edge {
    app: Arc<App>,
    access: Arc<Access>,
}

/// A call whose caller may make it.
pub(super) struct Call {
    pub(super) app: Arc<App>,
    pub(super) caller: Caller,
    pub(super) form: Form,
    /// The id by which a client without a secret named itself.
    pub(super) public_client: Option<String>,
    pub(super) received: Instant,
    /// None: the caller is not a service.
    tenant_share: Option<TenantShare>,
}

impl Call {
    /// The tenant that the form names.
    ///
    /// # Errors
    /// When it is malformed.
    pub(super) fn named_tenant(&self) -> Result<Option<TenantId>, AppError> {
        let Some(named) = self.form.get("tenant_id") else {
            return Ok(None);
        };
        match TenantId::parse(named) {
            Ok(tenant) => Ok(Some(tenant)),
            Err(error) => Err(AppError::invalid("tenant_id", error.to_string())),
        }
    }

    /// The tenant that the call is about. A service that may name any tenant is held to its share of calls for this one.
    pub(super) fn choose_tenant(&self, named: Option<TenantId>) -> Result<TenantId, AppError> {
        let tenant = self.caller.choose_tenant(named)?;
        // The one tenant of a bound service has the whole share of its caller.
        if self.caller.own_tenant().is_none()
            && let Some(share) = &self.tenant_share
        {
            share.take(&tenant)?;
        }
        Ok(tenant)
    }
}

impl Edge {
    pub(super) fn new(access: &Arc<Access>) -> Self {
        Self {
            app: Arc::clone(&access.app),
            access: Arc::clone(access),
        }
    }

    /// Serves one call, within the time that calls have.
    pub(super) async fn serve<F>(
        &self,
        request: Request,
        endpoint: &Endpoint,
        handle: impl FnOnce(Call) -> F,
    ) -> Response
    where
        F: Future<Output = Result<Response, AppError>>,
    {
        let scheme = Scheme::of(request.headers());
        let deadline = Deadline::now() + self.access.server.call_timeout;
        let served = self.serve_call(request, endpoint, deadline, handle);
        match timeout_at(deadline, served).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => refuse(&error, scheme),
            Err(_) => refuse(&AppError::Deadline, scheme),
        }
    }

    /// Reads the form, and serves the call that it makes.
    async fn serve_call<F>(
        &self,
        request: Request,
        endpoint: &Endpoint,
        deadline: Deadline,
        handle: impl FnOnce(Call) -> F,
    ) -> Result<Response, AppError>
    where
        F: Future<Output = Result<Response, AppError>>,
    {
        let received = Instant::now();
        let (parts, body) = request.into_parts();
        let address = network(address_of(parts.extensions.get::<Peer>()));
        let by_network = Holder::Address(address);
        let mut message_share = self.access.load.take_message(Class::Public, &by_network)?;
        let receiving = self
            .access
            .receive(body, FORM_BYTES_MAX, &mut message_share);
        let form = Form::read(&parts.headers, &receiving.await?)?;

        // A check of a credential keeps a core busy, and a flood of calls arrives all at once.
        let turn = self.access.turns.acquire(address).await;
        let Some(call) = self.identify(&parts, form, endpoint, received)? else {
            return Ok(unknown_token());
        };
        let (holder, is_public) = (call.holder.clone(), call.is_public);
        let served = self.serve_identified(call, turn, handle).await;
        if is_exhausted(&served) {
            // Nothing is held while the refusal is paced.
            drop(message_share);
            self.access.pace_refusal(&holder, deadline).await;
            return served;
        }
        // Its session is gone, so there is nothing left to end. A client could not handle an error (RFC 7009, section 2.2).
        if is_public && matches!(served, Err(AppError::CredentialsInvalid)) {
            return Ok(unknown_token());
        }
        Ok(served?.map(|body| Held::wrap(body, message_share.into_share())))
    }

    /// Finds the owner of the client's credential, and the rule that admits it. None: a public client calls with a token
    /// that is not ours.
    fn identify(
        &self,
        parts: &Parts,
        form: Form,
        endpoint: &Endpoint,
        received: Instant,
    ) -> Result<Option<Identified>, AppError> {
        let peer = parts.extensions.get::<Peer>();
        let client = Client::read(&parts.headers, &form)?;
        let presented = present(&parts.headers, &client, &form, endpoint)?;
        let is_public = matches!(presented, Presented::Token(_));
        if let Presented::Token(token) = presented
            && matches!(tenant_of_token(&self.app, token), TokenTenant::Foreign)
        {
            return Ok(None);
        }
        let owner = self.access.identify(&presented, peer)?;
        let rule = endpoint.rule(&owner)?;
        check_service(&owner, rule)?;
        Ok(Some(Identified {
            rule,
            holder: holder(Some(&owner), address_of(peer)),
            owner,
            is_public,
            public_client: client.public_id(),
            form,
            received,
        }))
    }

    async fn serve_identified<F, T>(
        &self,
        call: Identified,
        turn: T,
        handle: impl FnOnce(Call) -> F,
    ) -> Result<Response, AppError>
    where
        F: Future<Output = Result<Response, AppError>>,
    {
        let Identified {
            rule,
            holder,
            owner,
            public_client,
            form,
            received,
            ..
        } = call;
        let user_share = self.access.take_user_share(Some(&owner), rule)?;
        let permit = self.access.load.take_call(rule.class, &holder)?;
        // The credential is checked. The use case may wait for the database, and must not hold the turn meanwhile.
        drop(turn);

        let is_service = matches!(owner, Owner::Service(_));
        let tenant_share = TenantShare::new(Arc::clone(&self.access.load), rule.class, holder);
        let call = Call {
            app: Arc::clone(&self.app),
            caller: self.access.admit(owner, rule).await?,
            form,
            public_client,
            received,
            tenant_share: is_service.then_some(tenant_share),
        };
        // As in `Incoming::new`: nobody acts in a role here, so the policy for users decides.
        if let Caller::User(user) = &call.caller {
            user.as_user.clone()?;
        }
        let response = handle(call).await?;
        // The answer stays in memory until a slow reader has taken it, and the shares bound that memory.
        let shares = (permit, user_share);
        Ok(response.map(|body| Held::wrap(body, shares)))
    }
}

/// A call whose owner is known.
struct Identified {
    rule: &'static Rule,
    holder: Holder,
    owner: Owner,
    /// Whether the credential is the token that the call is about.
    is_public: bool,
    public_client: Option<String>,
    form: Form,
    received: Instant,
}

impl Endpoint {
    /// The row of the table for this owner. A path without one is a mistake, and denied.
    fn rule(&self, owner: &Owner) -> Result<&'static Rule, AppError> {
        let rpc = match owner {
            Owner::Service(_) => self.service_rpc,
            Owner::User(_) => self.user_rpc,
        };
        rule(rpc).ok_or(AppError::Denied)
    }
}

impl Client {
    fn public_id(&self) -> Option<String> {
        match self {
            Self::Public { id } => id.clone(),
            Self::Bearer | Self::Basic { .. } | Self::Post { .. } => None,
        }
    }
}

/// The credential of a call. A public client has none but the token that the call is about.
fn present<'a>(
    headers: &'a HeaderMap,
    client: &'a Client,
    form: &'a Form,
    endpoint: &Endpoint,
) -> Result<Presented<'a>, AppError> {
    match client {
        Client::Basic { id, secret } | Client::Post { id, secret } => {
            Ok(Presented::Client { id, secret })
        }
        Client::Public { .. } if endpoint.takes_public_clients => {
            Ok(Presented::Token(form.required("token")?))
        }
        Client::Bearer | Client::Public { .. } => Ok(Presented::Headers(headers)),
    }
}

/// The answer to a public client whose token ends nothing.
fn unknown_token() -> Response {
    no_store(StatusCode::OK.into_response())
}

/// Returns whether a bound or a rate refused the call.
fn is_exhausted(served: &Result<Response, AppError>) -> bool {
    matches!(
        served,
        Err(AppError::Overloaded | AppError::RateLimited(..) | AppError::QuotaExceeded(_))
    )
}
