//! Checksums of the messages of a watch stream: a damaged message is refused, never taken for another one.
//!
//! TCP's own checksum lets one damaged segment in some ten thousand through, and a middlebox may damage the bytes that
//! it forwards. One flipped bit in a beat can name a head that the view has not reached or a probe that was never sent.
//! `proto/portcullis/v1/revocation_service.proto` describes the bytes that are hashed.

use aws_lc_rs::digest::{Context, SHA256};
use prost::bytes::Bytes;
use prost_types::{Duration, Timestamp};

use crate::v1;

/// The bytes of a checksum.
pub const CHECKSUM_BYTES: usize = 16;

/// The random name of one stream, which the validator chooses. It keeps a message of one stream out of another.
pub type StreamId = [u8; 16];

/// The scope of a checksum that is the same in every stream.
///
/// Snapshots and deltas are encoded once for all gates, so no stream can be part of their checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnyStream;

impl AsRef<[u8]> for AnyStream {
    fn as_ref(&self) -> &[u8] {
        &[]
    }
}

/// A message of a watch stream that carries a checksum over its other fields.
pub trait Checksummed: Sized {
    /// The message's name in `proto/`. It keeps equal bytes of two kinds of message apart.
    const NAME: &'static str;

    /// [`StreamId`] for a message of one stream, [`AnyStream`] for a message that all streams share.
    type Scope: AsRef<[u8]>;

    /// Hashes the fields in the order of their numbers, without the checksum.
    fn hash_fields(&self, hash: FieldHash) -> FieldHash;

    /// The checksum that the message carries.
    fn checksum(&self) -> &Bytes;

    /// Replaces the checksum that the message carries.
    fn set_checksum(&mut self, checksum: Bytes);

    /// Returns the message with its checksum.
    #[must_use]
    fn sealed(mut self, scope: &Self::Scope) -> Self {
        let checksum = compute(&self, scope);
        self.set_checksum(checksum);
        self
    }

    /// Returns whether the checksum matches.
    #[must_use]
    fn is_intact(&self, scope: &Self::Scope) -> bool {
        // Not in constant time: the checksum protects against damage, and is no secret.
        *self.checksum() == compute(self, scope)
    }
}

fn compute<M: Checksummed>(message: &M, scope: &M::Scope) -> Bytes {
    let hash = FieldHash::new(M::NAME, scope.as_ref());
    message.hash_fields(hash).finish()
}

/// The hash over the fields of one message.
///
/// An absent message is hashed as 0 and a present one as 1 with its fields, so that no two messages give the same bytes.
pub struct FieldHash(Context);

impl FieldHash {
    fn new(message: &str, scope: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(message.as_bytes());
        // Ends the name, so that no name is the beginning of another message.
        context.update(&[0]);
        context.update(scope);
        Self(context)
    }

    /// Hashes bytes of a fixed length.
    fn fixed(mut self, value: &[u8]) -> Self {
        self.0.update(value);
        self
    }

    fn integer(self, value: u64) -> Self {
        self.fixed(&value.to_be_bytes())
    }

    fn signed(self, value: i64) -> Self {
        self.integer(value.cast_unsigned())
    }

    fn bytes(self, value: &[u8]) -> Self {
        // Without the length in front, bytes could move from one field to the next.
        self.integer(value.len() as u64).fixed(value)
    }

    fn cursor(self, cursor: Option<&v1::Cursor>) -> Self {
        let Some(cursor) = cursor else {
            return self.integer(0);
        };
        self.integer(1)
            .bytes(&cursor.incarnation)
            .integer(cursor.revision)
            .bytes(&cursor.chain)
    }

    fn duration(self, duration: Option<&Duration>) -> Self {
        let Some(duration) = duration else {
            return self.integer(0);
        };
        self.integer(1)
            .signed(duration.seconds)
            .signed(duration.nanos.into())
    }

    fn timestamp(self, timestamp: Option<&Timestamp>) -> Self {
        let Some(timestamp) = timestamp else {
            return self.integer(0);
        };
        self.integer(1)
            .signed(timestamp.seconds)
            .signed(timestamp.nanos.into())
    }

    fn part(self, part: Option<&v1::SnapshotPart>) -> Self {
        let Some(part) = part else {
            return self.integer(0);
        };
        self.integer(1)
            .bytes(&part.sha256)
            .integer(part.total_bytes)
            .integer(part.offset)
    }

    fn proven_head(self, proven: Option<&v1::ProvenHead>) -> Self {
        let Some(proven) = proven else {
            return self.integer(0);
        };
        self.integer(1)
            .cursor(proven.head.as_ref())
            .bytes(&proven.code)
    }

    fn finish(self) -> Bytes {
        // Half of SHA-256 is enough against damage. It is not a defence against an attacker, which TLS is.
        Bytes::copy_from_slice(&self.0.finish().as_ref()[..CHECKSUM_BYTES])
    }
}

/// Implements [`Checksummed`] for a generated message, by the expression that hashes its fields.
macro_rules! checksummed {
    ($message:ident, $scope:ty, |$this:ident, $hash:ident| $fields:expr) => {
        impl Checksummed for v1::$message {
            const NAME: &'static str = stringify!($message);

            type Scope = $scope;

            fn hash_fields(&self, $hash: FieldHash) -> FieldHash {
                let $this = self;
                $fields
            }

            fn checksum(&self) -> &Bytes {
                &self.checksum
            }

            fn set_checksum(&mut self, checksum: Bytes) {
                self.checksum = checksum;
            }
        }
    };
}

// The hello names the stream itself: it is the message that makes the stream known.
checksummed!(WatchHello, AnyStream, |hello, hash| {
    hash.fixed(&hello.stream)
        .cursor(hello.cursor.as_ref())
        .duration(hello.max_staleness.as_ref())
        .signed(hello.mode.into())
        .bytes(hello.name.as_bytes())
        .part(hello.part.as_ref())
        .bytes(&hello.gate_id)
        .duration(hello.admits_for.as_ref())
        .proven_head(hello.proven_head.as_ref())
        .bytes(hello.version.as_bytes())
        .bytes(&hello.instance)
        .integer(hello.log_version.into())
});
checksummed!(WatchProbe, StreamId, |probe, hash| {
    hash.integer(probe.nonce)
        .integer(probe.applied_revision)
        .timestamp(probe.send_time.as_ref())
});
checksummed!(WatchApplied, StreamId, |applied, hash| {
    hash.integer(applied.applied_revision)
});
checksummed!(WatchWelcome, StreamId, |welcome, hash| {
    hash.bytes(&welcome.incarnation)
        .integer(welcome.fork.into())
});
checksummed!(WatchBeat, StreamId, |beat, hash| {
    hash.integer(beat.nonce)
        .cursor(beat.head.as_ref())
        .timestamp(beat.database_time.as_ref())
        .bytes(&beat.head_code)
});
checksummed!(SnapshotChunk, AnyStream, |chunk, hash| {
    hash.integer(chunk.total_bytes)
        .bytes(&chunk.sha256)
        .integer(chunk.offset)
        .bytes(&chunk.data)
});
checksummed!(DeltaFrame, AnyStream, |frame, hash| {
    hash.integer(frame.revision)
        .bytes(&frame.delta)
        .bytes(&frame.audit_digest)
});

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::position::{Chain, Incarnation, Position, Revision};

    const STREAM: StreamId = [9; 16];

    #[test]
    fn the_scope_of_all_streams_adds_nothing_to_a_checksum() {
        assert!(AnyStream.as_ref().is_empty());
    }

    fn cursor() -> v1::Cursor {
        Position {
            incarnation: Incarnation([1; 16]),
            revision: Revision(77),
            chain: Chain([2; 32]),
        }
        .into()
    }

    fn hello() -> v1::WatchHello {
        let hello = v1::WatchHello {
            cursor: Some(cursor()),
            max_staleness: Some(prost_types::Duration {
                seconds: 5,
                nanos: 1,
            }),
            mode: v1::ValidatorMode::Strict.into(),
            name: "gate".into(),
            stream: STREAM.to_vec().into(),
            part: Some(v1::SnapshotPart {
                sha256: vec![3; 32].into(),
                total_bytes: 1000,
                offset: 500,
            }),
            checksum: Bytes::new(),
            gate_id: vec![4; 16].into(),
            admits_for: Some(prost_types::Duration {
                seconds: 7,
                nanos: 2,
            }),
            proven_head: Some(v1::ProvenHead {
                head: Some(cursor()),
                code: vec![6; 32].into(),
            }),
            version: "1.2.3".into(),
            instance: vec![5; 16].into(),
            log_version: 3,
        };
        hello.sealed(&AnyStream)
    }

    fn probe() -> v1::WatchProbe {
        let probe = v1::WatchProbe {
            nonce: 0x0123_4567_89ab_cdef,
            applied_revision: 77,
            checksum: Bytes::new(),
            send_time: Some(Timestamp {
                seconds: 1_700_000_000,
                nanos: 5,
            }),
        };
        probe.sealed(&STREAM)
    }

    fn applied() -> v1::WatchApplied {
        let applied = v1::WatchApplied {
            applied_revision: 77,
            checksum: Bytes::new(),
        };
        applied.sealed(&STREAM)
    }

    /// Every message that differs from `whole` by one bit of its encoding, where it can still be decoded and says
    /// something else.
    fn damaged<M: Message + Default + PartialEq>(whole: &M) -> Vec<M> {
        let bytes = whole.encode_to_vec();
        let flipped = (0..bytes.len() * 8).filter_map(|bit| {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            M::decode(&bytes[..]).ok()
        });
        flipped.filter(|message| message != whole).collect()
    }

    #[test]
    fn a_request_with_any_bit_flipped_is_refused() {
        assert!(hello().is_intact(&AnyStream) && probe().is_intact(&STREAM));
        let (hellos, probes) = (damaged(&hello()), damaged(&probe()));
        assert!(hellos.len() > 500 && probes.len() > 100);
        for hello in hellos {
            assert!(!hello.is_intact(&AnyStream), "{hello:?}");
        }
        for probe in probes {
            assert!(!probe.is_intact(&STREAM), "{probe:?}");
        }
        for applied in damaged(&applied()) {
            assert!(!applied.is_intact(&STREAM), "{applied:?}");
        }
    }

    #[test]
    fn a_message_of_another_stream_is_refused() {
        let other = [8; 16];
        assert!(!probe().is_intact(&other) && !applied().is_intact(&other));
        let welcome = v1::WatchWelcome {
            incarnation: vec![1; 16].into(),
            ..Default::default()
        };
        assert!(!welcome.sealed(&STREAM).is_intact(&other));
        let beat = v1::WatchBeat {
            nonce: 1,
            head: Some(cursor()),
            ..Default::default()
        };
        assert!(!beat.sealed(&STREAM).is_intact(&other));
    }

    /// Without lengths in front of them, bytes could move from one field to the next.
    #[test]
    fn bytes_cannot_move_between_fields() {
        let frame = |delta: &[u8], digest: &[u8]| {
            let frame = v1::DeltaFrame {
                revision: 1,
                delta: Bytes::copy_from_slice(delta),
                audit_digest: Bytes::copy_from_slice(digest),
                checksum: Bytes::new(),
            };
            frame.sealed(&AnyStream).checksum
        };
        assert_ne!(frame(b"ab", b"c"), frame(b"a", b"bc"));
    }

    /// Another implementation computes the same from the description in `proto/`.
    #[test]
    fn the_checksum_is_the_described_one() {
        let mut bytes = b"WatchProbe\0".to_vec();
        bytes.extend(STREAM);
        bytes.extend(0x0123_4567_89ab_cdef_u64.to_be_bytes());
        bytes.extend(77_u64.to_be_bytes());
        bytes.extend(1_u64.to_be_bytes());
        bytes.extend(1_700_000_000_u64.to_be_bytes());
        bytes.extend(5_u64.to_be_bytes());
        assert_eq!(
            probe().checksum[..],
            crate::position::sha256(&bytes)[..CHECKSUM_BYTES]
        );
    }
}
