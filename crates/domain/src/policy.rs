//! Policies: the lifetimes, numbers and requirements that a tenant sets for its sessions.
//!
//! A policy is stored only when [`Policy::validate`] finds no problem. The sessions of one user are held to [`Limits`]: the
//! tenant's, tightened by the tenant's override for that user ([`Policy::effective`]).

mod changes;
mod check;
mod limits;
mod preset;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use portcullis_contract::id::UserId;
use serde::{Deserialize, Serialize};

pub use self::{
    check::{
        ACCESS_TOKEN_LIFETIME_MAX, ACR_BYTES_MAX, ACRS_MAX, DURATION_MAX, DURATION_MIN,
        PROBLEMS_MAX, Problem, SESSIONS_MAX, USER_OVERRIDES_MAX,
    },
    limits::{AtLimit, Limits, PolicyViolation, Rule, SessionFacts, SessionLimit, UserOverride},
    preset::{PRESETS, Preset},
};
use super::FindingCode;

/// The longest time for which an authority applies a policy without reading it again.
///
/// An update of a policy is answered this long after it was stored, so that no authority follows the policy of before.
pub const POLICY_AGE_MAX: Duration = Duration::from_secs(1);

/// A tenant's policy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// The limits for every user.
    pub limits: Limits,
    /// Whether users may see and end their own sessions.
    pub users_see_sessions: bool,
    /// Whether a session keeps the last page that it requested.
    pub keep_last_page: bool,
    /// Whether a refresh token that two clients present ends its session.
    pub end_on_shared_refresh_token: bool,
    /// The findings that are switched off.
    pub findings_disabled: BTreeSet<FindingCode>,
    /// The standard that the policy was made from. Empty for none.
    pub source: String,
    /// Stricter limits for single users, at most [`USER_OVERRIDES_MAX`].
    #[serde(with = "by_user")]
    pub user_overrides: BTreeMap<UserId, UserOverride>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // These values also fill the fields that a policy stored by an earlier version lacks.
            limits: Limits::default(),
            users_see_sessions: true,
            keep_last_page: false,
            end_on_shared_refresh_token: false,
            findings_disabled: BTreeSet::new(),
            source: String::new(),
            user_overrides: BTreeMap::new(),
        }
    }
}

impl Policy {
    /// The limits for the sessions of `user`.
    #[must_use]
    pub fn effective(&self, user: &UserId) -> Limits {
        let limits = self.limits.clone();
        match self.user_overrides.get(user) {
            Some(stricter) => limits.tightened(stricter),
            None => limits,
        }
    }

    /// Encodes the policy as the stores keep it: JSON.
    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("a policy has only text keys")
    }

    /// Decodes a stored policy. A missing field has its default.
    ///
    /// # Errors
    /// When the policy has an unknown field. This version would not enforce a rule that it does not know.
    pub fn decode(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }
}

/// Overrides by user id. JSON has only text keys.
mod by_user {
    use serde::{Deserializer, Serializer, de::Error, ser::SerializeMap};

    use super::{BTreeMap, Deserialize, UserId, UserOverride};

    pub(super) fn serialize<S: Serializer>(
        overrides: &BTreeMap<UserId, UserOverride>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(overrides.len()))?;
        for (user, stricter) in overrides {
            map.serialize_entry(user.as_str(), stricter)?;
        }
        map.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<UserId, UserOverride>, D::Error> {
        let named = BTreeMap::<String, UserOverride>::deserialize(deserializer)?;
        let mut overrides = BTreeMap::new();
        for (user, stricter) in named {
            // Checked again: a stored policy may come from a restored or edited database.
            let user = UserId::parse(user).map_err(D::Error::custom)?;
            overrides.insert(user, stricter);
        }
        Ok(overrides)
    }
}

#[cfg(test)]
mod tests;
