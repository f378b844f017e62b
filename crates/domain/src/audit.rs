//! The audit trail: who did what to whom; and whether it still says what was written.

use std::collections::BTreeMap;

use portcullis_contract::{
    id::{EventId, SessionId, TenantId, UserId},
    position::Revision,
};

use super::{Actor, Micros, findings::Finding};

/// More about an event, by name.
pub type Details = BTreeMap<String, String>;

/// An event of a sign-in or a refresh. It waits in the store, and rides in a later batch of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingEvent {
    /// Unique in the whole trail.
    pub id: EventId,
    /// When it happened.
    pub at: Micros,
    /// Where.
    pub tenant_id: TenantId,
    /// `session.create`, `session.refresh`, `finding.<code>`.
    pub action: String,
    /// What it was done to: mostly the id of a session.
    pub target: String,
    /// Whom it concerns.
    pub user_id: UserId,
    /// Who did it.
    pub actor: Actor,
    /// More about it. Users see it.
    pub details: Details,
}

impl PendingEvent {
    /// That something was found about a session at `at`.
    #[must_use]
    pub fn finding(
        finding: &Finding,
        at: Micros,
        session: (&TenantId, SessionId, &UserId),
        actor: Actor,
    ) -> Self {
        let (tenant_id, id, user_id) = session;
        Self {
            id: EventId::generate(),
            at,
            tenant_id: tenant_id.clone(),
            action: format!("finding.{}", finding.code.name()),
            target: id.to_string(),
            user_id: user_id.clone(),
            actor,
            details: finding
                .facts
                .iter()
                .filter(|(_, fact)| !fact.is_empty())
                .cloned()
                .collect(),
        }
    }
}

/// One thing that was done to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// Where it stands in a list.
    pub position: AuditPosition,
    /// Where it happened; empty: in the whole installation.
    pub tenant_id: String,
    /// What was done.
    pub action: String,
    /// What it was done to.
    pub target: String,
    /// Whom it concerns; empty: nobody in particular.
    pub user_id: String,
    /// Who did it.
    pub actor: Actor,
    /// The administrator's text.
    pub reason: String,
    /// The text meant for the user.
    pub user_message: String,
    /// The batch that carries it.
    pub revision: Revision,
    /// More about it.
    pub details: Details,
}

/// Where an event stands among others of its tenant: by time, then by id, then by its number within the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditPosition {
    /// When it happened.
    pub at: Micros,
    /// The event.
    pub event: EventId,
    /// Which of the things that it touched.
    pub ordinal: u32,
}

impl AuditPosition {
    /// As a page token holds it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 28] {
        let mut bytes = [0; 28];
        bytes[..8].copy_from_slice(&self.at.0.to_be_bytes());
        bytes[8..24].copy_from_slice(&self.event.to_bytes());
        bytes[24..].copy_from_slice(&self.ordinal.to_be_bytes());
        bytes
    }

    /// The position of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 28]) -> Self {
        let (mut at, mut event, mut ordinal) = ([0; 8], [0; 16], [0; 4]);
        at.copy_from_slice(&bytes[..8]);
        event.copy_from_slice(&bytes[8..24]);
        ordinal.copy_from_slice(&bytes[24..]);
        Self {
            at: Micros(i64::from_be_bytes(at)),
            event: EventId::from_bytes(event),
            ordinal: u32::from_be_bytes(ordinal),
        }
    }
}

/// Which events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this tenant; none: those of no tenant.
    pub tenant_id: Option<TenantId>,
    /// Done by this actor.
    pub actor: Option<String>,
    /// About this user.
    pub user_id: Option<UserId>,
    /// Of this kind.
    pub action: Option<String>,
    /// At or after.
    pub after: Option<Micros>,
    /// Before.
    pub before: Option<Micros>,
}

/// How far the trail was verified, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditVerdict {
    /// How many revisions fit.
    pub verified: u64,
    /// The last of them.
    pub through: Revision,
    /// The head when it began.
    pub head: Revision,
    /// The first place that does not fit.
    pub fault: Option<AuditFault>,
}

/// A place where the trail does not say what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFault {
    /// The batch.
    pub revision: Revision,
    /// The row, where it is one: its event, and its number within it.
    pub row: Option<(EventId, u32)>,
    /// What does not fit.
    pub problem: &'static str,
}
