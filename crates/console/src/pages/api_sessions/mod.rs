//! API sessions: the keys of programs.

mod create;
mod once;
mod spark;
mod view;

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Path, Query},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use futures::{StreamExt, TryStreamExt, stream};
use http::StatusCode;
use portcullis_contract::v1;
use serde::Deserialize;
use tonic::Status;

use self::{
    create::{CreateForm, is_good_reason},
    once::SentForms,
    view::{Again, Created, Key, KeyRow, List, NewKey, Revoke},
};
use super::answer::{is_reason, refused_fields, respond};
use crate::{
    done::Done, forms::Submitted, page::Room, person::Person, problem::Problem, receipts,
    state::State,
};

/// The keys of a page.
const PAGE_KEYS: i32 = 20;
/// The most keys whose hours are read at a time: a person has a bound of calls at once, and other tabs.
const READS_MAX: usize = 4;
/// The random bytes of the number of a form.
const NUMBER_BYTES: usize = 16;

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route("/api-sessions", get(list))
        .route("/api-sessions/new", get(show_form).post(create))
        .route("/api-sessions/{id}", get(show))
        .route("/api-sessions/{id}/revoke", get(ask).post(revoke))
        // Of this process only. The same form sent to another console makes a second key, which the
        // list shows (decision 073).
        .layer(Extension(Arc::new(SentForms::default())))
}

/// The list that an address asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    owner: String,
    ended: String,
    page: String,
}

impl Asked {
    fn shows_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// The address of the list, at a page. User ids may be in addresses; names may not.
    fn address(&self, page: &str) -> String {
        let fields = [
            ("owner", self.owner.as_str()),
            ("ended", &self.ended),
            ("page", page),
        ];
        let fields: Vec<_> = fields
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        match serde_html_form::to_string(&fields) {
            Ok(query) if !query.is_empty() => format!("/api-sessions?{query}"),
            _ => "/api-sessions".to_owned(),
        }
    }
}

async fn list(person: Person, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let (listed, page_is_gone) = read_page_or_first(&person, &asked).await?;
    let keys = read_rows(&person, &listed.api_keys).await?;
    let list = view(&person, asked, keys, &listed.next_page_token, page_is_gone);
    respond(StatusCode::OK, &list)
}

fn view(person: &Person, asked: Asked, keys: Vec<KeyRow>, next: &str, page_is_gone: bool) -> List {
    List {
        page: person.frame(Room::ApiSessions),
        lead: person
            .words
            .with("api-sessions-lead", [("tenant", &person.tenant)]),
        can_change: person.roles.administers(),
        page_is_gone,
        show_ended: asked.shows_ended(),
        keys,
        is_later_page: !asked.page.is_empty() && !page_is_gone,
        first: asked.address(""),
        next: (!next.is_empty()).then(|| asked.address(next)),
        owner: asked.owner,
    }
}

/// The page that was asked for. The flag says that it is gone, and that this is the first page.
async fn read_page_or_first(
    person: &Person,
    asked: &Asked,
) -> Result<(v1::ListApiKeysResponse, bool), Problem> {
    match read_page(person, asked, &asked.page).await {
        // A page of yesterday, or of another list: the first page is better than none.
        Err(status) if is_reason(&status, v1::ErrorReason::PageTokenInvalid) => {
            Ok((read_page(person, asked, "").await?, true))
        }
        listed => Ok((listed?, false)),
    }
}

async fn read_page(
    person: &Person,
    asked: &Asked,
    page_token: &str,
) -> Result<v1::ListApiKeysResponse, Status> {
    let request = v1::ListApiKeysRequest {
        tenant_id: person.tenant.clone(),
        owner_user_id: asked.owner.trim().to_owned(),
        show_ended: asked.shows_ended(),
        page_size: PAGE_KEYS,
        page_token: page_token.to_owned(),
    };
    let listed = person.authority.api_keys().list_api_keys(request).await?;
    Ok(listed.into_inner())
}

/// The keys as the page shows them, with their hours.
async fn read_rows(person: &Person, keys: &[v1::ApiKey]) -> Result<Vec<KeyRow>, Problem> {
    let hours = read_hours(person, keys).await?;
    let mut rows = Vec::new();
    for (key, hours) in keys.iter().zip(&hours) {
        rows.push(KeyRow::new(person, key, hours));
    }
    Ok(rows)
}

/// The hours of each key, in the order of the keys.
async fn read_hours(
    person: &Person,
    keys: &[v1::ApiKey],
) -> Result<Vec<Vec<v1::ApiKeyHour>>, Problem> {
    let reads: Vec<_> = keys.iter().map(|key| hours_of(person, key)).collect();
    // In the order of the keys, which the caller joins with their hours by position.
    stream::iter(reads).buffered(READS_MAX).try_collect().await
}

async fn hours_of(person: &Person, key: &v1::ApiKey) -> Result<Vec<v1::ApiKeyHour>, Problem> {
    // Most keys of a list are quiet, and then there is nothing to read.
    if key.requests_24h == 0 {
        return Ok(Vec::new());
    }
    Ok(read_key(person, &key.id).await?.hours)
}

async fn read_key(person: &Person, id: &str) -> Result<v1::GetApiKeyResponse, Problem> {
    let request = v1::GetApiKeyRequest {
        tenant_id: person.tenant.clone(),
        api_key_id: id.to_owned(),
    };
    let answer = person.authority.api_keys().get_api_key(request).await?;
    Ok(answer.into_inner())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AskedKey {
    done: Option<String>,
}

async fn show(
    person: Person,
    Path(id): Path<String>,
    Query(asked): Query<AskedKey>,
) -> Result<Response, Problem> {
    let answer = read_key(&person, &id).await?;
    let done = person.open(asked.done.as_deref());
    respond(StatusCode::OK, &Key::new(&person, &answer, done))
}

async fn show_form(person: Person) -> Result<Response, Problem> {
    require_administrator(&person)?;
    let form = CreateForm {
        // A key that never expires has to be asked for.
        expires: "90".to_owned(),
        ..CreateForm::default()
    };
    let page = NewKey::new(&person, &form, form_number(), Vec::new());
    respond(StatusCode::OK, &page)
}

/// Creates a key and answers with the only page that ever has its secret. There is no redirect, because the secret must be
/// in no address, and no second try, because a form is taken once.
async fn create(
    person: Person,
    Extension(sent): Extension<Arc<SentForms>>,
    Submitted(form): Submitted<CreateForm>,
) -> Result<Response, Problem> {
    require_administrator(&person)?;
    let request = match form.request(&person.tenant) {
        Ok(request) => request,
        Err(faults) => {
            let faults = faults.iter().map(|word| person.words.text(word)).collect();
            return show_faults(&person, &form, faults);
        }
    };
    // After the faults: a form with a mistake is corrected and sent again, which is no second key.
    if !sent.take(&person.session_id, &form.once) {
        return respond(StatusCode::CONFLICT, &Again::new(&person));
    }
    match person.authority.api_keys().create_api_key(request).await {
        Ok(answer) => respond(StatusCode::OK, &Created::new(&person, answer.into_inner())),
        Err(status) => refuse(&person, &sent, &form, status),
    }
}

/// The answer to a form that was taken and made no key.
fn refuse(
    person: &Person,
    sent: &SentForms,
    form: &CreateForm,
    status: Status,
) -> Result<Response, Problem> {
    let Some(faults) = describe_refusal(person, &status) else {
        return Err(status.into());
    };
    // Refused for certain, so the form may be sent again. After any other error a key may exist.
    sent.give_back(&person.session_id, &form.once);
    show_faults(person, form, faults)
}

fn show_faults(
    person: &Person,
    form: &CreateForm,
    faults: Vec<String>,
) -> Result<Response, Problem> {
    let page = NewKey::new(person, form, form_number(), faults);
    respond(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

/// The messages about a request that the authority refused, as far as the person can fix it in the form.
fn describe_refusal(person: &Person, status: &Status) -> Option<Vec<String>> {
    let words = person.words;
    if is_reason(status, v1::ErrorReason::UserDisabled) {
        return Some(vec![words.text("api-sessions-wrong-disabled")]);
    }
    if is_reason(status, v1::ErrorReason::QuotaExceeded) {
        return Some(vec![words.text("api-sessions-wrong-quota")]);
    }
    let mut faults = Vec::new();
    for field in refused_fields(status) {
        let word = match field.as_str() {
            "owner_user_id" => "api-sessions-wrong-owner",
            "name" => "api-sessions-wrong-name",
            "reason" => "api-sessions-wrong-reason",
            "expire_time" => "api-sessions-wrong-expires",
            field if field.starts_with("scopes") => "api-sessions-wrong-scopes",
            field if field.starts_with("audiences") => "api-sessions-wrong-audiences",
            field => {
                faults.push(words.with("api-sessions-wrong-other", [("field", field)]));
                continue;
            }
        };
        faults.push(words.text(word));
    }
    (!faults.is_empty()).then_some(faults)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RevokeForm {
    reason: String,
}

async fn ask(person: Person, Path(id): Path<String>) -> Result<Response, Problem> {
    require_administrator(&person)?;
    let key = read_key(&person, &id).await?.api_key.unwrap_or_default();
    respond(StatusCode::OK, &Revoke::new(&person, &key, "", Vec::new()))
}

async fn revoke(
    person: Person,
    Path(id): Path<String>,
    Submitted(form): Submitted<RevokeForm>,
) -> Result<Response, Problem> {
    // The state before the call. The call itself does not tell whether it has ended the key.
    let key = read_key(&person, &id).await?.api_key.unwrap_or_default();
    if !is_good_reason(form.reason.trim()) {
        return ask_for_reason(&person, &key, &form);
    }
    let done = end_key(&person, &key, id, form.reason.trim()).await?;
    let path = format!("/api-sessions/{}", key.id);
    Ok(Redirect::to(&person.done_address(&path, &done)).into_response())
}

/// The question again, about a reason that cannot be kept.
fn ask_for_reason(
    person: &Person,
    key: &v1::ApiKey,
    form: &RevokeForm,
) -> Result<Response, Problem> {
    let faults = vec![person.words.text("api-sessions-wrong-reason")];
    let again = Revoke::new(person, key, &form.reason, faults);
    respond(StatusCode::UNPROCESSABLE_ENTITY, &again)
}

/// Ends a key, which was read before.
async fn end_key(
    person: &Person,
    key: &v1::ApiKey,
    id: String,
    reason: &str,
) -> Result<Done, Problem> {
    let request = receipts::waiting(revocation(person, id, reason));
    let answer = person.authority.api_keys().revoke_api_key(request).await?;
    // Another administrator may have been faster, or the form was sent twice. That is no error.
    let done = match key.state() {
        v1::ApiKeyState::Active => Done::new("api-sessions-revoked"),
        _ => Done::new("api-sessions-revoked-before"),
    };
    Ok(done.enforcement(answer.into_inner().enforcement.as_ref()))
}

fn revocation(person: &Person, id: String, reason: &str) -> v1::RevokeApiKeyRequest {
    v1::RevokeApiKeyRequest {
        tenant_id: person.tenant.clone(),
        api_key_id: id,
        reason: reason.to_owned(),
        wait: v1::Wait::Enforced.into(),
        ..Default::default()
    }
}

/// Support may look. The authority refuses their changes; a form that cannot be sent would only disappoint.
fn require_administrator(person: &Person) -> Result<(), Problem> {
    match person.roles.administers() {
        true => Ok(()),
        false => Err(Problem::denied()),
    }
}

fn form_number() -> String {
    let bytes: [u8; NUMBER_BYTES] = portcullis_contract::random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
