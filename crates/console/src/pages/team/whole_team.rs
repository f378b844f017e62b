//! Signs out the whole team, after the name of the tenant was typed.

use axum::extract::State as Shared;
use portcullis_contract::v1;
use serde::Deserialize;

use super::{
    address,
    confirm::{Question, Told},
    controls::Field,
    desk::{Desk, Tab, correctable_fields},
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

impl WholeTeamForm {
    fn request(&self, desk: &Desk<'_>) -> v1::SignOutTenantRequest {
        v1::SignOutTenantRequest {
            tenant_id: desk.tenant(),
            reason: self.reason.trim().to_owned(),
            user_message: self.user_message.trim().to_owned(),
            // The person has typed the tenant's name, which is what this asks for.
            force: true,
            wait: v1::Wait::Enforced.into(),
            ..Default::default()
        }
    }
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
    // Compared here, because the authority takes `force` and never sees the typed name.
    if form.confirmation.trim() != person.tenant {
        return confirm(&desk, &form, vec![CONFIRMATION.to_owned()]).await;
    }
    let request = receipts::waiting(form.request(&desk));
    match person.authority.tenants().sign_out_tenant(request).await {
        Ok(answer) => tell(&desk, &outcome(&answer.into_inner())),
        Err(status) => confirm(&desk, &form, correctable_fields(status)?).await,
    }
}

fn outcome(answer: &v1::SignOutTenantResponse) -> Outcome {
    Outcome::ended(answer.sessions_ended, answer.sessions_ended_capped)
        .receipt(answer.enforcement.as_ref())
        // The reader is a member of the team that was signed out.
        .own(true)
}

async fn confirm(
    desk: &Desk<'_>,
    form: &WholeTeamForm,
    wrong: WrongFields,
) -> Result<Page, Problem> {
    let mut question = ask_about(desk, form);
    question.preview = preview_of(desk).await?;
    question.fields = vec![confirmation_field(desk, form, &wrong)];
    question.wrong = wrong;
    question.ask(desk)
}

/// The question about the sign-out of everybody.
fn ask_about(desk: &Desk<'_>, form: &WholeTeamForm) -> Question {
    let words = desk.words();
    let title = words.text("team-everyone");
    let mut question = Question::new(desk, Tab::Everyone, title, "team-preview-later");
    let what = words.with("team-everyone-what", [("tenant", desk.tenant())]);
    question.warnings.push(what);
    question.action = PATH.to_owned();
    question.told = Told::new(&form.reason, &form.user_message);
    question.confirm = words.text("team-everyone-confirm");
    question.back = address::USERS.to_owned();
    question
}

async fn preview_of(desk: &Desk<'_>) -> Result<Option<v1::Preview>, Problem> {
    let request = v1::SignOutTenantRequest {
        tenant_id: desk.tenant(),
        validate_only: true,
        ..Default::default()
    };
    let mut tenants = desk.person.authority.tenants();
    let answer = tenants.sign_out_tenant(request).await?;
    Ok(answer.into_inner().preview)
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
