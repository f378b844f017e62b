//! Ends all sessions that a search finds, at most a thousand at once.

use axum::extract::{Query, State as Shared};
use portcullis_contract::v1;
use serde::Deserialize;

use super::{
    Sealed, address,
    confirm::{Question, Told},
    controls::field_label,
    desk::{Desk, Tab, refused_fields},
    gone, matching,
    outcome::{Outcome, tell},
    search::{SessionSearch, WrongFields},
};
use crate::{
    describe, forms::Submitted, page::Page, person::Person, problem::Problem, receipts,
    state::State, words::Value,
};

/// The form that ends the sessions which a search finds. The search stays sealed from page to page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct MatchingForm {
    q: String,
    reason: String,
    user_message: String,
}

/// `GET /team/sessions/end-matching`: shows the preview.
pub(super) async fn show(
    Shared(state): Shared<State>,
    person: Person,
    Query(asked): Query<Sealed>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    let form = MatchingForm {
        q: asked.q,
        ..MatchingForm::default()
    };
    match desk.open(matching::PAGE, &form.q) {
        Some(search) => confirm(&desk, &search, &form, Vec::new()).await,
        None => gone::page(&desk, Tab::Sessions, address::SESSIONS),
    }
}

/// `POST /team/sessions/end-matching`
pub(super) async fn perform(
    Shared(state): Shared<State>,
    person: Person,
    Submitted(form): Submitted<MatchingForm>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    let Some(search) = desk.open::<SessionSearch>(matching::PAGE, &form.q) else {
        return gone::page(&desk, Tab::Sessions, address::SESSIONS);
    };
    let Ok(filter) = search.filter(&desk.zone()) else {
        return gone::page(&desk, Tab::Sessions, address::SESSIONS);
    };
    let request = receipts::waiting(v1::RevokeMatchingSessionsRequest {
        tenant_id: desk.tenant(),
        filter: Some(filter),
        reason: form.reason.trim().to_owned(),
        user_message: form.user_message.trim().to_owned(),
        wait: v1::Wait::Enforced.into(),
        ..Default::default()
    });
    let mut calls = person.authority.sessions();
    match calls.revoke_matching_sessions(request).await {
        Ok(answer) => tell(&desk, &outcome(search, &answer.into_inner())),
        Err(status) => match refused_fields(&status) {
            wrong if wrong.is_empty() => Err(status.into()),
            wrong => confirm(&desk, &search, &form, wrong).await,
        },
    }
}

fn outcome(search: SessionSearch, answer: &v1::RevokeMatchingSessionsResponse) -> Outcome {
    Outcome::ended(answer.revoked, false)
        .receipt(answer.enforcement.as_ref())
        .more(answer.more.then_some(search))
        .of_sessions()
}

async fn confirm(
    desk: &Desk<'_>,
    search: &SessionSearch,
    form: &MatchingForm,
    wrong: WrongFields,
) -> Result<Page, Problem> {
    let Ok(filter) = search.filter(&desk.zone()) else {
        return gone::page(desk, Tab::Sessions, address::SESSIONS);
    };
    let request = v1::RevokeMatchingSessionsRequest {
        tenant_id: desk.tenant(),
        filter: Some(filter),
        validate_only: true,
        ..Default::default()
    };
    let mut calls = desk.person.authority.sessions();
    let answer = calls.revoke_matching_sessions(request).await?.into_inner();
    let preview = answer.preview.unwrap_or_default();

    let title = desk.words().text("team-matching");
    let mut question = Question::new(desk, Tab::Sessions, title, "team-matching-what");
    question.conditions = conditions(desk, search);
    // The reader's own session may be among them, and then its page is the next one that they see.
    question.is_possible = preview.sessions > 0;
    question.preview = Some(preview);
    question.action = matching::PATH.to_owned();
    question.hidden = vec![("q", form.q.clone())];
    question.told = Told {
        reason: form.reason.clone(),
        user_message: form.user_message.clone(),
    };
    question.confirm = desk.words().text("team-end-confirm");
    question.back = address::SESSIONS.to_owned();
    question.wrong = wrong;
    question.ask(desk)
}

/// The conditions of a search, for people.
fn conditions(desk: &Desk<'_>, search: &SessionSearch) -> Vec<String> {
    let mut conditions = Vec::new();
    for (name, text) in search.texts() {
        if !text.trim().is_empty() {
            conditions.push(condition(desk, name, text.trim()));
        }
    }
    let device = v1::DeviceType::try_from(search.device_type).unwrap_or_default();
    if device != v1::DeviceType::Unspecified {
        let word = describe::device_type_word(device);
        conditions.push(condition(desk, "device_type", &desk.words().text(word)));
    }
    conditions
}

fn condition(desk: &Desk<'_>, name: &str, value: &str) -> String {
    let field = desk.words().text(field_label(name));
    let values = [("field", Value::from(field)), ("value", Value::from(value))];
    desk.words().with("team-matching-condition", values)
}
