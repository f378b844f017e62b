//! Dead letters: events of the trail that an export has given up, and what operators answer to them.

use portcullis_contract::id::EventId;

use super::Micros;

/// The name of an event within the trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetterId {
    /// The event.
    pub event: EventId,
    /// Its number among the events of one call.
    pub ordinal: u32,
}

impl DeadLetterId {
    /// Returns the target of the audit rows about a letter of an export.
    #[must_use]
    pub fn target(self, export: &str) -> String {
        format!("{export}/{}/{}", self.event, self.ordinal)
    }
}

/// An event that an export has given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The name of the export.
    pub export: String,
    /// Its name.
    pub id: DeadLetterId,
    /// The last attempt.
    pub died: Micros,
    /// Why it failed.
    pub problem: String,
    /// Whether an operator asked for one more attempt.
    pub is_due: bool,
    /// The tenant of the event. Empty: none.
    pub tenant_id: String,
    /// Whether the trail has the event no more.
    pub is_event_gone: bool,
}

/// An answer to dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterAnswer {
    /// One more attempt.
    Retry,
    /// None, ever.
    Drop,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_row_names_the_export_the_event_and_its_number() {
        let id = DeadLetterId {
            event: EventId::from_bytes([0x2a; 16]),
            ordinal: 3,
        };
        let target = id.target("siem");
        assert_eq!(target, format!("siem/{}/3", id.event));
    }
}
