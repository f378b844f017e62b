//! Credentials of calls: bearers and certificates of configured services, and access tokens of users.

use std::{sync::Arc, time::SystemTime};

use http::{HeaderMap, header::AUTHORIZATION};
use portcullis_contract::{
    position::sha256,
    token::{ACCESS_TOKEN_BYTES_MAX, Expected, Identity},
    view::View,
};

use super::known_tokens::KnownTokens;
use crate::{
    app::AppError,
    callers::{CallerTable, Callers, Credential},
    config::TokenConfig,
    net::ClientCertificate,
};

/// A genuine credential's owner, before anything was read for it.
pub(in crate::api) enum Owner {
    Service(Arc<Credential>),
    User(Box<Identity>),
}

/// A credential as a call presents it.
pub(in crate::api) enum Presented<'a> {
    /// The `authorization` header, or the certificate of the connection.
    Headers(&'a HeaderMap),
    /// The name and the bearer string of a service, as clients of OAuth send theirs (RFC 6749, section 2.3.1).
    Client { id: &'a str, secret: &'a str },
    /// An access token of a user, from elsewhere than the header.
    Token(&'a str),
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
    callers: Arc<Callers>,
    tokens: KnownTokens,
}

impl Credentials {
    pub(super) fn new(config: &TokenConfig, callers: Arc<Callers>) -> Self {
        Self {
            callers,
            tokens: KnownTokens::new(Expected {
                issuer: config.issuer.clone(),
                // A token that is only for a gateway must not call the authority: whoever gets hold of it there could
                // end sessions.
                audience: Some(config.authority_audience.clone()),
            }),
        }
    }

    /// The owner of a call's credential.
    pub(super) fn identify(
        &self,
        presented: &Presented<'_>,
        certificate: Option<&ClientCertificate>,
        view: &View,
    ) -> Result<Owner, CredentialRefusal> {
        match presented {
            Presented::Headers(headers) => self.identify_by_headers(headers, certificate, view),
            Presented::Client { id, secret } => self.identify_client(id, secret),
            Presented::Token(token) => self.identify_user(token, view),
        }
    }

    /// A call with an `authorization` header is its bearer's. The certificate of the connection identifies a call
    /// without one. An application may call with the token of a user over the connection that its certificate opened.
    fn identify_by_headers(
        &self,
        headers: &HeaderMap,
        certificate: Option<&ClientCertificate>,
        view: &View,
    ) -> Result<Owner, CredentialRefusal> {
        // Once for the call: a replacement in between must not make one caller look like two.
        let table = self.callers.table();
        if let Some(certificate) = certificate
            && !headers.contains_key(AUTHORIZATION)
        {
            return identify_by_certificate(&table, certificate).map(Owner::Service);
        }
        let text = bearer(headers)?;
        // A bearer of a service has no dot, and every token has two.
        if text.contains('.') {
            return self.identify_user(text, view);
        }
        let credential = identify_by_bearer(&table, text)?;
        // A bearer that was stolen from another service is of no use over this service's certificate.
        if let Some(certificate) = certificate
            && let Ok(Some(certified)) = certified(&table, certificate)
            && !Arc::ptr_eq(&certified.service, &credential.service)
        {
            return Err(CredentialRefusal::invalid("two_callers"));
        }
        Ok(Owner::Service(credential))
    }

    fn identify_client(&self, id: &str, secret: &str) -> Result<Owner, CredentialRefusal> {
        let credential = identify_by_bearer(&self.callers.table(), secret)?;
        // The name is no secret. A bearer under another name is a mistake in a configuration, or a stolen one.
        if *credential.service.name != *id {
            return Err(CredentialRefusal::invalid("other_client"));
        }
        Ok(Owner::Service(credential))
    }

    fn identify_user(&self, token: &str, view: &View) -> Result<Owner, CredentialRefusal> {
        match self.tokens.verify(token, view) {
            Ok(identity) => Ok(Owner::User(Box::new(identity))),
            Err(rejection) => Err(CredentialRefusal::of_token(rejection.reason())),
        }
    }

    /// Whether a call has the credential of a configured service.
    pub(super) fn is_service(
        &self,
        headers: &HeaderMap,
        certificate: Option<&ClientCertificate>,
    ) -> bool {
        let table = self.callers.table();
        if let Some(certificate) = certificate
            && !headers.contains_key(AUTHORIZATION)
        {
            return identify_by_certificate(&table, certificate).is_ok();
        }
        match bearer(headers) {
            Ok(text) => identify_by_bearer(&table, text).is_ok(),
            Err(_) => false,
        }
    }
}

fn identify_by_bearer(
    table: &CallerTable,
    text: &str,
) -> Result<Arc<Credential>, CredentialRefusal> {
    // Digests are compared, so the configuration holds no secret and every comparison has one length.
    match table.by_digest(&sha256(text.as_bytes())) {
        Some(credential) if credential.has_ended(SystemTime::now()) => {
            Err(CredentialRefusal::invalid("expired_bearer"))
        }
        Some(credential) => Ok(Arc::clone(credential)),
        None => Err(CredentialRefusal::invalid("unknown_bearer")),
    }
}

fn identify_by_certificate(
    table: &CallerTable,
    certificate: &ClientCertificate,
) -> Result<Arc<Credential>, CredentialRefusal> {
    match certified(table, certificate)? {
        Some(credential) => Ok(credential),
        None => Err(CredentialRefusal::invalid("unknown_certificate")),
    }
}

/// The service that a certificate names. One that names two is nobody's.
fn certified(
    table: &CallerTable,
    certificate: &ClientCertificate,
) -> Result<Option<Arc<Credential>>, CredentialRefusal> {
    let mut found: Option<&Arc<Credential>> = None;
    for name in &certificate.names {
        let Some(credential) = table.by_certificate(name) else {
            continue;
        };
        if found.is_some_and(|other| !Arc::ptr_eq(&other.service, &credential.service)) {
            return Err(CredentialRefusal::invalid("two_callers"));
        }
        found = Some(credential);
    }
    Ok(found.cloned())
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
