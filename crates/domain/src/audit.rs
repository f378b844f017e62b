//! The audit trail: its events, and the verification of its chain.

use portcullis_contract::{
    id::{EventId, SessionId, TenantId, UserId},
    position::{Chain, Revision},
};

use super::{Actor, Cause, Details, Micros, findings::Finding};

/// An event of a sign-in, refused or not, or of a refresh. It waits in the store until a later batch of the log records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingEvent {
    /// The id, unique in the whole trail.
    pub id: EventId,
    /// The time of the event.
    pub at: Micros,
    /// The tenant.
    pub tenant_id: TenantId,
    /// `session.create`, `session.refuse`, `session.refresh` or `finding.<code>`.
    pub action: String,
    /// The target, mostly the id of a session.
    pub target: String,
    /// The user that the event is about. None: several users.
    pub user_id: Option<UserId>,
    /// The author.
    pub actor: Actor,
    /// Details that users may see.
    pub details: Details,
}

impl PendingEvent {
    /// The event of a finding about a session.
    #[must_use]
    pub fn finding(
        finding: &Finding,
        at: Micros,
        session: (&TenantId, SessionId, &UserId),
        actor: Actor,
    ) -> Self {
        let (tenant_id, id, user_id) = session;
        let mut details = Details::new();
        // Users see the details: a fact without a value would only puzzle them.
        for (name, fact) in &finding.facts {
            if !fact.is_empty() {
                details.insert(name.clone(), fact.clone());
            }
        }
        Self {
            // Drawn before the first attempt, so that a repeated write is known by it.
            id: EventId::generate(),
            at,
            tenant_id: tenant_id.clone(),
            action: format!("finding.{}", finding.code.name()),
            target: id.to_string(),
            user_id: Some(user_id.clone()),
            actor,
            details,
        }
    }
}

/// One change to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// The position in a list.
    pub position: AuditPosition,
    /// The tenant. Empty for an event of the whole installation.
    pub tenant_id: String,
    /// The kind of change, such as `session.revoke`.
    pub action: String,
    /// The changed session, user, key or policy.
    pub target: String,
    /// The user that the event is about. Empty for none in particular.
    pub user_id: String,
    /// The author.
    pub actor: Actor,
    /// The administrator's text. Never shown to users.
    pub reason: String,
    /// The text for the user.
    pub user_message: String,
    /// The cause of the end, for an event that ends sessions.
    pub cause: Option<Cause>,
    /// The batch of the log that carries the event.
    pub revision: Revision,
    /// Details of the event.
    pub details: Details,
    /// True if the author was erased: `actor` has neither a name nor an address.
    pub is_actor_erased: bool,
    /// True if the user that the event is about was erased: target, user, texts and details are empty.
    pub is_subject_erased: bool,
}

/// The position of an event among its tenant's: by time, then by id, then by ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditPosition {
    /// The time of the event.
    pub at: Micros,
    /// The id of the event.
    pub event: EventId,
    /// The index among the targets of one entry.
    pub ordinal: u32,
}

impl AuditPosition {
    /// Encodes the position for a page token.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 28] {
        let mut bytes = [0; 28];
        bytes[..8].copy_from_slice(&self.at.0.to_be_bytes());
        bytes[8..24].copy_from_slice(&self.event.to_bytes());
        bytes[24..].copy_from_slice(&self.ordinal.to_be_bytes());
        bytes
    }

    /// Decodes a position from a page token.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 28]) -> Self {
        let mut at = [0; 8];
        let mut event = [0; 16];
        let mut ordinal = [0; 4];
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

/// A place between two events of the trail, in the order of the log: by revision, then by id, then by ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrailPosition {
    /// The revision of the last event before the place.
    pub revision: Revision,
    /// The id of that event.
    pub event: EventId,
    /// Its index among the targets of one entry.
    pub ordinal: u32,
}

impl TrailPosition {
    /// The place behind an event.
    #[must_use]
    pub fn behind(event: &AuditEvent) -> Self {
        Self {
            revision: event.revision,
            event: event.position.event,
            ordinal: event.position.ordinal,
        }
    }

    /// The place behind all events of a revision.
    #[must_use]
    pub fn behind_revision(revision: Revision) -> Self {
        Self {
            revision,
            // No event has this id, so all events of the revision are before the place.
            event: EventId::from_bytes([u8::MAX; 16]),
            ordinal: u32::MAX,
        }
    }

    /// Encodes the place for a token.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 28] {
        let mut bytes = [0; 28];
        bytes[..8].copy_from_slice(&self.revision.0.to_be_bytes());
        bytes[8..24].copy_from_slice(&self.event.to_bytes());
        bytes[24..].copy_from_slice(&self.ordinal.to_be_bytes());
        bytes
    }

    /// Decodes a place of a token.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 28]) -> Self {
        let mut revision = [0; 8];
        let mut event = [0; 16];
        let mut ordinal = [0; 4];
        revision.copy_from_slice(&bytes[..8]);
        event.copy_from_slice(&bytes[8..24]);
        ordinal.copy_from_slice(&bytes[24..]);
        Self {
            revision: Revision(u64::from_be_bytes(revision)),
            event: EventId::from_bytes(event),
            ordinal: u32::from_be_bytes(ordinal),
        }
    }
}

/// A filter for a list of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFilter {
    /// The tenant. None: events of the whole installation.
    pub tenant_id: Option<TenantId>,
    /// The author's name.
    pub actor: Option<String>,
    /// The user that the event is about.
    pub user_id: Option<UserId>,
    /// The kind of change.
    pub action: Option<String>,
    /// Events at this time or later.
    pub after: Option<Micros>,
    /// Events before this time.
    pub before: Option<Micros>,
}

/// The result of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditVerdict {
    /// The number of revisions that match the chain.
    pub verified: u64,
    /// The last matching revision.
    pub through: Revision,
    /// The head of the log when the verification began.
    pub head: Revision,
    /// The first fault.
    pub fault: Option<AuditFault>,
    /// The erasures that the verified rows refer to, by their first row.
    pub erased: Vec<ErasedRows>,
    /// Where the trail begins.
    pub begin: TrailBegin,
    /// The number of rows that are gone from the verified batches, because they were older than their tenant keeps them.
    pub removed: u64,
    /// The records of removals that the verification relies on. It is worth nothing before their codes are checked.
    pub records: Vec<CodedRecord>,
}

/// Where the trail begins: everything up to a revision was old enough, and is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrailBegin {
    /// The last revision that is gone. 0: none is.
    pub revision: Revision,
    /// The chain there, to which the first batch of the trail is linked.
    pub chain: Chain,
    /// The number of batches that are gone.
    pub batches: u64,
    /// The number of rows that are gone with them.
    pub rows: u64,
}

/// A record in the store, with the code that only an authority can make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodedRecord {
    /// The revision that the record is about.
    pub revision: Revision,
    /// The bytes that the code is computed over.
    pub bytes: Vec<u8>,
    /// The code.
    pub code: Vec<u8>,
}

/// The rows that one erasure has erased, as far as a verification has met them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasedRows {
    /// The event that began the erasure.
    pub erasure: EventId,
    /// The number of rows that have an erased part.
    pub rows: u64,
    /// The revision of the first of them.
    pub first: Revision,
    /// The revision of the last of them.
    pub last: Revision,
}

/// A place where the trail differs from the digests in the log's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFault {
    /// The batch.
    pub revision: Revision,
    /// The faulty row: its event and ordinal. None when the fault is in the batch.
    pub row: Option<(EventId, u32)>,
    /// The difference.
    pub problem: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::{FindingCode, Level};

    #[test]
    fn positions_are_decoded_as_they_were_encoded() {
        let event = EventId::from_bytes(*b"0123456789abcdef");
        let position = AuditPosition {
            at: Micros(-0x0102_0304_0506_0708),
            event,
            ordinal: 0x090a_0b0c,
        };
        assert_eq!(AuditPosition::from_bytes(position.to_bytes()), position);
        let place = TrailPosition {
            revision: Revision(0x0102_0304_0506_0708),
            event,
            ordinal: 0x090a_0b0c,
        };
        assert_eq!(TrailPosition::from_bytes(place.to_bytes()), place);
        // Bytes sort as places do.
        let behind = TrailPosition {
            ordinal: place.ordinal + 1,
            ..place
        };
        assert!(behind.to_bytes() > place.to_bytes());
        assert!(TrailPosition::behind_revision(place.revision).to_bytes() > behind.to_bytes());
    }

    #[test]
    fn the_event_of_a_finding_has_the_facts_that_are_known() {
        let fact = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let finding = Finding {
            code: FindingCode::NewCountry,
            level: Level::High,
            facts: vec![fact("country", "DE"), fact("city", "")],
        };
        let (tenant, user) = (TenantId::parse("acme"), UserId::parse("ada"));
        let (tenant, user) = (tenant.expect("an id"), user.expect("an id"));
        let session = SessionId::from_bytes([1; 16]);
        let actor = Actor::user(&user);
        let event = PendingEvent::finding(
            &finding,
            Micros(5),
            (&tenant, session, &user),
            actor.clone(),
        );
        assert_eq!(event.action, "finding.new_country");
        assert_eq!(event.details, Details::from([fact("country", "DE")]));
        assert_eq!(event.target, session.to_string());
        assert_eq!((event.at, event.actor), (Micros(5), actor));
        assert_eq!((event.tenant_id, event.user_id), (tenant, Some(user)));
    }
}
