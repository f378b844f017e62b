//! The view: the revocations in force at a revision. Both sides build it from the same deltas.

mod cutoff;
mod generation;
mod serials;
mod snapshot;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use prost::bytes::Bytes;

pub use self::{
    cutoff::CutoffState,
    generation::{Generation, Subject},
    serials::SerialSet,
    snapshot::SnapshotError,
};
use crate::{
    delta::{self, Change, DeltaError},
    key::{CredentialKind, KeyId, VerificationKey},
    position::{Digest, Incarnation, MalformedPosition, Position, Revision},
    v1,
};

/// The revocations in force at a position of the log, and the keys that are trusted there.
///
/// A view never changes: [`View::apply`] gives the next one, which shares nearly everything with this one, so that
/// readers keep what they hold and a delta costs the same for ten revocations as for ten million.
#[derive(Clone, Debug)]
pub struct View {
    position: Position,
    turns: u64,
    /// Current, previous.
    sessions: [Generation; 2],
    permanent: Generation,
    trusted: Vec<Arc<VerificationKey>>,
    distrusted: Vec<KeyId>,
}

/// One batch of the log, as stored and as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The batch's revision.
    pub revision: Revision,
    /// The encoded delta.
    pub delta: Bytes,
    /// The digest of the batch's audit rows.
    pub audit_digest: Digest,
}

/// With its checksum, as it is sent.
impl From<&Frame> for v1::DeltaFrame {
    fn from(frame: &Frame) -> Self {
        Self {
            revision: frame.revision.0,
            delta: frame.delta.clone(),
            audit_digest: Bytes::copy_from_slice(&frame.audit_digest),
            checksum: Bytes::new(),
        }
        .sealed()
    }
}

impl TryFrom<v1::DeltaFrame> for Frame {
    type Error = MalformedPosition;

    fn try_from(frame: v1::DeltaFrame) -> Result<Self, MalformedPosition> {
        let audit_digest = frame.audit_digest[..]
            .try_into()
            .map_err(|_| MalformedPosition)?;
        Ok(Self {
            revision: Revision(frame.revision),
            delta: frame.delta,
            audit_digest,
        })
    }
}

/// Why a frame does not continue a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Not the revision after the view's.
    #[error("revision {got} does not follow {applied}")]
    Gap {
        /// The view's.
        applied: Revision,
        /// The frame's.
        got: Revision,
    },
    /// The delta cannot be understood.
    #[error(transparent)]
    Delta(#[from] DeltaError),
}

impl View {
    /// The view of an empty history.
    #[must_use]
    pub fn empty(incarnation: Incarnation) -> Self {
        Self {
            position: Position {
                incarnation,
                revision: Revision::default(),
                chain: Default::default(),
            },
            turns: 0,
            sessions: Default::default(),
            permanent: Generation::default(),
            trusted: Vec::new(),
            distrusted: Vec::new(),
        }
    }

    /// Where in the log this view stands.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// How many times a generation has been dropped in this history.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// The keys whose tokens are believed.
    #[must_use]
    pub fn trusted_keys(&self) -> &[Arc<VerificationKey>] {
        &self.trusted
    }

    /// The trusted key with this `kid`.
    #[must_use]
    pub fn trusted_key(&self, id: &str) -> Option<&Arc<VerificationKey>> {
        self.trusted.iter().find(|key| key.id.as_str() == id)
    }

    /// Whether `key` is among the trusted ones.
    #[must_use]
    pub fn trusts(&self, key: &Arc<VerificationKey>) -> bool {
        self.trusted
            .iter()
            .any(|trusted| Arc::ptr_eq(trusted, key) || trusted.is_same(key))
    }

    /// Whether trust in `key` was ended.
    #[must_use]
    pub fn distrusts(&self, id: &KeyId) -> bool {
        self.distrusted.contains(id)
    }

    /// Whether this very credential was revoked.
    #[must_use]
    pub fn is_revoked(&self, kind: CredentialKind, subject: &Subject) -> bool {
        self.generations(kind)
            .iter()
            .any(|generation| generation.revoked.contains(subject.serial))
    }

    /// Whether a cutoff covers the credential.
    #[must_use]
    pub fn is_cut(&self, kind: CredentialKind, subject: &Subject) -> bool {
        self.generations(kind)
            .iter()
            .any(|generation| generation.cuts(subject))
    }

    /// How many single credentials are held as revoked, in all generations.
    #[must_use]
    pub fn revoked_count(&self) -> u64 {
        let sessions: u64 = self
            .sessions
            .iter()
            .map(|generation| generation.revoked.len())
            .sum();
        sessions + self.permanent.revoked.len()
    }

    /// How many entries a gate holds: revoked credentials and cutoffs, in all generations.
    #[must_use]
    pub fn entries(&self) -> u64 {
        let generations = self.sessions.iter().chain([&self.permanent]);
        let cutoffs: u64 = generations.map(Generation::cutoffs).sum();
        self.revoked_count() + cutoffs
    }

    /// About how many bytes these entries have, encoded.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let generations = self.sessions.iter().chain([&self.permanent]);
        generations.map(Generation::bytes).sum()
    }

    /// The view after `frame`.
    ///
    /// # Errors
    /// When the frame is not the next one or cannot be understood; this view is as it was.
    pub fn apply(&self, frame: &Frame) -> Result<Self, ApplyError> {
        if !frame.revision.follows(self.position.revision) {
            return Err(ApplyError::Gap {
                applied: self.position.revision,
                got: frame.revision,
            });
        }
        let changes = delta::decode(&frame.delta)?;
        let mut next = self.clone();
        next.position.revision = frame.revision;
        next.position.chain = self.position.chain.next(&frame.delta, &frame.audit_digest);
        for change in changes {
            next.change(change);
        }
        Ok(next)
    }

    /// The same revocations at the beginning of another history, as `recover` leaves them.
    #[must_use]
    pub fn rebased(&self, position: Position) -> Self {
        Self {
            position,
            ..self.clone()
        }
    }

    fn change(&mut self, change: Change) {
        let revision = self.position.revision;
        match change {
            Change::Revoke {
                credential,
                serials,
            } => self.newest(credential).revoked.extend(&serials),
            Change::Cut {
                credential,
                scope,
                exempt,
            } => {
                self.newest(credential)
                    .cut(scope, CutoffState::new(revision, exempt));
            }
            Change::Forget(serials) => self.permanent.revoked.remove(&serials),
            Change::Trust(key) => self.trust(key),
            Change::Distrust(id) => self.distrust(id),
            Change::Turn => {
                self.sessions[1] = std::mem::take(&mut self.sessions[0]);
                self.turns = self.turns.saturating_add(1);
            }
        }
    }

    fn trust(&mut self, key: VerificationKey) {
        let known = self.trusted.iter().any(|trusted| trusted.id == key.id);
        if !known && !self.distrusts(&key.id) {
            self.trusted.push(Arc::new(key));
        }
    }

    fn distrust(&mut self, id: KeyId) {
        self.trusted.retain(|key| key.id != id);
        if !self.distrusts(&id) {
            self.distrusted.push(id);
        }
    }

    fn newest(&mut self, kind: CredentialKind) -> &mut Generation {
        match kind {
            CredentialKind::Session => &mut self.sessions[0],
            CredentialKind::ApiKey => &mut self.permanent,
        }
    }

    fn generations(&self, kind: CredentialKind) -> &[Generation] {
        match kind {
            CredentialKind::Session => &self.sessions,
            CredentialKind::ApiKey => std::slice::from_ref(&self.permanent),
        }
    }
}
