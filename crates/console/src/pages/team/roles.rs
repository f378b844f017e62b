//! Changes of a user's roles.

use axum::extract::{Path, State as Shared};
use portcullis_contract::v1;

use super::{
    address,
    desk::{Desk, refused_fields},
    outcome::{Outcome, tell},
    role_form::RolesForm,
    user::{self, RolesShown},
};
use crate::{forms::Submitted, page::Page, person::Person, problem::Problem, state::State};

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

fn sorted(roles: &[i32]) -> Vec<i32> {
    let mut sorted = roles.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}
