//! Revocations that are forgotten together.

use foldhash::fast::RandomState;
use rpds::HashTrieMapSync;

use super::{CutoffState, SerialSet, SnapshotError, Subject};
use crate::{
    delta::{self, Scope},
    id::{TenantSerial, UserSerial},
    position::Revision,
    v1,
};

/// The approximate bytes of an encoded cutoff: two numbers of up to five bytes, a scope, and their tags.
const CUTOFF_BYTES: u64 = 18;

type CutoffMap = HashTrieMapSync<u64, CutoffState, RandomState>;

/// The revoked serials and the cutoffs of one generation. Copies share their common parts.
#[derive(Clone, Debug)]
pub struct Generation {
    pub(super) revoked: SerialSet,
    users: CutoffMap,
    tenants: CutoffMap,
    everyone: CutoffState,
}

impl Default for Generation {
    fn default() -> Self {
        Self {
            revoked: SerialSet::default(),
            users: empty_map(),
            tenants: empty_map(),
            everyone: CutoffState::default(),
        }
    }
}

impl Generation {
    /// Merges a cutoff into its scope.
    pub(super) fn cut(&mut self, scope: Scope, state: CutoffState) {
        match scope {
            Scope::User(serial) => merge_into(&mut self.users, serial.0, state),
            Scope::Tenant(serial) => merge_into(&mut self.tenants, serial.0, state),
            Scope::Everyone => self.everyone = self.everyone.merge(state),
        }
    }

    /// Returns whether a cutoff of this generation covers the credential.
    #[must_use]
    pub fn cuts(&self, subject: &Subject) -> bool {
        // From the cheapest question to the dearest: a number, then a small map, then a large one.
        self.everyone.covers(subject.opened, subject.serial)
            || map_cuts(&self.tenants, subject.tenant.0, subject)
            || map_cuts(&self.users, subject.user.0, subject)
    }

    /// Adds everything that `other` revokes.
    pub(super) fn unite(&mut self, other: &Self) {
        self.revoked.unite(&other.revoked);
        // A merge does not depend on its order, and the order of a map differs from process to
        // process.
        for (serial, state) in other.users.iter() {
            self.cut(Scope::User(UserSerial(*serial)), *state);
        }
        for (serial, state) in other.tenants.iter() {
            self.cut(Scope::Tenant(TenantSerial(*serial)), *state);
        }
        self.cut(Scope::Everyone, other.everyone);
    }

    /// Returns whether the generation revokes nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.revoked.is_empty() && self.cutoffs() == 0 && self.everyone == CutoffState::default()
    }

    /// The number of users and tenants that have a cutoff.
    pub(super) fn cutoffs(&self) -> u64 {
        // The cutoff of everyone is one state for each generation, and is not worth counting.
        (self.users.size() + self.tenants.size()) as u64
    }

    /// The approximate number of bytes, encoded.
    pub(super) fn bytes(&self) -> u64 {
        self.revoked.bytes() + self.cutoffs() * CUTOFF_BYTES
    }

    pub(super) fn encode(&self) -> v1::Generation {
        v1::Generation {
            revoked: self.revoked.encode(),
            cutoffs: self.sorted_cutoffs().map(encode_cutoff).collect(),
        }
    }

    /// The cutoffs in the order of their scopes. A map has no order of its own, and a snapshot has to be the same bytes
    /// each time: its digest lets a gate go on with it at another authority.
    fn sorted_cutoffs(&self) -> impl Iterator<Item = (Scope, CutoffState)> {
        let mut cutoffs = Vec::with_capacity(self.users.size() + self.tenants.size() + 1);
        for (serial, state) in &self.users {
            cutoffs.push((Scope::User(UserSerial(*serial)), *state));
        }
        for (serial, state) in &self.tenants {
            cutoffs.push((Scope::Tenant(TenantSerial(*serial)), *state));
        }
        if self.everyone != CutoffState::default() {
            cutoffs.push((Scope::Everyone, self.everyone));
        }
        cutoffs.sort_unstable_by_key(|(scope, _)| *scope);
        cutoffs.into_iter()
    }

    /// Decodes a generation, wholly or not at all.
    pub(super) fn decode(generation: &v1::Generation) -> Result<Self, SnapshotError> {
        let mut decoded = Self {
            revoked: SerialSet::decode(&generation.revoked)?,
            ..Self::default()
        };
        let mut last = None;
        for cutoff in &generation.cutoffs {
            let (scope, state) = decode_cutoff(cutoff)?;
            // The writer sorts scopes and writes each once: any other order was not written by it.
            if last.is_some_and(|last| last >= scope) {
                return Err(SnapshotError::Malformed);
            }
            last = Some(scope);
            // Every scope is new here, so merging keeps the state as it was encoded.
            decoded.cut(scope, state);
        }
        Ok(decoded)
    }
}

fn empty_map() -> CutoffMap {
    CutoffMap::new_with_hasher_and_ptr_kind(RandomState::default())
}

fn merge_into(map: &mut CutoffMap, serial: u64, state: CutoffState) {
    let known = map.get(&serial).copied().unwrap_or_default();
    map.insert_mut(serial, known.merge(state));
}

#[inline]
fn map_cuts(map: &CutoffMap, serial: u64, subject: &Subject) -> bool {
    // Most maps are empty, and then nothing has to be hashed.
    if map.is_empty() {
        return false;
    }
    match map.get(&serial) {
        Some(state) => state.covers(subject.opened, subject.serial),
        None => false,
    }
}

fn encode_cutoff((scope, state): (Scope, CutoffState)) -> v1::CutoffState {
    let (scope, scope_serial) = scope.to_wire();
    v1::CutoffState {
        scope: scope.into(),
        scope_serial,
        revision: state.greatest.0,
        exempt_serial: state.exempt.map_or(0, |serial| serial.0),
        unexempted_revision: state.unexempted.0,
    }
}

fn decode_cutoff(cutoff: &v1::CutoffState) -> Result<(Scope, CutoffState), SnapshotError> {
    let Ok(scope) = delta::scope(cutoff.scope(), cutoff.scope_serial) else {
        return Err(SnapshotError::Unknown);
    };
    let state = CutoffState {
        greatest: Revision(cutoff.revision),
        exempt: delta::exempt(cutoff.exempt_serial),
        unexempted: Revision(cutoff.unexempted_revision),
    };
    if !state.is_merged() {
        return Err(SnapshotError::Malformed);
    }
    Ok((scope, state))
}
