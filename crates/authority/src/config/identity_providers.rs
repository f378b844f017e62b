//! `[[identity_providers]]`: the identity providers whose logouts end sessions.

use std::{collections::HashSet, path::PathBuf};

use http::Uri;
use portcullis_contract::id::TenantId;
use serde::{Deserialize, Serialize};

use super::{ConfigError, web_origin::LOOPBACK_HOSTS};

/// The most providers.
const PROVIDERS_MAX: usize = 64;
/// The longest issuer and client id, in bytes. A session keeps no longer issuer.
const TEXT_BYTES_MAX: usize = 512;

/// `[[identity_providers]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityProviderConfig {
    /// `iss` of its tokens, exactly.
    pub issuer: String,
    /// The client that the application is at the provider: `aud` of a logout token has to name it.
    pub client_id: String,
    /// The only tenant whose sessions its logouts end. Unset: those of all tenants.
    #[serde(default)]
    pub tenant: Option<String>,
    /// File with its keys, a JWK set.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// URL of its keys, instead of a file.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// PEM file with the certificates that sign that of the URL's server.
    #[serde(default)]
    pub jwks_ca_file: Option<PathBuf>,
    /// The algorithms of its signatures.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<LogoutAlgorithm>,
    /// Refuses a logout token whose `typ` is not `logout+jwt`.
    #[serde(default = "default_require_type")]
    pub require_type: bool,
}

/// An algorithm of signatures. None of them has a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[expect(
    missing_docs,
    reason = "their names are those of RFC 7518 and RFC 8037"
)]
pub enum LogoutAlgorithm {
    RS256,
    PS256,
    ES256,
    ES384,
    EdDSA,
}

fn default_algorithms() -> Vec<LogoutAlgorithm> {
    use LogoutAlgorithm::{ES256, EdDSA, PS256, RS256};
    vec![RS256, PS256, ES256, EdDSA]
}

fn default_require_type() -> bool {
    true
}

/// Checks every provider, and that no two are the same.
pub(super) fn check(
    providers: &[IdentityProviderConfig],
    insecure: bool,
) -> Result<(), ConfigError> {
    if providers.len() > PROVIDERS_MAX {
        let problem = format!("must have at most {PROVIDERS_MAX} entries");
        return Err(ConfigError::new("identity_providers", problem));
    }
    let mut seen = HashSet::new();
    for (index, provider) in providers.iter().enumerate() {
        provider.check(index, insecure)?;
        // A token for both could not say whose it is.
        if !seen.insert((&provider.issuer, &provider.client_id)) {
            let problem = "is the same as that of another provider with the same issuer";
            return Err(ConfigError::new(key(index, "client_id"), problem));
        }
    }
    Ok(())
}

fn key(index: usize, field: &str) -> String {
    format!("identity_providers[{index}].{field}")
}

fn check_text(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(format!(
            "must be 1 to {TEXT_BYTES_MAX} bytes without control characters"
        ));
    }
    Ok(())
}

fn check_url(url: &str, insecure: bool) -> Result<(), String> {
    let parsed: Option<Uri> = url.parse().ok();
    let host = parsed.as_ref().and_then(Uri::host).unwrap_or_default();
    let scheme = parsed.as_ref().and_then(Uri::scheme_str);
    if host.is_empty() || !matches!(scheme, Some("http" | "https")) || url.contains('@') {
        return Err("must be a URL as https://idp.example.com/jwks".into());
    }
    // Anybody on the way could put their own keys in, and sign people out.
    if scheme == Some("http") && !insecure && !LOOPBACK_HOSTS.contains(&host) {
        return Err(
            "must begin with https:// or name this machine, or set server.insecure = true".into(),
        );
    }
    Ok(())
}

impl IdentityProviderConfig {
    fn check(&self, index: usize, insecure: bool) -> Result<(), ConfigError> {
        let checks = [
            ("issuer", check_text(&self.issuer)),
            ("client_id", check_text(&self.client_id)),
            ("tenant", self.check_tenant()),
            ("jwks_url", self.check_keys(insecure)),
            ("jwks_ca_file", self.check_authorities()),
            ("algorithms", self.check_algorithms()),
        ];
        for (field, result) in checks {
            result.map_err(|problem| ConfigError::new(key(index, field), problem))?;
        }
        Ok(())
    }

    fn check_tenant(&self) -> Result<(), String> {
        match &self.tenant {
            Some(tenant) => TenantId::parse(tenant.as_str())
                .map(drop)
                .map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    fn check_keys(&self, insecure: bool) -> Result<(), String> {
        match (&self.jwks_url, &self.jwks_file) {
            (Some(url), None) => check_url(url, insecure),
            (None, Some(_)) => Ok(()),
            _ => Err("or jwks_file is required, and not both".into()),
        }
    }

    fn check_authorities(&self) -> Result<(), String> {
        let is_tls = self
            .jwks_url
            .as_deref()
            .is_some_and(|url| url.starts_with("https:"));
        match (is_tls, &self.jwks_ca_file) {
            (true, None) => Err(
                "is required with an https:// URL: the system's list is often \
                 /etc/ssl/certs/ca-certificates.crt"
                    .into(),
            ),
            (false, Some(_)) => Err("needs an https:// URL".into()),
            _ => Ok(()),
        }
    }

    fn check_algorithms(&self) -> Result<(), String> {
        if self.algorithms.is_empty() {
            return Err("must name at least one algorithm".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> IdentityProviderConfig {
        IdentityProviderConfig {
            issuer: "https://idp.test".into(),
            client_id: "app".into(),
            tenant: None,
            jwks_file: Some("jwks.json".into()),
            jwks_url: None,
            jwks_ca_file: None,
            algorithms: default_algorithms(),
            require_type: true,
        }
    }

    fn with(change: impl FnOnce(&mut IdentityProviderConfig)) -> IdentityProviderConfig {
        let mut changed = provider();
        change(&mut changed);
        changed
    }

    fn by_url(url: &str, ca: Option<&str>) -> IdentityProviderConfig {
        with(|provider| {
            provider.jwks_file = None;
            provider.jwks_url = Some(url.into());
            provider.jwks_ca_file = ca.map(PathBuf::from);
        })
    }

    #[test]
    fn each_setting_is_checked() {
        check(&[provider()], false).expect("good");
        check(&[by_url("https://idp.test/jwks", Some("ca.pem"))], false).expect("good");
        check(&[by_url("http://127.0.0.1:1/jwks", None)], false).expect("good");
        check(&[by_url("http://idp.test/jwks", None)], true).expect("asked for");

        let cases = [
            (with(|provider| provider.issuer.clear()), "issuer"),
            (
                with(|provider| provider.client_id = "a\n".into()),
                "client_id",
            ),
            (
                with(|provider| provider.tenant = Some(String::new())),
                "tenant",
            ),
            (with(|provider| provider.jwks_file = None), "jwks_url"),
            (
                with(|provider| provider.jwks_url = Some("https://idp.test/".into())),
                "jwks_url",
            ),
            (by_url("http://idp.test/jwks", None), "jwks_url"),
            (by_url("ftp://idp.test/jwks", None), "jwks_url"),
            (
                by_url("https://me@idp.test/jwks", Some("ca.pem")),
                "jwks_url",
            ),
            (by_url("jwks", None), "jwks_url"),
            (by_url("https://idp.test/jwks", None), "jwks_ca_file"),
            (
                by_url("http://127.0.0.1:1/", Some("ca.pem")),
                "jwks_ca_file",
            ),
            (with(|provider| provider.algorithms.clear()), "algorithms"),
        ];
        for (provider, field) in cases {
            let error = check(&[provider], false).expect_err(field).to_string();
            assert!(error.contains(&format!("[0].{field}")), "{field}: {error}");
        }
        let twice = check(&[provider(), provider()], false).expect_err("twice");
        assert!(twice.to_string().contains("[1].client_id"), "{twice}");
    }

    #[test]
    fn no_algorithm_has_a_shared_secret() {
        for name in ["none", "HS256", "HS384", "HS512"] {
            let read = serde_json::from_value::<LogoutAlgorithm>(name.into());
            assert!(read.is_err(), "{name}");
        }
    }
}
