//! Sealed secrets as the store keeps them, and the effect of a new master key on them.

use std::{fmt, time::Duration};

use portcullis_contract::{id::EventId, key::KeyId, position::Revision};

use super::Micros;

/// The use of a secret that all authorities of an installation share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretKind {
    /// It derives refresh tokens.
    Refresh,
    /// It binds page tokens and resume tokens.
    Pages,
}

impl SecretKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Refresh, Self::Pages];

    /// The stable name in the stores and in the audit trail.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Pages => "pages",
        }
    }

    /// The kind with a stored name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The name of one secret: `refresh-2` is the second that derives refresh tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretId {
    /// The use.
    pub kind: SecretKind,
    /// Counts the secrets of a kind, from 1. Refresh tokens carry it.
    pub number: u8,
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.kind.name(), self.number)
    }
}

/// A secret to be added.
#[derive(Clone, Debug)]
pub struct NewSecret {
    /// Its name, which no other secret has had.
    pub id: SecretId,
    /// The secret, sealed by a master key.
    pub sealed: Vec<u8>,
    /// The time from its creation to its first use. Every authority reads it meanwhile.
    pub activation_delay: Duration,
}

/// A stored secret.
#[derive(Clone, Debug)]
pub struct SecretRecord {
    /// Its name.
    pub id: SecretId,
    /// The secret, sealed by a master key. Empty once it is retired.
    pub sealed: Vec<u8>,
    /// The time of creation.
    pub created: Micros,
    /// The time from which it makes tokens, unless a newer one does.
    pub makes_from: Micros,
    /// The time from which its tokens are refused.
    pub retired: Option<Micros>,
}

/// The secret that makes tokens of a kind at `now`: the one with the highest number whose activation has passed. As long as
/// any secret of the kind is not retired, one makes tokens.
#[must_use]
pub fn current_secret(
    secrets: &[SecretRecord],
    kind: SecretKind,
    now: Micros,
) -> Option<&SecretRecord> {
    let mut newest_active: Option<&SecretRecord> = None;
    let mut oldest: Option<&SecretRecord> = None;
    for secret in secrets {
        if secret.id.kind != kind || secret.retired.is_some() {
            continue;
        }
        let is_active = secret.makes_from <= now;
        // By number, which no clock can change, so all authorities agree.
        if is_active && newest_active.is_none_or(|newest| secret.id > newest.id) {
            newest_active = Some(secret);
        }
        if oldest.is_none_or(|oldest| secret.id < oldest.id) {
            oldest = Some(secret);
        }
    }

    // Without an active secret the clock was ahead when they were made. Every authority has known the oldest for longest.
    newest_active.or(oldest)
}

/// The time until which `secret` made tokens: the first activation of a later one of its kind. None: it may still make some.
#[must_use]
pub fn made_until(secrets: &[SecretRecord], secret: &SecretRecord) -> Option<Micros> {
    let later = secrets
        .iter()
        .filter(|other| other.id.kind == secret.id.kind && other.id > secret.id);
    later.map(|other| other.makes_from).min()
}

/// The place of bytes that a master key made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealedPlace {
    /// A secret of the installation.
    Secret(SecretId),
    /// The private half of a signing key.
    SigningKey(KeyId),
    /// The code of the checkpoint at a revision. The checkpoint itself is not sealed.
    Checkpoint(Revision),
    /// The code of a record of removed audit rows.
    Removal(RemovalPlace),
}

/// The place of a record of audit rows that were removed because of their age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalPlace {
    /// Where the trail begins.
    Begin,
    /// The rows that the batch of a revision lost.
    Gap(Revision),
    /// An erasure of which rows are gone, by its event.
    Erasure(EventId),
}

impl fmt::Display for SealedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(id) => write!(f, "{id}"),
            Self::SigningKey(id) => write!(f, "{id}"),
            Self::Checkpoint(revision) => write!(f, "checkpoint-{revision}"),
            Self::Removal(RemovalPlace::Begin) => write!(f, "audit-begin"),
            Self::Removal(RemovalPlace::Gap(revision)) => write!(f, "audit-gap-{revision}"),
            Self::Removal(RemovalPlace::Erasure(event)) => write!(f, "audit-erasure-{event}"),
        }
    }
}

/// Bytes that a master key made, with their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedValue {
    /// The place.
    pub place: SealedPlace,
    /// The sealed bytes, or the code. They begin with the id of their master key.
    pub sealed: Vec<u8>,
}

/// A value that another master key seals from now on.
#[derive(Clone, Debug)]
pub struct Resealed {
    /// The place.
    pub place: SealedPlace,
    /// The bytes that were read. A value that changed meanwhile stays as it is.
    pub old: Vec<u8>,
    /// The bytes that take their place.
    pub new: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(number: u8, makes_from: i64) -> SecretRecord {
        SecretRecord {
            id: SecretId {
                kind: SecretKind::Refresh,
                number,
            },
            sealed: Vec::new(),
            created: Micros(makes_from - 60),
            makes_from: Micros(makes_from),
            retired: None,
        }
    }

    fn current(secrets: &[SecretRecord], now: i64) -> Option<u8> {
        let current = current_secret(secrets, SecretKind::Refresh, Micros(now));
        current.map(|secret| secret.id.number)
    }

    #[test]
    fn the_highest_number_whose_time_has_come_makes_tokens() {
        let mut secrets = [secret(1, 1_000), secret(2, 2_000), secret(3, 3_000)];
        assert_eq!(current(&secrets, 10), Some(1), "the clock was ahead");
        assert_eq!(current(&secrets, 1_999), Some(1));
        assert_eq!(current(&secrets, 2_000), Some(2));
        assert_eq!(current(&secrets, 9_000), Some(3));
        secrets.reverse();
        assert_eq!(current(&secrets, 9_000), Some(3), "in any order of rows");
        assert_eq!(current(&secrets, 10), Some(1));
        secrets.reverse();
        secrets[2].retired = Some(Micros(5));
        assert_eq!(current(&secrets, 9_000), Some(2));
        assert_eq!(
            current_secret(&secrets, SecretKind::Pages, Micros(9_000)).map(|secret| secret.id),
            None
        );
    }

    #[test]
    fn a_secret_made_tokens_until_a_later_one_did() {
        let secrets = [secret(1, 1_000), secret(2, 3_000), secret(3, 2_000)];
        assert_eq!(made_until(&secrets, &secrets[0]), Some(Micros(2_000)));
        assert_eq!(made_until(&secrets, &secrets[2]), None);
    }

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in SecretKind::ALL {
            assert_eq!(SecretKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(SecretKind::from_name("others"), None);
    }
}
