//! Signs out the whole team, after the name of the tenant was typed.

use axum::extract::State as Shared;
use portcullis_contract::v1;
use serde::Deserialize;

use super::{
    address,
    confirm::{Question, Told},
    controls::Field,
    desk::{Desk, Tab, refused_fields},
    outcome::{Outcome, tell},
    search::WrongFields,
};
use crate::{
    forms::Submitted, page::Page, person::Person, problem::Problem, receipts, state::State,
};

pub(super) const PATH: &str = "/team/sign-out";
/// The name of the field with the tenant's name.
const CONFIRMATION: &str = "confirmation";

/// The words for signing out everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct WholeTeamForm {
    confirmation: String,
    reason: String,
    user_message: String,
}

/// `GET /team/sign-out`: shows the preview.
pub(super) async fn show(Shared(state): Shared<State>, person: Person) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    confirm(&desk, &WholeTeamForm::default(), Vec::new()).await
}

/// `POST /team/sign-out`
pub(super) async fn perform(
    Shared(state): Shared<State>,
    person: Person,
    Submitted(form): Submitted<WholeTeamForm>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    if form.confirmation.trim() != person.tenant {
        return confirm(&desk, &form, vec![CONFIRMATION.to_owned()]).await;
    }
    let request = receipts::waiting(v1::SignOutTenantRequest {
        tenant_id: desk.tenant(),
        reason: form.reason.trim().to_owned(),
        user_message: form.user_message.trim().to_owned(),
        // The typed name is what this asks for.
        force: true,
        wait: v1::Wait::Enforced.into(),
        ..Default::default()
    });
    match person.authority.tenants().sign_out_tenant(request).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            let outcome = Outcome::ended(answer.sessions_ended, answer.sessions_ended_capped)
                .receipt(answer.enforcement.as_ref())
                .own(true);
            tell(&desk, &outcome)
        }
        Err(status) => match refused_fields(&status) {
            wrong if wrong.is_empty() => Err(status.into()),
            wrong => confirm(&desk, &form, wrong).await,
        },
    }
}

async fn confirm(
    desk: &Desk<'_>,
    form: &WholeTeamForm,
    wrong: WrongFields,
) -> Result<Page, Problem> {
    let request = v1::SignOutTenantRequest {
        tenant_id: desk.tenant(),
        validate_only: true,
        ..Default::default()
    };
    let mut tenants = desk.person.authority.tenants();
    let answer = tenants.sign_out_tenant(request).await?.into_inner();

    let words = desk.words();
    let title = words.text("team-everyone");
    let mut question = Question::new(desk, Tab::Everyone, title, "team-preview-later");
    let what = words.with("team-everyone-what", [("tenant", desk.tenant())]);
    question.warnings.push(what);
    question.preview = answer.preview;
    question.action = PATH.to_owned();
    question.fields = vec![confirmation_field(desk, form, &wrong)];
    question.told = Told {
        reason: form.reason.clone(),
        user_message: form.user_message.clone(),
    };
    question.confirm = words.text("team-everyone-confirm");
    question.back = address::USERS.to_owned();
    question.wrong = wrong;
    question.ask(desk)
}

fn confirmation_field(desk: &Desk<'_>, form: &WholeTeamForm, wrong: &WrongFields) -> Field {
    let words = desk.words();
    let is_wrong = wrong.iter().any(|name| name == CONFIRMATION);
    let error =
        is_wrong.then(|| words.with("team-wrong-confirmation", [("tenant", desk.tenant())]));
    Field {
        id: "field-confirmation".to_owned(),
        name: CONFIRMATION,
        label: words.with("team-everyone-type", [("tenant", desk.tenant())]),
        kind: "text",
        value: form.confirmation.clone(),
        length_max: super::search::FIELD_LENGTH_MAX,
        is_required: true,
        error,
        ..Field::default()
    }
}
