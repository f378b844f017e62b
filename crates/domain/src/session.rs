//! Sessions: how they open, renew and end.

use portcullis_contract::{
    id::{EventId, SessionId, TenantId, UserId},
    position::Revision,
    view::Subject,
};

use super::{
    Actor, Cause, Details, Micros, PendingEvent, device::Device, findings::Finding, place::Place,
};

/// Where a sign-in came from, as the caller saw it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// Textual address.
    pub ip: String,
    /// The `User-Agent`.
    pub user_agent: String,
    /// The caller's id of the device.
    pub device_id: String,
    /// The native application's name.
    pub app_name: String,
}

/// What a sign-in looked like.
#[derive(Clone, Default)]
pub struct Sight {
    /// The device, as people name it.
    pub device: Device,
    /// Where the address was.
    pub place: Place,
    /// Sign-ins of the user on this device so far, this one included; 0: the device has no id.
    pub device_sign_ins: u32,
    /// What was suspicious about it.
    pub findings: Vec<Finding>,
}

/// What gates have seen of a session.
#[derive(Clone, Default)]
pub struct Activity {
    /// When it was last used; its opening when it was not.
    pub last: Micros,
    /// Requests.
    pub requests: u64,
    /// The address of the last one; empty: not known.
    pub ip: String,
    /// Its page, where the policy keeps that.
    pub page: String,
}

/// A session as the authority's rows have it.
#[derive(Clone)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its user.
    pub user_id: UserId,
    /// Its numbers.
    pub subject: Subject,
    /// When it was opened.
    pub created: Micros,
    /// When it ends by itself.
    pub expires: Micros,
    /// When its refresh token was last exchanged.
    pub rotated: Option<Micros>,
    /// The exchange before that one, or the opening. None: none, or an older version made the last one.
    pub rotated_before: Option<Micros>,
    /// The client of the last exchange, as far as its caller said. The application's name is not kept.
    pub rotated_by: ClientInfo,
    /// The last generation of which two clients presented the token.
    pub shared_generation: Option<u64>,
    /// Whether it got the longer life.
    pub remember_me: bool,
    /// How the user authenticated.
    pub amr: Vec<String>,
    /// The authentication context class.
    pub acr: String,
    /// When the user authenticated.
    pub auth_time: Micros,
    /// Who its access tokens are for.
    pub audiences: Vec<String>,
    /// From where.
    pub client: ClientInfo,
    /// The generation of its newest refresh token.
    pub generation: u64,
    /// The session's own part of its refresh tokens.
    pub salt: [u8; 16],
    /// How it ended, if it did before its expiry.
    pub end: Option<SessionEnd>,
    /// What its sign-in looked like.
    pub sight: Sight,
    /// What gates have seen of it.
    pub activity: Activity,
    /// The session on the same device that it replaced.
    pub replaces: Option<SessionId>,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    /// When.
    pub at: Micros,
    /// Why.
    pub cause: Cause,
    /// By whom.
    pub actor: String,
    /// The administrator's text.
    pub reason: String,
    /// The user's text.
    pub user_message: String,
    /// The log revision that enforces it.
    pub revision: Revision,
}

/// Whether a session can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// It can.
    Active,
    /// It reached its end by itself.
    Expired,
    /// Its user ended it.
    SignedOut,
    /// Someone or something else did.
    Revoked,
}

impl Session {
    /// What the audit trail says of its refresh token's exchange. Who holds the token is its user.
    #[must_use]
    pub fn refreshed(&self, at: Micros) -> PendingEvent {
        PendingEvent {
            id: EventId::generate(),
            at,
            tenant_id: self.tenant_id.clone(),
            action: "session.refresh".into(),
            target: self.id.to_string(),
            user_id: self.user_id.clone(),
            actor: Actor::user(&self.user_id),
            details: Details::new(),
        }
    }

    /// The address at which it was seen last, at a gate or at its sign-in. Empty: unknown.
    #[must_use]
    pub fn last_ip(&self) -> &str {
        if self.activity.ip.is_empty() {
            &self.client.ip
        } else {
            &self.activity.ip
        }
    }

    /// Its state at `now`.
    #[must_use]
    pub fn state(&self, now: Micros) -> SessionState {
        match &self.end {
            Some(end) if Cause::BY_USER.contains(&end.cause) => SessionState::SignedOut,
            Some(_) => SessionState::Revoked,
            None if self.expires <= now => SessionState::Expired,
            None => SessionState::Active,
        }
    }
}

/// A refresh token's claim about its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSubject {
    /// The session.
    pub session_id: SessionId,
    /// The token's generation.
    pub generation: u64,
}
