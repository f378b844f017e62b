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

/// A role of a person in their own tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserRole {
    /// Reads.
    Support,
    /// Reads, ends sessions, disables users, changes the policy.
    Admin,
}

/// The roles of a person in their own tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserRoles {
    bits: u8,
}

impl UserRole {
    const ALL: [Self; 2] = [Self::Support, Self::Admin];

    /// The name in the audit trail.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Support => "support",
            Self::Admin => "admin",
        }
    }

    /// The bit in the stores. Rows keep it: never reuse one.
    fn bit(self) -> u8 {
        match self {
            Self::Support => 1,
            Self::Admin => 2,
        }
    }
}

impl UserRoles {
    /// Returns whether the role is among them.
    #[must_use]
    pub fn has(self, role: UserRole) -> bool {
        self.bits & role.bit() != 0
    }

    /// The roles, in their order.
    pub fn iter(self) -> impl Iterator<Item = UserRole> {
        UserRole::ALL
            .into_iter()
            .filter(move |role| self.has(*role))
    }

    /// The stable number in the stores.
    #[must_use]
    pub fn code(self) -> i64 {
        self.bits.into()
    }

    /// The roles with a stored number. Unknown bits are of a later version, and give no right.
    #[must_use]
    pub fn from_code(code: i64) -> Self {
        UserRole::ALL
            .into_iter()
            .filter(|role| code & i64::from(role.bit()) != 0)
            .collect()
    }

    /// The roles as the audit trail shows them: `admin support`, or `none`.
    #[must_use]
    pub fn names(self) -> String {
        let names: Vec<_> = self.iter().map(UserRole::name).collect();
        if names.is_empty() {
            return "none".into();
        }
        names.join(" ")
    }
}

impl FromIterator<UserRole> for UserRoles {
    fn from_iter<I: IntoIterator<Item = UserRole>>(roles: I) -> Self {
        let mut all = Self::default();
        for role in roles {
            all.bits |= role.bit();
        }
        all
    }
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
    /// The roles in the tenant.
    pub roles: UserRoles,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_roles_are_read_back_and_unknown_ones_give_no_right() {
        for (code, names) in [
            (0, "none"),
            (1, "support"),
            (2, "admin"),
            (3, "support admin"),
            (4, "none"),
            (6, "admin"),
            (-1, "support admin"),
            (i64::MAX, "support admin"),
        ] {
            let roles = UserRoles::from_code(code);
            assert_eq!(roles.names(), names, "{code}");
            assert_eq!(UserRoles::from_code(roles.code()), roles, "{code}");
        }
    }
}
