//! The master keys of an authority: one seals, and the others still open the values that they sealed.

use std::fmt;

use zeroize::Zeroizing;

use super::{HeadCodes, MasterKey, MasterKeyId};
use crate::store::MASTER_KEY_ID_BYTES;

/// The master key that seals, and others beside it while the master key is replaced.
pub struct MasterKeys {
    current: MasterKey,
    others: Vec<MasterKey>,
}

/// Sealed bytes that this authority cannot open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsealable {
    /// Another master key sealed them.
    #[error(
        "a stored secret is sealed by master key {sealed_by}, and this authority has {configured}: add that key to \
         keys.other_master_keys"
    )]
    OtherKey {
        /// The key that sealed them.
        sealed_by: MasterKeyId,
        /// The keys that this authority has.
        configured: MasterKeyIds,
    },
    /// The named key does not open them for this purpose.
    #[error("a stored secret is damaged: its master key does not open it")]
    Damaged,
}

/// The ids of the master keys that an authority has, the one that seals first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKeyIds(pub Vec<MasterKeyId>);

impl fmt::Display for MasterKeyIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, id) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{id}")?;
        }
        Ok(())
    }
}

impl From<MasterKey> for MasterKeys {
    fn from(current: MasterKey) -> Self {
        Self::new(current, Vec::new())
    }
}

impl MasterKeys {
    /// `current` seals. `others` only open.
    #[must_use]
    pub fn new(current: MasterKey, others: Vec<MasterKey>) -> Self {
        Self { current, others }
    }

    /// The id of the key that seals.
    #[must_use]
    pub fn current(&self) -> MasterKeyId {
        self.current.id()
    }

    /// The ids of all keys, the one that seals first.
    #[must_use]
    pub fn ids(&self) -> MasterKeyIds {
        MasterKeyIds(self.all().map(MasterKey::id).collect())
    }

    /// Seals `secret` for `purpose`. It opens for no other purpose.
    #[must_use]
    pub fn seal(&self, purpose: &str, secret: &[u8]) -> Vec<u8> {
        self.current.seal(purpose, secret)
    }

    /// Opens sealed bytes.
    ///
    /// # Errors
    /// When none of these keys sealed them for this purpose.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        let key = self.maker_of(sealed)?;
        key.open(purpose, sealed).map_err(|_| Unsealable::Damaged)
    }

    /// Opens a value that another key sealed, and seals it by the current key.
    ///
    /// # Errors
    /// When none of these keys sealed it for this purpose.
    pub(crate) fn reseal(&self, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let secret = self.open(purpose, sealed)?;
        Ok(self.seal(purpose, &secret))
    }

    /// Makes the code over a checkpoint.
    #[must_use]
    pub fn authenticate(&self, checkpoint: &[u8]) -> Vec<u8> {
        self.current.authenticate(checkpoint)
    }

    /// Checks the code over a checkpoint, in constant time.
    ///
    /// # Errors
    /// When none of these keys made it over these bytes.
    pub fn verify(&self, checkpoint: &[u8], code: &[u8]) -> Result<(), Unsealable> {
        let key = self.maker_of(code)?;
        if !key.is_authentic(checkpoint, code) {
            return Err(Unsealable::Damaged);
        }
        Ok(())
    }

    /// The codes over heads of the log. Those of every key are verified.
    pub(crate) fn head_codes(&self) -> HeadCodes {
        let keys = self.all().map(MasterKey::head_key).collect::<Vec<_>>();
        HeadCodes::new(&keys)
    }

    fn all(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.current).chain(&self.others)
    }

    /// The key that made sealed bytes or a code, by the id in front of them.
    fn maker_of(&self, made: &[u8]) -> Result<&MasterKey, Unsealable> {
        let Some((id, _)) = made.split_first_chunk::<MASTER_KEY_ID_BYTES>() else {
            return Err(Unsealable::Damaged);
        };
        let id = MasterKeyId(*id);
        // Ids are public, so the comparison need not hide where they differ.
        let Some(key) = self.all().find(|key| key.id() == id) else {
            return Err(Unsealable::OtherKey {
                sealed_by: id,
                configured: self.ids(),
            });
        };
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(key: &MasterKey) -> MasterKey {
        MasterKey::from_base64(&key.to_base64()).expect("a key")
    }

    #[test]
    fn each_key_opens_its_own_and_the_current_one_seals() {
        let (old, new) = (MasterKey::generate(), MasterKey::generate());
        let (old_id, new_id) = (old.id(), new.id());
        let before = MasterKeys::from(again(&old));
        let sealed = before.seal("a", b"secret");
        let code = before.authenticate(b"view");

        // Beside each other, in either order.
        let adding = MasterKeys::new(again(&old), vec![again(&new)]);
        let both = MasterKeys::new(again(&new), vec![again(&old)]);
        for keys in [&adding, &both] {
            assert_eq!(
                keys.open("a", &sealed).expect("opens").as_slice(),
                b"secret"
            );
            assert_eq!(keys.verify(b"view", &code), Ok(()));
        }
        assert_eq!(adding.current(), old_id);
        assert_eq!(both.current(), new_id);

        // A resealed value needs the new key only.
        let resealed = both.reseal("a", &sealed).expect("opens");
        let after = MasterKeys::from(new);
        assert_eq!(
            after.open("a", &resealed).expect("opens").as_slice(),
            b"secret"
        );
        assert_eq!(after.open("b", &resealed), Err(Unsealable::Damaged));
        let other = Unsealable::OtherKey {
            sealed_by: old_id,
            configured: MasterKeyIds(vec![new_id]),
        };
        assert_eq!(after.open("a", &sealed), Err(other.clone()));
        assert_eq!(after.verify(b"view", &code), Err(other.clone()));
        let text = other.to_string();
        assert!(text.contains(&old_id.to_string()) && text.contains(&new_id.to_string()));
    }

    #[test]
    fn bytes_of_any_length_and_altered_ones_are_refused() {
        let keys = MasterKeys::new(MasterKey::generate(), vec![MasterKey::generate()]);
        let sealed = keys.seal("a", b"secret");
        for length in 0..sealed.len() {
            assert!(keys.open("a", &sealed[..length]).is_err());
            let mut flipped = sealed.clone();
            flipped[length] ^= 1;
            assert!(keys.open("a", &flipped).is_err());
        }
        // The id of a sibling in front of what this key made.
        let moved = [&keys.others[0].id().0[..], &sealed[MASTER_KEY_ID_BYTES..]].concat();
        assert_eq!(keys.open("a", &moved), Err(Unsealable::Damaged));
    }
}
