//! Ends chosen sessions: those whose boxes were ticked, and no others.

use axum::extract::{Query, State as Shared};
use portcullis_contract::v1;
use serde::{Deserialize, Serialize};

use super::{
    Sealed, address,
    confirm::{Question, Told, distinct},
    desk::{Desk, Tab, correctable_fields},
    outcome::{Outcome, tell},
    search::WrongFields,
};
use crate::{
    forms::Submitted, page::Page, person::Person, problem::Problem, receipts, state::State,
};

pub(super) const PATH: &str = "/team/sessions/end";
/// The question.
pub(super) const PREVIEW: &str = "/team/sessions/end/preview";

/// Which sessions shall end, and the words for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct EndForm {
    session: Vec<String>,
    /// The user from whose page it was sent. Empty: from the list of all sessions.
    of_user: String,
    reason: String,
    user_message: String,
}

impl EndForm {
    fn sessions(&self) -> Vec<String> {
        distinct(self.session.iter().cloned())
    }

    fn request(&self, desk: &Desk<'_>) -> v1::BatchRevokeSessionsRequest {
        v1::BatchRevokeSessionsRequest {
            tenant_id: desk.tenant(),
            session_ids: self.sessions(),
            reason: self.reason.trim().to_owned(),
            user_message: self.user_message.trim().to_owned(),
            ..Default::default()
        }
    }

    fn back(&self) -> String {
        if self.of_user.is_empty() {
            address::SESSIONS.to_owned()
        } else {
            address::user(&self.of_user)
        }
    }
}

/// `POST /team/sessions/end/preview`: leads to the preview. For very many sessions the preview is the answer itself.
pub(super) async fn preview(
    Shared(state): Shared<State>,
    person: Person,
    Submitted(form): Submitted<EndForm>,
) -> Result<Page, Problem> {
    if let Some(address) = person.question_address(PREVIEW, &form)? {
        return Page::see_other(&address);
    }
    let desk = Desk::new(&state, &person);
    confirm(&desk, &form, Vec::new()).await
}

/// `GET /team/sessions/end/preview`: shows the preview.
pub(super) async fn show_preview(
    Shared(state): Shared<State>,
    person: Person,
    Query(asked): Query<Sealed>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    match person.open_question::<EndForm>(PREVIEW, &asked.q) {
        Some(form) => confirm(&desk, &form, Vec::new()).await,
        None => Page::see_other(address::SESSIONS),
    }
}

/// `POST /team/sessions/end`
pub(super) async fn perform(
    Shared(state): Shared<State>,
    person: Person,
    Submitted(form): Submitted<EndForm>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    let request = receipts::waiting(v1::BatchRevokeSessionsRequest {
        wait: v1::Wait::Enforced.into(),
        ..form.request(&desk)
    });
    let mut sessions = person.authority.sessions();
    match sessions.batch_revoke_sessions(request).await {
        Ok(answer) => tell(&desk, &outcome(&desk, &form, &answer.into_inner())),
        Err(status) => confirm(&desk, &form, correctable_fields(status)?).await,
    }
}

fn outcome(desk: &Desk<'_>, form: &EndForm, answer: &v1::BatchRevokeSessionsResponse) -> Outcome {
    let own = &desk.person.session_id;
    // The call names each session, so its number is exact.
    Outcome::ended(answer.revoked, false)
        .receipt(answer.enforcement.as_ref())
        .about(&form.of_user)
        .of_sessions()
        .own(form.session.contains(own))
}

async fn confirm(desk: &Desk<'_>, form: &EndForm, wrong: WrongFields) -> Result<Page, Problem> {
    let sessions = form.sessions();
    // Asking the authority would give an error about a field. The page says that no box was ticked.
    if sessions.is_empty() {
        return ask_for_choice(desk, form);
    }

    let mut question = ask_about(desk, form, sessions);
    question.preview = preview_of(desk, form).await?;
    question.wrong = wrong;
    question.ask(desk)
}

/// The question about the end of these sessions.
fn ask_about(desk: &Desk<'_>, form: &EndForm, sessions: Vec<String>) -> Question {
    let mut question = new_question(desk, form);
    if sessions.contains(&desk.person.session_id) {
        question.warnings.push(desk.words().text("team-force-own"));
    }
    question.action = PATH.to_owned();
    question.hidden = sessions.into_iter().map(|id| ("session", id)).collect();
    question.hidden.push(("of_user", form.of_user.clone()));
    question.told = Told::new(&form.reason, &form.user_message);
    question.confirm = desk.words().text("team-end-confirm");
    question
}

fn new_question(desk: &Desk<'_>, form: &EndForm) -> Question {
    let title = desk.words().text("team-end");
    let mut question = Question::new(desk, Tab::Sessions, title, "team-end-what");
    question.back = form.back();
    question
}

/// The page for a form without a ticked box. It has no button, and a way back to the boxes.
fn ask_for_choice(desk: &Desk<'_>, form: &EndForm) -> Result<Page, Problem> {
    let mut question = new_question(desk, form);
    question.warnings = vec![desk.words().text("team-wrong-sessions")];
    question.is_possible = false;
    question.wrong = vec!["session".to_owned()];
    question.ask(desk)
}

async fn preview_of(desk: &Desk<'_>, form: &EndForm) -> Result<Option<v1::Preview>, Problem> {
    let request = v1::BatchRevokeSessionsRequest {
        validate_only: true,
        ..form.request(desk)
    };
    let mut calls = desk.person.authority.sessions();
    let answer = calls.batch_revoke_sessions(request).await?;
    Ok(answer.into_inner().preview)
}
