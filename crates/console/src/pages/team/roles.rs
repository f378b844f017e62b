//! Roles of users: their names, and changes of them.

use axum::extract::{Path, State as Shared};
use portcullis_contract::v1::{self, UserRole};
use serde::Deserialize;

use super::{
    address,
    desk::{Desk, refused_fields},
    outcome::{Outcome, tell},
    user::{self, RolesShown},
};
use crate::{forms::Submitted, page::Page, person::Person, problem::Problem, state::State};

/// All roles of people, in the order of the form.
pub(super) const ALL: [UserRole; 2] = [UserRole::Support, UserRole::Admin];

/// The form of a user's roles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct RolesForm {
    /// The roles that the user shall have.
    role: Vec<i32>,
    /// The roles that the form showed.
    shown: Vec<i32>,
    reason: String,
}

/// `POST /team/users/{id}/roles`
pub(super) async fn change(
    Shared(state): Shared<State>,
    person: Person,
    Path(segment): Path<String>,
    Submitted(form): Submitted<RolesForm>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    let user_id = address::user_id(&segment);

    // The contract replaces all roles and knows no version of them. So the form says what it showed: of two administrators
    // at the same time the second one sees what the first one did, instead of undoing it.
    let user = user::get(&desk, user_id).await?;
    if sorted(&user.roles) != sorted(&form.shown) {
        return user::show_again(&desk, user_id, RolesShown::Changed).await;
    }

    let request = v1::SetUserRolesRequest {
        tenant_id: desk.tenant(),
        user_id: user_id.to_owned(),
        roles: form.role.clone(),
        reason: form.reason.trim().to_owned(),
        ..Default::default()
    };
    match person.authority.users().set_user_roles(request).await {
        Ok(_) => tell(&desk, &Outcome::roles(form.role).about(user_id)),
        Err(status) if refused_fields(&status).contains(&"reason".to_owned()) => {
            user::show_again(&desk, user_id, RolesShown::WithoutReason(form)).await
        }
        Err(status) => Err(status.into()),
    }
}

impl RolesForm {
    /// Whether the form was sent with this role.
    pub(super) fn has(&self, role: UserRole) -> bool {
        self.role.contains(&role.into())
    }

    pub(super) fn reason(&self) -> &str {
        &self.reason
    }
}

/// The names of roles, for people.
pub(super) fn names(desk: &Desk<'_>, roles: &[i32]) -> String {
    let mut names = Vec::new();
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

fn sorted(roles: &[i32]) -> Vec<i32> {
    let mut sorted = roles.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}
