//! The list: the current session first, the others by kind of device and time.

use askama::Template;
use axum::extract::Query;
use portcullis_contract::v1::{
    DeviceType, GetSessionRequest, ListSessionsRequest, ListSessionsResponse, Session,
};
use tonic::Status;
use tonic_types::StatusExt;

use super::{
    PAGE_SIZE, Told,
    item::{Item, device_type},
};
use crate::{
    describe,
    done::Done,
    page::{Frame, Page, Room},
    person::Person,
    problem::Problem,
    times::Moment,
};

/// The kinds of devices, in the order of the page.
const TYPES: [DeviceType; 6] = [
    DeviceType::Desktop,
    DeviceType::Phone,
    DeviceType::Tablet,
    DeviceType::Tv,
    DeviceType::Program,
    DeviceType::Unspecified,
];
const DAY_SECONDS: i64 = 24 * 60 * 60;

#[derive(Template)]
#[template(path = "mine/list.html")]
struct ListPage {
    page: Frame,
    done: Option<Done>,
    /// The session of this page. None on later pages.
    current: Option<Item>,
    groups: Vec<Group>,
    /// Sessions of this page beside the current one.
    others: usize,
    suspicious: usize,
    /// The tenant shows people no sessions.
    is_hidden: bool,
    session_id: String,
    is_first: bool,
    next_page: Option<String>,
}

/// The sessions on one kind of device.
struct Group {
    title: String,
    id: String,
    slots: Vec<Slot>,
}

/// Those of one stretch of time.
struct Slot {
    title: String,
    items: Vec<Item>,
}

/// A page of the list, as the authority has it.
#[derive(Default)]
struct Listed {
    sessions: Vec<Session>,
    next_page: Option<String>,
    /// The tenant shows people no sessions.
    is_hidden: bool,
}

pub(super) async fn show(person: Person, Query(told): Query<Told>) -> Result<Page, Problem> {
    let listed = read_page(&person, told.page.as_deref()).await?;
    let (current, others): (Vec<_>, Vec<_>) = listed
        .sessions
        .iter()
        .partition(|session| session.id == person.session_id);
    let current = current.first().map(|session| Item::of(&person, session));
    Page::render(&ListPage {
        page: person.frame(Room::Mine),
        done: person.open(told.done.as_deref()),
        current,
        groups: groups(&person, &others),
        others: others.len(),
        suspicious: count_suspicious(&listed.sessions),
        is_hidden: listed.is_hidden,
        session_id: person.session_id.clone(),
        is_first: told.page.is_none(),
        next_page: listed.next_page,
    })
}

async fn read_page(person: &Person, page_token: Option<&str>) -> Result<Listed, Problem> {
    let request = ListSessionsRequest {
        page_size: PAGE_SIZE,
        page_token: page_token.unwrap_or_default().to_owned(),
        ..Default::default()
    };
    match person.authority.sessions().list_sessions(request).await {
        Ok(answer) => Ok(Listed::of(answer.into_inner())),
        // A person may end the session of the page all the same.
        Err(status) if hides_sessions(&status) => Ok(Listed::hidden()),
        Err(status) => Err(status.into()),
    }
}

impl Listed {
    fn of(answer: ListSessionsResponse) -> Self {
        let next = Some(answer.next_page_token);
        Self {
            sessions: answer.sessions,
            next_page: next.filter(|token| !token.is_empty()),
            is_hidden: false,
        }
    }

    fn hidden() -> Self {
        Self {
            is_hidden: true,
            ..Self::default()
        }
    }
}

fn count_suspicious(sessions: &[Session]) -> usize {
    let suspicious = sessions
        .iter()
        .filter(|session| describe::is_suspicious(session));
    suspicious.count()
}

/// Whether the tenant hides sessions from the people whose they are.
pub(super) fn hides_sessions(status: &Status) -> bool {
    let info = status.get_details_error_info();
    info.is_some_and(|info| {
        // The reason stands for several rules of a policy, and only this one hides sessions.
        let rule = info.metadata.get("rule").map(String::as_str);
        info.reason == "POLICY_FORBIDS" && rule == Some("users_see_sessions")
    })
}

/// A person's own session. Staff also see others' ones, by another call.
pub(super) async fn own_session(person: &Person, id: &str) -> Result<Session, Status> {
    let request = GetSessionRequest {
        // Naming the tenant would ask in the person's role, and find sessions of anybody in it.
        tenant_id: String::new(),
        session_id: id.to_owned(),
    };
    let found = person.authority.sessions().get_session(request).await?;
    let session = found.into_inner().session;
    session.ok_or_else(|| Status::internal("an answer without a session"))
}

fn groups(person: &Person, sessions: &[&Session]) -> Vec<Group> {
    let mut groups = Vec::new();
    for kind in TYPES {
        let of_kind: Vec<&Session> = sessions
            .iter()
            .copied()
            .filter(|session| device_type(session) == kind)
            .collect();
        if of_kind.is_empty() {
            continue;
        }
        let word = describe::device_type_word(kind);
        groups.push(Group {
            title: person.words.text(word),
            id: format!("group-{}", kind as i32),
            slots: slots(person, &of_kind),
        });
    }
    groups
}

/// The seconds since a session was last used.
fn idle_seconds(session: &Session, now: i64) -> i64 {
    // A session without a time of use is listed among the oldest.
    let last = Moment::of(session.last_active_time).map_or(0, Moment::seconds);
    now.saturating_sub(last)
}

/// The stretches of time, newest first. Within one the order of the list stays: last active first.
fn slots(person: &Person, sessions: &[&Session]) -> Vec<Slot> {
    let now = person.times.now().seconds();
    let stretches = [
        // From the lowest number on: if the database's clock is ahead of this machine's, the idle
        // time of a session that was just used is negative.
        ("mine-slot-day", i64::MIN, DAY_SECONDS),
        ("mine-slot-week", DAY_SECONDS, 7 * DAY_SECONDS),
        ("mine-slot-older", 7 * DAY_SECONDS, i64::MAX),
    ];
    let mut slots = Vec::new();
    for (word, from, to) in stretches {
        let items: Vec<_> = sessions
            .iter()
            .filter(|session| (from..to).contains(&idle_seconds(session, now)))
            .map(|session| Item::of(person, session))
            .collect();
        if !items.is_empty() {
            let title = person.words.text(word);
            slots.push(Slot { title, items });
        }
    }
    slots
}
