//! The users of the team: found, sorted, and chosen to be signed out.

use askama::Template;
use axum::extract::{Query, State as Shared};
use portcullis_contract::v1;
use tonic::Status;

use super::{
    Sealed, address,
    controls::{Field, mark_wrong},
    desk::{Desk, Tab, TeamFrame, render_form},
    finding::{Found, find},
    gone,
    listing::{ListPlace, Listing, Pager, Total},
    role_form,
    rows::Time,
    search::{UserSearch, WrongFields},
    searching::{Column, SearchForm},
};
use crate::{
    forms::Submitted,
    page::{Frame, Page},
    person::{Person, full_name},
    problem::Problem,
    state::State,
    words::Value,
};

#[derive(Template)]
#[template(path = "team/users.html")]
struct UsersPage {
    page: Frame,
    team: TeamFrame,
    total: String,
    notice: String,
    search: SearchForm,
    caption: String,
    columns: Vec<Column>,
    users: Vec<UserRow>,
    shows_addresses: bool,
    all_selected: bool,
    pager: Pager,
}

/// A user in the table.
struct UserRow {
    id: String,
    address: String,
    user_name: String,
    person_name: String,
    signed_in: Option<Time>,
    sessions: String,
    last_active: Option<Time>,
    addresses: String,
    state: String,
    state_class: &'static str,
    roles: String,
    select_label: String,
    is_you: bool,
}

/// `GET /team`
pub(super) async fn show(
    Shared(state): Shared<State>,
    person: Person,
    Query(asked): Query<Sealed>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    match place().open::<UserSearch>(&desk, &asked.q) {
        Some(listing) => page(&desk, listing).await,
        None => gone::page(&desk, Tab::Users, address::USERS),
    }
}

/// `POST /team`: a search. Its answer is an address that has the search sealed.
pub(super) async fn search(
    Shared(state): Shared<State>,
    person: Person,
    Submitted(search): Submitted<UserSearch>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    let listing = Listing::of(search);
    // A text that is too long would make an address that is too long. The page names the field.
    if !listing.search.fits() {
        return page(&desk, listing).await;
    }
    Page::see_other(&place().address(&desk, &listing)?)
}

fn place() -> ListPlace {
    ListPlace {
        page: "users".to_owned(),
        path: address::USERS.to_owned(),
    }
}

async fn page(desk: &Desk<'_>, mut listing: Listing<UserSearch>) -> Result<Page, Problem> {
    let found = find_users(desk, &mut listing).await?;
    if listing.page_token.is_empty() && found.wrong.is_empty() {
        listing.total = Some(Total {
            count: found.listed.sessions,
            is_capped: found.listed.sessions_capped,
        });
    }

    let search = &listing.search;
    let shows_addresses = counts_addresses(search);
    let summaries = found.listed.users.iter();
    let page = UsersPage {
        page: desk.frame(),
        team: desk.team(Tab::Users),
        total: total(desk, listing.total),
        notice: found.notice,
        search: form(desk, search, &found.wrong),
        caption: caption(desk, search),
        columns: columns(desk, &listing, shows_addresses)?,
        users: summaries
            .filter_map(|summary| UserRow::of(desk, summary))
            .collect(),
        shows_addresses,
        all_selected: listing.is_all_selected,
        pager: place().pager(desk, &listing, &found.listed.next_page_token)?,
    };
    render_form(&page, &found.wrong)
}

async fn find_users(
    desk: &Desk<'_>,
    listing: &mut Listing<UserSearch>,
) -> Result<Found<v1::ListUsersResponse>, Problem> {
    let request = match listing.search.request(&desk.zone()) {
        Ok(request) => request,
        Err(wrong) => return Ok(Found::wrong(wrong)),
    };
    find(desk, listing, |page_token| {
        list(
            desk,
            v1::ListUsersRequest {
                tenant_id: desk.tenant(),
                page_token,
                ..request.clone()
            },
        )
    })
    .await
}

async fn list(
    desk: &Desk<'_>,
    request: v1::ListUsersRequest,
) -> Result<v1::ListUsersResponse, Status> {
    let mut users = desk.person.authority.users();
    Ok(users.list_users(request).await?.into_inner())
}

/// Whether the authority counts addresses in this list. In other lists the number would always be 0.
fn counts_addresses(search: &UserSearch) -> bool {
    let order = v1::UserOrder::try_from(search.order).unwrap_or_default();
    let by_use = matches!(order, v1::UserOrder::Sessions | v1::UserOrder::LastActive);
    by_use || !search.active_addresses_min.trim().is_empty()
}

fn total(desk: &Desk<'_>, total: Option<Total>) -> String {
    let Some(total) = total else {
        return String::new();
    };
    let id = if total.is_capped {
        "team-total-capped"
    } else {
        "team-total"
    };
    let values = [
        ("count", Value::from(total.count)),
        ("tenant", Value::from(desk.tenant())),
    ];
    desk.words().with(id, values)
}

fn form(desk: &Desk<'_>, search: &UserSearch, wrong: &WrongFields) -> SearchForm {
    let words = desk.words();
    let hint = words.text("team-field-active-addresses-min-hint");
    let shown = [("", "team-shown-signed-in"), ("all", "team-shown-all")];
    let mut fields = vec![
        Field::text(words, "user_name", &search.user_name),
        Field::text(words, "person_name", &search.person_name),
        Field::time(words, "signed_in_after", &search.signed_in_after),
        Field::time(words, "signed_in_before", &search.signed_in_before),
        Field::text(words, "active_addresses_min", &search.active_addresses_min).hinted(hint),
        Field::named_choice(words, "shown", &search.shown, &shown),
    ];
    mark_wrong(words, &mut fields, wrong);
    SearchForm {
        action: address::USERS,
        title: words.text("team-find-users"),
        fields,
        order: search.order,
        is_wrong: !wrong.is_empty(),
    }
}

/// The columns of the table with their orders, in the directions that the contract has.
fn columns(
    desk: &Desk<'_>,
    listing: &Listing<UserSearch>,
    shows_addresses: bool,
) -> Result<Vec<Column>, Problem> {
    use v1::UserOrder as Order;
    let words = desk.words();
    let chosen = chosen_order(&listing.search);
    let sorted = |id: &str, order: Order, direction| {
        let search = UserSearch {
            order: order.into(),
            ..listing.search.clone()
        };
        let address = place().address(desk, &Listing::of(search))?;
        let is_chosen = order == chosen;
        Ok::<_, Problem>(Column::sorted(
            words.text(id),
            address,
            direction,
            is_chosen,
        ))
    };
    let mut columns = vec![
        sorted("team-column-user-name", Order::UserName, "ascending")?,
        sorted("team-column-person-name", Order::PersonName, "ascending")?,
        sorted("team-column-sign-in", Order::SignIn, "descending")?,
        sorted("team-column-sessions", Order::Sessions, "descending")?,
        sorted("team-column-last-active", Order::LastActive, "descending")?,
    ];
    if shows_addresses {
        columns.push(Column::plain(words.text("team-column-addresses")));
    }
    columns.push(Column::plain(words.text("team-column-state")));
    columns.push(Column::plain(words.text("team-column-roles")));
    Ok(columns)
}

fn chosen_order(search: &UserSearch) -> v1::UserOrder {
    match v1::UserOrder::try_from(search.order) {
        Ok(v1::UserOrder::Unspecified) | Err(_) => v1::UserOrder::SignIn,
        Ok(order) => order,
    }
}

fn caption(desk: &Desk<'_>, search: &UserSearch) -> String {
    let id = match chosen_order(search) {
        v1::UserOrder::Unspecified | v1::UserOrder::SignIn => "team-order-sign-in",
        v1::UserOrder::UserName => "team-order-user-name",
        v1::UserOrder::PersonName => "team-order-person-name",
        v1::UserOrder::Sessions => "team-order-sessions",
        v1::UserOrder::LastActive => "team-order-last-active",
    };
    let order = desk.words().text(id);
    desk.words().with("team-users-caption", [("order", order)])
}

impl UserRow {
    fn of(desk: &Desk<'_>, summary: &v1::UserSummary) -> Option<Self> {
        let user = summary.user.as_ref()?;
        let name = shown_name(user);
        let (state, state_class) = state(desk, user, summary);
        Some(Self {
            address: address::user(&user.id),
            person_name: last_and_first_name(user),
            signed_in: Time::of(desk, summary.sign_in_time),
            sessions: sessions(desk, summary),
            last_active: Time::of(desk, summary.last_active_time),
            addresses: desk.words().number(summary.active_addresses),
            roles: role_form::names(desk, &user.roles),
            select_label: desk.words().with("team-select-user", [("name", &name)]),
            is_you: user.id == desk.person.user_id,
            id: user.id.clone(),
            user_name: name,
            state,
            state_class,
        })
    }
}

/// The sign-in name, or else the user's id.
pub(super) fn shown_name(user: &v1::User) -> String {
    if user.user_name.is_empty() {
        user.id.clone()
    } else {
        user.user_name.clone()
    }
}

/// The name of a person with their sign-in name or id, which a name alone does not tell apart.
pub(super) fn full_label(user: &v1::User) -> String {
    let name = full_name(user);
    let sign_in_name = shown_name(user);
    if name.is_empty() || name == sign_in_name {
        return sign_in_name;
    }
    format!("{name} ({sign_in_name})")
}

/// The family name first, as the column and its order have it.
pub(super) fn last_and_first_name(user: &v1::User) -> String {
    let names = [user.family_name.as_str(), user.given_name.as_str()];
    let mut given = Vec::new();
    for name in names {
        if !name.is_empty() {
            given.push(name);
        }
    }
    given.join(", ")
}

fn sessions(desk: &Desk<'_>, summary: &v1::UserSummary) -> String {
    let number = desk.words().number(summary.sessions);
    if summary.sessions_capped {
        return desk
            .words()
            .with("team-more", [("count", summary.sessions)]);
    }
    number
}

fn state(desk: &Desk<'_>, user: &v1::User, summary: &v1::UserSummary) -> (String, &'static str) {
    let (id, class) = match summary.status() {
        // Before any use: disabling ends all sessions, so nothing else about the user matters more.
        _ if user.disable_time.is_some() => ("team-state-disabled", "danger"),
        v1::ActivityStatus::ActiveNow => ("team-state-active-now", "good"),
        v1::ActivityStatus::Idle => ("team-state-idle", ""),
        v1::ActivityStatus::Unspecified => ("team-state-signed-out", ""),
    };
    (desk.words().text(id), class)
}
