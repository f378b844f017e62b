//! The pages about API keys.

use askama::Template;
use portcullis_contract::v1;

use super::{
    create::{CreateForm, EXPIRIES},
    spark::{Spark, last_hours},
};
use crate::{
    done::Done,
    page::{Frame, Room},
    pages::answer::Choice,
    person::Person,
    times::Moment,
};

/// A key as the pages show it.
pub(super) struct KeyRow {
    pub(super) id: String,
    pub(super) name: String,
    owner: String,
    scopes: Vec<String>,
    state: String,
    created: String,
    expires: String,
    last_used: String,
    ended: Option<String>,
    requests: String,
    spark: Spark,
}

impl KeyRow {
    pub(super) fn new(person: &Person, key: &v1::ApiKey, hours: &[v1::ApiKeyHour]) -> Self {
        let words = person.words;
        let times = &person.times;
        let ended = Moment::of(key.end_time);
        Self {
            id: key.id.clone(),
            name: key.name.clone(),
            owner: key.owner_user_id.clone(),
            scopes: key.scopes.clone(),
            state: words.text(state_word(key.state())),
            created: full_time(person, key.create_time),
            expires: expiry_text(person, key),
            last_used: last_use_text(person, key),
            ended: ended.map(|time| words.with("api-sessions-ended", [("time", times.full(time))])),
            requests: words.number(key.requests_24h),
            spark: Spark::draw(words, &last_hours(hours, times.now().seconds())),
        }
    }
}

fn state_word(state: v1::ApiKeyState) -> &'static str {
    // Each id is written out and not put together from a number: a test looks for the literals to
    // find words that are missing or unused.
    match state {
        v1::ApiKeyState::Unspecified => "api-sessions-state-0",
        v1::ApiKeyState::Active => "api-sessions-state-1",
        v1::ApiKeyState::Expired => "api-sessions-state-2",
        v1::ApiKeyState::Revoked => "api-sessions-state-3",
    }
}

/// A time with its date. Empty: it is not set.
fn full_time(person: &Person, time: Option<prost_types::Timestamp>) -> String {
    match Moment::of(time) {
        Some(time) => person.times.full(time),
        None => String::new(),
    }
}

fn expiry_text(person: &Person, key: &v1::ApiKey) -> String {
    match Moment::of(key.expire_time) {
        Some(time) => person.times.full(time),
        None => person.words.text("api-sessions-never-expires"),
    }
}

fn last_use_text(person: &Person, key: &v1::ApiKey) -> String {
    match Moment::of(key.last_used_time) {
        Some(time) => person.times.relative(time),
        None => person.words.text("api-sessions-never-used"),
    }
}

/// The list of keys.
#[derive(Template)]
#[template(path = "api_sessions/list.html")]
pub(super) struct List {
    pub(super) page: Frame,
    pub(super) lead: String,
    pub(super) can_change: bool,
    pub(super) page_is_gone: bool,
    pub(super) owner: String,
    pub(super) show_ended: bool,
    pub(super) keys: Vec<KeyRow>,
    pub(super) is_later_page: bool,
    pub(super) first: String,
    pub(super) next: Option<String>,
}

/// One hour of a key.
struct HourRow {
    start: String,
    requests: String,
}

/// One key.
#[derive(Template)]
#[template(path = "api_sessions/key.html")]
pub(super) struct Key {
    page: Frame,
    title: String,
    done: Option<Done>,
    key: KeyRow,
    hours: Vec<HourRow>,
    can_revoke: bool,
}

impl Key {
    pub(super) fn new(person: &Person, answer: &v1::GetApiKeyResponse, done: Option<Done>) -> Self {
        let key = answer.api_key.clone().unwrap_or_default();
        let mut hours = Vec::new();
        for hour in &answer.hours {
            hours.push(HourRow {
                start: full_time(person, hour.start_time),
                requests: person.words.number(hour.requests),
            });
        }
        Self {
            page: person.frame(Room::ApiSessions),
            title: title(person, "api-sessions-key-title", &key),
            done,
            can_revoke: person.roles.administers() && key.state() == v1::ApiKeyState::Active,
            key: KeyRow::new(person, &key, &answer.hours),
            hours,
        }
    }
}

fn title(person: &Person, word: &str, key: &v1::ApiKey) -> String {
    person.words.with(word, [("name", &key.name)])
}

/// The form of a new key.
#[derive(Template)]
#[template(path = "api_sessions/new.html")]
pub(super) struct NewKey {
    page: Frame,
    faults: Vec<String>,
    once: String,
    form: CreateForm,
    expires: Vec<Choice>,
}

impl NewKey {
    pub(super) fn new(
        person: &Person,
        form: &CreateForm,
        once: String,
        faults: Vec<String>,
    ) -> Self {
        let mut expires = Vec::new();
        for (value, word, _) in EXPIRIES {
            expires.push(Choice {
                value,
                label: person.words.text(word),
                is_chosen: form.expires == value,
            });
        }
        Self {
            page: person.frame(Room::ApiSessions),
            faults,
            once,
            form: form.clone(),
            expires,
        }
    }
}

/// The one page with a secret.
#[derive(Template)]
#[template(path = "api_sessions/created.html")]
pub(super) struct Created {
    page: Frame,
    label: String,
    secret: String,
    id: String,
}

impl Created {
    pub(super) fn new(person: &Person, answer: v1::CreateApiKeyResponse) -> Self {
        let key = answer.api_key.unwrap_or_default();
        Self {
            page: person.frame(Room::ApiSessions),
            label: title(person, "api-sessions-created-secret", &key),
            secret: answer.secret,
            id: key.id,
        }
    }
}

/// The answer to a form that was sent before.
#[derive(Template)]
#[template(path = "api_sessions/again.html")]
pub(super) struct Again {
    page: Frame,
}

impl Again {
    pub(super) fn new(person: &Person) -> Self {
        Self {
            page: person.frame(Room::ApiSessions),
        }
    }
}

/// The question before a key is revoked.
#[derive(Template)]
#[template(path = "api_sessions/revoke.html")]
pub(super) struct Revoke {
    page: Frame,
    title: String,
    faults: Vec<String>,
    key: KeyRow,
    reason: String,
}

impl Revoke {
    pub(super) fn new(
        person: &Person,
        key: &v1::ApiKey,
        reason: &str,
        faults: Vec<String>,
    ) -> Self {
        Self {
            page: person.frame(Room::ApiSessions),
            title: title(person, "api-sessions-revoke-title", key),
            faults,
            key: KeyRow::new(person, key, &[]),
            reason: reason.to_owned(),
        }
    }
}
