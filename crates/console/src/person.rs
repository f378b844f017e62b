//! The person whose page it is.

use axum::extract::FromRequestParts;
use http::{Method, request::Parts};
use portcullis_contract::v1::{GetUserRequest, User, UserRole};
use serde::{Serialize, de::DeserializeOwned};
use tonic::Code;

use crate::{
    admission::Admission,
    authority::Authority,
    done::Done,
    form_key::NOBODY,
    page::{Frame, Room},
    problem::Problem,
    reader::Reader,
    seal::Context,
    state::State,
    times::Times,
    words::Words,
};

/// The page of a browser whose session has ended.
pub(crate) const SIGNED_OUT: &str = "/signed-out";
/// The longest sealed question in an address, in bytes. Servers and browsers take addresses of twice this length.
const QUESTION_BYTES_MAX: usize = 4_096;

/// The roles of a person in their tenant. They decide which links a page has; the authority decides about the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    is_support: bool,
    is_admin: bool,
}

impl Roles {
    fn of(user: &User) -> Self {
        Self {
            is_support: user.roles().any(|role| role == UserRole::Support),
            is_admin: user.roles().any(|role| role == UserRole::Admin),
        }
    }

    /// Whether the person may read the sessions, users and settings of the tenant.
    pub(crate) fn reads(self) -> bool {
        self.is_support || self.is_admin
    }

    /// Whether the person may also end sessions and change settings.
    pub(crate) fn administers(self) -> bool {
        self.is_admin
    }
}

/// A person with a good session.
pub(crate) struct Person {
    pub(crate) tenant: String,
    pub(crate) user_id: String,
    pub(crate) session_id: String,
    pub(crate) roles: Roles,
    pub(crate) words: Words,
    pub(crate) times: Times,
    /// The authority, called with the person's own token.
    pub(crate) authority: Authority,
    /// The person's profile, for staff. The authority does not show it to others.
    pub(crate) profile: Option<User>,
    reader: Reader,
    state: State,
}

impl Person {
    /// The parts of every page: words, times, navigation.
    pub(crate) fn frame(&self, room: Room) -> Frame {
        Frame {
            rooms: Room::links(self.words, self.roles.reads(), room),
            name: self.display_name(),
            form_token: self.form_token(),
            ..Frame::of_reader(&self.state, self.reader.clone())
        }
    }

    /// The value of the field `csrf` of a form on this person's page.
    pub(crate) fn form_token(&self) -> String {
        self.state.form_key.token(&self.session_id)
    }

    /// The address of the page that tells the outcome of a change, once.
    pub(crate) fn done_address(&self, path: &str, done: &Done) -> String {
        // Nobody is signed in where that page is read.
        let sealed = match path {
            SIGNED_OUT => self.state.form_key.seal(NOBODY, done),
            _ => self.state.form_key.seal(&self.sealed_reader(), done),
        };
        format!("{path}?done={sealed}")
    }

    /// The outcome in the parameter `done`. None without one, and for a text that no console wrote for this person.
    pub(crate) fn open(&self, sealed: Option<&str>) -> Option<Done> {
        self.state.form_key.open(&self.sealed_reader(), sealed?)
    }

    fn sealed_reader(&self) -> String {
        // Ids have no line break, so a tenant and a user cannot pass for two others.
        format!("{}\n{}", self.tenant, self.user_id)
    }

    /// The address of a question that came by a form. The browser's back button opens it again, while the answer of a form
    /// could only be asked for by sending the form once more. None: the question is too long for an address.
    pub(crate) fn question_address<T: Serialize>(
        &self,
        path: &str,
        question: &T,
    ) -> Result<Option<String>, Problem> {
        let sealed = self.state.seal.close(self.context(path), question)?;
        let fits = sealed.len() <= QUESTION_BYTES_MAX;
        Ok(fits.then(|| format!("{path}?q={sealed}")))
    }

    /// The question in an address. None: there is none, or it was not made here for this person.
    pub(crate) fn open_question<T: DeserializeOwned>(&self, path: &str, sealed: &str) -> Option<T> {
        self.state.seal.open(self.context(path), sealed)
    }

    fn context<'a>(&'a self, page: &'a str) -> Context<'a> {
        Context {
            tenant: &self.tenant,
            user_id: &self.user_id,
            page,
        }
    }

    /// A name for the page's head.
    pub(crate) fn display_name(&self) -> String {
        let name = self.profile.as_ref().map(full_name);
        name.filter(|name| !name.is_empty())
            .unwrap_or_else(|| self.user_id.clone())
    }

    /// The application's page for the person's password and second factor.
    pub(crate) fn account_url(&self) -> Option<&str> {
        self.state.config.session.account_url.as_deref()
    }
}

/// Given name and family name; the sign-in name if there is neither.
pub(crate) fn full_name(user: &User) -> String {
    let names = [user.given_name.as_str(), user.family_name.as_str()];
    let name = names.join(" ").trim().to_owned();
    if name.is_empty() {
        return user.user_name.clone();
    }
    name
}

impl FromRequestParts<State> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        // First, because a refusal needs the address to come back to.
        let reader = Reader::from_request_parts(parts, state).await?;
        let admission = parts.extensions.get::<Admission>().cloned();
        let (identity, token) = match admission {
            Some(Admission::Admitted(identity, token)) => (identity, token),
            other => return Err(refusal(other.as_ref(), parts, state, &reader)),
        };
        let authority = state.authorities.called_with(&token);
        let authority = authority.ok_or(Problem::sign_in_again())?;
        let tenant = identity.tenant_id.to_string();
        let user_id = identity.user_id.to_string();
        // Asked for each page, because no token has roles: a role that was taken away is gone from
        // the next page (decision 070).
        let profile = own_profile(&authority, &tenant, &user_id).await?;
        Ok(Self {
            roles: profile.as_ref().map(Roles::of).unwrap_or_default(),
            session_id: identity.session_id.to_string(),
            words: reader.words,
            times: reader.times.clone(),
            state: state.clone(),
            tenant,
            user_id,
            authority,
            profile,
            reader,
        })
    }
}

/// The way to a good session, for a request without one. A page is opened again after the sign-in. A form is not sent
/// again by itself: nothing was done, and its page says so.
fn refusal(
    admission: Option<&Admission>,
    parts: &Parts,
    state: &State,
    reader: &Reader,
) -> Problem {
    let opens_page = matches!(parts.method, Method::GET | Method::HEAD);
    match admission {
        // No sign-in is asked for: the session may be good, and a new one could not be admitted
        // either.
        Some(Admission::Unavailable) => Problem::away(),
        Some(Admission::Ended(_)) if opens_page => Problem::see_other(SIGNED_OUT.to_owned()),
        Some(Admission::Ended(_)) => Problem::session_ended(),
        _ if opens_page => Problem::see_other(state.sign_in_location(&reader.target)),
        _ => Problem::sign_in_again(),
    }
}

/// The profile with the roles. The authority shows it to staff only, so a refusal means that the person has no role.
async fn own_profile(
    authority: &Authority,
    tenant: &str,
    user_id: &str,
) -> Result<Option<User>, Problem> {
    let request = GetUserRequest {
        tenant_id: tenant.to_owned(),
        user_id: user_id.to_owned(),
    };
    match authority.users().get_user(request).await {
        Ok(answer) => Ok(answer.into_inner().user),
        Err(status) if matches!(status.code(), Code::PermissionDenied | Code::NotFound) => Ok(None),
        Err(status) => Err(status.into()),
    }
}

/// A person whose session is good or has ended: whoever holds a genuine token.
pub(crate) struct Visitor {
    pub(crate) reader: Reader,
    pub(crate) authority: Authority,
    pub(crate) state: State,
}

impl FromRequestParts<State> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let reader = Reader::from_request_parts(parts, state).await?;
        let admission = parts.extensions.get::<Admission>().cloned();
        let token = match admission {
            // The authority tells the holder of an ended session how it ended, and how far its
            // enforcement is. So the page after a sign-out can ask both.
            Some(Admission::Admitted(_, token) | Admission::Ended(token)) => token,
            other => return Err(refusal(other.as_ref(), parts, state, &reader)),
        };
        let authority = state.authorities.called_with(&token);
        Ok(Self {
            authority: authority.ok_or(Problem::sign_in_again())?,
            reader,
            state: state.clone(),
        })
    }
}
