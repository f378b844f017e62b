//! Credentials of calls: bearers and certificates of configured services, and access tokens of users.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{HeaderMap, header::AUTHORIZATION};
use portcullis_contract::{
    id::TenantId,
    position::sha256,
    token::{ACCESS_TOKEN_BYTES_MAX, Expected, Identity},
    view::View,
};

use super::known_tokens::KnownTokens;
use crate::{
    app::{AppError, ServiceCaller},
    config::{CallerConfig, Config, ConfigError, San},
    net::ClientCertificate,
};

/// A genuine credential's owner, before anything was read for it.
pub(super) enum Owner {
    Service(Arc<ServiceCaller>),
    User(Box<Identity>),
}

/// The refusal of a credential, and the reason for operators. The credential itself is never logged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CredentialRefusal {
    pub(super) error: AppError,
    pub(super) reason: &'static str,
    /// Whether the address may be logged. The address of a user may not.
    pub(super) may_log_address: bool,
}

impl CredentialRefusal {
    fn of_header(error: AppError, reason: &'static str) -> Self {
        Self {
            error,
            reason,
            may_log_address: true,
        }
    }

    pub(super) fn invalid(reason: &'static str) -> Self {
        Self::of_header(AppError::CredentialsInvalid, reason)
    }

    /// The refusal of a user's token.
    pub(super) fn of_token(reason: &'static str) -> Self {
        Self {
            error: AppError::CredentialsInvalid,
            reason,
            may_log_address: false,
        }
    }
}

/// The credentials that the authority accepts.
pub(super) struct Credentials {
    bearers: Vec<ServiceBearer>,
    certified: HashMap<San, Arc<ServiceCaller>>,
    tokens: KnownTokens,
}

/// The digest of a service's bearer, and the service.
struct ServiceBearer {
    digest: [u8; 32],
    service: Arc<ServiceCaller>,
}

impl Credentials {
    pub(super) fn new(config: &Config) -> Result<Self, ConfigError> {
        let mut bearers = Vec::with_capacity(config.callers.len());
        let mut certified = HashMap::new();
        for caller in &config.callers {
            let service = Arc::new(service(caller)?);
            if let Some(san) = caller.san() {
                certified.insert(san, Arc::clone(&service));
            }
            if let Some(digest) = caller.digest() {
                bearers.push(ServiceBearer { digest, service });
            }
        }
        Ok(Self {
            bearers,
            certified,
            tokens: KnownTokens::new(Expected {
                issuer: config.tokens.issuer.clone(),
                // A token that is only for a gateway must not call the authority: whoever gets hold of it there could
                // end sessions.
                audience: Some(config.tokens.authority_audience.clone()),
            }),
        })
    }

    /// The owner of a call's credential.
    ///
    /// A call with an `authorization` header is its bearer's. The certificate of the connection identifies a call
    /// without one. An application may call with the token of a user over the connection that its certificate opened.
    pub(super) fn identify(
        &self,
        headers: &HeaderMap,
        certificate: Option<&ClientCertificate>,
        view: &View,
    ) -> Result<Owner, CredentialRefusal> {
        if let Some(certificate) = certificate
            && !headers.contains_key(AUTHORIZATION)
        {
            return self.identify_by_certificate(certificate);
        }
        let credential = bearer(headers)?;
        // A bearer of a service has no dot, and every token has two.
        if credential.contains('.') {
            return match self.tokens.verify(credential, view) {
                Ok(identity) => Ok(Owner::User(Box::new(identity))),
                Err(rejection) => Err(CredentialRefusal::of_token(rejection.reason())),
            };
        }
        let Some(service) = self.service(credential) else {
            return Err(CredentialRefusal::invalid("unknown_bearer"));
        };
        // A bearer that was stolen from another service is of no use over this service's certificate.
        if let Some(certificate) = certificate
            && let Ok(Some(certified)) = self.certified(certificate)
            && !Arc::ptr_eq(&certified, &service)
        {
            return Err(CredentialRefusal::invalid("two_callers"));
        }
        Ok(Owner::Service(service))
    }

    fn identify_by_certificate(
        &self,
        certificate: &ClientCertificate,
    ) -> Result<Owner, CredentialRefusal> {
        match self.certified(certificate)? {
            Some(service) => Ok(Owner::Service(service)),
            None => Err(CredentialRefusal::invalid("unknown_certificate")),
        }
    }

    /// The service that a certificate names. One that names two is nobody's.
    fn certified(
        &self,
        certificate: &ClientCertificate,
    ) -> Result<Option<Arc<ServiceCaller>>, CredentialRefusal> {
        let mut found: Option<&Arc<ServiceCaller>> = None;
        for name in &certificate.names {
            let Some(service) = self.certified.get(name) else {
                continue;
            };
            if found.is_some_and(|other| !Arc::ptr_eq(other, service)) {
                return Err(CredentialRefusal::invalid("two_callers"));
            }
            found = Some(service);
        }
        Ok(found.cloned())
    }

    /// Whether a call has the credential of a configured service.
    pub(super) fn is_service(
        &self,
        headers: &HeaderMap,
        certificate: Option<&ClientCertificate>,
    ) -> bool {
        if let Some(certificate) = certificate
            && !headers.contains_key(AUTHORIZATION)
        {
            return self.identify_by_certificate(certificate).is_ok();
        }
        match bearer(headers) {
            Ok(credential) => self.service(credential).is_some(),
            Err(_) => false,
        }
    }

    /// Compares with every configured digest, also after one has matched, so that the time does not tell which.
    fn service(&self, credential: &str) -> Option<Arc<ServiceCaller>> {
        // Digests are compared, so the configuration holds no secret and every comparison has one length.
        let digest = sha256(credential.as_bytes());
        let mut found = None;
        for configured in &self.bearers {
            if verify_slices_are_equal(&configured.digest, &digest).is_ok() {
                found = Some(Arc::clone(&configured.service));
            }
        }
        found
    }
}

fn service(config: &CallerConfig) -> Result<ServiceCaller, ConfigError> {
    let tenant = config.tenant.as_deref().map(TenantId::parse).transpose();
    let tenant = tenant.map_err(|_| ConfigError::new("callers.tenant", "is malformed"))?;
    Ok(ServiceCaller {
        name: config.name.as_str().into(),
        roles: config.roles.clone(),
        tenant,
    })
}

fn bearer(headers: &HeaderMap) -> Result<&str, CredentialRefusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(CredentialRefusal::of_header(
            AppError::CredentialsMissing,
            "missing",
        ));
    };
    // Two headers are refused: a proxy in between could have looked at the other one.
    let is_only_one = values.next().is_none();
    match value.to_str().ok().and_then(parse_bearer) {
        Some(credential) if is_only_one => Ok(credential),
        _ => Err(CredentialRefusal::of_header(
            AppError::CredentialsInvalid,
            "malformed_header",
        )),
    }
}

fn parse_bearer(text: &str) -> Option<&str> {
    let (scheme, credential) = text.split_once(' ')?;
    // RFC 9110, section 11.4: one or more spaces.
    let credential = credential.trim_start_matches(' ');
    // A longer credential than any token is refused before anything hashes or parses it.
    let is_plausible =
        scheme.eq_ignore_ascii_case("bearer") && credential.len() <= ACCESS_TOKEN_BYTES_MAX;
    is_plausible.then_some(credential)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_authorization(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a header"))])
    }

    fn error_of(headers: &HeaderMap) -> AppError {
        bearer(headers).expect_err("is refused").error
    }

    #[test]
    fn a_bearer_credential_is_read_strictly() {
        assert_eq!(bearer(&with_authorization("Bearer abc")), Ok("abc"));
        assert_eq!(bearer(&with_authorization("bearer abc")), Ok("abc"));
        assert_eq!(bearer(&with_authorization("Bearer   abc")), Ok("abc"));
        assert_eq!(error_of(&HeaderMap::new()), AppError::CredentialsMissing);
        for malformed in [
            "abc",
            "Basic abc",
            "Bearer",
            &format!("Bearer {}", "A".repeat(10_000)),
        ] {
            let headers = with_authorization(malformed);
            assert_eq!(error_of(&headers), AppError::CredentialsInvalid);
        }
        let mut twice = with_authorization("Bearer abc");
        twice.append(AUTHORIZATION, "Bearer def".parse().expect("a header"));
        assert_eq!(error_of(&twice), AppError::CredentialsInvalid);
    }
}
