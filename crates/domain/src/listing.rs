//! Lists of sessions and users: what they show, in which order, and how much of them is a page.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::{Cause, Micros, Session, SessionState, User};

/// Active sessions of one user are counted up to this many.
pub const USER_SESSIONS_COUNTED_MAX: u32 = 100;
/// Active sessions of a tenant are counted up to this many.
pub const TENANT_SESSIONS_COUNTED_MAX: u32 = 10_000;
/// What a preview counts up to.
pub const PREVIEW_SESSIONS_MAX: u32 = 1_000;
/// What a preview shows of it.
pub const PREVIEW_SAMPLE_MAX: u32 = 10;

/// Which sessions to list. What is not set matches everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFilter {
    /// Of this tenant.
    pub tenant_id: TenantId,
    /// Of this user; none: of all.
    pub user_id: Option<UserId>,
    /// In this state; none: in any.
    pub state: Option<SessionState>,
    /// Ended ones only for this long after their end.
    pub retention: Duration,
    /// Of users with these names.
    pub names: NameFilter,
    /// Opened from an address in this network.
    pub network: Option<Network>,
    /// Opened in this country (ISO 3166-1 alpha-2, capitals).
    pub country: Option<String>,
    /// On this type of device, by its number in the contract.
    pub device_type: Option<i64>,
    /// When they were opened.
    pub started: Period,
    /// When they were last active.
    pub active: Period,
    /// Ended by this.
    pub end_cause: Option<Cause>,
}

impl SessionFilter {
    /// All sessions of a tenant that are kept.
    #[must_use]
    pub fn of(tenant_id: TenantId) -> Self {
        Self {
            tenant_id,
            user_id: None,
            state: None,
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
    /// By user id as the store compares text; newest first within a user.
    User,
    /// This one first, then the last active. Only for the sessions of one user.
    LastActive(Option<SessionId>),
}

/// Which users to list. What is not set matches everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFilter {
    /// Of this tenant.
    pub tenant_id: TenantId,
    /// With these names.
    pub names: NameFilter,
    /// When they last signed in.
    pub signed_in: Period,
    /// Also those without active sessions.
    pub signed_out: bool,
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
}

/// A user and their active sessions.
#[derive(Clone)]
pub struct UserSummary {
    /// Who.
    pub user: User,
    /// Active sessions, counted up to one more than [`USER_SESSIONS_COUNTED_MAX`].
    pub sessions: u32,
    /// The newest sign-in.
    pub signed_in: Option<Micros>,
    /// The newest activity over the counted sessions.
    pub last_active: Option<Micros>,
}

/// Parts of names, as [`fold`] makes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameFilter {
    /// Of the sign-in name.
    pub user_name: Option<String>,
    /// Of the given or the family name.
    pub person_name: Option<String>,
    /// Of the email address.
    pub email: Option<String>,
}

impl NameFilter {
    /// Whether it asks for anything.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self != Self::default()
    }
}

/// From an instant on, up to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// At or after.
    pub from: Option<Micros>,
    /// Before.
    pub until: Option<Micros>,
}

/// The sessions that a call would end.
#[derive(Clone, Debug)]
pub enum Selection {
    /// These, at most [`PREVIEW_SESSIONS_MAX`].
    Sessions(Vec<SessionId>),
    /// All of these users, but one.
    Users(Vec<UserId>, Option<SessionId>),
    /// The whole tenant's.
    Tenant,
}

/// What a call would end.
pub struct Preview {
    /// Active sessions, counted up to one more than [`PREVIEW_SESSIONS_MAX`].
    pub sessions: u32,
    /// Some of them, newest first, at most [`PREVIEW_SAMPLE_MAX`].
    pub sample: Vec<Session>,
    /// The time at which that was so.
    pub now: Micros,
}

/// One page of a list.
pub struct Page<T> {
    /// In the order of the list.
    pub items: Vec<T>,
    /// Where the next page begins; none: this was the last.
    pub next: Option<PageCursor>,
    /// The time at which the items were so.
    pub now: Micros,
}

/// Where a list goes on. Only the store that made it can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageCursor(pub Vec<u8>);

/// Text as searches compare it: whatever its case. Letter by letter, so that a part of a text folds to a part of what
/// the text folds to.
#[must_use]
pub fn fold(text: &str) -> String {
    let lower = text.chars().flat_map(char::to_lowercase);
    // The one letter of which lower case has two forms.
    lower
        .map(|letter| if letter == 'ς' { 'σ' } else { letter })
        .collect()
}

/// A block of addresses. IPv4 stands in IPv6 as `::ffff:0:0/96`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: u128,
    last: u128,
}

impl Network {
    /// The network of an address, such as `192.0.2.7`, or of a prefix, such as `192.0.2.0/24`. Bits beyond the prefix
    /// do not count.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address.parse::<IpAddr>().ok()?, Some(prefix)),
            None => (text.parse().ok()?, None),
        };
        let bits: u32 = if address.is_ipv4() { 32 } else { 128 };
        let length = match prefix {
            // `+8` and `08` are numbers to Rust, and no prefixes.
            Some(digits)
                if digits.len() > 1 && digits.starts_with('0') || digits.starts_with('+') =>
            {
                return None;
            }
            Some(digits) => digits.parse().ok().filter(|length| *length <= bits)?,
            None => bits,
        };
        // Everything right of the prefix, which in an IPv4 address begins after the 96 bits before it.
        let hosts = u128::MAX.checked_shr(128 - bits + length).unwrap_or(0);
        let address = u128::from_be_bytes(address_key(address));
        Some(Self {
            first: address & !hosts,
            last: address | hosts,
        })
    }

    /// Its first and last address, as [`address_key`] has them.
    #[must_use]
    pub fn range(self) -> ([u8; 16], [u8; 16]) {
        (self.first.to_be_bytes(), self.last.to_be_bytes())
    }
}

/// An address as the stores keep and compare it: the 16 bytes of IPv6.
#[must_use]
pub fn address_key(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => Ipv6Addr::octets(&address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_part_of_a_text_folds_to_a_part_of_what_the_text_folds_to() {
        for (text, part) in [
            ("ΟΔΥΣΣΕΥΣ", "οδυς"),
            ("İstanbul", "STAN"),
            ("Ærøskøbing", "ÆRØ"),
            ("straẞe", "raße"),
        ] {
            assert!(fold(text).contains(&fold(part)), "{part} of {text}");
        }
        assert_eq!(fold("100%_\\"), "100%_\\");
    }
}
