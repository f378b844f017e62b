//! Ends all sessions that a search finds, at most a thousand at once.

use axum::extract::{Query, State as Shared};
use portcullis_contract::v1;
use serde::Deserialize;
use tonic::Status;

use super::{
    Sealed, address,
    confirm::{Question, Told},
    controls::field_label,
    desk::{Desk, Tab, correctable_fields},
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
    confirm(&desk, &form, Vec::new()).await
}

/// `POST /team/sessions/end-matching`
pub(super) async fn perform(
    Shared(state): Shared<State>,
    person: Person,
    Submitted(form): Submitted<MatchingForm>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    let Some((search, filter)) = open_search(&desk, &form) else {
        return gone::page(&desk, Tab::Sessions, address::SESSIONS);
    };
    match end_all(&desk, &form, filter).await {
        Ok(answer) => tell(&desk, &outcome(search, &answer)),
        Err(status) => confirm(&desk, &form, correctable_fields(status)?).await,
    }
}

async fn end_all(
    desk: &Desk<'_>,
    form: &MatchingForm,
    filter: v1::SessionFilter,
) -> Result<v1::RevokeMatchingSessionsResponse, Status> {
    // Without `sessions_max`: the authority ends up to a thousand, and says if there are more. The
    // outcome then leads to the rest.
    let request = receipts::waiting(v1::RevokeMatchingSessionsRequest {
        tenant_id: desk.tenant(),
        filter: Some(filter),
        reason: form.reason.trim().to_owned(),
        user_message: form.user_message.trim().to_owned(),
        wait: v1::Wait::Enforced.into(),
        ..Default::default()
    });
    let mut calls = desk.person.authority.sessions();
    let answer = calls.revoke_matching_sessions(request).await?;
    Ok(answer.into_inner())
}

/// The search of a form, and its filter. None: it was made for another reader or with another secret.
fn open_search(desk: &Desk<'_>, form: &MatchingForm) -> Option<(SessionSearch, v1::SessionFilter)> {
    let search: SessionSearch = desk.open(matching::PAGE, &form.q)?;
    // Only searches without a fault are sealed for this page (`may_end_all`), so a search with one
    // comes from a console with other rules.
    let filter = search.filter(&desk.zone()).ok()?;
    Some((search, filter))
}

fn outcome(search: SessionSearch, answer: &v1::RevokeMatchingSessionsResponse) -> Outcome {
    // The answer does not say whether the reader's own session was among them. If it was, the
    // address of this outcome leads them to the page of ended sessions.
    Outcome::ended(answer.revoked, false)
        .receipt(answer.enforcement.as_ref())
        .more(answer.more.then_some(search))
        .of_sessions()
}

async fn confirm(
    desk: &Desk<'_>,
    form: &MatchingForm,
    wrong: WrongFields,
) -> Result<Page, Problem> {
    let Some((search, filter)) = open_search(desk, form) else {
        return gone::page(desk, Tab::Sessions, address::SESSIONS);
    };
    let preview = preview_of(desk, filter).await?;

    let mut question = ask_about(desk, form, &search);
    question.is_possible = preview.sessions > 0;
    question.preview = Some(preview);
    question.wrong = wrong;
    question.ask(desk)
}

/// The question about the end of all sessions that a search finds.
fn ask_about(desk: &Desk<'_>, form: &MatchingForm, search: &SessionSearch) -> Question {
    let title = desk.words().text("team-matching");
    let mut question = Question::new(desk, Tab::Sessions, title, "team-matching-what");
    question.conditions = conditions(desk, search);
    question.action = matching::PATH.to_owned();
    // The search travels as it was sealed, so the form can end nothing that this page did not ask
    // about.
    question.hidden = vec![("q", form.q.clone())];
    question.told = Told::new(&form.reason, &form.user_message);
    question.confirm = desk.words().text("team-end-confirm");
    question.back = address::SESSIONS.to_owned();
    question
}

async fn preview_of(desk: &Desk<'_>, filter: v1::SessionFilter) -> Result<v1::Preview, Problem> {
    let request = v1::RevokeMatchingSessionsRequest {
        tenant_id: desk.tenant(),
        filter: Some(filter),
        validate_only: true,
        ..Default::default()
    };
    let mut calls = desk.person.authority.sessions();
    let answer = calls.revoke_matching_sessions(request).await?;
    Ok(answer.into_inner().preview.unwrap_or_default())
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
