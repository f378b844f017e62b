//! What every service works with.

use std::{sync::Arc, time::Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_contract::{
    id::{EventId, TenantId, UserId},
    key::CredentialKind,
    token::Claims,
    v1,
};
use tokio_util::sync::CancellationToken;
use tonic::Request;

use super::{caller::Caller, convert::timestamp, parse::Fields, status::ServiceError};
use crate::{
    client_info::places::Places,
    config::Config,
    domain::{Entry, Micros, Mutation, Outcome, Session, TokenSubject},
    feed::{Beats, Feed, Gates, Validators},
    health::Readiness,
    keys::{Keyring, Secrets, random},
    limits::Limits,
    log::Log,
    policies::Policies,
    store::Store,
    telemetry::{Instruments, sampled_parent},
};

/// The authority's parts, shared by its services.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Log,
    pub(crate) limits: Limits,
    pub(crate) feed: Arc<Feed>,
    pub(crate) beats: Beats,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) secrets: Secrets,
    pub(crate) policies: Arc<Policies>,
    pub(crate) places: Arc<Places>,
    pub(crate) validators: Arc<Validators>,
    pub(crate) gates: Arc<Gates>,
    pub(crate) instruments: Arc<Instruments>,
    pub(crate) drain: CancellationToken,
    pub(crate) readiness: Arc<Readiness>,
}

/// A call as every handler sees it.
pub(crate) struct Call<T> {
    pub(crate) caller: Caller,
    pub(crate) message: T,
    pub(crate) trace_parent: Option<String>,
    pub(crate) begun: Instant,
}

impl<T> Call<T> {
    /// Takes the caller that the layer found. Without one the call is refused, whatever the reason.
    pub(crate) fn new(request: Request<T>) -> Result<Self, ServiceError> {
        let caller = request
            .extensions()
            .get::<Caller>()
            .cloned()
            .ok_or(ServiceError::Denied)?;
        // A user cannot ask for traces to be kept; a service can.
        let header = match &caller {
            Caller::Service(_) => request
                .metadata()
                .get("traceparent")
                .and_then(|value| value.to_str().ok()),
            Caller::User(_) => None,
        };
        let trace_parent = sampled_parent(header);
        Ok(Self {
            caller,
            trace_parent,
            message: request.into_inner(),
            begun: Instant::now(),
        })
    }

    /// An entry of this call for the log.
    pub(crate) fn entry(
        &self,
        fields: Fields,
        behalf: Option<(UserId, String)>,
        reason: String,
        user_message: String,
        mutation: Option<Mutation>,
    ) -> Result<Entry, ServiceError> {
        let entry = mutation.map(|mutation| Entry {
            event_id: EventId::generate(),
            actor: self.caller.actor(behalf),
            reason,
            user_message,
            trace_parent: self.trace_parent.clone(),
            mutation,
        });
        fields.finish(entry)?.ok_or(ServiceError::Internal)
    }
}

/// The tokens of a session.
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) access_expire_time: prost_types::Timestamp,
}

impl Core {
    /// Appends an entry; with the enforcement that is known when it is durable.
    pub(crate) async fn append(
        &self,
        entry: Entry,
        begun: Instant,
    ) -> Result<(Outcome, v1::Enforcement), ServiceError> {
        let outcome = self.log.submit(entry).await?;
        Ok((
            outcome,
            self.validators
                .enforcement(outcome.revision, begun.elapsed()),
        ))
    }

    /// Admits a change that ends sessions: a user has a rate.
    pub(crate) fn admit_change(&self, caller: &Caller) -> Result<(), ServiceError> {
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
    ) -> Result<(), ServiceError> {
        Ok(self.limits.admit_named_users(tenant, users).await??)
    }

    /// Issues the tokens of a session that was found alive at `now`.
    pub(crate) async fn issue(
        &self,
        session: &Session,
        audiences: &[String],
        now: Micros,
    ) -> Result<Tokens, ServiceError> {
        let longest = self.config.tokens.access_token_lifetime;
        let limits = self
            .policies
            .of(&session.tenant_id)
            .await?
            .effective(&session.user_id);
        let lifetime = limits.access_token_lifetime(longest);
        let expires = now.after(lifetime).min(session.expires);
        if expires.seconds() <= now.seconds() {
            return Err(ServiceError::SessionEnded);
        }
        let claims = Claims {
            tenant_id: session.tenant_id.clone(),
            user_id: session.user_id.clone(),
            session_id: session.id,
            subject: session.subject,
            token_id: URL_SAFE_NO_PAD.encode(random::<16>()),
            audiences: audiences.to_vec(),
            issued_at: now.seconds(),
            expires_at: expires.seconds(),
            auth_time: session.auth_time.seconds(),
            amr: session.amr.clone(),
            acr: session.acr.clone(),
        };
        let signer = self
            .keyring
            .signer(CredentialKind::Session, now)
            .ok_or_else(no_key)?;
        let access = signer
            .sign(&self.config.tokens.issuer, &claims)
            .map_err(|error| {
                tracing::error!(%error, key = %signer.key_id(), "signing failed");
                ServiceError::Internal
            })?;
        let subject = TokenSubject {
            session_id: session.id,
            generation: session.generation,
        };
        let refresh = self.secrets.refresh.derive(subject, &session.salt);
        let whole_seconds = i64::try_from(expires.seconds()).unwrap_or(i64::MAX);
        Ok(Tokens {
            access,
            refresh,
            access_expire_time: timestamp(Micros(whole_seconds.saturating_mul(1_000_000))),
        })
    }
}

/// Without a word the operator could not know why every sign-in fails.
pub(crate) fn no_key() -> ServiceError {
    tracing::error!("there is no signing key of this kind: run `RotateSigningKey`");
    ServiceError::Unavailable
}
