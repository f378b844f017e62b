//! The erasure of a user, or of a whole tenant.

use std::time::Duration;

use portcullis_contract::id::{EventId, TenantId, UserId};

use super::Micros;

/// An erasure that is under way. Its row has the last copy of the user's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The event that began it.
    pub id: EventId,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The user. None: the whole tenant.
    pub user_id: Option<UserId>,
    /// The number that tokens of the user or the tenant carry. It stays in the trail.
    pub serial: u64,
    /// The time at which it began.
    pub begun: Micros,
    /// The time since then.
    pub age: Duration,
    /// The rows that were removed so far.
    pub removed: ErasedCounts,
}

/// The numbers of an erasure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErasedCounts {
    /// Sessions that were deleted.
    pub sessions: u64,
    /// Parts of audit rows whose text was erased: the author of a row and its subject are a part each.
    pub audit_parts: u64,
    /// Other rows that were deleted or cleared: known devices and places, API keys and their use, users or their names.
    pub other_rows: u64,
}

impl ErasedCounts {
    /// The name of [`audit_parts`](Self::audit_parts) among the details of the event that ends the erasure.
    pub const AUDIT_PARTS_DETAIL: &'static str = "audit_parts";

    /// True if nothing was removed.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            sessions: self.sessions + other.sessions,
            audit_parts: self.audit_parts + other.audit_parts,
            other_rows: self.other_rows + other.other_rows,
        }
    }
}

/// The name by which API keys of an erased user are kept: revoked keys stay, so that gates can forget them in time.
#[must_use]
pub fn erased_owner(serial: u64) -> String {
    // The serial tells the owners apart, and names nobody.
    format!("erased:{serial}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up() {
        let counts = |sessions, audit_parts, other_rows| ErasedCounts {
            sessions,
            audit_parts,
            other_rows,
        };
        assert_eq!(counts(1, 2, 3).plus(counts(10, 20, 30)), counts(11, 22, 33));
        assert!(ErasedCounts::default().is_nothing());
        for some in [counts(1, 0, 0), counts(0, 1, 0), counts(0, 0, 1)] {
            assert!(!some.is_nothing(), "{some:?}");
        }
    }

    #[test]
    fn an_erased_owner_has_a_number_for_a_name() {
        assert_eq!(erased_owner(42), "erased:42");
    }
}
