//! The outcome of a change, told on the page after it.
//!
//! It travels sealed in the address of that page, so that reading the page again repeats nothing, and nobody can make a
//! link that claims a sign-out that was none.

use askama::Template;
use axum::extract::{Query, State as Shared};
use portcullis_contract::v1;
use serde::{Deserialize, Serialize};

use super::{
    Sealed, address,
    desk::{Desk, NamedUser, Tab, TeamFrame},
    gone,
    listing::Total,
    matching, role_form,
    search::SessionSearch,
};
use crate::{
    done::{Done, Receipt},
    page::{Frame, Page},
    person::Person,
    problem::Problem,
    state::State,
};

const PATH: &str = "/team/done";
/// The name to which outcomes are sealed.
const PAGE: &str = "done";
/// Ids of unknown users that the page names. An id has at most 128 bytes, and all of them are in the address.
const UNKNOWN_MAX: usize = 16;

/// The outcome of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Outcome {
    /// Sessions that were ended. None: the change is about something else.
    ended: Option<Total>,
    /// Users that are disabled now.
    disabled: usize,
    is_enabled: bool,
    /// The roles that a user has now.
    roles: Option<Vec<i32>>,
    /// Users who have never signed in, and how many of them are not named.
    unknown: Vec<String>,
    unknown_more: usize,
    /// The search of which more sessions match.
    more: Option<SessionSearch>,
    receipt: Option<Receipt>,
    /// The user whom the change is about, if it is one.
    user_id: String,
    /// Whether the change came from the list of sessions.
    of_sessions: bool,
    /// Whether the reader's own session was ended.
    is_own: bool,
}

impl Outcome {
    /// Sessions were ended.
    pub(super) fn ended(count: u32, is_capped: bool) -> Self {
        Self {
            ended: Some(Total { count, is_capped }),
            ..Self::default()
        }
    }

    /// A user may sign in again.
    pub(super) fn enabled() -> Self {
        Self {
            is_enabled: true,
            ..Self::default()
        }
    }

    /// A user has these roles.
    pub(super) fn roles(roles: Vec<i32>) -> Self {
        Self {
            roles: Some(roles),
            ..Self::default()
        }
    }

    pub(super) fn receipt(mut self, enforcement: Option<&v1::Enforcement>) -> Self {
        // By way of `Done`, the only place where an enforcement becomes a receipt.
        let done = Done::new("team-done").enforcement(enforcement);
        self.receipt = done.receipt().cloned();
        self
    }

    pub(super) fn disabled(self, disabled: usize) -> Self {
        Self { disabled, ..self }
    }

    pub(super) fn unknown(mut self, mut ids: Vec<String>) -> Self {
        self.unknown_more = ids.len().saturating_sub(UNKNOWN_MAX);
        ids.truncate(UNKNOWN_MAX);
        self.unknown = ids;
        self
    }

    pub(super) fn more(self, more: Option<SessionSearch>) -> Self {
        Self { more, ..self }
    }

    pub(super) fn about(mut self, user_id: &str) -> Self {
        user_id.clone_into(&mut self.user_id);
        self
    }

    pub(super) fn of_sessions(self) -> Self {
        Self {
            of_sessions: true,
            ..self
        }
    }

    pub(super) fn own(self, is_own: bool) -> Self {
        Self { is_own, ..self }
    }

    fn sentences(&self, desk: &Desk<'_>) -> Vec<String> {
        let words = desk.words();
        let mut sentences = Vec::new();
        if let Some(Total { count, is_capped }) = self.ended {
            let id = if is_capped {
                "team-done-ended-capped"
            } else {
                "team-done-ended"
            };
            sentences.push(words.with(id, [("count", count)]));
        }
        if self.disabled > 0 {
            sentences.push(words.with("team-done-disabled", [("count", self.disabled)]));
        }
        if self.is_enabled {
            sentences.push(words.text("team-done-enabled"));
        }
        if let Some(names) = &self.roles {
            let names = role_form::names(desk, names);
            sentences.push(words.with("team-done-roles", [("roles", names)]));
        }
        sentences
    }
}

#[derive(Template)]
#[template(path = "team/outcome.html")]
struct OutcomePage {
    page: Frame,
    team: TeamFrame,
    sentences: Vec<String>,
    receipt: Option<ReceiptView>,
    unknown: Vec<NamedUser>,
    unknown_more: String,
    /// The page that ends the rest of a search.
    more_address: Option<String>,
    is_own: bool,
    back: String,
    back_label: String,
}

/// How far the gates had got.
struct ReceiptView {
    /// Where the page follows it. None: there is nothing left to follow.
    live: Option<String>,
    sentence: String,
}

/// `GET /team/done`
pub(super) async fn show(
    Shared(state): Shared<State>,
    person: Person,
    Query(asked): Query<Sealed>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    match desk.open::<Outcome>(PAGE, &asked.q) {
        Some(outcome) => page(&desk, &outcome),
        None => gone::page(&desk, Tab::Users, address::USERS),
    }
}

/// Leads to the page with the outcome of a change. People who ended their own session could not open it, so for them it
/// is the answer itself.
pub(super) fn tell(desk: &Desk<'_>, outcome: &Outcome) -> Result<Page, Problem> {
    if outcome.is_own {
        return page(desk, outcome);
    }
    let sealed = desk.close(PAGE, outcome)?;
    Page::see_other(&format!("{PATH}?q={sealed}"))
}

fn page(desk: &Desk<'_>, outcome: &Outcome) -> Result<Page, Problem> {
    let words = desk.words();
    let unknown = outcome.unknown.iter();
    let unknown_more = match outcome.unknown_more {
        0 => String::new(),
        more => words.with("team-done-unknown-more", [("count", more)]),
    };
    let more = outcome.more.as_ref();
    let more_address = more.map(|search| matching::address(desk, search));
    let (back, back_label) = way_back(outcome);
    Page::render(&OutcomePage {
        page: desk.frame(),
        team: desk.team(Tab::Users),
        sentences: outcome.sentences(desk),
        receipt: outcome.receipt.as_ref().map(|receipt| ReceiptView {
            live: receipt.live(),
            sentence: receipt.sentence(words),
        }),
        unknown: unknown
            .map(|id| NamedUser::of(id, id.clone(), true))
            .collect(),
        unknown_more,
        more_address: more_address.transpose()?,
        is_own: outcome.is_own,
        back,
        back_label: words.text(back_label),
    })
}

fn way_back(outcome: &Outcome) -> (String, &'static str) {
    // Their cookie is good no more, so the first page leads them to the sign-in.
    if outcome.is_own {
        return ("/".to_owned(), "team-done-sign-in");
    }
    if !outcome.user_id.is_empty() {
        return (address::user(&outcome.user_id), "team-back-user");
    }
    let list = if outcome.of_sessions {
        address::SESSIONS
    } else {
        address::USERS
    };
    (list.to_owned(), "team-back")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_an_outcome_has_a_bound() {
        let ids = (0..1_000).map(|number| format!("{number:0>128}"));
        let outcome = Outcome::ended(1_000, true).unknown(ids.collect());
        assert_eq!(
            (outcome.unknown.len(), outcome.unknown_more),
            (UNKNOWN_MAX, 984)
        );
        let text = serde_json::to_vec(&outcome).expect("JSON");
        assert!(text.len() < 4_096, "{} bytes", text.len());
    }
}
