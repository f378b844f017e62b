//! Sessions as a caller may see them.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use portcullis_contract::id::{TenantId, UserId};

use super::{App, AppError, Caller};
use crate::{
    client_info::places::Places,
    domain::{
        Micros, Policy, Profile, Session, SessionState,
        findings::{Finding, SessionObservation},
        listing::ACTIVE_NOW_WINDOW,
        place::Place,
    },
};

/// A session at one time, without the fields that its viewer may not see.
pub(crate) struct SessionView {
    /// The row; texts that are not for the viewer are empty.
    pub(crate) session: Session,
    pub(crate) state: SessionState,
    /// Whether this is the session of the viewer's own token.
    pub(crate) is_current: bool,
    /// None: the session has ended.
    pub(crate) activity: Option<ActivityStatus>,
    /// The time at which the session ends unless it is used.
    pub(crate) idle_expires: Option<Micros>,
    /// The place of the last use.
    pub(crate) place: Place,
    /// The findings of the sign-in, and those of now.
    pub(crate) findings: Vec<Finding>,
    pub(crate) profile: Option<Profile>,
}

/// The use of an active session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ActivityStatus {
    pub(crate) is_active_now: bool,
    /// The time since the last use.
    pub(crate) idle: Duration,
}

/// The part of a session that a caller may see.
pub(crate) enum SessionDetail {
    Whole(Box<SessionView>),
    /// Whether and how the session ended.
    Outline(Box<Session>, SessionState),
}

impl SessionDetail {
    /// Returns only the state and the end of a session, for a caller without permission to see the rest.
    pub(super) fn outline(mut session: Session, caller: &Caller, now: Micros) -> Self {
        let state = session.state(now);
        redact_end(&mut session, caller);
        Self::Outline(Box::new(session), state)
    }
}

/// One caller's view of the sessions of one tenant.
pub(crate) struct SessionViewer<'a> {
    caller: &'a Caller,
    policy: Arc<Policy>,
    places: &'a Places,
    profiles: HashMap<UserId, Profile>,
}

impl App {
    /// The caller's view of `sessions`, which are of one tenant. The profiles of their users are read at once.
    pub(crate) async fn session_viewer<'a>(
        &'a self,
        caller: &'a Caller,
        tenant: &TenantId,
        sessions: &[Session],
    ) -> Result<SessionViewer<'a>, AppError> {
        // A page of sessions is mostly of few users: each profile is read once, and all in one statement.
        let user_ids: BTreeSet<_> = sessions
            .iter()
            .map(|session| session.user_id.clone())
            .collect();
        let users = self.store.users(tenant, &Vec::from_iter(user_ids)).await?;
        let profiles = users
            .into_iter()
            .map(|user| (user.user_id, user.profile))
            .collect();

        Ok(SessionViewer {
            caller,
            policy: self.policies.of(tenant).await?,
            places: &self.places,
            profiles,
        })
    }

    /// The view of a session without the profile of its user.
    pub(crate) async fn view_without_profile(
        &self,
        caller: &Caller,
        session: Session,
        now: Micros,
    ) -> Result<SessionView, AppError> {
        let viewer = self.session_viewer(caller, &session.tenant_id, &[]).await?;
        Ok(viewer.view(session, now))
    }

    /// The view of a session with the profile of its user.
    pub(crate) async fn view_with_profile(
        &self,
        caller: &Caller,
        session: Session,
        now: Micros,
    ) -> Result<SessionView, AppError> {
        let sessions = std::slice::from_ref(&session);
        let viewer = self
            .session_viewer(caller, &session.tenant_id, sessions)
            .await?;
        Ok(viewer.view(session, now))
    }
}

impl SessionViewer<'_> {
    /// The view of a session at `now`.
    pub(crate) fn view(&self, mut session: Session, now: Micros) -> SessionView {
        // Everything is judged before the texts are cleared, since findings depend on them.
        let state = session.state(now);
        let is_active = state == SessionState::Active;
        let address = session.last_ip().parse().ok();
        let place = self.last_place(&session, address);
        let findings = self.findings(&session, address, now);
        let idle_expires = self.idle_expiry(&session).filter(|_| is_active);
        let activity = is_active.then(|| ActivityStatus::of(session.activity.last, now));

        redact_end(&mut session, self.caller);
        // A gate needs the user's id at the provider as little as their email address.
        if !self.caller.sees_email() {
            session.facts.identity_provider = None;
        }
        // Rows may hold pages from before the tenant switched this off.
        if !self.policy.keep_last_page {
            session.activity.page.clear();
        }
        SessionView {
            state,
            is_current: self.caller.own_session() == Some(session.id),
            activity,
            idle_expires,
            place,
            findings,
            profile: self.profile(&session.user_id),
            session,
        }
    }

    /// The place of the last use. A session that is used from the address of its sign-in is where that was.
    fn last_place(&self, session: &Session, address: Option<IpAddr>) -> Place {
        let opened_in = &session.sight.place;
        // A session must not travel because a database was replaced.
        if session.last_ip() == session.client.ip && *opened_in != Place::default() {
            return opened_in.clone();
        }
        // Only the address of the last use is stored. Its place is looked up now, by the newest database.
        match address {
            Some(address) => self.places.lookup(address),
            None => Place::default(),
        }
    }

    fn idle_expiry(&self, session: &Session) -> Option<Micros> {
        let timeout = self.policy.effective(&session.user_id).idle_timeout?;
        // The earliest end. The sweep waits longer while reports of gates are missing.
        Some(session.activity.last.after(timeout).min(session.expires))
    }

    fn profile(&self, user_id: &UserId) -> Option<Profile> {
        let mut profile = self.profiles.get(user_id)?.clone();
        if !self.caller.sees_email() {
            profile.email.clear();
        }
        Some(profile)
    }

    /// The findings of the sign-in, and those of now.
    fn findings(&self, session: &Session, address: Option<IpAddr>, now: Micros) -> Vec<Finding> {
        // A finding that the tenant disables disappears from old sessions too.
        let disabled = &self.policy.findings_disabled;
        let at_sign_in = session.sight.findings.iter();
        let mut findings: Vec<_> = at_sign_in
            .filter(|finding| !disabled.contains(&finding.code))
            .cloned()
            .collect();

        // These depend on the session's age and its last use, so that they are not stored.
        let observed = self.observe(session, address, now);
        findings.extend(observed.findings(now, disabled));
        findings
    }

    fn observe(
        &self,
        session: &Session,
        address: Option<IpAddr>,
        now: Micros,
    ) -> SessionObservation {
        let opened_from = session.client.ip.parse().ok();
        let (opened_in, used_in) =
            compared_places(self.places, (opened_from, &session.sight.place), address);
        SessionObservation {
            opened_in,
            opened_from,
            opened_beside: session.sight.network_beside.clone(),
            used_in,
            created: session.created,
            active: session.state(now) == SessionState::Active,
            ended_by: session.end.as_ref().map(|end| end.cause),
            used_from: address,
            refresh_token_shared: session.shared_generation.is_some(),
        }
    }
}

/// The places of the sign-in and of the last use, both from the databases of now. If a file was replaced in between, its
/// places may differ although nobody moved.
pub(crate) fn compared_places(
    places: &Places,
    (opened_from, opened_in): (Option<IpAddr>, &Place),
    used_from: Option<IpAddr>,
) -> (Place, Place) {
    // A use without an address has no place. The place of the sign-in yields no finding about a change of country.
    let Some(used_from) = used_from else {
        return (opened_in.clone(), opened_in.clone());
    };
    let opened_now = opened_from.map(|ip| places.lookup(ip)).unwrap_or_default();
    let opened_in = if opened_now.country.is_empty() {
        opened_in.clone()
    } else {
        opened_now
    };
    (opened_in, places.lookup(used_from))
}

impl ActivityStatus {
    /// The status at `now` of something that was last used at `last`.
    pub(crate) fn of(last: Micros, now: Micros) -> Self {
        let idle = now.since(last);
        Self {
            is_active_now: idle <= ACTIVE_NOW_WINDOW,
            idle,
        }
    }
}

/// Removes the administrators' words from the end of a session, unless the caller is staff.
fn redact_end(session: &mut Session, caller: &Caller) {
    if caller.is_staff() {
        return;
    }
    if let Some(end) = &mut session.end {
        end.reason.clear();
        end.actor.clear();
    }
}
