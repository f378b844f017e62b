//! Checksums of the messages of a watch stream: a damaged message is refused, never taken for another one.
//!
//! TCP's own checksum lets one damaged segment in some ten thousand through, and a middlebox may damage what it
//! forwards. One flipped bit in a beat can name a head that the view has not reached or a probe that was never sent.
//! `proto/portcullis/v1/revocation_service.proto` describes the bytes that are hashed.

use aws_lc_rs::digest::{Context, SHA256};
use prost::bytes::Bytes;

use crate::v1;

/// The bytes of a checksum.
pub const CHECKSUM_BYTES: usize = 16;

/// The random name of one stream, which the validator chooses. It keeps a message of one stream out of another.
pub type StreamId = [u8; 16];

/// The hash over the fields of one message, in the order of their numbers.
struct Fields(Context);

impl Fields {
    fn of(message: &str) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(message.as_bytes());
        context.update(&[0]);
        Self(context)
    }

    fn of_stream(message: &str, stream: &[u8]) -> Self {
        let mut fields = Self::of(message);
        fields.0.update(stream);
        fields
    }

    fn integer(mut self, value: u64) -> Self {
        self.0.update(&value.to_be_bytes());
        self
    }

    fn signed(self, value: i64) -> Self {
        self.integer(value.cast_unsigned())
    }

    fn bytes(self, value: &[u8]) -> Self {
        let mut fields = self.integer(value.len() as u64);
        fields.0.update(value);
        fields
    }

    fn cursor(self, cursor: Option<&v1::Cursor>) -> Self {
        match cursor {
            None => self.integer(0),
            Some(cursor) => self
                .integer(1)
                .bytes(&cursor.incarnation)
                .integer(cursor.revision)
                .bytes(&cursor.chain),
        }
    }

    /// A duration or a timestamp.
    fn time(self, time: Option<(i64, i32)>) -> Self {
        match time {
            None => self.integer(0),
            Some((seconds, nanos)) => self.integer(1).signed(seconds).signed(nanos.into()),
        }
    }

    fn part(self, part: Option<&v1::SnapshotPart>) -> Self {
        match part {
            None => self.integer(0),
            Some(part) => self
                .integer(1)
                .bytes(&part.sha256)
                .integer(part.total_bytes)
                .integer(part.offset),
        }
    }

    fn proven_head(self, proven: Option<&v1::ProvenHead>) -> Self {
        match proven {
            None => self.integer(0),
            Some(proven) => self
                .integer(1)
                .cursor(proven.head.as_ref())
                .bytes(&proven.code),
        }
    }

    fn finish(self) -> Bytes {
        Bytes::copy_from_slice(&self.0.finish().as_ref()[..CHECKSUM_BYTES])
    }
}

impl v1::WatchHello {
    /// The hello with its checksum.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.checksum = self.sum();
        self
    }

    /// Whether the checksum matches.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.checksum == self.sum()
    }

    fn sum(&self) -> Bytes {
        let staleness = self.max_staleness.as_ref();
        let admits_for = self.admits_for.as_ref();
        Fields::of_stream("WatchHello", &self.stream)
            .cursor(self.cursor.as_ref())
            .time(staleness.map(|staleness| (staleness.seconds, staleness.nanos)))
            .signed(self.mode.into())
            .bytes(self.name.as_bytes())
            .part(self.part.as_ref())
            .bytes(&self.gate_id)
            .time(admits_for.map(|admits_for| (admits_for.seconds, admits_for.nanos)))
            .proven_head(self.proven_head.as_ref())
            .finish()
    }
}

impl v1::WatchProbe {
    /// The probe with its checksum, for one stream.
    #[must_use]
    pub fn sealed(mut self, stream: &StreamId) -> Self {
        self.checksum = self.sum(stream);
        self
    }

    /// Whether the checksum matches in this stream.
    #[must_use]
    pub fn is_intact(&self, stream: &StreamId) -> bool {
        self.checksum == self.sum(stream)
    }

    fn sum(&self, stream: &StreamId) -> Bytes {
        Fields::of_stream("WatchProbe", stream)
            .integer(self.nonce)
            .integer(self.applied_revision)
            .finish()
    }
}

impl v1::WatchWelcome {
    /// The welcome with its checksum, for one stream.
    #[must_use]
    pub fn sealed(mut self, stream: &StreamId) -> Self {
        self.checksum = self.sum(stream);
        self
    }

    /// Whether the checksum matches in this stream.
    #[must_use]
    pub fn is_intact(&self, stream: &StreamId) -> bool {
        self.checksum == self.sum(stream)
    }

    fn sum(&self, stream: &StreamId) -> Bytes {
        Fields::of_stream("WatchWelcome", stream)
            .bytes(&self.incarnation)
            .integer(self.fork.into())
            .finish()
    }
}

impl v1::WatchBeat {
    /// The beat with its checksum, for one stream.
    #[must_use]
    pub fn sealed(mut self, stream: &StreamId) -> Self {
        self.checksum = self.sum(stream);
        self
    }

    /// Whether the checksum matches in this stream.
    #[must_use]
    pub fn is_intact(&self, stream: &StreamId) -> bool {
        self.checksum == self.sum(stream)
    }

    fn sum(&self, stream: &StreamId) -> Bytes {
        let time = self.database_time.as_ref();
        Fields::of_stream("WatchBeat", stream)
            .integer(self.nonce)
            .cursor(self.head.as_ref())
            .time(time.map(|time| (time.seconds, time.nanos)))
            .bytes(&self.head_code)
            .finish()
    }
}

impl v1::SnapshotChunk {
    /// The chunk with its checksum. It is the same for every stream.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.checksum = self.sum();
        self
    }

    /// Whether the checksum matches.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.checksum == self.sum()
    }

    fn sum(&self) -> Bytes {
        Fields::of("SnapshotChunk")
            .integer(self.total_bytes)
            .bytes(&self.sha256)
            .integer(self.offset)
            .bytes(&self.data)
            .finish()
    }
}

impl v1::DeltaFrame {
    /// The frame with its checksum. It is the same for every stream.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.checksum = self.sum();
        self
    }

    /// Whether the checksum matches.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.checksum == self.sum()
    }

    fn sum(&self) -> Bytes {
        Fields::of("DeltaFrame")
            .integer(self.revision)
            .bytes(&self.delta)
            .bytes(&self.audit_digest)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::position::{Chain, Incarnation, Position, Revision};

    const STREAM: StreamId = [9; 16];

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
        };
        hello.sealed()
    }

    fn probe() -> v1::WatchProbe {
        let probe = v1::WatchProbe {
            nonce: 0x0123_4567_89ab_cdef,
            applied_revision: 77,
            checksum: Bytes::new(),
        };
        probe.sealed(&STREAM)
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
        assert!(hello().is_intact() && probe().is_intact(&STREAM));
        let (hellos, probes) = (damaged(&hello()), damaged(&probe()));
        assert!(hellos.len() > 500 && probes.len() > 100);
        for hello in hellos {
            assert!(!hello.is_intact(), "{hello:?}");
        }
        for probe in probes {
            assert!(!probe.is_intact(&STREAM), "{probe:?}");
        }
    }

    #[test]
    fn a_message_of_another_stream_is_refused() {
        let other = [8; 16];
        assert!(!probe().is_intact(&other));
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
            frame.sealed().checksum
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
        assert_eq!(
            probe().checksum[..],
            crate::position::sha256(&bytes)[..CHECKSUM_BYTES]
        );
    }
}
