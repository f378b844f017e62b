//! Users.

use portcullis_contract::id::{TenantId, UserId};

use super::Micros;

/// A person's details, as the caller gave them. An empty field was not given.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// The sign-in name.
    pub user_name: String,
    /// The first name.
    pub given_name: String,
    /// The last name.
    pub family_name: String,
    /// The email address.
    pub email: String,
}

/// A user of one tenant.
#[derive(Clone)]
pub struct User {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The tenant's own id of the user.
    pub user_id: UserId,
    /// The newest details that a caller gave.
    pub profile: Profile,
    /// The time of the user's first appearance.
    pub created: Micros,
    /// The time when the user was disabled. None: the user is enabled.
    pub disabled: Option<Micros>,
}
