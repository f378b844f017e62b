//! The page for a person whose session has ended: by whom in general terms, why, and the next step.

use askama::Template;
use axum::extract::{Query, State as Shared};
use portcullis_contract::v1::{IntrospectTokenRequest, Session, SessionEndCause, SessionState};

use super::Told;
use crate::{
    describe,
    done::Done,
    form_key::NOBODY,
    page::{Frame, Page},
    person::Visitor,
    problem::Problem,
    reader::Reader,
    state::State,
    times::Moment,
};

#[derive(Template)]
#[template(path = "mine/signed_out.html")]
struct SignedOutPage {
    page: Frame,
    done: Option<Done>,
    /// The session is alive: the page was opened by mistake.
    is_signed_in: bool,
    /// None: nothing is known about a session.
    end: Option<End>,
    sign_in: String,
    account: Option<String>,
}

struct End {
    why: String,
    advice: String,
    ended: Option<Moment>,
    /// The text meant for the person.
    message: String,
    /// Somebody may have a copy of the session.
    is_grave: bool,
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    reader: Reader,
    visitor: Result<Visitor, Problem>,
    Query(told): Query<Told>,
) -> Result<Page, Problem> {
    // Somebody without a cookie is signed out too, and gets the page without its details.
    let session = match &visitor {
        Ok(visitor) => known_session(visitor).await?,
        // Nobody knows yet whether the session has ended.
        Err(problem) if problem.is_away() => return Err(problem.clone()),
        Err(_) => None,
    };
    // A bookmark or the back button may lead here with a good session.
    let is_signed_in = session
        .as_ref()
        .is_some_and(|session| session.state() == SessionState::Active);
    let end = session
        .filter(|_| !is_signed_in)
        .map(|session| end_of(&reader, &session));
    Page::render(&SignedOutPage {
        // Opened without a person, because there may be none any more. So an outcome may not depend
        // on one.
        done: told
            .done
            .and_then(|sealed| state.form_key.open(NOBODY, &sealed)),
        is_signed_in,
        end,
        sign_in: state.sign_in_location("/"),
        account: state.config.session.account_url.clone(),
        page: Frame::of_reader(&state, reader),
    })
}

/// The session of the visitor's token, as the authority tells it to its holder.
async fn known_session(visitor: &Visitor) -> Result<Option<Session>, Problem> {
    let request = IntrospectTokenRequest::default();
    let mut sessions = visitor.authority.sessions();
    match sessions.introspect_token(request).await {
        Ok(answer) => Ok(answer.into_inner().session),
        // The token ended so long ago that the authority tells its holder nothing.
        Err(status) if status.code() == tonic::Code::Unauthenticated => Ok(None),
        Err(status) => Err(status.into()),
    }
}

fn end_of(reader: &Reader, session: &Session) -> End {
    let words = reader.words;
    let end = session.end.clone().unwrap_or_default();
    let cause = end.cause();
    End {
        why: describe::end_text(words, session),
        advice: words.text(advice_word(cause)),
        ended: Moment::of(end.time.or(session.expire_time)),
        is_grave: cause == SessionEndCause::RefreshTokenReused,
        message: end.user_message,
    }
}

/// The advice after a session ended in this way.
fn advice_word(cause: SessionEndCause) -> &'static str {
    match cause {
        SessionEndCause::RefreshTokenReused => "mine-next-copied",
        SessionEndCause::UserDisabled => "mine-next-disabled",
        SessionEndCause::AnotherDevice => "mine-next-another-device",
        SessionEndCause::Administrator => "mine-next-administrator",
        _ => "mine-next-sign-in",
    }
}
