//! The layer that every call passes: load, deadline, credentials, permission. Nothing behind it asks again who may
//! call.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, header::AUTHORIZATION};
use portcullis_contract::{
    key::CredentialKind,
    position::sha256,
    token::{ACCESS_TOKEN_BYTES_MAX, Expected, verify},
};
use tokio::sync::Semaphore;
use tonic::{Code, Status};

use super::{
    access::{Rule, Standing, rule},
    caller::{Caller, ServiceCaller, UserCaller},
    status::{ServiceError, of_transport},
};
use crate::{
    config::{Config, ConfigError},
    domain::SessionState,
    feed::Feed,
    policies::Policies,
    store::Store,
};

/// What the layer decides by.
pub(crate) struct Access {
    services: Vec<Arc<ServiceCaller>>,
    expected: Expected,
    feed: Arc<Feed>,
    store: Arc<dyn Store>,
    policies: Arc<Policies>,
    calls: Semaphore,
}

impl Access {
    pub(crate) fn new(
        config: &Config,
        feed: Arc<Feed>,
        store: Arc<dyn Store>,
        policies: Arc<Policies>,
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
            feed,
            store,
            policies,
            calls: Semaphore::new(config.server.calls_max),
        })
    }

    /// The caller of an rpc with that rule, if it lets them in. Which tenant and whose things is decided where the
    /// request is parsed.
    async fn admit(&self, headers: &HeaderMap, rule: &Rule) -> Result<Caller, ServiceError> {
        let credential = bearer(headers)?;
        if credential.contains('.') {
            return Ok(Caller::User(Arc::new(
                self.user(credential, rule.user).await?,
            )));
        }
        let service = self.service(credential)?;
        if permits(rule, &service) {
            Ok(Caller::Service(service))
        } else {
            Err(ServiceError::Denied)
        }
    }

    /// Compares with every configured digest, whichever matches: the time tells nothing.
    fn service(&self, credential: &str) -> Result<Arc<ServiceCaller>, ServiceError> {
        let digest = sha256(credential.as_bytes());
        let mut found = None;
        for service in &self.services {
            if verify_slices_are_equal(&service.digest, &digest).is_ok() {
                found = Some(Arc::clone(service));
            }
        }
        found.ok_or(ServiceError::CredentialsInvalid)
    }

    /// The authority decides from rows, not from the view that forgets.
    async fn user(
        &self,
        token: &str,
        standing: Option<Standing>,
    ) -> Result<UserCaller, ServiceError> {
        let view = self.feed.view();
        let identity =
            verify(token, &view, &self.expected).map_err(|_| ServiceError::CredentialsInvalid)?;
        if standing == Some(Standing::Ended) {
            return Ok(UserCaller {
                identity,
                ip: String::new(),
            });
        }
        if view.is_revoked(CredentialKind::Session, &identity.subject) {
            return Err(ServiceError::CredentialsInvalid);
        }
        let found = self
            .store
            .session(&identity.tenant_id, identity.session_id)
            .await?;
        let (session, now) = found.ok_or(ServiceError::CredentialsInvalid)?;
        let alive = session.state(now) == SessionState::Active
            && session.subject == identity.subject
            && now.seconds() < identity.expires_at;
        if !alive {
            return Err(ServiceError::CredentialsInvalid);
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
    mut request: Request,
    next: Next,
) -> Response {
    let deadline = match deadline(request.headers()) {
        Ok(deadline) => deadline,
        Err(error) => return refuse(error),
    };
    let work = async {
        // An rpc that is not in the table is denied before anything is said about credentials.
        let rule = rule(request.uri().path()).ok_or(ServiceError::Denied)?;
        let _permit = match rule.sheddable {
            true => Some(
                access
                    .calls
                    .try_acquire()
                    .map_err(|_| ServiceError::Overloaded)?,
            ),
            false => None,
        };
        if !rule.public {
            let caller = access.admit(request.headers(), rule).await?;
            request.extensions_mut().insert(caller);
        }
        Ok(next.run(request).await)
    };
    let done = match deadline {
        // A little early, so that the caller gets our answer and not the transport's.
        Some(deadline) => tokio::time::timeout(deadline - (deadline / 10).min(EARLY), work)
            .await
            .unwrap_or(Err(ServiceError::Deadline)),
        None => work.await,
    };
    done.map_or_else(refuse, explain)
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
