//! Revocations that are forgotten together.

use foldhash::fast::RandomState;
use rpds::HashTrieMapSync;

use super::{CutoffState, SerialSet, SnapshotError};
use crate::{
    delta::{self, Scope},
    id::{Serial, TenantSerial, UserSerial},
    position::Revision,
    v1,
};

/// About how many bytes an encoded cutoff has: two numbers of up to five bytes, a scope, and their tags.
const CUTOFF_BYTES: u64 = 18;

type CutoffMap = HashTrieMapSync<u64, CutoffState, RandomState>;

/// The revoked serials and the cutoffs of one generation. Copies share what they have in common.
#[derive(Clone, Debug)]
pub struct Generation {
    pub(super) revoked: SerialSet,
    users: CutoffMap,
    tenants: CutoffMap,
    everyone: CutoffState,
}

impl Default for Generation {
    fn default() -> Self {
        let empty = || CutoffMap::new_with_hasher_and_ptr_kind(RandomState::default());
        Self {
            revoked: SerialSet::default(),
            users: empty(),
            tenants: empty(),
            everyone: CutoffState::default(),
        }
    }
}

/// What a generation is asked about: the numbers of one credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The credential's.
    pub serial: Serial,
    /// Its user's.
    pub user: UserSerial,
    /// Its tenant's.
    pub tenant: TenantSerial,
    /// The head of the log that the transaction which created it had read.
    pub opened: Revision,
}

impl Generation {
    pub(super) fn cut(&mut self, scope: Scope, state: CutoffState) {
        let merge = |map: &mut CutoffMap, serial: u64| {
            let merged = map.get(&serial).copied().unwrap_or_default().merge(state);
            map.insert_mut(serial, merged);
        };
        match scope {
            Scope::User(serial) => merge(&mut self.users, serial.0),
            Scope::Tenant(serial) => merge(&mut self.tenants, serial.0),
            Scope::Everyone => self.everyone = self.everyone.merge(state),
        }
    }

    /// Whether a cutoff of this generation covers the credential.
    #[must_use]
    pub fn cuts(&self, subject: &Subject) -> bool {
        let covers = |state: &CutoffState| state.covers(subject.opened, subject.serial);
        let any =
            |map: &CutoffMap, serial: u64| !map.is_empty() && map.get(&serial).is_some_and(covers);
        covers(&self.everyone)
            || any(&self.tenants, subject.tenant.0)
            || any(&self.users, subject.user.0)
    }

    /// How many scopes have a cutoff.
    pub(super) fn cutoffs(&self) -> u64 {
        (self.users.size() + self.tenants.size()) as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.revoked.bytes() + self.cutoffs() * CUTOFF_BYTES
    }

    pub(super) fn encode(&self) -> v1::Generation {
        let users = self
            .users
            .iter()
            .map(|(serial, state)| (Scope::User(UserSerial(*serial)), *state));
        let tenants = self
            .tenants
            .iter()
            .map(|(serial, state)| (Scope::Tenant(TenantSerial(*serial)), *state));
        let everyone =
            (self.everyone != CutoffState::default()).then_some((Scope::Everyone, self.everyone));
        let mut cutoffs: Vec<_> = users.chain(tenants).chain(everyone).collect();
        cutoffs.sort_unstable_by_key(|(scope, _)| *scope);
        v1::Generation {
            revoked: self.revoked.encode(),
            cutoffs: cutoffs.into_iter().map(encode_cutoff).collect(),
        }
    }

    pub(super) fn decode(generation: &v1::Generation) -> Result<Self, SnapshotError> {
        let revoked = SerialSet::decode(&generation.revoked)?;
        let mut decoded = Self {
            revoked,
            ..Self::default()
        };
        let mut last = None;
        for cutoff in &generation.cutoffs {
            let scope = delta::scope(cutoff.scope(), cutoff.scope_serial)
                .map_err(|_| SnapshotError::Unknown)?;
            let state = CutoffState {
                greatest: Revision(cutoff.revision),
                exempt: delta::exempt(cutoff.exempt_serial),
                unexempted: Revision(cutoff.unexempted_revision),
            };
            if !state.is_merged() || last.is_some_and(|last| last >= scope) {
                return Err(SnapshotError::Malformed);
            }
            last = Some(scope);
            decoded.cut(scope, state);
        }
        Ok(decoded)
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
