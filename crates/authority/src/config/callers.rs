//! Checks of `[[callers]]`: each table alone, and all of them together.

use std::collections::{HashMap, hash_map::Entry};

use portcullis_contract::{id::TenantId, position::sha256};

use super::{CallerConfig, ConfigError, Role};

/// Checks every caller, and that no two share a name or a bearer string: the audit trail tells callers apart by
/// their names, and the authority by the digests.
pub(super) fn check(callers: &[CallerConfig]) -> Result<(), ConfigError> {
    let mut names = HashMap::new();
    let mut digests = HashMap::new();

    for (index, caller) in callers.iter().enumerate() {
        caller.check(index)?;
        refuse_twice(&mut names, caller.name.as_str(), index, "name")?;
        refuse_twice(&mut digests, caller.digest(), index, "bearer_sha256")?;
    }
    Ok(())
}

fn refuse_twice<T: std::hash::Hash + Eq>(
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
                format!("is the same as callers[{first}].{field}: each caller has its own");
            Err(ConfigError::new(
                format!("callers[{index}].{field}"),
                problem,
            ))
        }
    }
}

impl CallerConfig {
    fn check(&self, index: usize) -> Result<(), ConfigError> {
        let key = |field: &str| format!("callers[{index}].{field}");
        if self.name.is_empty() || self.name.len() > 64 || self.name.chars().any(char::is_control) {
            return Err(ConfigError::new(
                key("name"),
                "must be 1 to 64 bytes without control characters",
            ));
        }
        let problem = match self.digest() {
            None => Some("must be 64 hexadecimal digits"),
            Some(digest) if digest == [0; 32] => {
                Some("is a placeholder: `printf %s \"$BEARER\" | sha256sum` prints the digest")
            }
            Some(digest) if digest == sha256(b"") => {
                Some("is the digest of the empty string: was the bearer string unset?")
            }
            Some(digest) if digest == sha256(b"\n") => {
                Some("is the digest of an empty line: was the bearer string unset?")
            }
            Some(_) => None,
        };
        if let Some(problem) = problem {
            return Err(ConfigError::new(key("bearer_sha256"), problem));
        }
        if self.roles.is_empty() {
            return Err(ConfigError::new(
                key("roles"),
                "must name at least one role",
            ));
        }
        if let Some(tenant) = &self.tenant {
            TenantId::parse(tenant.as_str())
                .map_err(|error| ConfigError::new(key("tenant"), error.to_string()))?;
            if self.roles.contains(&Role::Gateway) || self.roles.contains(&Role::Operator) {
                return Err(ConfigError::new(
                    key("tenant"),
                    "gateway and operator are roles over all tenants",
                ));
            }
        }
        Ok(())
    }

    /// The digest as bytes, when it is one.
    #[must_use]
    pub fn digest(&self) -> Option<[u8; 32]> {
        let text = self.bearer_sha256.as_bytes();
        if text.len() != 64 || !text.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let byte = |at: usize| u8::from_str_radix(&self.bearer_sha256[2 * at..2 * at + 2], 16).ok();
        let bytes = (0..32).map(byte).collect::<Option<Vec<_>>>()?;
        bytes.try_into().ok()
    }
}
