//! The layer that every call passes: deadline, credentials, permission, load. Nothing behind it asks again who may
//! call.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, header::AUTHORIZATION};
use portcullis_contract::{
    key::CredentialKind,
    position::sha256,
    token::{ACCESS_TOKEN_BYTES_MAX, Expected, Identity, verify},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::{
    access::{Rule, Standing, rule},
    caller::{Caller, ServiceCall, ServiceCaller, UserCaller},
    load::{Class, Holder, Load, TenantShare},
    message::{UntilClosed, read_message},
    status::{ServiceError, of_transport},
};
use crate::{
    config::{Config, ConfigError, ServerConfig},
    domain::SessionState,
    feed::Feed,
    net::{Held, Peer, network},
    policies::Policies,
    store::Store,
    telemetry::{Instruments, LogLimit},
};

/// At most one line about refused credentials in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// What the layer decides by.
pub(crate) struct Access {
    services: Vec<Arc<ServiceCaller>>,
    expected: Expected,
    server: ServerConfig,
    ended_token_window: Duration,
    feed: Arc<Feed>,
    store: Arc<dyn Store>,
    policies: Arc<Policies>,
    load: Arc<Load>,
    instruments: Arc<Instruments>,
    refusals: LogLimit,
    /// Ends streams without credentials.
    close: CancellationToken,
}

/// A caller whose credential is genuine, before anything is read for it.
enum Identified {
    Nobody,
    Service(Arc<ServiceCaller>),
    User(Box<Identity>),
}

impl Identified {
    /// The holder of what the call takes.
    fn holder(&self, address: IpAddr) -> Holder {
        match self {
            Self::Nobody => Holder::Address(network(address)),
            Self::Service(service) => Holder::Service(Arc::clone(&service.name)),
            Self::User(identity) => Holder::Users(identity.tenant_id.clone()),
        }
    }
}

impl Access {
    pub(crate) fn new(
        config: &Config,
        feed: Arc<Feed>,
        store: Arc<dyn Store>,
        policies: Arc<Policies>,
        instruments: Arc<Instruments>,
        close: CancellationToken,
    ) -> Result<Self, ConfigError> {
        let services = config
            .callers
            .iter()
            .map(|caller| ServiceCaller::new(caller).map(Arc::new));
        let tokens = &config.tokens;
        Ok(Self {
            services: services.collect::<Result<_, _>>()?,
            expected: Expected {
                issuer: tokens.issuer.clone(),
                audience: Some(tokens.authority_audience.clone()),
            },
            server: config.server.clone(),
            ended_token_window: tokens.ended_token_window,
            feed,
            store,
            policies,
            load: Load::new(&config.server, Arc::clone(&instruments)),
            instruments,
            refusals: LogLimit::new(LOG_INTERVAL),
            close,
        })
    }

    /// Whether the call has a configured service's credential.
    pub(crate) fn is_service(&self, headers: &HeaderMap) -> bool {
        bearer(headers).is_ok_and(|credential| self.service(credential).is_some())
    }

    /// The caller of an rpc with that rule, from the credential alone.
    fn identify(
        &self,
        headers: &HeaderMap,
        rule: &Rule,
        address: IpAddr,
    ) -> Result<Identified, ServiceError> {
        if rule.public {
            return Ok(Identified::Nobody);
        }
        let credential = bearer(headers).inspect_err(|error| {
            let reason = match error {
                ServiceError::CredentialsMissing => "missing",
                _ => "malformed_header",
            };
            self.note_refusal(reason, Some(address));
        })?;
        if credential.contains('.') {
            let identity = verify(credential, &self.feed.view(), &self.expected)
                .map_err(|rejection| self.refuse_token(rejection.reason()))?;
            return Ok(Identified::User(Box::new(identity)));
        }

        let Some(service) = self.service(credential) else {
            self.note_refusal("unknown_bearer", Some(address));
            return Err(ServiceError::CredentialsInvalid);
        };
        if permits(rule, &service) {
            Ok(Identified::Service(service))
        } else {
            Err(ServiceError::Denied)
        }
    }

    /// Compares with every configured digest, whichever matches: the time tells nothing.
    fn service(&self, credential: &str) -> Option<Arc<ServiceCaller>> {
        let digest = sha256(credential.as_bytes());
        let mut found = None;
        for service in &self.services {
            if verify_slices_are_equal(&service.digest, &digest).is_ok() {
                found = Some(Arc::clone(service));
            }
        }
        found
    }

    /// The caller, if the rpc lets them in. Which tenant and whose things is decided where the request is parsed.
    async fn admit(
        &self,
        identified: Identified,
        holder: Holder,
        rule: &Rule,
    ) -> Result<Option<Caller>, ServiceError> {
        match identified {
            Identified::Nobody => Ok(None),
            Identified::Service(service) => {
                let share = TenantShare::new(Arc::clone(&self.load), rule.class, holder);
                Ok(Some(Caller::Service(ServiceCall {
                    service,
                    tenant_share: Arc::new(share),
                })))
            }
            Identified::User(identity) => {
                let user = self.user(*identity, rule.user).await?;
                Ok(Some(Caller::User(Arc::new(user))))
            }
        }
    }

    /// The authority decides from rows, not from the view that forgets.
    async fn user(
        &self,
        identity: Identity,
        standing: Option<Standing>,
    ) -> Result<UserCaller, ServiceError> {
        if standing == Some(Standing::Ended) {
            if has_ended_long_ago(&identity, self.ended_token_window) {
                return Err(self.refuse_token("ended_long_ago"));
            }
            return Ok(UserCaller {
                identity,
                ip: String::new(),
            });
        }
        if self
            .feed
            .view()
            .is_revoked(CredentialKind::Session, &identity.subject)
        {
            return Err(self.refuse_token("revoked"));
        }
        let found = self
            .store
            .session(&identity.tenant_id, identity.session_id)
            .await?;
        let Some((session, now)) = found else {
            return Err(self.refuse_token("unknown_session"));
        };
        let alive = session.state(now) == SessionState::Active
            && session.subject == identity.subject
            && now.seconds() < identity.expires_at;
        if !alive {
            return Err(self.refuse_token("ended"));
        }

        let standing = standing.ok_or(ServiceError::Denied)?;
        let policy = self.policies.of(&identity.tenant_id).await?;
        if !policy.users_see_sessions {
            return Err(ServiceError::PolicyForbids("users_see_sessions"));
        }
        let limits = policy.effective(&identity.user_id);
        if standing == Standing::Recent && limits.needs_reauthentication(session.auth_time, now) {
            return Err(ServiceError::ReauthenticationRequired);
        }
        Ok(UserCaller {
            identity,
            ip: session.last_ip().to_owned(),
        })
    }

    /// Refuses a user's token. Where a user is goes into no log.
    fn refuse_token(&self, reason: &'static str) -> ServiceError {
        self.note_refusal(reason, None);
        ServiceError::CredentialsInvalid
    }

    /// Counts a refused credential, and logs it within bounds. The credential itself is never told.
    fn note_refusal(&self, reason: &'static str, address: Option<IpAddr>) {
        self.instruments.credential_refused(reason);
        if ORDINARY.contains(&reason) {
            return;
        }
        if let Some(unlogged) = self.refusals.admit() {
            let address = address.map(tracing::field::display);
            tracing::warn!(reason, address, unlogged, "credential refused");
        }
    }

    /// Serves a call with one request: its message is in before it takes any permit.
    async fn serve_call(
        &self,
        rule: &Rule,
        request: Request,
        next: Next,
    ) -> Result<Response, ServiceError> {
        let (mut parts, body) = request.into_parts();
        let address = address_of(parts.extensions.get());
        let identified = self.identify(&parts.headers, rule, address)?;
        let user_share = match &identified {
            Identified::User(identity) => Some(self.load.take_user(
                rule.class,
                &identity.tenant_id,
                &identity.user_id,
            )?),
            _ => None,
        };
        let holder = identified.holder(address);

        let mut message_share = self.load.take_message(rule.class, &holder)?;
        let message = timeout(
            self.server.request_timeout,
            read_message(body, rule.class.message_bytes_max(), &mut message_share),
        )
        .await
        .map_err(|_| ServiceError::Deadline)??;

        let permit = self.load.take_call(rule.class, &holder)?;
        let caller = self.admit(identified, holder, rule).await?;
        if let Some(caller) = caller {
            parts.extensions.insert(caller);
        }
        let response = next
            .run(Request::from_parts(parts, Body::from(message)))
            .await;
        // The answer is in memory until it was sent.
        let kept = (permit, user_share, message_share.into_share());
        Ok(explain(response).map(|body| Held::wrap(body, kept)))
    }

    /// Opens a stream, which may last.
    async fn serve_stream(
        &self,
        rule: &Rule,
        mut request: Request,
        next: Next,
    ) -> Result<Response, ServiceError> {
        let peer = request.extensions().get::<Peer>().cloned();
        let address = address_of(peer.as_ref());
        let identified = self.identify(request.headers(), rule, address)?;
        let holder = identified.holder(address);
        let permit = match rule.class {
            Class::PublicStream => Some(self.load.take_public_stream(&holder)?),
            _ => None,
        };

        let caller = self.admit(identified, holder, rule).await?;
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        if let Some(peer) = peer {
            peer.lift_deadline();
        }
        let response = explain(next.run(request).await);
        let Some(permit) = permit else {
            return Ok(response);
        };
        Ok(response.map(|body| {
            let closed = self.close.clone().cancelled_owned();
            Held::wrap(UntilClosed::wrap(body, closed), permit)
        }))
    }
}

/// Refusals that happen every day: a token that has ended, which its user or gateway did not know yet.
const ORDINARY: &[&str] = &[
    "expired",
    "revoked",
    "signed_out",
    "ended",
    "ended_long_ago",
];

/// Whether a token has been expired for longer than `window`. A window of days needs no exact clock.
fn has_ended_long_ago(identity: &Identity, window: Duration) -> bool {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    now.as_secs() > identity.expires_at.saturating_add(window.as_secs())
}

fn address_of(peer: Option<&Peer>) -> IpAddr {
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.ip())
}

fn bearer(headers: &HeaderMap) -> Result<&str, ServiceError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, more) = (
        values.next().ok_or(ServiceError::CredentialsMissing)?,
        values.next(),
    );
    let text = value
        .to_str()
        .map_err(|_| ServiceError::CredentialsInvalid)?;
    let (scheme, credential) = text
        .split_once(' ')
        .ok_or(ServiceError::CredentialsInvalid)?;
    let plausible =
        scheme.eq_ignore_ascii_case("bearer") && credential.len() <= ACCESS_TOKEN_BYTES_MAX;
    if plausible && more.is_none() {
        Ok(credential)
    } else {
        Err(ServiceError::CredentialsInvalid)
    }
}

fn permits(rule: &Rule, service: &ServiceCaller) -> bool {
    let bound = service.tenant.is_some();
    rule.roles.iter().any(|role| service.roles.contains(role)) && !(rule.all_tenants && bound)
}

/// How much before a deadline the answer is that it passed.
const EARLY: Duration = Duration::from_millis(10);

/// The layer.
pub(crate) async fn authorize(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let asked = match deadline(request.headers()) {
        Ok(asked) => asked,
        Err(error) => return refuse(error),
    };
    // An rpc that is not in the table is denied before anything is said about credentials.
    let Some(rule) = rule(request.uri().path()) else {
        return refuse(ServiceError::Denied);
    };
    if matches!(rule.class, Class::GateStream | Class::PublicStream) {
        return access
            .serve_stream(rule, request, next)
            .await
            .unwrap_or_else(refuse);
    }

    let longest = access.server.call_timeout;
    let deadline = asked.map_or(longest, |asked| asked.min(longest));
    // A little early, so that the caller gets our answer and not the transport's.
    let deadline = deadline - (deadline / 10).min(EARLY);
    timeout(deadline, access.serve_call(rule, request, next))
        .await
        .unwrap_or(Err(ServiceError::Deadline))
        .unwrap_or_else(refuse)
}

fn refuse(error: ServiceError) -> Response {
    Status::from(error).into_http()
}

/// Gives the transport's own errors our form; a handler's error has it already.
fn explain(response: Response) -> Response {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return response;
    };
    if status.code() == Code::Ok || !status.details().is_empty() {
        return response;
    }
    refuse(of_transport(status.code()))
}

/// `grpc-timeout`: at most eight digits and a unit. One that has passed, or is malformed, changes nothing.
fn deadline(headers: &HeaderMap) -> Result<Option<Duration>, ServiceError> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let malformed = || ServiceError::invalid("grpc-timeout", "is not a timeout");
    let text = value.to_str().map_err(|_| malformed())?;
    let (digits, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(malformed)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    let number: u64 = digits.parse().map_err(|_| malformed())?;
    let timeout = match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return Err(malformed()),
    };
    if timeout < Duration::from_micros(100) {
        Err(ServiceError::Deadline)
    } else {
        Ok(Some(timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            http::HeaderName::from_static(name),
            value.parse().expect("a header"),
        )])
    }

    #[test]
    fn a_deadline_is_read_strictly() {
        let read = |text: &str| deadline(&with("grpc-timeout", text));
        assert_eq!(deadline(&HeaderMap::new()), Ok(None));
        assert_eq!(read("5S"), Ok(Some(Duration::from_secs(5))));
        assert_eq!(read("250m"), Ok(Some(Duration::from_millis(250))));
        assert_eq!(read("0n"), Err(ServiceError::Deadline));
        for malformed in ["", "5", "S", "-5S", "5 S", "123456789S", "5s5", "é"] {
            assert!(
                matches!(read(malformed), Err(ServiceError::Invalid(_))),
                "{malformed:?}"
            );
        }
    }

    #[test]
    fn a_bearer_credential_is_read_strictly() {
        assert_eq!(bearer(&with("authorization", "Bearer abc")), Ok("abc"));
        assert_eq!(bearer(&with("authorization", "bearer abc")), Ok("abc"));
        assert_eq!(
            bearer(&HeaderMap::new()),
            Err(ServiceError::CredentialsMissing)
        );
        for malformed in [
            "abc",
            "Basic abc",
            "Bearer",
            &format!("Bearer {}", "A".repeat(10_000)),
        ] {
            assert_eq!(
                bearer(&with("authorization", malformed)),
                Err(ServiceError::CredentialsInvalid)
            );
        }
        let mut twice = with("authorization", "Bearer abc");
        twice.append("authorization", "Bearer def".parse().expect("a header"));
        assert_eq!(bearer(&twice), Err(ServiceError::CredentialsInvalid));
    }
}
