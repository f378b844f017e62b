//! Positions in the log: the revision, which is the only clock of revocation, and the chain that proves a prefix.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::{
    seeded::{self, Mistake},
    v1,
};

/// A position in the log. Revisions are dense: each batch is one more than the batch before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of the batch after this one.
    ///
    /// No log reaches the greatest number, but bytes from elsewhere may claim it. It is its own successor, and nothing
    /// [`follows`](Self::follows) it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Returns whether this is the revision right after `other`.
    #[must_use]
    pub fn follows(self, other: Self) -> bool {
        // A sequence leaves gaps, and whoever reads by it has to bear them.
        if seeded::has(Mistake::SequenceAsCursor) {
            return self > other;
        }
        // Checked, because a wrapped number would let revision 0 follow the greatest one.
        other.0.checked_add(1) == Some(self.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The random id of one history of the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation(pub [u8; 16]);

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// Returns the SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    to_digest(digest(&SHA256, bytes).as_ref())
}

/// The hash over everything in the log up to a revision.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Chain(pub Digest);

impl Chain {
    /// Returns the chain after a batch: `SHA-256(self ‖ SHA-256(delta) ‖ audit_digest)`.
    #[must_use]
    pub fn next(&self, delta: &[u8], audit_digest: &Digest) -> Self {
        self.link(&sha256(delta), audit_digest)
    }

    /// Returns the same as [`next`](Self::next) where only the digest of the delta is left.
    #[must_use]
    pub fn link(&self, delta_digest: &Digest, audit_digest: &Digest) -> Self {
        // All three parts have a fixed length, so none can run into the next and no length is hashed.
        let mut context = Context::new(&SHA256);
        context.update(&self.0);
        context.update(delta_digest);
        context.update(audit_digest);
        Self(to_digest(context.finish().as_ref()))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Eight bytes tell chains apart in a log line; the whole would hide the rest of it.
        for byte in &self.0[..8] {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// A revision of one history, with the proof of all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The history.
    pub incarnation: Incarnation,
    /// The revision within the history.
    pub revision: Revision,
    /// The chain at `revision`.
    pub chain: Chain,
}

impl From<Position> for v1::Cursor {
    fn from(position: Position) -> Self {
        Self {
            incarnation: position.incarnation.0.to_vec().into(),
            revision: position.revision.0,
            chain: position.chain.0.to_vec().into(),
        }
    }
}

impl TryFrom<&v1::Cursor> for Position {
    type Error = MalformedPosition;

    fn try_from(cursor: &v1::Cursor) -> Result<Self, MalformedPosition> {
        Self::from_parts(&cursor.incarnation, cursor.revision, &cursor.chain)
    }
}

impl Position {
    /// Makes a position of its parts.
    ///
    /// # Errors
    /// When the incarnation is not 16 bytes or the chain not 32.
    pub fn from_parts(
        incarnation: &[u8],
        revision: u64,
        chain: &[u8],
    ) -> Result<Self, MalformedPosition> {
        // Checked here once. Padded or cut, two different positions could become equal.
        let (Ok(incarnation), Ok(chain)) = (incarnation.try_into(), chain.try_into()) else {
            return Err(MalformedPosition);
        };
        Ok(Self {
            incarnation: Incarnation(incarnation),
            revision: Revision(revision),
            chain: Chain(chain),
        })
    }
}

/// The error for an incarnation that is not 16 bytes, or a chain or digest that is not 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed log position")]
pub struct MalformedPosition;

fn to_digest(bytes: &[u8]) -> Digest {
    bytes.try_into().expect("SHA-256 gives 32 bytes")
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn nothing_follows_the_greatest_revision_and_each_other_has_one_successor() {
        let last = Revision(u64::MAX);
        assert!(Revision(5).follows(Revision(4)) && Revision(4).next() == Revision(5));
        for other in [Revision(0), Revision(4), Revision(5), last, last.next()] {
            assert!(
                !Revision(4).follows(other) && !other.follows(last),
                "{other}"
            );
        }
    }

    /// The formula at the top of `log.proto`, in other words than the code's, and as a value for other languages.
    #[test]
    fn the_chain_is_what_the_proto_says() {
        let audit_digest = [7; 32];
        let first = Chain::default().next(b"delta", &audit_digest);
        let bytes = [&[0; 32][..], &sha256(b"delta"), &audit_digest].concat();
        assert_eq!(first.0, sha256(&bytes));
        let bytes = [&first.0[..], &sha256(b""), &audit_digest].concat();
        assert_eq!(first.next(b"", &audit_digest).0, sha256(&bytes));
        let hex: String = first.0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "58bfabcf5a2e147ce9065362046bf36f59587b42f56c0dced29f3ac875ae4a1e"
        );
    }

    /// A cursor whose bits were altered is refused, or is another position, which no log takes for a good one.
    #[test]
    fn an_altered_cursor_is_not_the_same_position() {
        let position = Position {
            incarnation: Incarnation([0xa5; 16]),
            revision: Revision(1 << 40),
            chain: Chain(sha256(b"all before")),
        };
        let read = |bytes: &[u8]| {
            v1::Cursor::decode(bytes)
                .ok()
                .and_then(|cursor| Position::try_from(&cursor).ok())
        };
        let bytes = v1::Cursor::from(position).encode_to_vec();
        assert_eq!(read(&bytes), Some(position));
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length]), None, "{length} bytes");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(read(&flipped), Some(position), "bit {bit}");
        }
    }
}
