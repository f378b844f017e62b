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
            // Users see the details, and a name without a value would puzzle them.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        device::Device,
        findings::{Finding, FindingCode},
        place::Place,
        user::UserRole,
    };

    fn sign_in() -> SignIn {
        let user_id = UserId::parse("ada").expect("an id");
        SignIn {
            id: SessionId::generate(),
            tenant_id: TenantId::parse("acme").expect("an id"),
            actor: Actor::user(&user_id),
            user_id,
            profile: Profile::default(),
            roles: None,
            client: ClientInfo {
                ip: "192.0.2.1".into(),
                ..ClientInfo::default()
            },
            remember_me: false,
            lifetime: Duration::from_secs(60),
            facts: SignInFacts::default(),
            acr: String::new(),
            auth_time: None,
            salt: [0; 16],
            request: None,
            sight: Sight {
                device: Device {
                    browser: "Firefox".into(),
                    ..Device::default()
                },
                place: Place {
                    country: "DE".into(),
                    ..Place::default()
                },
                findings: vec![
                    Finding::without_facts(FindingCode::NewDevice),
                    Finding::without_facts(FindingCode::NewCountry),
                ],
                ..Sight::default()
            },
            footprints: vec![],
            device_networks: DeviceNetworks::default(),
            replaces: None,
            idle_timeout: None,
            policy_version: 0,
            session_limit: None,
        }
    }

    #[test]
    fn a_sign_in_and_each_of_its_findings_are_events_of_their_own() {
        let sign_in = sign_in();
        let events = sign_in.events(Micros(7));
        let actions: Vec<_> = events.iter().map(|event| event.action.as_str()).collect();
        assert_eq!(
            actions,
            [
                "session.create",
                "finding.new_device",
                "finding.new_country"
            ]
        );
        for event in &events {
            assert_eq!(event.at, Micros(7));
            assert_eq!(event.target, sign_in.id.to_string());
            assert_eq!(event.actor, sign_in.actor);
        }
        // A city that is unknown is no detail.
        let known = [
            ("country", "DE"),
            ("device", "Firefox"),
            ("ip", "192.0.2.1"),
        ];
        let known = known.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(events[0].details, Details::from(known));
    }

    #[test]
    fn new_roles_are_an_event_about_the_user() {
        let sign_in = sign_in();
        let roles = [UserRole::Admin].into_iter().collect();
        let event = sign_in.roles_event(roles, Micros(7));
        assert_eq!(
            (event.action.as_str(), event.target.as_str()),
            ("user.set_roles", "ada")
        );
        assert_eq!(event.details["roles"], "admin");
    }

    #[test]
    fn a_limit_either_ends_older_sessions_or_refuses() {
        let limited = |at_limit| SignIn {
            session_limit: Some(SessionLimit {
                sessions_max: 3,
                at_limit,
            }),
            ..sign_in()
        };
        let (ends, refuses) = (limited(AtLimit::EndOldest), limited(AtLimit::Refuse));
        assert_eq!((ends.ends_beyond(), ends.refused_at()), (Some(3), None));
        assert_eq!(
            (refuses.ends_beyond(), refuses.refused_at()),
            (None, Some(3))
        );
        assert_eq!(
            (sign_in().ends_beyond(), sign_in().refused_at()),
            (None, None)
        );
    }
}
