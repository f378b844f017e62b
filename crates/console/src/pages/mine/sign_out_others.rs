//! Signing out all other sessions, or every one.

use askama::Template;
use portcullis_contract::v1::{ListSessionsRequest, RevokeOtherSessionsRequest, Wait};
use serde::Deserialize;

use super::item::Item;
use crate::{
    done::Done,
    forms::Submitted,
    page::{Frame, Page, Room},
    person::Person,
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
    let list = ListSessionsRequest {
        page_size: LISTED_MAX,
        ..Default::default()
    };
    let preview = RevokeOtherSessionsRequest {
        // The number comes from the authority, because the list has a page only.
        validate_only: true,
        ..Default::default()
    };
    let mut sessions = person.authority.sessions();
    let mut previews = person.authority.sessions();
    // Together, because neither needs the answer of the other.
    let (listed, previewed) = tokio::try_join!(
        sessions.list_sessions(list),
        previews.revoke_other_sessions(preview)
    )?;
    let preview = previewed.into_inner().preview.unwrap_or_default();
    let listed = listed.into_inner().sessions;
    let others = listed
        .iter()
        .filter(|session| session.id != person.session_id);
    let items: Vec<_> = others.map(|session| Item::of(person, session)).collect();
    let shown = u32::try_from(items.len()).unwrap_or(u32::MAX);
    Page::render(&ConfirmPage {
        page: person.frame(Room::Mine),
        is_everywhere: scope == Scope::Everywhere,
        items,
        count: preview.sessions,
        is_capped: preview.capped,
        unlisted: preview.sessions.saturating_sub(shown),
    })
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
        ("mine-done-everywhere", "/signed-out")
    } else {
        ("mine-done-others", "/")
    };
    let done = Done::new(word).enforcement(answer.enforcement.as_ref());
    Page::see_other(&format!("{path}?done={}", person.seal(&done)))
}
