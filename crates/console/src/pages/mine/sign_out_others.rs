//! Signing out all other sessions, or every one.

use askama::Template;
use portcullis_contract::v1::{
    ListSessionsRequest, Preview, RevokeOtherSessionsRequest, Session, Wait,
};
use serde::Deserialize;
use tonic::Status;

use super::item::Item;
use crate::{
    done::Done,
    forms::Submitted,
    page::{Frame, Page, Room},
    person::{Person, SIGNED_OUT},
    problem::Problem,
    receipts,
};

/// The most sessions that the question lists. The form ends all, and says how many there are.
const LISTED_MAX: i32 = 100;

/// The sessions that a form ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Others,
    Everywhere,
}

#[derive(Template)]
#[template(path = "mine/sign_out_others.html")]
struct ConfirmPage {
    page: Frame,
    is_everywhere: bool,
    items: Vec<Item>,
    /// Sessions that would end beside the current one.
    count: u32,
    is_capped: bool,
    /// Sessions that would end and are not listed.
    unlisted: u32,
}

/// The fields of the form.
#[derive(Deserialize)]
pub(super) struct Form {
    /// "End the current one too".
    #[serde(default)]
    include_current: String,
}

pub(super) async fn confirm_others(person: Person) -> Result<Page, Problem> {
    confirm(&person, Scope::Others).await
}

pub(super) async fn confirm_everywhere(person: Person) -> Result<Page, Problem> {
    confirm(&person, Scope::Everywhere).await
}

async fn confirm(person: &Person, scope: Scope) -> Result<Page, Problem> {
    // Together, because neither needs the answer of the other.
    let (listed, preview) = tokio::try_join!(list(person), preview(person))?;
    let items = other_items(person, &listed);
    let shown = u32::try_from(items.len()).unwrap_or(u32::MAX);
    Page::render(&ConfirmPage {
        page: person.frame(Room::Mine),
        is_everywhere: scope == Scope::Everywhere,
        items,
        count: preview.sessions,
        is_capped: preview.capped,
        // List and preview are two calls. A session that ends between them would make the
        // difference negative.
        unlisted: preview.sessions.saturating_sub(shown),
    })
}

fn other_items(person: &Person, sessions: &[Session]) -> Vec<Item> {
    let mut items = Vec::new();
    for session in sessions {
        if session.id != person.session_id {
            items.push(Item::of(person, session));
        }
    }
    items
}

async fn list(person: &Person) -> Result<Vec<Session>, Status> {
    let request = ListSessionsRequest {
        page_size: LISTED_MAX,
        ..Default::default()
    };
    let listed = person.authority.sessions().list_sessions(request).await?;
    Ok(listed.into_inner().sessions)
}

/// The number of sessions that would end. It comes from the authority, because the list has a page only.
async fn preview(person: &Person) -> Result<Preview, Status> {
    let request = RevokeOtherSessionsRequest {
        validate_only: true,
        ..Default::default()
    };
    let mut sessions = person.authority.sessions();
    let previewed = sessions.revoke_other_sessions(request).await?;
    Ok(previewed.into_inner().preview.unwrap_or_default())
}

pub(super) async fn end_others(
    person: Person,
    Submitted(form): Submitted<Form>,
) -> Result<Page, Problem> {
    let include_current = !form.include_current.is_empty();
    end(&person, include_current).await
}

pub(super) async fn end_everywhere(
    person: Person,
    Submitted(_): Submitted<Form>,
) -> Result<Page, Problem> {
    end(&person, true).await
}

async fn end(person: &Person, include_current: bool) -> Result<Page, Problem> {
    // No session is named: in a person's own call the one of the call stays.
    let request = RevokeOtherSessionsRequest {
        include_current,
        wait: Wait::Enforced.into(),
        ..Default::default()
    };
    let request = receipts::waiting(request);
    let mut sessions = person.authority.sessions();
    let answer = sessions.revoke_other_sessions(request).await?.into_inner();
    // With the current session the cookie is good no more, and the first page would ask for a sign-in.
    let (word, path) = if include_current {
        ("mine-done-everywhere", SIGNED_OUT)
    } else {
        ("mine-done-others", "/")
    };
    let done = Done::new(word).enforcement(answer.enforcement.as_ref());
    Page::see_other(&person.done_address(path, &done))
}
