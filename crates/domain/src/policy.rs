//! A tenant's policy: how long its sessions live, how many there may be, and what they need.
//!
//! A policy is stored only when [`Policy::validate`] finds nothing. What one user's sessions are
//! held to is in [`Limits`]: the tenant's, tightened by what the tenant says of that user ([`Policy::effective`]).

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
    limits::{AtLimit, Limits, PolicyViolation, Rule, SessionFacts, UserOverride},
    preset::{PRESETS, Preset},
};
use super::FindingCode;

/// The longest time for which an authority applies a policy without reading it again. A sign-in may follow a policy this
/// old, so the walk over a tenant's sessions repeats until the policy is older.
pub const POLICY_AGE_MAX: Duration = Duration::from_secs(1);

/// What a tenant decided.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// What sessions are held to.
    pub limits: Limits,
    /// Whether users may see and end their own sessions.
    pub users_see_sessions: bool,
    /// Whether the last page that a session asked for is kept.
    pub keep_last_page: bool,
    /// Whether a refresh token that two clients present ends its session.
    pub end_on_shared_refresh_token: bool,
    /// The findings that are switched off.
    pub findings_disabled: BTreeSet<FindingCode>,
    /// The standard that it was made from; empty: none.
    pub source: String,
    /// Stricter limits for named users; at most [`USER_OVERRIDES_MAX`].
    #[serde(with = "by_user")]
    pub user_overrides: BTreeMap<UserId, UserOverride>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
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
    /// What the sessions of `user` are held to.
    #[must_use]
    pub fn effective(&self, user: &UserId) -> Limits {
        let limits = self.limits.clone();
        match self.user_overrides.get(user) {
            Some(stricter) => limits.tightened(stricter),
            None => limits,
        }
    }

    /// The policy as the stores keep it: JSON.
    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("a policy has only text keys")
    }

    /// Reads a stored policy. A field that is not there has its default; an unknown one is refused, for a rule that
    /// this version does not know is one that it would not enforce.
    ///
    /// # Errors
    /// When it is not a policy of this version.
    pub fn decode(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }
}

/// Users' overrides by id, as JSON has keys: text.
mod by_user {
    use serde::{Deserializer, Serializer, de::Error};

    use super::{BTreeMap, Deserialize, UserId, UserOverride};

    pub(super) fn serialize<S: Serializer>(
        overrides: &BTreeMap<UserId, UserOverride>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            overrides
                .iter()
                .map(|(user, stricter)| (user.as_str(), stricter)),
        )
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<UserId, UserOverride>, D::Error> {
        let named = BTreeMap::<String, UserOverride>::deserialize(deserializer)?;
        let parse =
            |(user, stricter)| Ok((UserId::parse(user).map_err(D::Error::custom)?, stricter));
        named.into_iter().map(parse).collect()
    }
}

#[cfg(test)]
mod tests;
