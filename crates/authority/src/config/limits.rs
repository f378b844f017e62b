//! `[limits]`: rates and quotas of users and tenants.

use serde::{Deserialize, Serialize};

use super::{ConfigError, bounds::check_range};

/// `[limits]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Changes a minute that a user may make with their own token.
    pub user_changes_per_minute: u32,
    /// Changes that a user may make at once.
    pub user_changes_burst: u32,
    /// Users a minute that a tenant may name in large sign-outs, of more than 16 users.
    pub tenant_named_users_per_minute: u32,
    /// Users that a tenant may name in large sign-outs at once.
    pub tenant_named_users_burst: u32,
    /// Users a minute that a tenant may sign out or disable although they never signed in.
    pub tenant_unknown_users_per_minute: u32,
    /// Users that a tenant may sign out or disable at once although they never signed in.
    pub tenant_unknown_users_burst: u32,
    /// Users of one tenant.
    pub tenant_users_max: u32,
    /// Live sessions of one tenant.
    pub tenant_sessions_max: u32,
    /// Live API keys of one tenant.
    pub tenant_api_keys_max: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            user_changes_per_minute: 10,
            user_changes_burst: 20,
            tenant_named_users_per_minute: 6_000,
            tenant_named_users_burst: 10_000,
            tenant_unknown_users_per_minute: 1_000,
            tenant_unknown_users_burst: 10_000,
            tenant_users_max: 10_000_000,
            tenant_sessions_max: 20_000_000,
            tenant_api_keys_max: 10_000,
        }
    }
}

impl LimitsConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let bounds = [
            (
                "limits.user_changes_per_minute",
                self.user_changes_per_minute,
                1..=60_000,
            ),
            (
                "limits.user_changes_burst",
                self.user_changes_burst,
                1..=60_000,
            ),
            (
                "limits.tenant_named_users_per_minute",
                self.tenant_named_users_per_minute,
                1..=100_000_000,
            ),
            // One call may name 1,000 users. A smaller burst would refuse such a call forever.
            (
                "limits.tenant_named_users_burst",
                self.tenant_named_users_burst,
                1_000..=100_000_000,
            ),
            (
                "limits.tenant_unknown_users_per_minute",
                self.tenant_unknown_users_per_minute,
                1..=100_000_000,
            ),
            // Likewise.
            (
                "limits.tenant_unknown_users_burst",
                self.tenant_unknown_users_burst,
                1_000..=100_000_000,
            ),
            (
                "limits.tenant_users_max",
                self.tenant_users_max,
                1..=100_000_000,
            ),
            (
                "limits.tenant_sessions_max",
                self.tenant_sessions_max,
                1..=100_000_000,
            ),
            (
                "limits.tenant_api_keys_max",
                self.tenant_api_keys_max,
                1..=1_000_000,
            ),
        ];
        for (key, value, range) in bounds {
            check_range(key, &value, &range)?;
        }
        Ok(())
    }
}
