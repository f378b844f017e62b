//! `[[callers]]`: the services that may call, each table alone and all of them together.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    time::SystemTime,
};

use portcullis_contract::{id::TenantId, position::sha256};
use serde::{Deserialize, Serialize};

use super::{ConfigError, San};

/// `[[callers]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CallerConfig {
    /// Name in the audit trail, 1 to 64 bytes.
    pub name: String,
    /// SHA-256 of the bearer string, in 64 hexadecimal digits. Unset: the caller has a certificate.
    #[serde(default)]
    pub bearer_sha256: Option<String>,
    /// The name of its client certificate: a DNS name or a URI. Unset: the caller has a bearer string.
    #[serde(default)]
    pub san: Option<String>,
    /// Roles; at least one.
    pub roles: Vec<Role>,
    /// Its only tenant. Unset: all tenants.
    #[serde(default)]
    pub tenant: Option<String>,
    /// More bearer strings, each with an end: the new one beside the old one while clients change over.
    #[serde(default)]
    pub bearers: Vec<BearerConfig>,
}

/// `[[callers.bearers]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BearerConfig {
    /// SHA-256 of the bearer string, in 64 hexadecimal digits.
    pub sha256: String,
    /// The bearer string does not count from then on. Unset: it has no end.
    #[serde(default, with = "humantime_serde")]
    pub not_after: Option<SystemTime>,
}

/// The digest of a bearer string, and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BearerDigest {
    /// SHA-256.
    pub digest: [u8; 32],
    /// None: it has no end.
    pub not_after: Option<SystemTime>,
}

/// A group of rpcs that a caller may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Opens and refreshes sessions.
    Login,
    /// Watches revocations, over all tenants.
    Gateway,
    /// Reads.
    Support,
    /// Ends sessions, disables users.
    Admin,
    /// Manages keys, validators, and everything that concerns all tenants.
    Operator,
}

/// Largest name of a caller, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The most entries of `bearers` of one caller. A rotation needs two.
const BEARERS_MAX: usize = 8;

/// Checks every caller, and that no two share a name, a bearer string or a certificate's name.
pub(super) fn check(callers: &[CallerConfig], verifies_clients: bool) -> Result<(), ConfigError> {
    // The audit trail tells callers apart by their names, and the authority by the digests and the certificates.
    let mut names = HashMap::new();
    let mut digests = HashMap::new();
    let mut sans = HashMap::new();

    for (index, caller) in callers.iter().enumerate() {
        caller.check(index)?;
        refuse_repetition(&mut names, caller.name.as_str(), index, "name")?;
        refuse_repeated_digests(&mut digests, caller, index)?;
        check_certificate(&mut sans, caller, index, verifies_clients)?;
    }
    Ok(())
}

fn check_certificate(
    sans: &mut HashMap<San, usize>,
    caller: &CallerConfig,
    index: usize,
    verifies_clients: bool,
) -> Result<(), ConfigError> {
    let Some(san) = caller.san() else {
        return Ok(());
    };
    // Without an authority to verify certificates, the setting would promise an access that there is not.
    if !verifies_clients {
        let problem = "needs server.tls_client_ca_file";
        return Err(ConfigError::new(key(index, "san"), problem));
    }
    refuse_repetition(sans, san, index, "san")
}

fn refuse_repeated_digests(
    digests: &mut HashMap<[u8; 32], usize>,
    caller: &CallerConfig,
    index: usize,
) -> Result<(), ConfigError> {
    if let Some(digest) = caller.digest() {
        refuse_repetition(digests, digest, index, "bearer_sha256")?;
    }
    for (number, bearer) in caller.bearers.iter().enumerate() {
        if let Some(digest) = parse_digest(&bearer.sha256) {
            let field = format!("bearers[{number}].sha256");
            refuse_repetition(digests, digest, index, &field)?;
        }
    }
    Ok(())
}

/// `seen` has the index of the first caller with each value.
fn refuse_repetition<T: Hash + Eq>(
    seen: &mut HashMap<T, usize>,
    value: T,
    index: usize,
    field: &str,
) -> Result<(), ConfigError> {
    match seen.entry(value) {
        Entry::Vacant(entry) => {
            entry.insert(index);
            Ok(())
        }
        Entry::Occupied(entry) => {
            let first = entry.get();
            let problem =
                format!("is the same as callers[{first}].{field}: give each caller its own");
            Err(ConfigError::new(key(index, field), problem))
        }
    }
}

fn key(index: usize, field: &str) -> String {
    format!("callers[{index}].{field}")
}

impl CallerConfig {
    fn check(&self, index: usize) -> Result<(), ConfigError> {
        self.check_bearers(index)?;
        let checks = [
            ("name", self.check_name()),
            ("bearer_sha256", self.check_digest()),
            ("san", self.check_san()),
            ("roles", self.check_roles()),
            ("tenant", self.check_tenant()),
        ];
        for (field, result) in checks {
            result.map_err(|problem| ConfigError::new(key(index, field), problem))?;
        }
        Ok(())
    }

    fn check_name(&self) -> Result<(), String> {
        let length = self.name.len();
        // A zero byte separates the name from the rest in `Caller::binding`, so no name may contain one.
        if length == 0 || length > NAME_BYTES_MAX || self.name.chars().any(char::is_control) {
            return Err("must be 1 to 64 bytes without control characters".to_owned());
        }
        Ok(())
    }

    fn check_digest(&self) -> Result<(), String> {
        match &self.bearer_sha256 {
            Some(digest) => check_digest(digest),
            None if self.san.is_some() || !self.bearers.is_empty() => Ok(()),
            None => Err("is required, unless bearers or san are set".to_owned()),
        }
    }

    fn check_bearers(&self, index: usize) -> Result<(), ConfigError> {
        if self.bearers.len() > BEARERS_MAX {
            let problem = format!("must have at most {BEARERS_MAX} entries");
            return Err(ConfigError::new(key(index, "bearers"), problem));
        }
        for (number, bearer) in self.bearers.iter().enumerate() {
            let field = format!("bearers[{number}].sha256");
            check_digest(&bearer.sha256)
                .map_err(|problem| ConfigError::new(key(index, &field), problem))?;
        }
        Ok(())
    }

    fn check_san(&self) -> Result<(), String> {
        match &self.san {
            Some(san) => San::parse(san).map(drop).map_err(str::to_owned),
            None => Ok(()),
        }
    }

    fn check_roles(&self) -> Result<(), String> {
        // A caller without a role may call nothing, and its operator shall learn that here and not at its first call.
        if self.roles.is_empty() {
            return Err("must name at least one role".to_owned());
        }
        Ok(())
    }

    fn check_tenant(&self) -> Result<(), String> {
        let Some(tenant) = &self.tenant else {
            return Ok(());
        };
        TenantId::parse(tenant.as_str()).map_err(|error| error.to_string())?;
        // The table denies rpcs over all tenants to a bound service. The setting would promise rights that it does not
        // give.
        if self.roles.contains(&Role::Gateway) || self.roles.contains(&Role::Operator) {
            return Err("gateway and operator are roles over all tenants".to_owned());
        }
        Ok(())
    }

    /// The name of its certificate; none if it has none, or a malformed one.
    #[must_use]
    pub fn san(&self) -> Option<San> {
        San::parse(self.san.as_deref()?).ok()
    }

    /// The digest of `bearer_sha256` as bytes; none if there is none, or it is not 64 hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> Option<[u8; 32]> {
        parse_digest(self.bearer_sha256.as_deref()?)
    }

    /// The digests of all bearer strings.
    #[must_use]
    pub fn bearer_digests(&self) -> Vec<BearerDigest> {
        let mut digests = Vec::new();
        if let Some(digest) = self.digest() {
            digests.push(BearerDigest {
                digest,
                not_after: None,
            });
        }
        for bearer in &self.bearers {
            if let Some(digest) = parse_digest(&bearer.sha256) {
                digests.push(BearerDigest {
                    digest,
                    not_after: bearer.not_after,
                });
            }
        }
        digests
    }
}

/// Refuses a malformed digest, and digests that mean that no secret was set.
fn check_digest(text: &str) -> Result<(), String> {
    // Each of the three digests below is in examples or comes from a script with an unset variable. Anybody could call
    // with its bearer string.
    let Some(digest) = parse_digest(text) else {
        return Err("must be 64 hexadecimal digits".to_owned());
    };
    if digest == [0; 32] {
        return Err(
            "is a placeholder: `printf %s \"$BEARER\" | sha256sum` prints the digest".to_owned(),
        );
    }
    if digest == sha256(b"") {
        return Err("is the digest of the empty string: was the bearer string unset?".to_owned());
    }
    if digest == sha256(b"\n") {
        return Err("is the digest of an empty line: was the bearer string unset?".to_owned());
    }
    Ok(())
}

fn parse_digest(text: &str) -> Option<[u8; 32]> {
    // Checked first: a parser of numbers would take `+1` for a byte.
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (index, byte) in digest.iter_mut().enumerate() {
        let digits = &text[2 * index..2 * index + 2];
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(digest)
}
