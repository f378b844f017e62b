//! Deltas: the revocations of one batch, as the log holds them and validators receive them.

use prost::{Message, bytes::Bytes};

use crate::{
    id::{Serial, TenantSerial, UserSerial},
    key::{CredentialKind, KeyId, VerificationKey},
    seeded::{self, Mistake},
    trace::TraceParent,
    v1::{self, log_entry::Kind},
};

/// The most bytes one delta may have. A batch is cut well below it.
pub const DELTA_BYTES_MAX: usize = 1 << 20;

/// The version of the log that this build understands: the greatest [`Change::since`] of all kinds.
pub const LOG_VERSION: u32 = 1;

/// A change of the view: one entry of a delta.
#[derive(Debug)]
pub enum Change {
    /// Revokes credentials one by one.
    Revoke {
        /// The kind of the credentials.
        credential: CredentialKind,
        /// The serials of the credentials.
        serials: Vec<Serial>,
    },
    /// Cuts off all credentials of a kind within a scope that were opened before this batch.
    Cut {
        /// The kind of the credentials.
        credential: CredentialKind,
        /// The user, the tenant, or everyone.
        scope: Scope,
        /// The one credential that is not cut off.
        exempt: Option<Serial>,
    },
    /// Trusts a key: its tokens are accepted from now on.
    Trust(VerificationKey),
    /// Distrusts a key, for good.
    Distrust(KeyId),
    /// Drops the previous generation of sessions.
    Turn,
    /// Forgets API keys that were revoked and have expired since.
    Forget(Vec<Serial>),
}

/// The scope that a cutoff covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// The credentials of one user.
    User(UserSerial),
    /// The credentials of one tenant.
    Tenant(TenantSerial),
    /// All credentials.
    Everyone,
}

/// The reason for which this version cannot apply bytes as a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// The delta is larger than [`DELTA_BYTES_MAX`].
    #[error("the delta is too large")]
    TooLarge,
    /// The bytes are not an encoded `Delta`.
    #[error("the delta is malformed")]
    Malformed,
    /// An entry, or a value in one, belongs to a later version. Ignoring it would forget a revocation.
    #[error("the delta has an entry of a kind this version does not know")]
    UnknownKind,
}

/// Encodes changes, with the trace parents of the sampled calls that caused them.
#[must_use]
pub fn encode(changes: &[Change], trace_parents: Vec<String>) -> Bytes {
    let mut entries = Vec::with_capacity(changes.len());
    for change in changes {
        // In their order: a turn moves the revocations that stand before it in the batch, so another
        // order would give another view.
        entries.push(v1::LogEntry {
            kind: Some(change.into()),
        });
    }
    let delta = v1::Delta {
        entries,
        trace_parents,
    };
    delta.encode_to_vec().into()
}

/// The part of a delta that [`trace_parents`] reads.
#[derive(Message)]
struct Traced {
    #[prost(string, repeated, tag = "2")]
    trace_parents: Vec<String>,
}

/// The most trace parents that are read of a delta.
pub const TRACE_PARENTS_MAX: usize = 4;

/// Reads the sampled calls that caused a delta, without decoding its entries.
#[must_use]
pub fn trace_parents(bytes: &Bytes) -> Vec<TraceParent> {
    // A delta that cannot be decoded has no spans here; whoever applies it reports the error.
    let Ok(traced) = Traced::decode(bytes.clone()) else {
        return Vec::new();
    };
    let mut parents = Vec::new();
    for text in &traced.trace_parents {
        // The bound holds whatever the delta has: each parent becomes a span in every gate.
        if parents.len() == TRACE_PARENTS_MAX {
            break;
        }
        if let Some(parent) = TraceParent::parse(text)
            && parent.sampled
        {
            parents.push(parent);
        }
    }
    parents
}

/// Decodes a delta, wholly or not at all.
///
/// # Errors
/// Every byte must have a meaning here: bytes that this version would skip are [`DeltaError::UnknownKind`].
pub fn decode(bytes: &Bytes) -> Result<Vec<Change>, DeltaError> {
    // The bound comes first: decoding allocates in proportion to the bytes.
    if bytes.len() > DELTA_BYTES_MAX {
        return Err(DeltaError::TooLarge);
    }
    let delta = v1::Delta::decode(bytes.clone()).map_err(|_| DeltaError::Malformed)?;
    // prost skips fields that it does not know. The writer is canonical, so a difference is a skipped field.
    if seeded::has(Mistake::UnknownKind) {
        return Ok(delta.entries.iter().flat_map(Change::try_from).collect());
    }
    if delta.encode_to_vec() != *bytes {
        return Err(DeltaError::UnknownKind);
    }
    delta.entries.iter().map(Change::try_from).collect()
}

impl Change {
    /// The version of the log since which there are entries of this kind. An authority writes an entry only if the log has
    /// that version, so a gate that understands the version never meets a kind that it does not know.
    #[must_use]
    pub fn since(&self) -> u32 {
        match self {
            Self::Revoke { .. }
            | Self::Cut { .. }
            | Self::Trust(_)
            | Self::Distrust(_)
            | Self::Turn
            | Self::Forget(_) => 1,
        }
    }
}

impl TryFrom<&v1::LogEntry> for Change {
    type Error = DeltaError;

    fn try_from(entry: &v1::LogEntry) -> Result<Self, DeltaError> {
        match entry.kind.as_ref().ok_or(DeltaError::UnknownKind)? {
            Kind::Revoked(revoked) => Ok(Self::Revoke {
                credential: credential(revoked.credential())?,
                serials: to_serials(&revoked.serials),
            }),
            Kind::Cutoff(cutoff) => Ok(Self::Cut {
                credential: credential(cutoff.credential())?,
                scope: scope(cutoff.scope(), cutoff.scope_serial)?,
                exempt: exempt(cutoff.exempt_serial),
            }),
            Kind::TrustKey(key) => match key.try_into() {
                Ok(key) => Ok(Self::Trust(key)),
                // A later version may know more algorithms.
                Err(_) => Err(DeltaError::UnknownKind),
            },
            Kind::DistrustKey(key) => match KeyId::parse(&key.id) {
                Ok(id) => Ok(Self::Distrust(id)),
                Err(_) => Err(DeltaError::Malformed),
            },
            // Fields that a later version adds to a turn would make the encoding differ: `decode` has refused them.
            Kind::Turn(_) => Ok(Self::Turn),
            Kind::Forgotten(forgotten) => decode_forgotten(forgotten),
        }
    }
}

impl From<&Change> for Kind {
    fn from(change: &Change) -> Self {
        match change {
            Change::Revoke {
                credential,
                serials,
            } => Self::Revoked(v1::RevokedCredentials {
                credential: v1::CredentialKind::from(*credential).into(),
                serials: to_numbers(serials),
            }),
            Change::Cut {
                credential,
                scope,
                exempt,
            } => Self::Cutoff(encode_cutoff(*credential, *scope, *exempt)),
            Change::Trust(key) => Self::TrustKey(key.into()),
            Change::Distrust(id) => Self::DistrustKey(v1::DistrustedKey { id: id.to_string() }),
            Change::Turn => Self::Turn(v1::Turn {}),
            Change::Forget(serials) => Self::Forgotten(v1::ForgottenCredentials {
                credential: v1::CredentialKind::ApiKey.into(),
                serials: to_numbers(serials),
            }),
        }
    }
}

fn decode_forgotten(forgotten: &v1::ForgottenCredentials) -> Result<Change, DeltaError> {
    match credential(forgotten.credential())? {
        CredentialKind::ApiKey => Ok(Change::Forget(to_serials(&forgotten.serials))),
        // Sessions leave by turns: a later version may mean something else by it.
        CredentialKind::Session => Err(DeltaError::UnknownKind),
    }
}

fn encode_cutoff(credential: CredentialKind, scope: Scope, exempt: Option<Serial>) -> v1::Cutoff {
    let (scope, scope_serial) = scope.to_wire();
    v1::Cutoff {
        credential: v1::CredentialKind::from(credential).into(),
        scope: scope.into(),
        scope_serial,
        // Serial 0 is no credential, so it can stand for "none" without another field.
        exempt_serial: exempt.map_or(0, |serial| serial.0),
    }
}

fn to_serials(numbers: &[u64]) -> Vec<Serial> {
    numbers.iter().copied().map(Serial).collect()
}

fn to_numbers(serials: &[Serial]) -> Vec<u64> {
    serials.iter().map(|serial| serial.0).collect()
}

impl Scope {
    /// Returns the scope's wire form: its kind, and the serial of the user or tenant.
    #[must_use]
    pub fn to_wire(self) -> (v1::CutoffScope, u64) {
        match self {
            Self::User(serial) => (v1::CutoffScope::User, serial.0),
            Self::Tenant(serial) => (v1::CutoffScope::Tenant, serial.0),
            Self::Everyone => (v1::CutoffScope::Everyone, 0),
        }
    }
}

/// Reads the scope of a cutoff.
pub(crate) fn scope(scope: v1::CutoffScope, serial: u64) -> Result<Scope, DeltaError> {
    match scope {
        v1::CutoffScope::User => Ok(Scope::User(UserSerial(serial))),
        v1::CutoffScope::Tenant => Ok(Scope::Tenant(TenantSerial(serial))),
        v1::CutoffScope::Everyone if serial == 0 => Ok(Scope::Everyone),
        // A cutoff of everyone has no serial. One that has it belongs to a later version.
        v1::CutoffScope::Everyone | v1::CutoffScope::Unspecified => Err(DeltaError::UnknownKind),
    }
}

/// Reads the exempted credential of a cutoff; 0 stands for none.
pub(crate) fn exempt(serial: u64) -> Option<Serial> {
    (serial != 0).then_some(Serial(serial))
}

fn credential(kind: v1::CredentialKind) -> Result<CredentialKind, DeltaError> {
    CredentialKind::try_from(kind).map_err(|_| DeltaError::UnknownKind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(number: usize, flags: &str) -> String {
        format!("00-0af7651916cd43dd8448eb211c80319c-{number:016x}-{flags}")
    }

    fn spans(parents: Vec<String>) -> Vec<u64> {
        let delta = encode(&[Change::Turn], parents);
        let parents = trace_parents(&delta);
        parents.iter().map(|parent| parent.span_id).collect()
    }

    #[test]
    fn the_sampled_calls_of_a_delta_are_read_up_to_a_bound() {
        let mixed = vec![parent(1, "01"), parent(2, "00"), parent(3, "01")];
        assert_eq!(spans(mixed), [1, 3]);
        let many = (1..10).map(|number| parent(number, "01")).collect();
        assert_eq!(spans(many), [1, 2, 3, 4]);
        assert_eq!(trace_parents(&Bytes::from_static(b"\xff")).len(), 0);
    }

    #[test]
    fn a_delta_may_be_as_large_as_the_bound_and_no_larger() {
        let of = |bytes: usize| {
            let text = "x".repeat(bytes);
            encode(&[Change::Turn], vec![text])
        };
        let rest = of(DELTA_BYTES_MAX - 64).len() - (DELTA_BYTES_MAX - 64);
        let largest = of(DELTA_BYTES_MAX - rest);
        assert_eq!(largest.len(), DELTA_BYTES_MAX);
        assert!(decode(&largest).is_ok());
        let larger = of(DELTA_BYTES_MAX - rest + 1);
        assert_eq!(decode(&larger).err(), Some(DeltaError::TooLarge));
    }

    #[test]
    fn a_change_belongs_to_a_version_that_this_build_understands() {
        assert!((1..=LOG_VERSION).contains(&Change::Turn.since()));
    }
}
