//! Sessions as the authority keeps them.

use portcullis_contract::{
    id::{EventId, SessionId, TenantId, UserId},
    position::Revision,
    view::Subject,
};
use serde::{Deserialize, Serialize};

use super::{
    Actor, Cause, Details, Micros, PendingEvent, ProviderSession, device::Device,
    findings::Finding, place::Place,
};

/// The client of a sign-in or a refresh, as the caller describes it. An empty field was not given.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The address, as text.
    pub ip: String,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// The caller's own id of the device.
    pub device_id: String,
    /// The native application's name.
    pub app_name: String,
}

/// The facts of a sign-in that the session keeps as the caller gave them, and that no statement compares.
///
/// Stored as one JSON value, so that a new fact needs no column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct SignInFacts {
    /// The authentication methods (RFC 8176).
    pub amr: Vec<String>,
    /// The audiences of the session's access tokens.
    pub audiences: Vec<String>,
    /// The client that the session's tokens are issued to (`client_id`, RFC 9068).
    pub client_id: String,
    /// The session at the identity provider by which the user signed in. None: unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_provider: Option<ProviderSession>,
}

/// The circumstances of a sign-in, computed when it happened. They stay as they were: databases of places change.
#[derive(Clone, Default)]
pub struct Sight {
    /// The device.
    pub device: Device,
    /// The place of the address.
    pub place: Place,
    /// The network of the other version of IP, if the device was seen lately in it and in that of the sign-in. Empty: none.
    pub network_beside: String,
    /// The user's sign-ins on this device, this one included. 0 for a device without an id.
    pub device_sign_ins: u32,
    /// The suspicious circumstances.
    pub findings: Vec<Finding>,
}

/// The use of a session, as gates reported it.
#[derive(Clone, Default)]
pub struct Activity {
    /// The time of the last request. The time of the sign-in before the first request.
    pub last: Micros,
    /// The number of requests.
    pub requests: u64,
    /// The address of the last request. Empty when unknown.
    pub ip: String,
    /// The page of the last request. Empty unless the policy keeps pages.
    pub page: String,
}

/// A session as stored.
#[derive(Clone)]
pub struct Session {
    /// The id.
    pub id: SessionId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The user.
    pub user_id: UserId,
    /// The serials that revocations name.
    pub subject: Subject,
    /// The time of the sign-in.
    pub created: Micros,
    /// The expiry.
    pub expires: Micros,
    /// The last refresh. None: no refresh yet.
    pub rotated: Option<Micros>,
    /// The refresh before that one, or the sign-in. None: no refresh yet, or an older version did the last one.
    pub rotated_before: Option<Micros>,
    /// The client of the last refresh, without the application's name.
    pub rotated_by: ClientInfo,
    /// The last generation whose refresh token two clients presented.
    pub shared_generation: Option<u64>,
    /// Whether the session has the longer lifetime of "remember me".
    pub remember_me: bool,
    /// The facts that the session keeps as the sign-in gave them.
    pub facts: SignInFacts,
    /// The authentication context class.
    pub acr: String,
    /// The time of the authentication.
    pub auth_time: Micros,
    /// The client that signed in.
    pub client: ClientInfo,
    /// The generation of the newest refresh token.
    pub generation: u64,
    /// The session's own part of its refresh tokens.
    pub salt: [u8; 16],
    /// The end of the session. None while it is alive, and after it expired.
    pub end: Option<SessionEnd>,
    /// The circumstances of the sign-in.
    pub sight: Sight,
    /// The use of the session.
    pub activity: Activity,
    /// The session on the same device that this one replaced.
    pub replaces: Option<SessionId>,
}

/// The end of a session before its expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    /// The time of the end.
    pub at: Micros,
    /// The cause.
    pub cause: Cause,
    /// The actor's name in the audit trail.
    pub actor: String,
    /// The administrator's text. Never shown to users.
    pub reason: String,
    /// The text for the user.
    pub user_message: String,
    /// The log revision that enforces the end.
    pub revision: Revision,
}

/// The state of a session at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// The session is accepted.
    Active,
    /// The session reached its expiry.
    Expired,
    /// The user ended the session.
    SignedOut,
    /// Somebody else ended the session, or the authority did.
    Revoked,
}

impl Session {
    /// The audit event of a refresh. The actor is the user: only the user's client holds the refresh token.
    #[must_use]
    pub fn refreshed(&self, at: Micros) -> PendingEvent {
        PendingEvent {
            id: EventId::generate(),
            at,
            tenant_id: self.tenant_id.clone(),
            action: "session.refresh".into(),
            target: self.id.to_string(),
            user_id: Some(self.user_id.clone()),
            actor: Actor::user(&self.user_id),
            details: Details::new(),
        }
    }

    /// The last known address, from a gate's report or the sign-in. Empty when unknown.
    #[must_use]
    pub fn last_ip(&self) -> &str {
        if self.activity.ip.is_empty() {
            &self.client.ip
        } else {
            &self.activity.ip
        }
    }

    /// The state at `now`.
    #[must_use]
    pub fn state(&self, now: Micros) -> SessionState {
        match &self.end {
            // An end stays the reason after the expiry, which would have come anyway.
            Some(end) if Cause::BY_USER.contains(&end.cause) => SessionState::SignedOut,
            Some(_) => SessionState::Revoked,
            None if self.expires <= now => SessionState::Expired,
            None => SessionState::Active,
        }
    }
}

/// The claim of a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSubject {
    /// The session.
    pub session_id: SessionId,
    /// The generation of the token.
    pub generation: u64,
}

#[cfg(test)]
mod tests {
    use portcullis_contract::id::{Serial, TenantSerial, UserSerial};

    use super::*;

    fn session() -> Session {
        Session {
            id: SessionId::generate(),
            tenant_id: TenantId::parse("acme").expect("an id"),
            user_id: UserId::parse("ada").expect("an id"),
            subject: Subject {
                serial: Serial(1),
                user: UserSerial(2),
                tenant: TenantSerial(3),
                opened: Revision(4),
            },
            created: Micros(0),
            expires: Micros(100),
            rotated: None,
            rotated_before: None,
            rotated_by: ClientInfo::default(),
            shared_generation: None,
            remember_me: false,
            facts: SignInFacts::default(),
            acr: String::new(),
            auth_time: Micros(0),
            client: ClientInfo {
                ip: "192.0.2.1".into(),
                ..ClientInfo::default()
            },
            generation: 1,
            salt: [0; 16],
            end: None,
            sight: Sight::default(),
            activity: Activity::default(),
            replaces: None,
        }
    }

    fn ended(cause: Cause) -> Session {
        Session {
            end: Some(SessionEnd {
                at: Micros(50),
                cause,
                actor: "user:ada".into(),
                reason: String::new(),
                user_message: String::new(),
                revision: Revision(5),
            }),
            ..session()
        }
    }

    #[test]
    fn a_session_is_active_until_it_expires_or_is_ended() {
        assert_eq!(session().state(Micros(99)), SessionState::Active);
        assert_eq!(session().state(Micros(100)), SessionState::Expired);
        for now in [60, 200] {
            let now = Micros(now);
            assert_eq!(ended(Cause::User).state(now), SessionState::SignedOut);
            assert_eq!(
                ended(Cause::AnotherDevice).state(now),
                SessionState::SignedOut
            );
            assert_eq!(
                ended(Cause::Administrator).state(now),
                SessionState::Revoked
            );
        }
    }

    #[test]
    fn the_last_address_is_that_of_the_last_request_or_of_the_sign_in() {
        let mut session = session();
        assert_eq!(session.last_ip(), "192.0.2.1");
        session.activity.ip = "192.0.2.2".into();
        assert_eq!(session.last_ip(), "192.0.2.2");
    }

    #[test]
    fn a_refresh_is_an_event_of_the_user() {
        let session = session();
        let event = session.refreshed(Micros(7));
        assert_eq!(
            (event.at, event.action.as_str()),
            (Micros(7), "session.refresh")
        );
        assert_eq!(event.target, session.id.to_string());
        assert!(event.actor.is_user(&session.user_id));
        assert_eq!(event.user_id, Some(session.user_id));
    }
}
