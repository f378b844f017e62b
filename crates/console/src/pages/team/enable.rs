//! Lets a disabled user sign in again.

use axum::extract::{Path, State as Shared};
use portcullis_contract::v1;
use serde::Deserialize;
use tonic::Status;

use super::{
    address,
    confirm::{Question, Told},
    desk::{Desk, Tab, correctable_fields},
    outcome::{Outcome, tell},
    search::WrongFields,
    users,
};
use crate::{forms::Submitted, page::Page, person::Person, problem::Problem, state::State};

/// The reason for letting a user sign in again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct EnableForm {
    reason: String,
}

/// `GET /team/users/{id}/enable`
pub(super) async fn show(
    Shared(state): Shared<State>,
    person: Person,
    Path(segment): Path<String>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    let user_id = address::user_id(&segment);
    confirm(&desk, user_id, &EnableForm::default(), Vec::new()).await
}

/// `POST /team/users/{id}/enable`
pub(super) async fn perform(
    Shared(state): Shared<State>,
    person: Person,
    Path(segment): Path<String>,
    Submitted(form): Submitted<EnableForm>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    let user_id = address::user_id(&segment);
    match enable(&desk, user_id, &form).await {
        Ok(()) => tell(&desk, &Outcome::enabled().about(user_id)),
        Err(status) => confirm(&desk, user_id, &form, correctable_fields(status)?).await,
    }
}

/// Lets the user in. It waits for no gate, because nothing is revoked.
async fn enable(desk: &Desk<'_>, user_id: &str, form: &EnableForm) -> Result<(), Status> {
    let request = v1::EnableUserRequest {
        tenant_id: desk.tenant(),
        user_id: user_id.to_owned(),
        reason: form.reason.trim().to_owned(),
        ..Default::default()
    };
    desk.person.authority.users().enable_user(request).await?;
    Ok(())
}

async fn confirm(
    desk: &Desk<'_>,
    user_id: &str,
    form: &EnableForm,
    wrong: WrongFields,
) -> Result<Page, Problem> {
    let user = asked_user(desk, user_id).await?;
    let mut question = ask_about(desk, &user);
    question.action = format!("{}/enable", address::user(user_id));
    question.told = Told::new(&form.reason, "");
    question.back = address::user(user_id);
    question.wrong = wrong;
    question.ask(desk)
}

fn ask_about(desk: &Desk<'_>, user: &v1::User) -> Question {
    let words = desk.words();
    let name = users::full_label(user);
    let title = words.with("team-enable-title", [("name", name)]);
    let mut question = Question::new(desk, Tab::Users, title, "team-enable-what");
    if user.disable_time.is_none() {
        question.is_possible = false;
        question.what = words.text("team-enable-not");
    }
    // The call takes no message: nothing ends, so there is no page on which the user would read it.
    question.asks_message = false;
    question.confirm = words.text("team-enable-confirm");
    question
}

/// The user of the question. The question is a call too: the authority decides who may ask, and says whether there is
/// something to undo.
async fn asked_user(desk: &Desk<'_>, user_id: &str) -> Result<v1::User, Problem> {
    let request = v1::EnableUserRequest {
        tenant_id: desk.tenant(),
        user_id: user_id.to_owned(),
        validate_only: true,
        ..Default::default()
    };
    let mut calls = desk.person.authority.users();
    let answer = calls.enable_user(request).await?.into_inner();
    Ok(answer.user.unwrap_or_default())
}
