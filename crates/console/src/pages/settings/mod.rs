//! Settings: the policy of the team.
//!
//! A change has two steps: the page before saving shows the changes and the sessions that would end, and asks for a reason. Both steps
//! send the version that the person saw. When somebody else was faster, both versions are shown, and nothing is saved.

mod described;
mod form;
mod view;

use axum::{
    Router,
    extract::Query,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use http::StatusCode;
use portcullis_contract::v1;
use serde::Deserialize;
use tonic::Status;

use self::{
    form::SettingsForm,
    view::{Confirm, Conflict, Index},
};
use super::answer::{is_reason, refused_fields};
use crate::{done::Done, forms::Submitted, person::Person, problem::Problem, state::State};

/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 1_024;
/// The most problems of the authority that a page lists.
const PROBLEMS_MAX: usize = 16;

const PATH: &str = "/settings";
/// The page before saving.
const CHECK: &str = "/settings/check";

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route(PATH, get(show))
        .route(CHECK, get(show_check).post(check))
        .route("/settings/save", get(to_settings).post(save))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    done: Option<String>,
}

/// The policy in force, and the standards that there are.
struct Current {
    policy: v1::Policy,
    presets: Vec<v1::PolicyPreset>,
}

/// The wish of a form: a policy, or the page that says why there is none.
enum Wish {
    Policy(Box<v1::Policy>),
    Answer(Response),
}

async fn show(person: Person, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let current = read_current(&person).await?;
    let form = SettingsForm::of(&current.policy);
    let mut index = Index::new(&person, &current.policy, &current.presets, &form);
    index.done = person.open(asked.done.as_deref());
    index.respond(StatusCode::OK)
}

/// The session ended in the middle of the form, and the way back from the sign-in leads here.
async fn to_settings() -> Redirect {
    Redirect::to(PATH)
}

/// The first step. It leads to its page, or answers with it if the form is too long for an address.
async fn check(
    person: Person,
    Submitted(form): Submitted<SettingsForm>,
) -> Result<Response, Problem> {
    match person.question_address(CHECK, &form)? {
        Some(address) => Ok(Redirect::to(&address).into_response()),
        None => answer_check(&person, &form).await,
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sealed {
    q: String,
}

async fn show_check(person: Person, Query(asked): Query<Sealed>) -> Result<Response, Problem> {
    match person.open_question(CHECK, &asked.q) {
        Some(form) => answer_check(&person, &form).await,
        None => Ok(to_settings().await.into_response()),
    }
}

/// Shows the changes, and the sessions that would end.
async fn answer_check(person: &Person, form: &SettingsForm) -> Result<Response, Problem> {
    let current = read_current(person).await?;
    match read_wish(person, form, &current).await? {
        Wish::Policy(wanted) => preview(person, form, &current, *wanted, Vec::new()).await,
        Wish::Answer(answer) => Ok(answer),
    }
}

/// The second step.
async fn save(
    person: Person,
    Submitted(form): Submitted<SettingsForm>,
) -> Result<Response, Problem> {
    let current = read_current(&person).await?;
    let wanted = match read_wish(&person, &form, &current).await? {
        Wish::Policy(wanted) => *wanted,
        Wish::Answer(answer) => return Ok(answer),
    };
    // Checked here too, because the authority would refuse without the page that asks for it.
    if !is_good_reason(form.reason.trim()) {
        let fault = person.words.text("settings-wrong-reason");
        return preview(&person, &form, &current, wanted, vec![fault]).await;
    }

    let request = v1::UpdatePolicyRequest {
        reason: form.reason.trim().to_owned(),
        ..update(&person, &form, wanted)
    };
    match person.authority.tenants().update_policy(request).await {
        Ok(_) => Ok(tell_saved(&person)),
        Err(status) => refuse(&person, &form, &current, status).await,
    }
}

fn tell_saved(person: &Person) -> Response {
    // No receipt: the sessions that violate the new policy end by the next sweep, after this answer.
    let done = Done::new("settings-saved");
    Redirect::to(&person.done_address("/settings", &done)).into_response()
}

async fn read_current(person: &Person) -> Result<Current, Problem> {
    let request = v1::GetPolicyRequest {
        tenant_id: person.tenant.clone(),
    };
    let answer = person.authority.tenants().get_policy(request).await?;
    let answer = answer.into_inner();
    Ok(Current {
        policy: answer.policy.unwrap_or_default(),
        presets: answer.presets,
    })
}

async fn read_wish(
    person: &Person,
    form: &SettingsForm,
    current: &Current,
) -> Result<Wish, Problem> {
    let wanted = match form.policy(&current.policy) {
        Ok(wanted) => wanted,
        Err(faults) => {
            let faults = faults.iter().map(|fault| person.words.text(fault.word()));
            let faults = faults.collect();
            return respond_with_faults(person, form, current, faults).map(Wish::Answer);
        }
    };
    // What the form does not show was taken from the version in force. So the form has to be of that version.
    if form.etag != current.policy.etag {
        let answer = show_conflict(person, form, current, wanted).await?;
        return Ok(Wish::Answer(answer));
    }
    Ok(Wish::Policy(Box::new(wanted)))
}

fn update(person: &Person, form: &SettingsForm, wanted: v1::Policy) -> v1::UpdatePolicyRequest {
    v1::UpdatePolicyRequest {
        tenant_id: person.tenant.clone(),
        policy: Some(wanted),
        preset: form.preset.clone(),
        ..v1::UpdatePolicyRequest::default()
    }
}

/// The page before saving.
async fn preview(
    person: &Person,
    form: &SettingsForm,
    current: &Current,
    wanted: v1::Policy,
    faults: Vec<String>,
) -> Result<Response, Problem> {
    let request = v1::UpdatePolicyRequest {
        validate_only: true,
        ..update(person, form, wanted)
    };
    let answer = match person.authority.tenants().update_policy(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return refuse(person, form, current, status).await,
    };
    let would_be = answer.policy.unwrap_or_default();
    let confirm = Confirm::new(person, form, &current.policy, &would_be, faults);
    // Nothing to confirm, and no event for the trail.
    if confirm.changes_nothing() {
        let mut index = Index::new(person, &current.policy, &current.presets, form);
        index.done = Some(Done::new("settings-same"));
        return index.respond(StatusCode::OK);
    }
    confirm.respond(&answer.preview.unwrap_or_default())
}

/// The page about an update that the authority refused: the form with its problems, or both versions.
async fn refuse(
    person: &Person,
    form: &SettingsForm,
    current: &Current,
    status: Status,
) -> Result<Response, Problem> {
    if is_reason(&status, v1::ErrorReason::EtagMismatch) {
        // Somebody was faster between the read above and the update.
        let newer = read_current(person).await?;
        // The form was valid a moment ago, and no fault depends on the policy beside it. So this
        // does not happen.
        let Ok(wanted) = form.policy(&newer.policy) else {
            return Err(status.into());
        };
        return show_conflict(person, form, &newer, wanted).await;
    }
    let fields = refused_fields(&status);
    if fields.is_empty() {
        return Err(status.into());
    }
    let mut faults = Vec::new();
    for field in fields.iter().take(PROBLEMS_MAX) {
        faults.push(describe_field(person, field));
    }
    // Several fields of users have the same sentence.
    faults.dedup();
    respond_with_faults(person, form, current, faults)
}

fn respond_with_faults(
    person: &Person,
    form: &SettingsForm,
    current: &Current,
    faults: Vec<String>,
) -> Result<Response, Problem> {
    let mut index = Index::new(person, &current.policy, &current.presets, form);
    index.faults = faults;
    index.respond(StatusCode::UNPROCESSABLE_ENTITY)
}

/// The problem of a field that the authority names.
fn describe_field(person: &Person, field: &str) -> String {
    let word = match field {
        "policy.idle_timeout" => "settings-wrong-idle",
        "policy.session_lifetime" => "settings-wrong-lifetime",
        "policy.remember_me_lifetime" => "settings-wrong-remember",
        "policy.session_lifetime_max" => "settings-wrong-longest",
        "policy.access_token_lifetime" => "settings-wrong-token",
        "policy.sessions_max" => "settings-wrong-sessions-max",
        "policy.at_limit" => "settings-wrong-at-limit",
        "policy.required_acr" => "settings-wrong-acr",
        "policy.reauthenticate_within" => "settings-wrong-recent",
        "preset" => "settings-wrong-preset",
        "reason" => "settings-wrong-reason",
        field if field.starts_with("policy.users") => "settings-wrong-users",
        field => {
            return person
                .words
                .with("settings-wrong-other", [("field", field)]);
        }
    };
    person.words.text(word)
}

/// Shows both versions, and the author of the other one.
async fn show_conflict(
    person: &Person,
    form: &SettingsForm,
    current: &Current,
    wanted: v1::Policy,
) -> Result<Response, Problem> {
    let wanted = match form.preset.as_str() {
        "" => wanted,
        // Only the authority knows the values of a standard.
        _ => apply_standard(person, form, wanted).await?,
    };
    let newest = find_newest_update(person).await?;
    Conflict::new(person, form, &current.policy, &wanted, newest.as_ref()).respond()
}

/// The policy in force as a standard would have it.
async fn apply_standard(
    person: &Person,
    form: &SettingsForm,
    current: v1::Policy,
) -> Result<v1::Policy, Problem> {
    let request = v1::UpdatePolicyRequest {
        validate_only: true,
        ..update(person, form, current)
    };
    let answer = person.authority.tenants().update_policy(request).await?;
    Ok(answer.into_inner().policy.unwrap_or_default())
}

async fn find_newest_update(person: &Person) -> Result<Option<v1::AuditEvent>, Problem> {
    let request = v1::ListAuditEventsRequest {
        tenant_id: person.tenant.clone(),
        action: "policy.update".to_owned(),
        // The newest one made the version that is in force, so its author is the one to talk to.
        page_size: 1,
        ..v1::ListAuditEventsRequest::default()
    };
    let answer = person.authority.audit().list_audit_events(request).await?;
    Ok(answer.into_inner().events.into_iter().next())
}

fn is_good_reason(reason: &str) -> bool {
    !reason.is_empty() && reason.len() <= REASON_BYTES_MAX && !reason.contains(char::is_control)
}
