//! The audit log: the events of the team for staff, and those about themselves for everybody else.

mod export;
mod filter;
mod verify;
mod view;

use axum::{
    Router,
    extract::Query,
    response::{Redirect, Response},
    routing::get,
};
use http::StatusCode;
use portcullis_contract::v1;
use serde::Deserialize;
use tonic::Status;

use self::{
    export::{EVENTS_MAX, Format, export},
    filter::Filter,
    verify::{Start, verify},
    view::{EventRow, List, action_choices, kind_choices},
};
use super::answer::{is_reason, respond};
use crate::{forms::Submitted, page::Room, person::Person, problem::Problem, state::State};

/// The events of a page.
const PAGE_EVENTS: i32 = 50;

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route("/audit", get(list))
        .route("/audit/export", get(export_events))
        .route("/audit/verify", get(to_list).post(verify_trail))
}

async fn list(person: Person, Query(filter): Query<Filter>) -> Result<Response, Problem> {
    let request = match request(&person, &filter) {
        Ok(request) => request,
        Err(faults) => return show_faults(&person, &filter, &faults),
    };
    match read_page(&person, request.clone(), &filter.page).await {
        // A page of yesterday, or of another search: the first page is better than none.
        Err(status) if is_reason(&status, v1::ErrorReason::PageTokenInvalid) => {
            show_first_page(&person, filter, request).await
        }
        answer => respond(StatusCode::OK, &view(&person, &filter, answer?)),
    }
}

fn show_faults(
    person: &Person,
    filter: &Filter,
    faults: &[&'static str],
) -> Result<Response, Problem> {
    let mut faulty = view(person, filter, v1::ListAuditEventsResponse::default());
    faulty.faults = faults.iter().map(|word| person.words.text(word)).collect();
    respond(StatusCode::UNPROCESSABLE_ENTITY, &faulty)
}

/// The first page, in place of one that is gone.
async fn show_first_page(
    person: &Person,
    filter: Filter,
    request: v1::ListAuditEventsRequest,
) -> Result<Response, Problem> {
    let first = Filter {
        page: String::new(),
        ..filter
    };
    let answer = read_page(person, request, "").await?;
    let mut list = view(person, &first, answer);
    list.page_is_gone = true;
    respond(StatusCode::OK, &list)
}

/// Makes the request. It leaves out the tenant for people without a role: the authority would refuse it, and shows them
/// their own events without it.
fn request(
    person: &Person,
    filter: &Filter,
) -> Result<v1::ListAuditEventsRequest, Vec<&'static str>> {
    let tenant = match person.roles.reads() {
        true => person.tenant.as_str(),
        false => "",
    };
    filter.request(tenant, person.times.zone())
}

async fn read_page(
    person: &Person,
    request: v1::ListAuditEventsRequest,
    page_token: &str,
) -> Result<v1::ListAuditEventsResponse, Status> {
    let request = v1::ListAuditEventsRequest {
        page_size: PAGE_EVENTS,
        page_token: page_token.to_owned(),
        ..request
    };
    let answer = person.authority.audit().list_audit_events(request).await?;
    Ok(answer.into_inner())
}

fn view(person: &Person, filter: &Filter, answer: v1::ListAuditEventsResponse) -> List {
    let (title, lead) = heading(person);
    let events = answer.events.iter();
    let next = answer.next_page_token;
    List {
        page: person.frame(Room::Audit),
        title,
        lead,
        is_team: person.roles.reads(),
        page_is_gone: false,
        faults: Vec::new(),
        is_filtered: filter.is_set(),
        actions: action_choices(person, filter),
        kinds: kind_choices(person, filter),
        events: events.map(|event| EventRow::new(person, event)).collect(),
        is_later_page: !filter.page.is_empty(),
        first: filter.address("/audit", &[]),
        next: (!next.is_empty()).then(|| filter.address("/audit", &[("page", &next)])),
        export_hint: export_hint(person),
        // Without the page of the list: a file has all events that match.
        export_jsonl: filter.address("/audit/export", &[("format", "jsonl")]),
        export_csv: filter.address("/audit/export", &[("format", "csv")]),
        form: filter.clone(),
    }
}

/// The title and the sentence below it.
fn heading(person: &Person) -> (String, String) {
    let words = person.words;
    if person.roles.reads() {
        let lead = words.with("audit-lead", [("tenant", &person.tenant)]);
        return (words.text("audit-title"), lead);
    }
    (words.text("audit-own-title"), words.text("audit-own-lead"))
}

fn export_hint(person: &Person) -> String {
    person
        .words
        .with("audit-export-hint", [("max", EVENTS_MAX)])
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AskedFormat {
    format: String,
}

async fn export_events(
    person: Person,
    Query(asked): Query<AskedFormat>,
    Query(filter): Query<Filter>,
) -> Result<Response, Problem> {
    let format = Format::parse(&asked.format).ok_or(Problem::invalid())?;
    let Ok(request) = request(&person, &filter) else {
        return Err(Problem::invalid());
    };
    export(&person, format, request).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VerifyForm {
    after: u64,
    verified: u64,
}

/// The session ended in the middle of the form, and the way back from the sign-in leads here.
async fn to_list() -> Redirect {
    Redirect::to("/audit")
}

async fn verify_trail(
    person: Person,
    Submitted(form): Submitted<VerifyForm>,
) -> Result<Response, Problem> {
    // The browser sends these numbers. Changed ones change the verdict on that person's own page
    // only.
    let start = Start {
        after: form.after,
        verified: form.verified,
    };
    let verdict = verify(&person, start).await?;
    let status = match verdict.is_denied {
        true => StatusCode::FORBIDDEN,
        false => StatusCode::OK,
    };
    respond(status, &verdict)
}
