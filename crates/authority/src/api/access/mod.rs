//! The admission of calls, which every edge shares: the caller of a call, whether the table admits it, and its share of
//! the load.
//!
//! An edge reads how its wire format presents a credential, and renders refusals. It decides nothing itself.

mod credentials;
mod known_tokens;
mod load;
mod message;
mod table;

use std::{
    net::{IpAddr, Ipv4Addr},
    num::NonZero,
    sync::Arc,
    thread,
    time::Duration,
};

use axum::body::{Body, Bytes};
use http::HeaderMap;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::{
    credentials::{CredentialRefusal, Credentials},
    load::Load,
    message::read_message,
};
pub(in crate::api) use self::{
    credentials::{Owner, Presented},
    load::{Class, Holder, MessageShare, REPORT_BYTES_MAX, TenantShare, UserShare},
    message::UNDECODABLE,
    table::{Rule, rule, served},
};
use crate::{
    app::{App, AppError, Caller, ServiceCaller, TokenRefusal},
    config::ServerConfig,
    net::{FairSemaphore, Peer, RefusalPace, network},
    telemetry::{Instruments, LogLimit},
};

/// At most one line about refused credentials in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Refusals that happen every day: the token has ended, and its user or gateway did not know yet. They are counted and
/// not logged.
const ORDINARY_REFUSALS: &[&str] = &[
    "expired",
    "revoked",
    "signed_out",
    "ended",
    "ended_long_ago",
];

/// The credentials and the bounds that all ports share. A caller that fills a bound at one port has filled it at all.
pub(crate) struct Access {
    pub(in crate::api) app: Arc<App>,
    credentials: Credentials,
    pub(in crate::api) server: ServerConfig,
    pub(in crate::api) load: Arc<Load>,
    /// Turns at work that keeps a core busy, by network: checks of credentials, and the parsing of large messages.
    pub(in crate::api) turns: Arc<FairSemaphore<IpAddr>>,
    /// Slows down callers that come back as fast as they are refused.
    pace: RefusalPace<Holder>,
    instruments: Arc<Instruments>,
    refusals: LogLimit,
    /// Ends streams without credentials.
    pub(in crate::api) close: CancellationToken,
}

impl Access {
    pub(crate) fn new(app: &Arc<App>, close: CancellationToken) -> Self {
        let config = &app.config;
        Self {
            credentials: Credentials::new(&config.tokens, Arc::clone(&app.callers)),
            server: config.server.clone(),
            load: Load::new(&config.server, Arc::clone(&app.instruments)),
            turns: FairSemaphore::new(turns_max()),
            pace: RefusalPace::new(),
            instruments: Arc::clone(&app.instruments),
            refusals: LogLimit::new(LOG_INTERVAL),
            app: Arc::clone(app),
            close,
        }
    }

    /// Whether a call has the credential of a configured service.
    pub(in crate::api) fn is_service(&self, headers: &HeaderMap, peer: Option<&Peer>) -> bool {
        let certificate = peer.and_then(|peer| peer.certificate.as_deref());
        self.credentials.is_service(headers, certificate)
    }

    /// The owner of the credential that a call presents.
    pub(in crate::api) fn identify(
        &self,
        presented: &Presented<'_>,
        peer: Option<&Peer>,
    ) -> Result<Owner, AppError> {
        // The view has the trusted keys and the revocations that this authority knows.
        let view = self.app.feed.view();
        let certificate = peer.and_then(|peer| peer.certificate.as_deref());
        self.credentials
            .identify(presented, certificate, &view)
            .map_err(|refusal| self.record_refusal(refusal, Some(address_of(peer))))
    }

    /// Refuses a service's credential that a page presents: a stolen one, or a mistake. The page is not told that it is
    /// good.
    pub(in crate::api) fn refuse_service_in_page(&self, peer: Option<&Peer>) -> AppError {
        let refusal = CredentialRefusal::invalid("service_in_page");
        self.record_refusal(refusal, Some(address_of(peer)))
    }

    /// The caller of a call, if the rule admits it. The use case decides which tenant, user and session the request may
    /// name.
    pub(in crate::api) async fn admit(
        &self,
        owner: Owner,
        rule: &Rule,
    ) -> Result<Caller, AppError> {
        let identity = match owner {
            Owner::Service(credential) => {
                return Ok(Caller::Service(Arc::clone(&credential.service)));
            }
            Owner::User(identity) => identity,
        };
        let admitted = self
            .app
            .authenticate_user(*identity, rule.user, rule.people)
            .await;
        match admitted {
            Ok(caller) => Ok(caller),
            Err(TokenRefusal::Error(error)) => Err(error),
            Err(TokenRefusal::Invalid(reason)) => {
                Err(self.record_refusal(CredentialRefusal::of_token(reason), None))
            }
        }
    }

    /// Takes a user's share of calls. All users of a tenant share a holder, and one of them must not use it up.
    pub(in crate::api) fn take_user_share(
        &self,
        owner: Option<&Owner>,
        rule: &Rule,
    ) -> Result<Option<UserShare>, AppError> {
        let Some(Owner::User(identity)) = owner else {
            return Ok(None);
        };
        let share = self
            .load
            .take_user(rule.class, &identity.tenant_id, &identity.user_id)?;
        Ok(Some(share))
    }

    /// Receives the message of a call, within the time that senders have.
    pub(in crate::api) async fn receive(
        &self,
        body: Body,
        bytes_max: usize,
        share: &mut MessageShare<'_>,
    ) -> Result<Bytes, AppError> {
        let message = read_message(body, bytes_max, share);
        match timeout(self.server.request_timeout, message).await {
            Ok(message) => message,
            Err(_) => Err(AppError::Deadline),
        }
    }

    /// Waits before a refusal is sent. The call holds nothing meanwhile but its stream.
    pub(in crate::api) async fn pace_refusal(&self, holder: &Holder, deadline: Instant) {
        let now = Instant::now();
        let pause = self.pace.record(holder, now);
        // A refusal that came after the deadline would not say the reason.
        let left = deadline.saturating_duration_since(now);
        sleep(pause.min(left / 2)).await;
    }

    /// Counts a refused credential, and logs it within bounds.
    fn record_refusal(&self, refusal: CredentialRefusal, address: Option<IpAddr>) -> AppError {
        let reason = refusal.reason;
        self.instruments.refusals.count_credential(reason);
        // Every sign-out leaves gates and tabs with a dead token for a while. A line for each would bury the forged ones.
        if ORDINARY_REFUSALS.contains(&reason) {
            return refusal.error;
        }
        if let Some(unlogged) = self.refusals.admit() {
            let address = address
                .filter(|_| refusal.may_log_address)
                .map(tracing::field::display);
            tracing::warn!(reason, address, unlogged, "credential refused");
        }
        refusal.error
    }
}

/// The most turns at a time. The other half of the cores is left to calls that have had theirs.
fn turns_max() -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    cores.div_ceil(2)
}

/// Refuses a service that the rule does not admit. Users are checked in [`Access::admit`], after the message is in: that
/// takes a read of the store.
pub(in crate::api) fn check_service(owner: &Owner, rule: &Rule) -> Result<(), AppError> {
    match owner {
        Owner::Service(credential) if !permits(rule, &credential.service) => Err(AppError::Denied),
        _ => Ok(()),
    }
}

fn permits(rule: &Rule, service: &ServiceCaller) -> bool {
    // The configuration refuses roles over all tenants for a bound service. The table does not rely on that.
    let is_bound = service.tenant.is_some();
    rule.roles.iter().any(|role| service.has_role(*role)) && !(rule.all_tenants && is_bound)
}

/// The holder of the call's shares. All users of a tenant are one holder, and so is a network without credentials.
pub(in crate::api) fn holder(owner: Option<&Owner>, address: IpAddr) -> Holder {
    match owner {
        None => Holder::Address(network(address)),
        Some(Owner::Service(credential)) => Holder::Service(Arc::clone(&credential.service.name)),
        Some(Owner::User(identity)) => Holder::Users(identity.tenant_id.clone()),
    }
}

pub(in crate::api) fn address_of(peer: Option<&Peer>) -> IpAddr {
    match peer {
        // A port of both versions of IP writes IPv4 addresses as IPv6. They are one peer, and logged as IPv4.
        Some(peer) => peer.address.ip().to_canonical(),
        // Calls without a peer share one address, and so one turn. That is stricter, never laxer.
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}
