//! Ends chosen sessions: those whose boxes were ticked, and no others.

use axum::extract::{Query, State as Shared};
use portcullis_contract::v1;
use serde::{Deserialize, Serialize};

use super::{
    Sealed, address,
    confirm::{Question, Told, distinct},
    desk::{Desk, Tab, refused_fields},
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
        Err(status) => match refused_fields(&status) {
            wrong if wrong.is_empty() => Err(status.into()),
            wrong => confirm(&desk, &form, wrong).await,
        },
    }
}

fn outcome(desk: &Desk<'_>, form: &EndForm, answer: &v1::BatchRevokeSessionsResponse) -> Outcome {
    let own = &desk.person.session_id;
    Outcome::ended(answer.revoked, false)
        .receipt(answer.enforcement.as_ref())
        .about(&form.of_user)
        .of_sessions()
        .own(form.session.contains(own))
}

async fn confirm(desk: &Desk<'_>, form: &EndForm, wrong: WrongFields) -> Result<Page, Problem> {
    let sessions = form.sessions();
    let title = desk.words().text("team-end");
    let mut question = Question::new(desk, Tab::Sessions, title, "team-end-what");
    question.back = form.back();
    if sessions.is_empty() {
        question
            .warnings
            .push(desk.words().text("team-wrong-sessions"));
        question.is_possible = false;
        question.wrong = vec!["session".to_owned()];
        return question.ask(desk);
    }

    let request = v1::BatchRevokeSessionsRequest {
        validate_only: true,
        ..form.request(desk)
    };
    let mut calls = desk.person.authority.sessions();
    let answer = calls.batch_revoke_sessions(request).await?.into_inner();
    if sessions.contains(&desk.person.session_id) {
        question.warnings.push(desk.words().text("team-force-own"));
    }
    question.preview = answer.preview;
    question.action = PATH.to_owned();
    question.hidden = sessions.into_iter().map(|id| ("session", id)).collect();
    question.hidden.push(("of_user", form.of_user.clone()));
    question.told = Told {
        reason: form.reason.clone(),
        user_message: form.user_message.clone(),
    };
    question.confirm = desk.words().text("team-end-confirm");
    question.wrong = wrong;
    question.ask(desk)
}
