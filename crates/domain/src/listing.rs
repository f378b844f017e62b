//! Lists of sessions and users: filters, orders, pages and previews.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::{Cause, Micros, Session, SessionState, User};

/// A session used within this window is active now.
pub const ACTIVE_NOW_WINDOW: Duration = Duration::from_secs(5 * 60);
/// The most active sessions of a user that are counted.
pub const USER_SESSIONS_COUNTED_MAX: u32 = 100;
/// The most active sessions of a tenant that are counted.
pub const TENANT_SESSIONS_COUNTED_MAX: u32 = 10_000;
/// The most sessions that a preview counts.
pub const PREVIEW_SESSIONS_MAX: u32 = 1_000;
/// The most sessions that a preview shows.
pub const PREVIEW_SAMPLE_MAX: u32 = 10;

/// A filter for a list of sessions. An unset field matches every session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFilter {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The user.
    pub user_id: Option<UserId>,
    /// The state.
    pub state: Option<SessionState>,
    /// Includes ended sessions only for this long after their end.
    pub retention: Duration,
    /// Parts of the user's names.
    pub names: NameFilter,
    /// The network of the sign-in's address.
    pub network: Option<Network>,
    /// The country of the sign-in (ISO 3166-1 alpha-2, upper case).
    pub country: Option<String>,
    /// The type of device, by its number in the contract.
    pub device_type: Option<i64>,
    /// The time of the sign-in.
    pub started: Period,
    /// The time of the last activity.
    pub active: Period,
    /// The cause of the end.
    pub end_cause: Option<Cause>,
}

impl SessionFilter {
    /// Matches every stored session of a tenant.
    #[must_use]
    pub fn of(tenant_id: TenantId) -> Self {
        Self {
            tenant_id,
            user_id: None,
            state: None,
            // In microseconds this is more than any age, so no session is too old.
            retention: Duration::MAX,
            names: NameFilter::default(),
            network: None,
            country: None,
            device_type: None,
            started: Period::default(),
            active: Period::default(),
            end_cause: None,
        }
    }
}

/// The order of a list of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionOrder {
    /// Newest first.
    Start,
    /// By user id as the store compares text. Newest first within a user.
    User,
    /// The named session first, then the last active first. Only for the sessions of one user.
    LastActive(Option<SessionId>),
}

/// A filter for a list of users. An unset field matches every user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFilter {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Parts of the names.
    pub names: NameFilter,
    /// The time of the last sign-in.
    pub signed_in: Period,
    /// Includes users without active sessions.
    pub signed_out: bool,
    /// The least number of different addresses from which the user is active now.
    pub active_addresses_min: Option<u32>,
}

/// The order of a list of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserOrder {
    /// Newest sign-in first.
    SignIn,
    /// By sign-in name.
    UserName,
    /// By family name, then given name.
    PersonName,
    /// Most active sessions first.
    Sessions,
    /// Last active first.
    LastActive,
}

/// A user with a summary of the active sessions.
#[derive(Clone)]
pub struct UserSummary {
    /// The user.
    pub user: User,
    /// Active sessions, counted up to one more than [`USER_SESSIONS_COUNTED_MAX`].
    pub sessions: u32,
    /// The newest sign-in.
    pub signed_in: Option<Micros>,
    /// The newest activity of the counted sessions.
    pub last_active: Option<Micros>,
    /// Different addresses from which the user is active now. 0 where the list does not need them.
    pub active_addresses: u32,
}

/// Parts of names, as [`search_parts`](super::names::search_parts) makes them. Every part has to occur.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameFilter {
    /// Parts of the sign-in name.
    pub user_name: Vec<String>,
    /// Parts of the given and the family name.
    pub person_name: Vec<String>,
    /// Parts of the email address.
    pub email: Vec<String>,
}

impl NameFilter {
    /// Whether any part is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self != Self::default()
    }
}

/// A period of time, open where a bound is unset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// The first instant in the period.
    pub from: Option<Micros>,
    /// The first instant after the period.
    pub until: Option<Micros>,
}

/// The sessions that a call would end.
#[derive(Clone, Debug)]
pub enum Selection {
    /// Single sessions, at most [`PREVIEW_SESSIONS_MAX`].
    Sessions(Vec<SessionId>),
    /// Every session of these users, except one.
    Users(Vec<UserId>, Option<SessionId>),
    /// Every session of the tenant.
    Tenant,
}

/// The result of a preview.
pub struct Preview {
    /// Active sessions, counted up to one more than [`PREVIEW_SESSIONS_MAX`].
    pub sessions: u32,
    /// The newest of them, at most [`PREVIEW_SAMPLE_MAX`].
    pub sample: Vec<Session>,
    /// The time of the preview.
    pub now: Micros,
}

/// One page of a list.
pub struct Page<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// The cursor of the next page. None on the last page.
    pub next: Option<PageCursor>,
    /// The time of the page.
    pub now: Micros,
}

/// The position at which a list continues. Only the store that made it can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageCursor(pub Vec<u8>);

/// A block of addresses. IPv4 addresses are those of `::ffff:0:0/96`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: u128,
    last: u128,
}

impl Network {
    /// Parses an address, such as `192.0.2.7`, or a prefix, such as `192.0.2.0/24`. Bits beyond the prefix are ignored.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address.parse::<IpAddr>().ok()?, Some(prefix)),
            None => (text.parse().ok()?, None),
        };
        // An IPv4 address in IPv6 notation takes IPv6 prefixes: `::ffff:192.0.2.0/120` is `192.0.2.0/24`.
        let bits: u32 = if address.is_ipv4() { 32 } else { 128 };
        let length = match prefix {
            Some(digits) => parse_prefix_length(digits, bits)?,
            None => bits,
        };

        // The prefix of an IPv4 address begins after the 96 bits that map it into IPv6.
        // A shift by all 128 bits overflows, and leaves no host bits.
        let hosts = u128::MAX.checked_shr(128 - bits + length).unwrap_or(0);
        let address = u128::from_be_bytes(address_key(address));
        Some(Self {
            first: address & !hosts,
            last: address | hosts,
        })
    }

    /// The first and the last address, as [`address_key`] encodes them.
    #[must_use]
    pub fn range(self) -> ([u8; 16], [u8; 16]) {
        (self.first.to_be_bytes(), self.last.to_be_bytes())
    }
}

fn parse_prefix_length(digits: &str, bits: u32) -> Option<u32> {
    // Rust reads `+8` and `08` as numbers. No other program takes them for prefixes.
    let has_leading_zero = digits.len() > 1 && digits.starts_with('0');
    if has_leading_zero || digits.starts_with('+') {
        return None;
    }
    let length: u32 = digits.parse().ok()?;
    (length <= bits).then_some(length)
}

/// Encodes an address as the stores keep and compare it: the 16 bytes of IPv6.
#[must_use]
pub fn address_key(address: IpAddr) -> [u8; 16] {
    match address {
        // Both families sort in one column, so that a network is one range of one index.
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => Ipv6Addr::octets(&address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_active_now_for_five_minutes() {
        assert_eq!(ACTIVE_NOW_WINDOW, Duration::from_secs(300));
    }

    #[test]
    fn a_network_has_all_its_addresses_and_no_other() {
        let key = |address: &str| address_key(address.parse().expect("an address"));
        let cases = [
            ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/24", "192.0.2.0", "192.0.2.255"),
            ("10.0.0.0/8", "10.0.0.0", "10.255.255.255"),
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
            ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::1"),
            (
                "2001:db8::/32",
                "2001:db8::",
                "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            ),
            ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ];
        for (text, first, last) in cases {
            assert_eq!(
                Network::parse(text).map(Network::range),
                Some((key(first), key(last))),
                "{text}"
            );
        }
        let wrong = [
            "",
            "x",
            "192.0.2",
            "192.0.2.0/",
            "192.0.2.0/33",
            "::/129",
            "192.0.2.0/-1",
            "192.0.2.0/+8",
            "1/8",
        ];
        for text in wrong.into_iter().chain([
            "192.0.2.0/08",
            "192.0.2.0/24/24",
            " 192.0.2.7",
            "fe80::1%eth0",
        ]) {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_filter_of_names_is_set_by_any_part() {
        assert!(!NameFilter::default().is_set());
        let part = vec!["a".to_owned()];
        for set in [
            NameFilter {
                user_name: part.clone(),
                ..NameFilter::default()
            },
            NameFilter {
                person_name: part.clone(),
                ..NameFilter::default()
            },
            NameFilter {
                email: part.clone(),
                ..NameFilter::default()
            },
        ] {
            assert!(set.is_set(), "{set:?}");
        }
    }
}
