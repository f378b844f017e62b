//! The people of a run: one tenant with a few users.

use portcullis_contract::id::{TenantId, UserId, UserSerial};

/// The users of the tenant.
pub const USERS: u64 = 4;

/// The tenant.
///
/// # Panics
/// Never.
#[must_use]
pub fn tenant() -> TenantId {
    TenantId::parse("tenant").expect("a good id")
}

/// A user's id.
///
/// # Panics
/// Never.
#[must_use]
pub fn id(user: UserSerial) -> UserId {
    UserId::parse(user.0.to_string()).expect("a good id")
}

/// A user's serial: the number that the id is.
#[must_use]
pub fn serial(user: &UserId) -> UserSerial {
    UserSerial(user.as_str().parse().unwrap_or(0))
}
