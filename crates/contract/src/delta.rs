//! Deltas: the revocations of one batch, as the log holds them and validators receive them.

use prost::{Message, bytes::Bytes};

use crate::{
    id::{Serial, TenantSerial, UserSerial},
    key::{CredentialKind, KeyId, VerificationKey},
    trace::TraceParent,
    v1::{self, log_entry::Kind},
};

/// The most bytes one delta may have. A batch is cut well below it.
pub const DELTA_BYTES_MAX: usize = 1 << 20;

/// One change of the view.
#[derive(Debug)]
pub enum Change {
    /// These credentials are dead.
    Revoke {
        /// Of which kind they are.
        credential: CredentialKind,
        /// Which.
        serials: Vec<Serial>,
    },
    /// Everything of a kind within a scope, opened before this batch, is dead.
    Cut {
        /// Of which kind.
        credential: CredentialKind,
        /// Within what.
        scope: Scope,
        /// But this one.
        exempt: Option<Serial>,
    },
    /// Tokens of this key are believed from now on.
    Trust(VerificationKey),
    /// Tokens of this key are dead, for good.
    Distrust(KeyId),
    /// The previous generation is forgotten.
    Turn,
    /// These API keys were revoked and have expired: the view need not hold them any more.
    Forget(Vec<Serial>),
}

/// What a cutoff covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// One user's credentials.
    User(UserSerial),
    /// One tenant's.
    Tenant(TenantSerial),
    /// All.
    Everyone,
}

/// Why bytes are not a delta that this version can apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// Larger than [`DELTA_BYTES_MAX`].
    #[error("the delta is too large")]
    TooLarge,
    /// Not an encoded `Delta`.
    #[error("the delta is malformed")]
    Malformed,
    /// An entry, or a value in one, that a later version knows. Ignoring it would be to forget a revocation.
    #[error("the delta has an entry of a kind this version does not know")]
    UnknownKind,
}

/// Encodes changes, with the trace parents of the sampled calls that caused them.
#[must_use]
pub fn encode(changes: &[Change], trace_parents: Vec<String>) -> Bytes {
    let entries = changes
        .iter()
        .map(|change| v1::LogEntry {
            kind: Some(change.into()),
        })
        .collect();
    v1::Delta {
        entries,
        trace_parents,
    }
    .encode_to_vec()
    .into()
}

/// What [`trace_parents`] reads of a delta.
#[derive(Message)]
struct Traced {
    #[prost(string, repeated, tag = "2")]
    trace_parents: Vec<String>,
}

/// The most trace parents that are read of a delta.
pub const TRACE_PARENTS_MAX: usize = 4;

/// The sampled calls that caused a delta. Its entries are not decoded.
#[must_use]
pub fn trace_parents(bytes: &Bytes) -> Vec<TraceParent> {
    let Ok(traced) = Traced::decode(bytes.clone()) else {
        return Vec::new();
    };
    let parents = traced
        .trace_parents
        .iter()
        .filter_map(|text| TraceParent::parse(text));
    parents
        .filter(|parent| parent.sampled)
        .take(TRACE_PARENTS_MAX)
        .collect()
}

/// Decodes a delta, wholly or not at all.
///
/// # Errors
/// Every byte must have a meaning here: what this version would skip is [`DeltaError::UnknownKind`].
pub fn decode(bytes: &Bytes) -> Result<Vec<Change>, DeltaError> {
    if bytes.len() > DELTA_BYTES_MAX {
        return Err(DeltaError::TooLarge);
    }
    let delta = v1::Delta::decode(bytes.clone()).map_err(|_| DeltaError::Malformed)?;
    // prost skips what it does not know; the writer is canonical, so a difference is something skipped.
    if delta.encode_to_vec() != *bytes {
        return Err(DeltaError::UnknownKind);
    }
    delta.entries.iter().map(Change::try_from).collect()
}

impl TryFrom<&v1::LogEntry> for Change {
    type Error = DeltaError;

    fn try_from(entry: &v1::LogEntry) -> Result<Self, DeltaError> {
        match entry.kind.as_ref().ok_or(DeltaError::UnknownKind)? {
            Kind::Revoked(revoked) => Ok(Self::Revoke {
                credential: credential(revoked.credential())?,
                serials: revoked.serials.iter().copied().map(Serial).collect(),
            }),
            Kind::Cutoff(cutoff) => Ok(Self::Cut {
                credential: credential(cutoff.credential())?,
                scope: scope(cutoff.scope(), cutoff.scope_serial)?,
                exempt: exempt(cutoff.exempt_serial),
            }),
            Kind::TrustKey(key) => key
                .try_into()
                .map(Self::Trust)
                .map_err(|_| DeltaError::UnknownKind),
            Kind::DistrustKey(key) => KeyId::parse(&key.id)
                .map(Self::Distrust)
                .map_err(|_| DeltaError::Malformed),
            Kind::Turn(_) => Ok(Self::Turn),
            Kind::Forgotten(forgotten) => match credential(forgotten.credential())? {
                CredentialKind::ApiKey => {
                    let serials = forgotten.serials.iter().copied().map(Serial);
                    Ok(Self::Forget(serials.collect()))
                }
                // Sessions leave by turns: a later version may mean something else by it.
                CredentialKind::Session => Err(DeltaError::UnknownKind),
            },
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
                serials: serials.iter().map(|serial| serial.0).collect(),
            }),
            Change::Cut {
                credential,
                scope,
                exempt,
            } => {
                let (scope, scope_serial) = scope.to_wire();
                Self::Cutoff(v1::Cutoff {
                    credential: v1::CredentialKind::from(*credential).into(),
                    scope: scope.into(),
                    scope_serial,
                    exempt_serial: exempt.map_or(0, |serial| serial.0),
                })
            }
            Change::Trust(key) => Self::TrustKey(key.into()),
            Change::Distrust(id) => Self::DistrustKey(v1::DistrustedKey { id: id.to_string() }),
            Change::Turn => Self::Turn(v1::Turn {}),
            Change::Forget(serials) => Self::Forgotten(v1::ForgottenCredentials {
                credential: v1::CredentialKind::ApiKey.into(),
                serials: serials.iter().map(|serial| serial.0).collect(),
            }),
        }
    }
}

impl Scope {
    /// The scope's wire form: its kind, and the serial within it.
    #[must_use]
    pub fn to_wire(self) -> (v1::CutoffScope, u64) {
        match self {
            Self::User(serial) => (v1::CutoffScope::User, serial.0),
            Self::Tenant(serial) => (v1::CutoffScope::Tenant, serial.0),
            Self::Everyone => (v1::CutoffScope::Everyone, 0),
        }
    }
}

pub(crate) fn scope(scope: v1::CutoffScope, serial: u64) -> Result<Scope, DeltaError> {
    match scope {
        v1::CutoffScope::User => Ok(Scope::User(UserSerial(serial))),
        v1::CutoffScope::Tenant => Ok(Scope::Tenant(TenantSerial(serial))),
        v1::CutoffScope::Everyone if serial == 0 => Ok(Scope::Everyone),
        // One of everyone has no serial: whatever a later version means by it is not that.
        v1::CutoffScope::Everyone | v1::CutoffScope::Unspecified => Err(DeltaError::UnknownKind),
    }
}

pub(crate) fn exempt(serial: u64) -> Option<Serial> {
    (serial != 0).then_some(Serial(serial))
}

fn credential(kind: v1::CredentialKind) -> Result<CredentialKind, DeltaError> {
    CredentialKind::try_from(kind).map_err(|_| DeltaError::UnknownKind)
}
