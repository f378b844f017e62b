//! Force sign-out: ends all sessions of users, and disables them on request.

use askama::Template;
use axum::extract::{Path, Query, State as Shared};
use portcullis_contract::v1;
use serde::{Deserialize, Serialize};
use tonic::Code;

use super::{
    Sealed, address,
    confirm::{Question, Told, distinct},
    desk::{Desk, NamedUser, Tab, TeamFrame, correctable_fields, render_form},
    outcome::{Outcome, tell},
    search::WrongFields,
    users,
};
use crate::{
    forms::Submitted,
    page::{Frame, Page},
    person::Person,
    problem::Problem,
    receipts,
    state::State,
};

pub(super) const PATH: &str = "/team/force-sign-out";
/// The question, when it came by a form.
pub(super) const PREVIEW: &str = "/team/force-sign-out/preview";

/// Users that the page names. The ids of the others are enough.
const NAMED_MAX: usize = 20;

/// Which users shall be signed out, and the words for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ForceForm {
    /// Ids, of the boxes that were ticked.
    user: Vec<String>,
    /// Ids, one a line.
    user_ids: String,
    /// Not empty: also disables.
    disable: String,
    reason: String,
    user_message: String,
}

impl ForceForm {
    fn of_user(user_id: &str, disable: bool) -> Self {
        Self {
            user: vec![user_id.to_owned()],
            disable: if disable {
                "true".to_owned()
            } else {
                String::new()
            },
            ..Self::default()
        }
    }

    fn users(&self) -> Vec<String> {
        let lines = self.user_ids.lines().map(str::to_owned);
        distinct(self.user.iter().cloned().chain(lines))
    }

    fn disables(&self) -> bool {
        !self.disable.is_empty()
    }

    fn request(&self, desk: &Desk<'_>) -> v1::ForceSignOutRequest {
        v1::ForceSignOutRequest {
            tenant_id: desk.tenant(),
            user_ids: self.users(),
            reason: self.reason.trim().to_owned(),
            user_message: self.user_message.trim().to_owned(),
            disable: self.disables(),
            ..Default::default()
        }
    }
}

#[derive(Template)]
#[template(path = "team/force.html")]
struct ForcePage {
    page: Frame,
    team: TeamFrame,
    user_ids: String,
    disable: bool,
    /// Empty: nothing is wrong.
    error: String,
}

/// `GET /team/force-sign-out`: asks for ids of users.
pub(super) async fn show(Shared(state): Shared<State>, person: Person) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    // This page calls nothing that the authority could refuse, so it looks at the role itself.
    if !person.roles.administers() {
        return Err(Problem::denied());
    }
    ask_users(&desk, &ForceForm::default(), &Vec::new())
}

/// `POST /team/force-sign-out/preview`: leads to the preview. For very many users the preview is the answer itself.
pub(super) async fn preview(
    Shared(state): Shared<State>,
    person: Person,
    Submitted(form): Submitted<ForceForm>,
) -> Result<Page, Problem> {
    if let Some(address) = person.question_address(PREVIEW, &form)? {
        return Page::see_other(&address);
    }
    let desk = Desk::new(&state, &person);
    confirm(&desk, &form, Vec::new()).await
}

/// `GET /team/force-sign-out/preview`: shows the preview.
pub(super) async fn show_preview(
    Shared(state): Shared<State>,
    person: Person,
    Query(asked): Query<Sealed>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    match person.open_question::<ForceForm>(PREVIEW, &asked.q) {
        Some(form) => confirm(&desk, &form, Vec::new()).await,
        // The session ended in the middle of the form, and the way back from the sign-in leads here.
        None => Page::see_other(PATH),
    }
}

/// `GET /team/users/{id}/force-sign-out`: shows the preview for one user.
pub(super) async fn preview_user(
    Shared(state): Shared<State>,
    person: Person,
    Path(segment): Path<String>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    let form = ForceForm::of_user(address::user_id(&segment), false);
    confirm(&desk, &form, Vec::new()).await
}

/// `GET /team/users/{id}/disable`: the same, with the choice to disable made.
pub(super) async fn preview_disable(
    Shared(state): Shared<State>,
    person: Person,
    Path(segment): Path<String>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    let form = ForceForm::of_user(address::user_id(&segment), true);
    confirm(&desk, &form, Vec::new()).await
}

/// `POST /team/force-sign-out`
pub(super) async fn perform(
    Shared(state): Shared<State>,
    person: Person,
    Submitted(form): Submitted<ForceForm>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    let request = receipts::waiting(v1::ForceSignOutRequest {
        wait: v1::Wait::Enforced.into(),
        ..form.request(&desk)
    });
    match person.authority.users().force_sign_out(request).await {
        Ok(answer) => tell(&desk, &outcome(&desk, &form, answer.into_inner())),
        // The question comes again with everything that was typed.
        Err(status) => confirm(&desk, &form, correctable_fields(status)?).await,
    }
}

fn outcome(desk: &Desk<'_>, form: &ForceForm, answer: v1::ForceSignOutResponse) -> Outcome {
    let users = form.users();
    // The call is all or none, so every user of the form is disabled now.
    let disabled = if form.disables() { users.len() } else { 0 };
    let is_own = users.iter().any(|user| desk.is_own(user));
    let mut outcome = Outcome::ended(answer.sessions_ended, answer.sessions_ended_capped)
        .receipt(answer.enforcement.as_ref())
        .disabled(disabled)
        .unknown(answer.unknown_user_ids)
        .own(is_own);
    if let [user] = users.as_slice() {
        outcome = outcome.about(user);
    }
    outcome
}

async fn confirm(desk: &Desk<'_>, form: &ForceForm, wrong: WrongFields) -> Result<Page, Problem> {
    let users = form.users();
    // Not before the call: the authority decides who may know what would end, and what is wrong with the ids.
    let request = v1::ForceSignOutRequest {
        validate_only: true,
        ..form.request(desk)
    };
    let preview = match desk.person.authority.users().force_sign_out(request).await {
        Ok(answer) => answer.into_inner().preview.unwrap_or_default(),
        Err(status) => return ask_users(desk, form, &correctable_fields(status)?),
    };

    let named = named_users(desk, &users).await?;
    let mut question = ask_about(desk, form, &users, named);
    question.preview = Some(preview);
    question.wrong = wrong;
    question.ask(desk)
}

/// The question about the sign-out of these users.
fn ask_about(
    desk: &Desk<'_>,
    form: &ForceForm,
    users: &[String],
    named: Vec<NamedUser>,
) -> Question {
    let is_own = users.iter().any(|user| desk.is_own(user));
    let mut question = Question::new(desk, Tab::Force, title(desk, &named), "team-force-what");
    question.warnings = warnings(desk, is_own);
    question.users = named;
    question.action = PATH.to_owned();
    question.hidden = users.iter().map(|user| ("user", user.clone())).collect();
    question.told = Told::new(&form.reason, &form.user_message);
    // The authority refuses to disable its caller. The page does not offer it.
    question.disable = (!is_own).then(|| form.disables());
    question.confirm = desk.words().text("team-force-confirm");
    question.back = match users {
        [user] => address::user(user),
        _ => address::USERS.to_owned(),
    };
    question
}

fn warnings(desk: &Desk<'_>, is_own: bool) -> Vec<String> {
    let words = desk.words();
    let mut warnings = vec![words.text("team-preview-later")];
    if is_own {
        warnings.push(words.text("team-force-own"));
        warnings.push(words.text("team-force-own-disable"));
    }
    warnings
}

fn title(desk: &Desk<'_>, users: &[NamedUser]) -> String {
    match users {
        [user] => desk.words().with("team-force-one", [("name", &user.name)]),
        users => desk
            .words()
            .with("team-force-many", [("count", users.len())]),
    }
}

/// The users with their names. Of very many only the first ones are looked up.
async fn named_users(desk: &Desk<'_>, users: &[String]) -> Result<Vec<NamedUser>, Problem> {
    let (looked_up, others) = users.split_at(users.len().min(NAMED_MAX));
    let mut named = Vec::new();
    // One after the other: the authority bounds the calls that a person makes at a time.
    for user in looked_up {
        named.push(named_user(desk, user).await?);
    }
    for user in others {
        named.push(NamedUser::of(user, user.clone(), false));
    }
    Ok(named)
}

async fn named_user(desk: &Desk<'_>, user_id: &str) -> Result<NamedUser, Problem> {
    let request = v1::GetUserRequest {
        tenant_id: desk.tenant(),
        user_id: user_id.to_owned(),
    };
    match desk.person.authority.users().get_user(request).await {
        Ok(answer) => {
            let user = answer.into_inner().user.unwrap_or_default();
            Ok(NamedUser::of(user_id, users::full_label(&user), false))
        }
        // A sign-in that is under way may be theirs, so they can be signed out all the same.
        Err(status) if status.code() == Code::NotFound => {
            Ok(NamedUser::of(user_id, user_id.to_owned(), true))
        }
        Err(status) => Err(status.into()),
    }
}

fn ask_users(desk: &Desk<'_>, form: &ForceForm, wrong: &WrongFields) -> Result<Page, Problem> {
    let error = if wrong.is_empty() {
        String::new()
    } else {
        desk.words().text("team-wrong-users")
    };
    let page = ForcePage {
        page: desk.frame(),
        team: desk.team(Tab::Force),
        user_ids: form.users().join("\n"),
        disable: form.disables(),
        error,
    };
    render_form(&page, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_boxes_and_lines_once_each() {
        let form = ForceForm {
            user: vec!["ada".into(), "bob".into(), "ada".into()],
            user_ids: " eve \r\n\r\nbob\nad a\n".into(),
            ..ForceForm::default()
        };
        assert_eq!(form.users(), ["ada", "bob", "eve", "ad a"]);
    }
}
