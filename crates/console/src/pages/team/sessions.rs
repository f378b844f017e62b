//! The sessions of the team: found, sorted, and chosen to be ended.

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
    listing::{ListPlace, Listing, Pager},
    matching,
    rows::{SessionRow, session_state_id},
    search::{ANY_STATE, SessionSearch, WrongFields},
    searching::{Column, SearchForm},
};
use crate::{
    describe,
    forms::Submitted,
    page::{Frame, Page},
    person::Person,
    problem::Problem,
    state::State,
};

fn place() -> ListPlace {
    ListPlace {
        page: "sessions".to_owned(),
        path: address::SESSIONS.to_owned(),
    }
}

#[derive(Template)]
#[template(path = "team/sessions.html")]
struct SessionsPage {
    page: Frame,
    team: TeamFrame,
    notice: String,
    search: SearchForm,
    caption: String,
    columns: Vec<Column>,
    sessions: Vec<SessionRow>,
    shows_users: bool,
    /// Empty: the list is not of one user.
    of_user: String,
    all_selected: bool,
    /// The page that ends all that match. None: not all of them can be ended.
    matching_address: Option<String>,
    pager: Pager,
}

/// `GET /team/sessions`
pub(super) async fn show(
    Shared(state): Shared<State>,
    person: Person,
    Query(asked): Query<Sealed>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    match place().open::<SessionSearch>(&desk, &asked.q) {
        Some(listing) => page(&desk, listing).await,
        None => gone::page(&desk, Tab::Sessions, address::SESSIONS),
    }
}

/// `POST /team/sessions`: a search. Its answer is an address that has the search sealed.
pub(super) async fn search(
    Shared(state): Shared<State>,
    person: Person,
    Submitted(search): Submitted<SessionSearch>,
) -> Result<Page, Problem> {
    let desk = Desk::new(&state, &person);
    let listing = Listing::of(search);
    // A text that is too long would make an address that is too long. The page names the field.
    if !listing.search.fits() {
        return page(&desk, listing).await;
    }
    Page::see_other(&place().address(&desk, &listing)?)
}

async fn page(desk: &Desk<'_>, mut listing: Listing<SessionSearch>) -> Result<Page, Problem> {
    let found = find_sessions(desk, &mut listing).await?;
    let search = &listing.search;
    // Without a valid search nothing was found, and a button for all of it would be about something
    // else.
    let may_end_all = found.wrong.is_empty() && search.can_end_all();
    let sessions = found.listed.sessions.iter();
    let page = SessionsPage {
        page: desk.frame(),
        team: desk.team(Tab::Sessions),
        notice: found.notice,
        search: form(desk, search, &found.wrong),
        caption: caption(desk, search),
        columns: columns(desk, &listing)?,
        sessions: sessions
            .map(|session| SessionRow::of(desk, session))
            .collect(),
        shows_users: true,
        of_user: String::new(),
        all_selected: listing.is_all_selected,
        matching_address: match may_end_all {
            true => Some(matching::address(desk, search)?),
            false => None,
        },
        pager: place().pager(desk, &listing, &found.listed.next_page_token)?,
    };
    render_form(&page, &found.wrong)
}

async fn find_sessions(
    desk: &Desk<'_>,
    listing: &mut Listing<SessionSearch>,
) -> Result<Found<v1::ListSessionsResponse>, Problem> {
    // Whoever has no role gets their own sessions from the authority. Here they would look like the team's.
    if !desk.person.roles.reads() {
        return Err(Problem::denied());
    }
    let request = match listing.search.request(&desk.zone()) {
        Ok(request) => request,
        Err(wrong) => return Ok(Found::wrong(wrong)),
    };
    find(desk, listing, |page_token| {
        list(
            desk,
            v1::ListSessionsRequest {
                tenant_id: desk.tenant(),
                page_token,
                ..request.clone()
            },
        )
    })
    .await
}

/// A page of sessions, as the authority lists them.
pub(super) async fn list(
    desk: &Desk<'_>,
    request: v1::ListSessionsRequest,
) -> Result<v1::ListSessionsResponse, Status> {
    let mut sessions = desk.person.authority.sessions();
    Ok(sessions.list_sessions(request).await?.into_inner())
}

fn form(desk: &Desk<'_>, search: &SessionSearch, wrong: &WrongFields) -> SearchForm {
    let words = desk.words();
    let network_hint = words.text("team-field-network-hint");
    let country_hint = words.text("team-field-country-code-hint");
    let mut fields = vec![
        Field::text(words, "user_name", &search.user_name),
        Field::text(words, "person_name", &search.person_name),
        Field::text(words, "email", &search.email),
        Field::text(words, "network", &search.network).hinted(network_hint),
        Field::text(words, "country_code", &search.country_code).hinted(country_hint),
        Field::choice(words, "device_type", search.device_type, device_types(desk)),
        Field::choice(words, "state", search.state, states(desk)),
        Field::choice(words, "end_cause", search.end_cause, causes(desk)),
        Field::time(words, "started_after", &search.started_after),
        Field::time(words, "started_before", &search.started_before),
        Field::day(words, "last_active_after", &search.last_active_after),
        Field::day(words, "last_active_before", &search.last_active_before),
    ];
    mark_wrong(words, &mut fields, wrong);
    SearchForm {
        action: address::SESSIONS,
        title: words.text("team-find-sessions"),
        fields,
        order: search.order,
        is_wrong: !wrong.is_empty(),
    }
}

fn device_types(desk: &Desk<'_>) -> Vec<(i32, String)> {
    let mut types = vec![(0, desk.words().text("team-any"))];
    // The contract numbers its kinds without gaps, so the first unknown number is the end.
    for number in 1.. {
        let Ok(device) = v1::DeviceType::try_from(number) else {
            break;
        };
        let word = describe::device_type_word(device);
        types.push((number, desk.words().text(word)));
    }
    types
}

fn states(desk: &Desk<'_>) -> Vec<(i32, String)> {
    let words = desk.words();
    let mut states = vec![
        (0, words.text("team-session-active")),
        (ANY_STATE, words.text("team-session-any")),
    ];
    for state in [
        v1::SessionState::Expired,
        v1::SessionState::SignedOut,
        v1::SessionState::Revoked,
    ] {
        states.push((state.into(), words.text(session_state_id(state))));
    }
    states
}

fn causes(desk: &Desk<'_>) -> Vec<(i32, String)> {
    let mut causes = vec![(0, desk.words().text("team-any"))];
    for number in 1.. {
        let Ok(cause) = v1::SessionEndCause::try_from(number) else {
            break;
        };
        let word = describe::cause_word(cause);
        causes.push((number, desk.words().text(word)));
    }
    causes
}

/// The columns of the table. The list is sorted by the time of the sign-in or by the user, as the contract has it.
fn columns(desk: &Desk<'_>, listing: &Listing<SessionSearch>) -> Result<Vec<Column>, Problem> {
    let words = desk.words();
    let by_user = is_by_user(&listing.search);
    let address = |order: v1::SessionOrder| {
        let search = SessionSearch {
            order: order.into(),
            ..listing.search.clone()
        };
        place().address(desk, &Listing::of(search))
    };
    let user = address(v1::SessionOrder::User)?;
    let signed_in = address(v1::SessionOrder::Start)?;
    Ok(vec![
        Column::sorted(words.text("team-column-user"), user, "ascending", by_user),
        Column::plain(words.text("team-column-device")),
        Column::plain(words.text("team-column-place")),
        Column::plain(words.text("team-column-address")),
        Column::sorted(
            words.text("team-column-signed-in"),
            signed_in,
            "descending",
            !by_user,
        ),
        Column::plain(words.text("team-column-last-active")),
        Column::plain(words.text("team-column-state")),
    ])
}

fn caption(desk: &Desk<'_>, search: &SessionSearch) -> String {
    let id = if is_by_user(search) {
        "team-order-user"
    } else {
        "team-order-start"
    };
    let order = desk.words().text(id);
    desk.words()
        .with("team-sessions-caption", [("order", order)])
}

fn is_by_user(search: &SessionSearch) -> bool {
    search.order == i32::from(v1::SessionOrder::User)
}
