//! The view: the revocations in force at a revision. Both sides build it from the same deltas.

mod cutoff;
mod error;
mod frame;
mod generation;
mod serials;
mod snapshot;
mod subject;

use std::sync::Arc;

pub use self::{
    cutoff::CutoffState,
    error::{ApplyError, SnapshotError},
    frame::Frame,
    generation::Generation,
    serials::SerialSet,
    subject::Subject,
};
use crate::{
    delta::{self, Change},
    key::{CredentialKind, KeyId, VerificationKey},
    position::{Chain, Incarnation, Position, Revision},
    seeded::{self, Mistake},
};

/// The revocations in force at a position of the log, and the keys that are trusted there.
///
/// A view never changes: [`View::apply`] returns the next one, which shares nearly everything with this one. Readers
/// keep the view that they hold, and a delta costs the same for ten revocations as for ten million.
#[derive(Clone, Debug)]
pub struct View {
    position: Position,
    turns: u64,
    /// The current generation of sessions, then the previous one.
    sessions: [Generation; 2],
    /// Revocations of API keys. No turn drops them, since an API key may never expire.
    permanent: Generation,
    trusted: Vec<Arc<VerificationKey>>,
    distrusted: Vec<KeyId>,
}

impl View {
    /// Returns the view of an empty history.
    #[must_use]
    pub fn empty(incarnation: Incarnation) -> Self {
        Self {
            position: Position {
                incarnation,
                revision: Revision::default(),
                chain: Chain::default(),
            },
            turns: 0,
            sessions: Default::default(),
            permanent: Generation::default(),
            trusted: Vec::new(),
            distrusted: Vec::new(),
        }
    }

    /// The position in the log at which this view stands.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The number of turns in this history. Each drops the oldest generation of sessions.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// The keys whose tokens are accepted.
    #[must_use]
    pub fn trusted_keys(&self) -> &[Arc<VerificationKey>] {
        &self.trusted
    }

    /// The trusted key with this `kid`.
    #[must_use]
    pub fn trusted_key(&self, id: &str) -> Option<&Arc<VerificationKey>> {
        self.trusted.iter().find(|key| key.id.as_str() == id)
    }

    /// Returns whether `key` is among the trusted ones.
    #[must_use]
    pub fn trusts(&self, key: &Arc<VerificationKey>) -> bool {
        // Views that follow one another share their keys, so the pointers nearly always decide.
        self.trusted
            .iter()
            .any(|trusted| Arc::ptr_eq(trusted, key) || trusted.is_same(key))
    }

    /// Returns whether `key` was distrusted.
    #[must_use]
    pub fn distrusts(&self, id: &KeyId) -> bool {
        self.distrusted.contains(id)
    }

    /// Returns whether this very credential was revoked.
    #[must_use]
    pub fn is_revoked(&self, kind: CredentialKind, subject: &Subject) -> bool {
        self.generations(kind)
            .iter()
            .any(|generation| generation.revoked.contains(subject.serial))
    }

    /// Returns whether a cutoff covers the credential.
    #[must_use]
    pub fn is_cut(&self, kind: CredentialKind, subject: &Subject) -> bool {
        self.generations(kind)
            .iter()
            .any(|generation| generation.cuts(subject))
    }

    /// The number of credentials that were revoked one by one, in all generations.
    #[must_use]
    pub fn revoked_count(&self) -> u64 {
        let [current, previous] = &self.sessions;
        current.revoked.len() + previous.revoked.len() + self.permanent.revoked.len()
    }

    /// The number of entries that a gate holds: revoked credentials and cutoffs, in all generations.
    #[must_use]
    pub fn entries(&self) -> u64 {
        let [current, previous] = &self.sessions;
        let cutoffs = current.cutoffs() + previous.cutoffs() + self.permanent.cutoffs();
        self.revoked_count() + cutoffs
    }

    /// The approximate number of bytes of these entries, encoded.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let [current, previous] = &self.sessions;
        current.bytes() + previous.bytes() + self.permanent.bytes()
    }

    /// Returns the view after `frame`.
    ///
    /// # Errors
    /// When the frame is not the next one or cannot be understood. This view stays as it was.
    pub fn apply(&self, frame: &Frame) -> Result<Self, ApplyError> {
        // A gap would lose revocations, and a repetition could undo a turn: only the very next batch is taken.
        if !frame.revision.follows(self.position.revision) {
            return Err(ApplyError::Gap {
                applied: self.position.revision,
                got: frame.revision,
            });
        }

        // Decoded whole before anything changes, so that an error leaves nothing half applied.
        let changes = delta::decode(&frame.delta)?;
        let mut next = self.clone();
        next.position.revision = frame.revision;
        next.position.chain = self.position.chain.next(&frame.delta, &frame.audit_digest);
        for change in changes {
            next.apply_change(change);
        }
        Ok(next)
    }

    /// Returns the same revocations at the beginning of another history, as `recover` leaves them.
    #[must_use]
    pub fn rebased(&self, position: Position) -> Self {
        Self {
            position,
            ..self.clone()
        }
    }

    /// Adds the revocations of `other` that no turn forgets: API keys, their cutoffs, and distrusted signing keys.
    #[must_use]
    pub fn with_permanent_of(&self, other: &Self) -> Self {
        // Only what refuses is taken over. A key that the other history trusts proves nothing in
        // this one.
        let mut united = self.clone();
        united.permanent.unite(&other.permanent);
        for id in &other.distrusted {
            united.distrust(id.clone());
        }
        united
    }

    /// Returns whether the view revokes anything that no turn forgets.
    #[must_use]
    pub fn has_permanent(&self) -> bool {
        !self.permanent.is_empty() || !self.distrusted.is_empty()
    }

    fn apply_change(&mut self, change: Change) {
        match change {
            Change::Revoke {
                credential,
                serials,
            } => self.newest_mut(credential).revoked.extend(&serials),
            Change::Cut {
                credential,
                scope,
                exempt,
            } => {
                // The batch's own revision: the cutoff covers all that was opened before this batch.
                let cutoff = CutoffState::new(self.position.revision, exempt);
                self.newest_mut(credential).cut(scope, cutoff);
            }
            Change::Forget(serials) => self.permanent.revoked.remove(&serials),
            Change::Trust(key) => self.trust(key),
            Change::Distrust(id) => self.distrust(id),
            Change::Turn => self.turn(),
        }
    }

    /// Drops the previous generation and begins a new one.
    fn turn(&mut self) {
        if seeded::has(Mistake::PruneTooEarly) {
            self.sessions[0] = Generation::default();
        }
        self.sessions[1] = std::mem::take(&mut self.sessions[0]);
        // Bytes from elsewhere may claim any number: it must not wrap and make a later turn look like an early one.
        self.turns = self.turns.saturating_add(1);
    }

    fn trust(&mut self, key: VerificationKey) {
        // One `kid` is one key. The first one stays, so that a later entry cannot put another key
        // under the name of a trusted one.
        let known = self.trusted.iter().any(|trusted| trusted.id == key.id);
        // Distrust is for good: otherwise a replayed entry could bring a stolen key back.
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

    /// The generation that takes new revocations of a kind.
    fn newest_mut(&mut self, kind: CredentialKind) -> &mut Generation {
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

#[cfg(test)]
mod tests;
