//! Signing one session out: the question, and the answer.

use askama::Template;
use axum::extract::Path;
use portcullis_contract::v1::{RevokeSessionRequest, Session, SessionState, Wait};
use serde::Deserialize;

use super::{item::Item, list::hides_sessions, list::own_session, session::find_session};
use crate::{
    done::Done,
    forms::Submitted,
    page::{Frame, Page, Room},
    person::{Person, SIGNED_OUT, full_name},
    problem::Problem,
    receipts,
};

/// The most bytes of a text, as the authority has it.
const TEXT_BYTES_MAX: usize = 1_024;

#[derive(Template)]
#[template(path = "mine/sign_out.html")]
struct ConfirmPage {
    page: Frame,
    item: Item,
    is_own: bool,
    /// Whose session it is, for staff.
    user: String,
    has_ended: bool,
    /// The tenant shows people no sessions, so the page knows nothing about this one.
    is_hidden: bool,
    text_bytes_max: usize,
}

/// The fields of the form. A person gives no texts about their own session.
#[derive(Deserialize)]
pub(super) struct Form {
    reason: Option<String>,
    #[serde(default)]
    user_message: String,
}

pub(super) async fn confirm(person: Person, Path(id): Path<String>) -> Result<Page, Problem> {
    let (session, is_own, is_hidden) = asked_session(&person, &id).await?;
    let item = Item::of(&person, &session);
    Page::render(&ConfirmPage {
        page: person.frame(if is_own { Room::Mine } else { Room::Team }),
        is_own,
        user: user_name(&session),
        has_ended: !is_hidden && session.state() != SessionState::Active,
        is_hidden,
        text_bytes_max: TEXT_BYTES_MAX,
        item,
    })
}

/// The session of the question. The one of the call can always be ended, also if the tenant shows nothing of it.
async fn asked_session(person: &Person, id: &str) -> Result<(Session, bool, bool), Problem> {
    if id == person.session_id
        && let Err(status) = own_session(person, id).await
        && hides_sessions(&status)
    {
        let unseen = Session {
            id: id.to_owned(),
            ..Session::default()
        };
        return Ok((unseen, true, true));
    }
    let (session, is_own) = find_session(person, id).await?;
    Ok((session, is_own, false))
}

fn user_name(session: &Session) -> String {
    let Some(user) = &session.user else {
        return session.user_id.clone();
    };
    let name = full_name(&portcullis_contract::v1::User {
        user_name: user.user_name.clone(),
        given_name: user.given_name.clone(),
        family_name: user.family_name.clone(),
        ..Default::default()
    });
    if name.is_empty() {
        return session.user_id.clone();
    }
    name
}

pub(super) async fn end(
    person: Person,
    Path(id): Path<String>,
    Submitted(form): Submitted<Form>,
) -> Result<Page, Problem> {
    // Only staff are asked for a reason: a person's own form has no such field. One that was left blank is refused by the
    // authority.
    let for_another = form.reason.is_some();
    // Sent twice for another session, the form gets the same page: ending an ended session succeeds.
    let request = receipts::waiting(request(&person, &id, form, for_another));
    let answer = person.authority.sessions().revoke_session(request).await?;
    let enforcement = answer.into_inner().enforcement;
    let done = Done::new("mine-done-one").enforcement(enforcement.as_ref());
    let path = next_path(&person, &id, for_another);
    Page::see_other(&person.done_address(&path, &done))
}

/// The page that tells what was done.
fn next_path(person: &Person, id: &str, for_another: bool) -> String {
    // The page of nobody, because the cookie is good no more.
    if id == person.session_id {
        return SIGNED_OUT.to_owned();
    }
    if for_another {
        return format!("/sessions/{id}");
    }
    "/".to_owned()
}

fn request(person: &Person, id: &str, form: Form, for_another: bool) -> RevokeSessionRequest {
    // Naming the tenant asks for the role. Without it a person acts for themselves, whose texts the
    // authority refuses.
    let tenant_id = if for_another {
        person.tenant.clone()
    } else {
        String::new()
    };
    RevokeSessionRequest {
        tenant_id,
        session_id: id.to_owned(),
        reason: form.reason.unwrap_or_default(),
        user_message: form.user_message,
        wait: Wait::Enforced.into(),
        ..Default::default()
    }
}
