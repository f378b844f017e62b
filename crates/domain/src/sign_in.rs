//! Sign-ins: sessions to be opened.

use std::time::Duration;

use portcullis_contract::id::{EventId, SessionId, TenantId, UserId};

use super::{
    Actor, ClientInfo, Details, Micros, Mutation, PendingEvent, Session, Sight, SignInFacts,
    findings::{DeviceNetworks, Footprint},
    policy::{AtLimit, SessionLimit},
    user::{Profile, UserRoles},
};

/// The other sessions of a user are counted up to this number.
pub const OTHER_SESSIONS_MAX: u32 = 100;

/// The most sessions beyond a limit that one sign-in names at once. It bounds an entry of the log.
pub const EXCESS_SESSIONS_MAX: u32 = 100;

/// A session to be opened.
#[derive(Clone)]
pub struct SignIn {
    /// The id, chosen by the authority, so that a repeated statement opens one session.
    pub id: SessionId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The user. Created when unknown.
    pub user_id: UserId,
    /// The user's details, as the caller gave them.
    pub profile: Profile,
    /// The user's roles from now on. None: they stay as they are.
    pub roles: Option<UserRoles>,
    /// The client that signs in.
    pub client: ClientInfo,
    /// Whether the session gets the longer lifetime of "remember me".
    pub remember_me: bool,
    /// The lifetime of the session.
    pub lifetime: Duration,
    /// The facts that the session keeps.
    pub facts: SignInFacts,
    /// The authentication context class.
    pub acr: String,
    /// The time of the authentication. None: now.
    pub auth_time: Option<Micros>,
    /// Random bytes: the session's own part of its refresh tokens.
    pub salt: [u8; 16],
    /// The caller's `request_id` with a digest of the arguments. A repeated call returns the same session.
    pub request: Option<(String, [u8; 32])>,
    /// The circumstances that the session keeps.
    pub sight: Sight,
    /// The traces that later sign-ins are compared with.
    pub footprints: Vec<Footprint>,
    /// The networks that the device was seen in, this one included.
    pub device_networks: DeviceNetworks,
    /// The session on the same device that this one replaces.
    pub replaces: Option<SessionId>,
    /// The time without activity after which the session ends. None: never.
    pub idle_timeout: Option<Duration>,
    /// The version of the tenant's policy that this sign-in follows. 0: the tenant has set none.
    pub policy_version: u64,
    /// The number of sessions that the policy allows the user. None: any.
    pub session_limit: Option<SessionLimit>,
    /// The actor for the audit trail.
    pub actor: Actor,
}

impl SignIn {
    /// The events for the audit trail: the sign-in, and one event for each finding.
    #[must_use]
    pub fn events(&self, at: Micros) -> Vec<PendingEvent> {
        let mut events = vec![PendingEvent {
            id: EventId::generate(),
            at,
            tenant_id: self.tenant_id.clone(),
            action: "session.create".into(),
            target: self.id.to_string(),
            user_id: Some(self.user_id.clone()),
            actor: self.actor.clone(),
            details: self.details(),
        }];
        let session = (&self.tenant_id, self.id, &self.user_id);
        // Events of their own, so that administrators can filter by a finding's code.
        for finding in &self.sight.findings {
            events.push(PendingEvent::finding(
                finding,
                at,
                session,
                self.actor.clone(),
            ));
        }
        events
    }

    /// The event for the audit trail of roles that this sign-in changes.
    #[must_use]
    pub fn roles_event(&self, roles: UserRoles, at: Micros) -> PendingEvent {
        PendingEvent {
            id: EventId::generate(),
            at,
            tenant_id: self.tenant_id.clone(),
            action: Mutation::SET_ROLES.into(),
            target: self.user_id.to_string(),
            user_id: Some(self.user_id.clone()),
            actor: self.actor.clone(),
            details: Details::from([("roles".to_owned(), roles.names())]),
        }
    }

    /// The number of sessions above which this sign-in ends older ones. None: it ends none.
    #[must_use]
    pub fn ends_beyond(&self) -> Option<u32> {
        match self.session_limit {
            Some(limit) if limit.at_limit == AtLimit::EndOldest => Some(limit.sessions_max),
            _ => None,
        }
    }

    /// The number of sessions at which this sign-in is refused. None: at no number.
    #[must_use]
    pub fn refused_at(&self) -> Option<u32> {
        match self.session_limit {
            Some(limit) if limit.at_limit == AtLimit::Refuse => Some(limit.sessions_max),
            _ => None,
        }
    }

    fn details(&self) -> Details {
        let Sight { device, place, .. } = &self.sight;
        let known = [
            ("ip", self.client.ip.clone()),
            ("device", device.to_string()),
            ("country", place.country.clone()),
            ("city", place.city.clone()),
        ];
        let mut details = Details::new();
        for (name, value) in known {
            if !value.is_empty() {
                details.insert(name.to_owned(), value);
            }
        }
        details
    }
}

/// A session that was opened, now or by an earlier call with the same `request_id`.
#[derive(Clone)]
pub struct SignInOutcome {
    /// The session.
    pub session: Session,
    /// The time at which the session was alive.
    pub now: Micros,
    /// False: an earlier call had opened the session.
    pub is_new: bool,
    /// The user's other active sessions, without the one that this session replaces. Counted up to one more than
    /// [`OTHER_SESSIONS_MAX`].
    pub other_sessions: u32,
    /// The sessions that this one leaves no room for, newest first: at most [`EXCESS_SESSIONS_MAX`]. The caller ends them.
    pub excess: Vec<SessionId>,
}
