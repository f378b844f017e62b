//! One user: profile, state, sessions and roles.

use askama::Template;
use axum::extract::{Path, Query, State as Shared};
use portcullis_contract::v1;
use serde::{Deserialize, Serialize};

use super::{
    Sealed, address,
    confirm::reason_field,
    controls::{Choice, Field, mark_wrong},
    desk::{Desk, Tab, TeamFrame, render_form},
    finding::{Found, find},
    gone,
    listing::{ListPlace, Listing, Pager},
    role_form::{self, RolesForm},
    rows::{SessionRow, Time},
    search::WrongFields,
    searching::Column,
    sessions, users,
};
use crate::{
    page::{Frame, Page},
    person::Person,
    problem::Problem,
    state::State,
};

/// Which sessions of the user are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Shown {
    /// Ended sessions too.
    ended: bool,
}

/// The form of the roles, as it is shown again.
pub(super) enum RolesShown {
    /// As they are.
    Now,
    /// As they are, after somebody else has changed them.
    Changed,
    /// As they were chosen, without a valid reason.
    WithoutReason(RolesForm),
}

#[derive(Template)]
#[template(path = "team/user.html")]
struct UserPage {
    page: Frame,
    team: TeamFrame,
    user: UserView,
    notice: String,
    caption: String,
    columns: Vec<Column>,
    sessions: Vec<SessionRow>,
    shows_users: bool,
    of_user: String,
    all_selected: bool,
    pager: Pager,
    /// The list with ended sessions, or without.
    ended_address: String,
    ended_label: String,
    roles: Vec<Choice>,
    /// The roles that the form shows, to find out about a change meanwhile.
    roles_shown: Vec<i32>,
    roles_notice: String,
    reason: Field,
}

/// The user, as the page shows them.
struct UserView {
    id: String,
    address: String,
    name: String,
    user_name: String,
    person_name: String,
    email: String,
    roles: String,
    created: Option<Time>,
    /// Empty: not disabled.
    disabled: String,
    is_you: bool,
}

/// `GET /team/users/{id}`
pub(super) async fn show(
    Shared(state): Shared<State>,
    person: Person,
    Path(segment): Path<String>,
    Query(asked): Query<Sealed>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    let user_id = address::user_id(&segment);
    match place(user_id).open::<Shown>(&desk, &asked.q) {
        Some(listing) => page(&desk, user_id, listing, RolesShown::Now).await,
        None => gone::page(&desk, Tab::Users, address::USERS),
    }
}

/// `GET /team/users/{id}/roles`: the form stands on the user's page.
pub(super) async fn to_user(Path(segment): Path<String>) -> Result<Page, Problem> {
    Page::see_other(&address::user(address::user_id(&segment)))
}

/// The page again, after a form of roles that changed nothing.
pub(super) async fn show_again(
    desk: &Desk<'_>,
    user_id: &str,
    roles: RolesShown,
) -> Result<Page, Problem> {
    page(desk, user_id, Listing::default(), roles).await
}

/// The user, as the authority knows them.
pub(super) async fn get(desk: &Desk<'_>, user_id: &str) -> Result<v1::User, Problem> {
    let request = v1::GetUserRequest {
        tenant_id: desk.tenant(),
        user_id: user_id.to_owned(),
    };
    let answer = desk.person.authority.users().get_user(request).await?;
    answer.into_inner().user.ok_or(Problem::not_found())
}

fn place(user_id: &str) -> ListPlace {
    let path = address::user(user_id);
    ListPlace {
        // A page of one user's sessions must not open as a page of another's.
        page: path.clone(),
        path,
    }
}

async fn page(
    desk: &Desk<'_>,
    user_id: &str,
    mut listing: Listing<Shown>,
    shown: RolesShown,
) -> Result<Page, Problem> {
    // The user first: an empty list of sessions does not tell an unknown user from one who is
    // signed out.
    let user = get(desk, user_id).await?;
    let found = find_sessions(desk, user_id, &mut listing).await?;

    let words = desk.words();
    let place = place(user_id);
    let view = UserView::of(desk, &user);
    let other = Listing::of(Shown {
        ended: !listing.search.ended,
    });
    let ended_label = if listing.search.ended {
        "team-user-hide-ended"
    } else {
        "team-user-show-ended"
    };
    let wrong = shown.wrong();
    let rows = found.listed.sessions.iter();
    let page = UserPage {
        page: desk.frame(),
        team: desk.team(Tab::Users),
        notice: found.notice,
        caption: words.with("team-sessions-of", [("name", &view.name)]),
        columns: columns(desk),
        sessions: rows.map(|session| SessionRow::of(desk, session)).collect(),
        shows_users: false,
        of_user: user.id.clone(),
        all_selected: listing.is_all_selected,
        pager: place.pager(desk, &listing, &found.listed.next_page_token)?,
        ended_address: place.address(desk, &other)?,
        ended_label: words.text(ended_label),
        roles: shown.choices(desk, &user),
        // The roles of this very read. The form sends them back, so a change by somebody else is
        // noticed.
        roles_shown: user.roles.clone(),
        roles_notice: shown.notice(desk),
        reason: shown.reason(desk, &wrong),
        user: view,
    };
    render_form(&page, &wrong)
}

async fn find_sessions(
    desk: &Desk<'_>,
    user_id: &str,
    listing: &mut Listing<Shown>,
) -> Result<Found<v1::ListSessionsResponse>, Problem> {
    let show_ended = listing.search.ended;
    find(desk, listing, |page_token| {
        sessions::list(
            desk,
            v1::ListSessionsRequest {
                tenant_id: desk.tenant(),
                user_id: user_id.to_owned(),
                show_ended,
                order: v1::SessionOrder::Start.into(),
                page_token,
                ..Default::default()
            },
        )
    })
    .await
}

fn columns(desk: &Desk<'_>) -> Vec<Column> {
    let ids = [
        "team-column-device",
        "team-column-place",
        "team-column-address",
        "team-column-signed-in",
        "team-column-last-active",
        "team-column-state",
    ];
    ids.map(|id| Column::plain(desk.words().text(id))).into()
}

impl UserView {
    fn of(desk: &Desk<'_>, user: &v1::User) -> Self {
        let disabled = Time::of(desk, user.disable_time);
        let disabled = disabled.map(|time| {
            desk.words()
                .with("team-user-disabled", [("time", time.full)])
        });
        Self {
            id: user.id.clone(),
            address: address::user(&user.id),
            name: users::full_label(user),
            user_name: user.user_name.clone(),
            person_name: users::last_and_first_name(user),
            email: user.email.clone(),
            roles: role_form::names(desk, &user.roles),
            created: Time::of(desk, user.create_time),
            disabled: disabled.unwrap_or_default(),
            is_you: desk.is_own(&user.id),
        }
    }
}

impl RolesShown {
    fn wrong(&self) -> WrongFields {
        match self {
            Self::Now => Vec::new(),
            Self::Changed => vec!["role".to_owned()],
            Self::WithoutReason(_) => vec!["reason".to_owned()],
        }
    }

    fn notice(&self, desk: &Desk<'_>) -> String {
        match self {
            Self::Changed => desk.words().text("team-roles-changed"),
            Self::Now | Self::WithoutReason(_) => String::new(),
        }
    }

    fn reason(&self, desk: &Desk<'_>, wrong: &WrongFields) -> Field {
        let reason = match self {
            Self::WithoutReason(form) => &form.reason,
            Self::Now | Self::Changed => "",
        };
        let mut field = reason_field(desk, reason);
        mark_wrong(desk.words(), std::slice::from_mut(&mut field), wrong);
        field
    }

    fn choices(&self, desk: &Desk<'_>, user: &v1::User) -> Vec<Choice> {
        let mut choices = Vec::new();
        for role in role_form::ALL {
            let is_selected = match self {
                Self::WithoutReason(form) => form.has(role),
                Self::Now | Self::Changed => user.roles.contains(&role.into()),
            };
            choices.push(Choice {
                value: i32::from(role).to_string(),
                label: role_form::name(desk, role),
                is_selected,
            });
        }
        choices
    }
}
