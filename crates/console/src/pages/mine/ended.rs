//! Ended sessions, and why each ended.

use askama::Template;
use portcullis_contract::v1::{ListSessionsRequest, Session, SessionState};

use crate::{
    describe,
    page::{Frame, Page, Room},
    person::Person,
    problem::Problem,
    times::Moment,
};

/// The newest ended sessions of each kind that the page has.
const ENDED_MAX: i32 = 25;
/// The states of a session that has ended.
const STATES: [SessionState; 3] = [
    SessionState::SignedOut,
    SessionState::Revoked,
    SessionState::Expired,
];

#[derive(Template)]
#[template(path = "mine/ended.html")]
struct EndedPage {
    page: Frame,
    rows: Vec<Row>,
}

struct Row {
    id: String,
    device: String,
    place: Option<String>,
    ended: Option<Moment>,
    why: String,
    /// The text meant for the person.
    message: String,
}

pub(super) async fn show(person: Person) -> Result<Page, Problem> {
    // A list is of one state, so there is one call for each. They run together.
    let (signed_out, revoked, expired) = tokio::try_join!(
        ended(&person, STATES[0]),
        ended(&person, STATES[1]),
        ended(&person, STATES[2]),
    )?;
    let mut sessions = [signed_out, revoked, expired].concat();
    // Each list is in the order of sign-ins. The page is in the order of ends.
    sessions.sort_by_key(|session| std::cmp::Reverse(end_of(session)));
    let rows = sessions.iter().map(|session| row(&person, session));
    Page::render(&EndedPage {
        rows: rows.collect(),
        page: person.frame(Room::Mine),
    })
}

async fn ended(person: &Person, state: SessionState) -> Result<Vec<Session>, Problem> {
    // Without a tenant, so administrators see their own ended sessions here and not those of the
    // team (decision 068).
    let request = ListSessionsRequest {
        state: state.into(),
        page_size: ENDED_MAX,
        ..Default::default()
    };
    let listed = person.authority.sessions().list_sessions(request).await?;
    Ok(listed.into_inner().sessions)
}

fn end_of(session: &Session) -> Option<Moment> {
    let ended = session.end.as_ref().and_then(|end| end.time);
    // Nobody ends a session that expires, so it has no end of its own.
    Moment::of(ended.or(session.expire_time))
}

fn row(person: &Person, session: &Session) -> Row {
    let message = session.end.as_ref().map(|end| end.user_message.clone());
    Row {
        id: session.id.clone(),
        device: describe::device_name(person.words, session),
        place: describe::place(session),
        ended: end_of(session),
        why: describe::end_text(person.words, session),
        message: message.unwrap_or_default(),
    }
}
