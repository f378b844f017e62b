//! API keys: credentials of programs.

use std::time::Duration;

use portcullis_contract::{
    id::{ApiKeyId, TenantId, UserId},
    view::Subject,
};

use super::Micros;

/// The longest lifetime of a key: 10 years, including leap days.
pub const API_KEY_LIFETIME_MAX: Duration = Duration::from_secs(3_653 * 24 * 60 * 60);

/// A key to be created.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// The id, chosen by the authority before the entry is appended, so that a repeated entry creates one key.
    pub id: ApiKeyId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The user that owns the key. Created when unknown.
    pub owner_id: UserId,
    /// A name for people.
    pub name: String,
    /// The permissions of the key, in the tenant's own words.
    pub scopes: Vec<String>,
    /// The services that accept the key.
    pub audiences: Vec<String>,
    /// The expiry. None: never.
    pub expires: Option<Micros>,
}

/// A key as stored.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// The id.
    pub id: ApiKeyId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The user that owns the key.
    pub owner_id: UserId,
    /// The serials that revocations name.
    pub subject: Subject,
    /// A name for people.
    pub name: String,
    /// The permissions of the key, in the tenant's own words.
    pub scopes: Vec<String>,
    /// The services that accept the key.
    pub audiences: Vec<String>,
    /// The time of creation.
    pub created: Micros,
    /// The expiry. None: never.
    pub expires: Option<Micros>,
    /// The last request that a gate reported. None: no request yet.
    pub last_used: Option<Micros>,
    /// Requests in this hour and the 23 before it.
    pub requests_24h: u64,
    /// The time when the key was revoked, or cut off with its owner. None for a key that only expired.
    pub ended: Option<Micros>,
}

/// The state of a key at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiKeyState {
    /// The key is accepted.
    Active,
    /// The key reached its expiry.
    Expired,
    /// The key was revoked, or cut off with its owner.
    Revoked,
}

impl ApiKey {
    /// The state at `now`.
    #[must_use]
    pub fn state(&self, now: Micros) -> ApiKeyState {
        match (self.ended, self.expires) {
            // A revoked key stays revoked after its expiry.
            (Some(_), _) => ApiKeyState::Revoked,
            (None, Some(expires)) if expires <= now => ApiKeyState::Expired,
            (None, _) => ApiKeyState::Active,
        }
    }
}

/// A filter for a list of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyFilter {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The owner. None: any.
    pub owner_id: Option<UserId>,
    /// Includes expired and revoked keys.
    pub show_ended: bool,
}

/// Requests with a key in one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiKeyHour {
    /// Hours since 1970.
    pub hour: i64,
    /// Requests in that hour.
    pub requests: u64,
}

/// The use of one key that a gate saw since its last report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyUse {
    /// The key's tenant.
    pub tenant_id: TenantId,
    /// The key. A report about a key of another tenant is ignored.
    pub id: ApiKeyId,
    /// The number of requests.
    pub requests: u64,
    /// The time from the last request to the report, by the gate's own clock.
    pub age: Duration,
}

impl ApiKeyUse {
    /// Adds another part of the same report about the same key.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        // The numbers come from a gate and are not trusted to fit.
        let requests = self.requests.saturating_add(other.requests);
        let newer = if other.age < self.age { other } else { self };
        Self { requests, ..newer }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_contract::{
        id::{Serial, TenantSerial, UserSerial},
        position::Revision,
    };

    use super::*;

    #[test]
    fn a_key_lives_for_ten_years_with_their_leap_days() {
        let days = 10 * 365 + 3;
        assert_eq!(API_KEY_LIFETIME_MAX, Duration::from_secs(86_400) * days);
    }

    fn key(expires: Option<i64>, ended: Option<i64>) -> ApiKey {
        ApiKey {
            id: ApiKeyId::generate(),
            tenant_id: TenantId::parse("acme").expect("an id"),
            owner_id: UserId::parse("ada").expect("an id"),
            subject: Subject {
                serial: Serial(1),
                user: UserSerial(2),
                tenant: TenantSerial(3),
                opened: Revision(4),
            },
            name: "a key".into(),
            scopes: vec![],
            audiences: vec![],
            created: Micros(0),
            expires: expires.map(Micros),
            last_used: None,
            requests_24h: 0,
            ended: ended.map(Micros),
        }
    }

    #[test]
    fn a_key_is_active_until_it_expires_and_stays_revoked() {
        let now = Micros(10);
        for (expires, ended, state) in [
            (None, None, ApiKeyState::Active),
            (Some(11), None, ApiKeyState::Active),
            (Some(10), None, ApiKeyState::Expired),
            (Some(9), None, ApiKeyState::Expired),
            (None, Some(5), ApiKeyState::Revoked),
            (Some(9), Some(5), ApiKeyState::Revoked),
        ] {
            assert_eq!(
                key(expires, ended).state(now),
                state,
                "{expires:?} {ended:?}"
            );
        }
    }

    #[test]
    fn parts_of_a_report_add_up_and_the_newer_request_counts() {
        let used = |requests, age| ApiKeyUse {
            tenant_id: TenantId::parse("acme").expect("an id"),
            id: ApiKeyId::from_bytes([1; 16]),
            requests,
            age: Duration::from_secs(age),
        };
        assert_eq!(used(2, 1).merged(used(3, 9)), used(5, 1));
        assert_eq!(used(2, 9).merged(used(3, 1)), used(5, 1));
        assert_eq!(used(u64::MAX, 1).merged(used(3, 9)), used(u64::MAX, 1));
        let first = ApiKeyUse {
            id: ApiKeyId::from_bytes([2; 16]),
            ..used(0, 4)
        };
        assert_eq!(first.clone().merged(used(0, 4)), first);
    }
}
