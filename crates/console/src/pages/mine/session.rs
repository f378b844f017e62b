//! One session, with everything that is known about it.

use askama::Template;
use axum::extract::{Path, Query};
use portcullis_contract::v1::{ActivityStatus, GetSessionRequest, Session, SessionState};
use tonic::{Code, Status};

use super::{
    Told,
    item::{Step, steps},
    list::own_session,
};
use crate::{
    describe::{self, FindingText},
    done::Done,
    page::{Frame, Page, Room},
    person::{Person, full_name},
    problem::Problem,
    times::Moment,
    words::Words,
};

#[derive(Template)]
#[template(path = "mine/session.html")]
struct SessionPage {
    page: Frame,
    done: Option<Done>,
    id: String,
    device: String,
    is_current: bool,
    is_active: bool,
    /// The word of the state.
    state: String,
    facts: Vec<Fact>,
    findings: Vec<FindingText>,
    advice: Vec<Step>,
    /// The text meant for the person, if the session has ended with one.
    message: String,
    may_end: bool,
}

/// A line of the page: its name and its value.
struct Fact {
    name: String,
    value: String,
    /// A time, which has its machine-readable form beside.
    time: Option<Moment>,
    is_id: bool,
}

pub(super) async fn show(
    person: Person,
    Path(id): Path<String>,
    Query(told): Query<Told>,
) -> Result<Page, Problem> {
    let (session, is_own) = find_session(&person, &id).await?;
    let words = person.words;
    let is_active = session.state() == SessionState::Active;
    let room = if is_own { Room::Mine } else { Room::Team };
    Page::render(&SessionPage {
        page: person.frame(room),
        done: person.open(told.done.as_deref()),
        device: describe::device_name(words, &session),
        is_current: session.id == person.session_id,
        is_active,
        state: state_text(words, &session),
        facts: facts(&person, &session, is_own),
        findings: describe::findings(words, &session),
        // The steps lead to pages that act for their reader, so another person's session has none.
        advice: if is_own && is_active {
            steps(&person, &session)
        } else {
            Vec::new()
        },
        message: end_message(&session),
        may_end: is_active && (is_own || person.roles.administers()),
        id: session.id,
    })
}

/// The text meant for the person. Empty: the session has no end, or ended without one.
fn end_message(session: &Session) -> String {
    match &session.end {
        Some(end) => end.user_message.clone(),
        None => String::new(),
    }
}

/// A session of the person, or for staff of anybody in the tenant. The flag says whose.
pub(super) async fn find_session(person: &Person, id: &str) -> Result<(Session, bool), Problem> {
    // As the person themselves first, which is right for everybody. Only staff ask again, with the
    // tenant named.
    let status = match own_session(person, id).await {
        Ok(session) => return Ok((session, true)),
        Err(status) => status,
    };
    // For everybody else the first answer stands. It is the same for another person's session and
    // for one that does not exist.
    if !person.roles.reads() || !may_be_others(&status) {
        return Err(status.into());
    }
    let request = GetSessionRequest {
        tenant_id: person.tenant.clone(),
        session_id: id.to_owned(),
    };
    let found = person.authority.sessions().get_session(request).await?;
    let session = found.into_inner().session.ok_or(Problem::not_found())?;
    let is_own = session.user_id == person.user_id;
    Ok((session, is_own))
}

// A tenant that hides sessions from people does not hide them from staff.
fn may_be_others(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::NotFound | Code::PermissionDenied | Code::FailedPrecondition
    )
}

fn state_text(words: Words, session: &Session) -> String {
    if session.state() != SessionState::Active {
        return words.text("mine-state-ended");
    }
    words.text(match session.activity() {
        ActivityStatus::ActiveNow => "mine-status-active",
        _ => "mine-status-idle",
    })
}

fn facts(person: &Person, session: &Session, is_own: bool) -> Vec<Fact> {
    let mut facts = Facts::new(person);
    if !is_own {
        facts.user(session);
    }
    facts.text(
        "mine-fact-device",
        describe::device_name(person.words, session),
    );
    facts.known("mine-fact-place", describe::place(session));
    facts.known("mine-fact-operator", describe::network_operator(session));
    facts.known("mine-fact-address", describe::address(session));
    facts.time("mine-fact-created", Moment::of(session.create_time));
    facts.time(
        "mine-fact-last-active",
        Moment::of(session.last_active_time),
    );
    facts.text("mine-fact-actions", person.words.number(session.actions));
    // 0 says that the device has no id, and nothing about earlier sign-ins.
    if session.device_sign_ins > 0 {
        let count = person.words.number(session.device_sign_ins);
        facts.text("mine-fact-sign-ins", count);
    }
    // Most tenants keep no last page (`Policy.keep_last_page`), and an empty line would look like a
    // lost one.
    if !session.last_page.is_empty() {
        facts.text("mine-fact-last-page", session.last_page.clone());
    }
    facts.methods(session);
    facts.ends(session);
    facts.id("mine-fact-id", &session.id);
    facts.facts
}

/// The lines of a page as they are collected.
struct Facts<'a> {
    person: &'a Person,
    facts: Vec<Fact>,
}

impl<'a> Facts<'a> {
    fn new(person: &'a Person) -> Self {
        let facts = Vec::new();
        Self { person, facts }
    }

    fn push(&mut self, word: &str, value: String) -> &mut Fact {
        self.facts.push(Fact {
            name: self.person.words.text(word),
            value,
            time: None,
            is_id: false,
        });
        let last = self.facts.len() - 1;
        &mut self.facts[last]
    }

    fn text(&mut self, word: &str, value: String) {
        self.push(word, value);
    }

    fn id(&mut self, word: &str, value: &str) {
        self.push(word, value.to_owned()).is_id = true;
    }

    fn known(&mut self, word: &str, value: Option<String>) {
        let value = value.unwrap_or_else(|| self.person.words.text("frame-unknown"));
        self.push(word, value);
    }

    fn time(&mut self, word: &str, moment: Option<Moment>) {
        let Some(moment) = moment else { return };
        let times = &self.person.times;
        let value = format!("{} ({})", times.full(moment), times.relative(moment));
        self.push(word, value).time = Some(moment);
    }

    fn user(&mut self, session: &Session) {
        let name = session.user.as_ref().map(|user| {
            full_name(&portcullis_contract::v1::User {
                user_name: user.user_name.clone(),
                given_name: user.given_name.clone(),
                family_name: user.family_name.clone(),
                ..Default::default()
            })
        });
        let name = name.filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| session.user_id.clone());
        self.text("mine-fact-user", name);
        self.id("mine-fact-user-id", &session.user_id);
    }

    fn methods(&mut self, session: &Session) {
        let methods = describe::method_names(self.person.words, session);
        if !methods.is_empty() {
            self.text("mine-fact-methods", methods);
        }
        if !session.acr.is_empty() {
            self.text("mine-fact-acr", session.acr.clone());
        }
        self.time("mine-fact-authenticated", Moment::of(session.auth_time));
    }

    fn ends(&mut self, session: &Session) {
        if session.state() == SessionState::Active {
            self.time("mine-fact-idle-end", Moment::of(session.idle_expire_time));
            self.time("mine-fact-end", Moment::of(session.expire_time));
            return;
        }
        let words = self.person.words;
        let end = session.end.clone().unwrap_or_default();
        self.time(
            "mine-fact-ended",
            Moment::of(end.time.or(session.expire_time)),
        );
        self.text("mine-fact-why", describe::end_text(words, session));
        // Empty unless the person is staff.
        if !end.reason.is_empty() {
            self.text("mine-fact-reason", end.reason);
        }
        if !end.actor.is_empty() {
            self.text("mine-fact-actor", end.actor);
        }
    }
}
