//! Users.

use portcullis_contract::id::{TenantId, UserId};

use super::Micros;

/// What the caller said about a person. Empty: not said.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Sign-in name.
    pub user_name: String,
    /// First name.
    pub given_name: String,
    /// Last name.
    pub family_name: String,
    /// Address.
    pub email: String,
}

/// A person of one tenant.
#[derive(Clone)]
pub struct User {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The tenant's own id of them.
    pub user_id: UserId,
    /// What is known about them.
    pub profile: Profile,
    /// When the authority first heard of them.
    pub created: Micros,
    /// Since when they are disabled.
    pub disabled: Option<Micros>,
}
