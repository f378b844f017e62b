//! Sign-ins: sessions to be opened.

use std::time::Duration;

use portcullis_contract::id::{EventId, SessionId, TenantId, UserId};

use super::{
    Actor, ClientInfo, Micros, PendingEvent, Session, Sight, findings::Footprint, user::Profile,
};

/// A session to be opened.
#[derive(Clone)]
pub struct SignIn {
    /// Chosen before, so that a repeated statement does nothing twice.
    pub id: SessionId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The user.
    pub user_id: UserId,
    /// What the caller said about the user.
    pub profile: Profile,
    /// From where.
    pub client: ClientInfo,
    /// Whether it gets the longer life.
    pub remember_me: bool,
    /// How long it lives.
    pub lifetime: Duration,
    /// How the user authenticated.
    pub amr: Vec<String>,
    /// The authentication context class.
    pub acr: String,
    /// When the user authenticated; none: now.
    pub auth_time: Option<Micros>,
    /// Who its access tokens are for.
    pub audiences: Vec<String>,
    /// Random, the session's own part of its refresh tokens.
    pub salt: [u8; 16],
    /// Makes a repetition return the same session, with the digest of the arguments.
    pub request: Option<(String, [u8; 32])>,
    /// What it looks like.
    pub sight: Sight,
    /// What it leaves behind for later ones to be compared with.
    pub footprints: Vec<Footprint>,
    /// The session on the same device that it replaces.
    pub replaces: Option<SessionId>,
    /// After how long without activity it ends; none: never.
    pub idle_timeout: Option<Duration>,
    /// Who opens it, for the audit trail.
    pub actor: Actor,
}

impl SignIn {
    /// What the audit trail says of it: the sign-in, and what was found about it.
    #[must_use]
    pub fn events(&self, at: Micros) -> Vec<PendingEvent> {
        let seen = [
            ("ip", self.client.ip.clone()),
            ("device", self.sight.device.to_string()),
            ("country", self.sight.place.country.clone()),
            ("city", self.sight.place.city.clone()),
        ];
        let seen = seen.into_iter().filter(|(_, value)| !value.is_empty());
        let opened = PendingEvent {
            id: EventId::generate(),
            at,
            tenant_id: self.tenant_id.clone(),
            action: "session.create".into(),
            target: self.id.to_string(),
            user_id: self.user_id.clone(),
            actor: self.actor.clone(),
            details: seen.map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        let session = (&self.tenant_id, self.id, &self.user_id);
        let found = |finding| PendingEvent::finding(finding, at, session, self.actor.clone());
        std::iter::once(opened)
            .chain(self.sight.findings.iter().map(found))
            .collect()
    }
}

/// A session that was opened, now or by an earlier call with the same `request_id`.
#[derive(Clone)]
pub struct SignInOutcome {
    /// The session.
    pub session: Session,
    /// The time at which it was found alive.
    pub now: Micros,
}
