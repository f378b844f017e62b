//! Changes of a user's roles.

use axum::extract::{Path, State as Shared};
use portcullis_contract::v1;
use tonic::Status;

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

    // A change between the read above and this call is still overwritten: the call has no etag to
    // compare.
    replace_roles(&desk, user_id, form).await
}

async fn replace_roles(desk: &Desk<'_>, user_id: &str, form: RolesForm) -> Result<Page, Problem> {
    match set_roles(desk, user_id, &form).await {
        Ok(()) => tell(desk, &Outcome::roles(form.role).about(user_id)),
        // The reason is the only field that is typed, so it is the only one that a person can
        // correct.
        Err(status) if refused_fields(&status).contains(&"reason".to_owned()) => {
            user::show_again(desk, user_id, RolesShown::WithoutReason(form)).await
        }
        Err(status) => Err(status.into()),
    }
}

async fn set_roles(desk: &Desk<'_>, user_id: &str, form: &RolesForm) -> Result<(), Status> {
    let request = v1::SetUserRolesRequest {
        tenant_id: desk.tenant(),
        user_id: user_id.to_owned(),
        roles: form.role.clone(),
        reason: form.reason.trim().to_owned(),
        ..Default::default()
    };
    let mut users = desk.person.authority.users();
    users.set_user_roles(request).await?;
    Ok(())
}

fn sorted(roles: &[i32]) -> Vec<i32> {
    let mut sorted = roles.to_vec();
    // Neither the browser nor the authority promises an order, and only a change of the set is a
    // conflict.
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}
