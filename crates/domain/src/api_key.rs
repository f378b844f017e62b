//! API keys: credentials of programs.

use std::time::Duration;

use portcullis_contract::{
    id::{ApiKeyId, TenantId, UserId},
    view::Subject,
};

use super::Micros;

/// How far ahead a key may expire: 10 years, the leap days in it counted.
pub const API_KEY_LIFETIME_MAX: Duration = Duration::from_secs(3_653 * 24 * 60 * 60);

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// Chosen before, so that a repeated entry does nothing twice.
    pub id: ApiKeyId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The user who owns it; made when they are unknown.
    pub owner_id: UserId,
    /// For people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Who it is for.
    pub audiences: Vec<String>,
    /// From when it is dead; none: it does not expire.
    pub expires: Option<Micros>,
}

/// A key as the authority's rows have it.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The user who owns it.
    pub owner_id: UserId,
    /// Its numbers.
    pub subject: Subject,
    /// For people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Who it is for.
    pub audiences: Vec<String>,
    /// When it was made.
    pub created: Micros,
    /// From when it is dead; none: it does not expire.
    pub expires: Option<Micros>,
    /// The last request that a gate reported; none: not yet.
    pub last_used: Option<Micros>,
    /// Requests of this hour and the 23 before it.
    pub requests_24h: u64,
    /// When it was revoked, or cut off with its owner, if that was before its expiry.
    pub ended: Option<Micros>,
}

/// Whether a key can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiKeyState {
    /// It can.
    Active,
    /// It reached its end by itself.
    Expired,
    /// It was ended.
    Revoked,
}

impl ApiKey {
    /// Its state at `now`.
    #[must_use]
    pub fn state(&self, now: Micros) -> ApiKeyState {
        match (self.ended, self.expires) {
            (Some(_), _) => ApiKeyState::Revoked,
            (None, Some(expires)) if expires <= now => ApiKeyState::Expired,
            (None, _) => ApiKeyState::Active,
        }
    }
}

/// Which keys to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyFilter {
    /// Of this tenant.
    pub tenant_id: TenantId,
    /// Of this owner; none: of all.
    pub owner_id: Option<UserId>,
    /// Also those that have expired or ended.
    pub show_ended: bool,
}

/// A key's requests in one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiKeyHour {
    /// The hour, counted since 1970.
    pub hour: i64,
    /// Requests in it.
    pub requests: u64,
}

/// What a gate saw of one key since it last told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyUse {
    /// The key's tenant.
    pub tenant_id: TenantId,
    /// The key. Who names one that is not the tenant's tells nothing.
    pub id: ApiKeyId,
    /// Requests.
    pub requests: u64,
    /// From the last of them to the report, by the gate's own clock.
    pub age: Duration,
}

impl ApiKeyUse {
    /// This and what the same report says of the same key elsewhere.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        let requests = self.requests.saturating_add(other.requests);
        let newer = if other.age < self.age { other } else { self };
        Self { requests, ..newer }
    }
}
