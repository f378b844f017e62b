//! The form of a user's roles, and the names of roles.

use portcullis_contract::v1::UserRole;
use serde::Deserialize;

use super::desk::Desk;

/// All roles of people, in the order of the form.
pub(super) const ALL: [UserRole; 2] = [UserRole::Support, UserRole::Admin];

/// The form of a user's roles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct RolesForm {
    /// The roles that the user shall have.
    pub(super) role: Vec<i32>,
    /// The roles that the form showed.
    pub(super) shown: Vec<i32>,
    pub(super) reason: String,
}

impl RolesForm {
    /// Whether the form was sent with this role.
    pub(super) fn has(&self, role: UserRole) -> bool {
        self.role.contains(&role.into())
    }
}

/// The names of roles, for people.
pub(super) fn names(desk: &Desk<'_>, roles: &[i32]) -> String {
    let mut names = Vec::new();
    // In the order of the form. A role of a later version has no name here, and is left out.
    for role in ALL {
        if roles.contains(&role.into()) {
            names.push(name(desk, role));
        }
    }
    if names.is_empty() {
        return desk.words().text("team-role-none");
    }
    names.join(", ")
}

/// The name of a role, for people.
pub(super) fn name(desk: &Desk<'_>, role: UserRole) -> String {
    match role {
        UserRole::Admin => desk.words().text("team-role-2"),
        UserRole::Support => desk.words().text("team-role-1"),
        UserRole::Unspecified => desk.words().text("team-role-none"),
    }
}
