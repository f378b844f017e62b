//! The pages of the audit log.

use std::collections::BTreeMap;

use askama::Template;
use portcullis_contract::v1;

use super::filter::{ACTIONS, Filter, KINDS};
use crate::{page::Frame, pages::answer::Choice, person::Person, times::Moment, words::Words};

/// One event.
pub(super) struct EventRow {
    when: String,
    actor: String,
    via: Option<String>,
    action: String,
    user: Option<String>,
    target: String,
    address: String,
    reason: String,
    message: Option<String>,
    details: Vec<(String, String)>,
    revision: String,
}

impl EventRow {
    pub(super) fn new(person: &Person, event: &v1::AuditEvent) -> Self {
        let words = person.words;
        // Sorted by name. A map of a message has no order, and the same event would look different
        // each time.
        let details: BTreeMap<_, _> = event.details.clone().into_iter().collect();
        Self {
            when: time_text(person, event),
            actor: actor_text(person, &event.actor),
            via: sentence(words, "audit-via", "service", &event.via),
            action: action_text(person, &event.action),
            user: sentence(words, "audit-user", "user", &event.user_id),
            target: event.target.clone(),
            address: event.actor_ip.clone(),
            reason: event.reason.clone(),
            message: sentence(words, "audit-message", "message", &event.user_message),
            details: details.into_iter().collect(),
            revision: words.number(event.revision),
        }
    }
}

fn time_text(person: &Person, event: &v1::AuditEvent) -> String {
    match Moment::of(event.time) {
        Some(time) => person.times.exact(time),
        None => String::new(),
    }
}

/// A word with its only value. None: the event has no such value.
fn sentence(words: Words, id: &str, name: &'static str, value: &str) -> Option<String> {
    if value.is_empty() {
        return None;
    }
    Some(words.with(id, [(name, value)]))
}

fn actor_text(person: &Person, actor: &str) -> String {
    let words = person.words;
    if let Some(user) = actor.strip_prefix("user:") {
        return user.to_owned();
    }
    if let Some(name) = actor.strip_prefix("service:") {
        return words.with("audit-service", [("name", name)]);
    }
    match actor {
        "authority" => words.text("audit-authority"),
        // The authority tells people no actors but themselves and `authority`.
        "" => words.text("audit-somebody"),
        other => other.to_owned(),
    }
}

/// The words for an action. One that this console does not know is shown as the trail has it.
fn action_text(person: &Person, action: &str) -> String {
    match ACTIONS.iter().find(|(known, _)| *known == action) {
        Some((_, word)) => person.words.text(word),
        None => action.to_owned(),
    }
}

/// The actions to choose from.
pub(super) fn action_choices(person: &Person, filter: &Filter) -> Vec<Choice> {
    let mut choices = Vec::new();
    for (value, word) in ACTIONS {
        choices.push(Choice {
            value,
            label: person.words.text(word),
            is_chosen: filter.action == value,
        });
    }
    choices
}

/// The kinds of actors to choose from.
pub(super) fn kind_choices(person: &Person, filter: &Filter) -> Vec<Choice> {
    let mut choices = Vec::new();
    for (value, word) in KINDS {
        choices.push(Choice {
            value,
            label: person.words.text(word),
            is_chosen: filter.kind == value,
        });
    }
    choices
}

/// The list of events.
#[derive(Template)]
#[template(path = "audit/list.html")]
pub(super) struct List {
    pub(super) page: Frame,
    pub(super) title: String,
    pub(super) lead: String,
    /// Whether these are the events of the team, and not those about one person.
    pub(super) is_team: bool,
    pub(super) page_is_gone: bool,
    pub(super) faults: Vec<String>,
    pub(super) form: Filter,
    pub(super) is_filtered: bool,
    pub(super) actions: Vec<Choice>,
    pub(super) kinds: Vec<Choice>,
    pub(super) events: Vec<EventRow>,
    pub(super) is_later_page: bool,
    pub(super) first: String,
    pub(super) next: Option<String>,
    pub(super) export_hint: String,
    pub(super) export_jsonl: String,
    pub(super) export_csv: String,
}

/// Where a verification goes on.
pub(super) struct GoOn {
    pub(super) after: u64,
    pub(super) verified: u64,
}

/// The result of a verification.
#[derive(Template)]
#[template(path = "audit/verdict.html")]
pub(super) struct Verdict {
    pub(super) page: Frame,
    pub(super) tone: &'static str,
    pub(super) headline: String,
    pub(super) lines: Vec<String>,
    /// In the words of the authority.
    pub(super) problem: Option<String>,
    pub(super) go_on: Option<GoOn>,
    pub(super) is_denied: bool,
}
