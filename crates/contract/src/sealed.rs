//! Messages that an authority seals once and sends to every stream.
//!
//! Thousands of streams send the same batch and the same snapshot. These messages are sealed and encoded when they are
//! made, and every stream sends the same bytes.

use prost::{
    DecodeError, Message as _,
    bytes::{BufMut, Bytes, BytesMut},
};

use crate::{
    position::Revision,
    v1::{self, watch_response::Message},
    view::Frame,
    watch::{AnyStream, Checksummed},
};

/// The bytes before a message of gRPC: 1 says whether it is compressed, 4 are its length.
const PREFIX_BYTES: usize = 5;
const NOT_COMPRESSED: u8 = 0;

/// A message to a validator as a gRPC connection sends it. A clone shares its bytes.
#[derive(Clone, Debug)]
pub struct EncodedResponse(Bytes);

impl EncodedResponse {
    /// Encodes a message.
    ///
    /// # Panics
    /// When the message has 4 GiB or more, which gRPC cannot send.
    #[must_use]
    pub fn new(message: Message) -> Self {
        let response = v1::WatchResponse {
            message: Some(message),
        };
        let length = response.encoded_len();

        let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + length);
        bytes.put_u8(NOT_COMPRESSED);
        bytes.put_u32(length.try_into().expect("less than 4 GiB"));
        response
            .encode(&mut bytes)
            .expect("the buffer has room for it");
        Self(bytes.freeze())
    }

    /// The bytes to send.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Reads the message back.
    ///
    /// # Errors
    /// Never, unless a field cannot be read that [`Self::new`] wrote.
    pub fn decode(&self) -> Result<v1::WatchResponse, DecodeError> {
        v1::WatchResponse::decode(self.0.slice(PREFIX_BYTES..))
    }
}

/// A batch of the log with its checksum.
#[derive(Clone, Debug)]
pub struct SealedFrame {
    revision: Revision,
    delta_bytes: usize,
    response: EncodedResponse,
}

impl SealedFrame {
    /// The batch's revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether it changes something for a gate. One of audit events alone does not.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.delta_bytes > 0
    }

    /// The size of its delta, in bytes.
    #[must_use]
    pub fn delta_bytes(&self) -> usize {
        self.delta_bytes
    }

    /// The message for a stream.
    #[must_use]
    pub fn into_response(self) -> EncodedResponse {
        self.response
    }
}

impl From<&Frame> for SealedFrame {
    fn from(frame: &Frame) -> Self {
        Self {
            revision: frame.revision,
            delta_bytes: frame.delta.len(),
            response: EncodedResponse::new(Message::Delta(frame.into())),
        }
    }
}

/// A piece of a snapshot with its checksum.
#[derive(Clone, Debug)]
pub struct SealedChunk(EncodedResponse);

impl SealedChunk {
    /// Seals the piece that begins at `offset`, in bytes. `sha256` is the digest of the whole snapshot.
    #[must_use]
    pub fn new(total_bytes: usize, sha256: Bytes, offset: usize, data: Bytes) -> Self {
        let chunk = v1::SnapshotChunk {
            total_bytes: total_bytes as u64,
            sha256,
            offset: offset as u64,
            data,
            checksum: Bytes::new(),
        };
        let sealed = chunk.sealed(&AnyStream);
        Self(EncodedResponse::new(Message::SnapshotChunk(sealed)))
    }

    /// The message for a stream.
    #[must_use]
    pub fn into_response(self) -> EncodedResponse {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_batch_is_the_message_of_its_frame() {
        let frame = Frame {
            revision: Revision(7),
            delta: Bytes::from_static(b"delta"),
            audit_digest: [1; 32],
        };
        let sealed = SealedFrame::from(&frame);
        assert_eq!(sealed.revision(), Revision(7));
        assert_eq!(sealed.delta_bytes(), 5);

        let response = sealed.into_response().decode().expect("our own message");
        let Some(Message::Delta(message)) = response.message else {
            panic!("{response:?}");
        };
        assert!(message.is_intact(&AnyStream));
        assert_eq!((message.revision, &message.delta[..]), (7, &b"delta"[..]));
    }

    #[test]
    fn a_sealed_chunk_says_where_it_belongs() {
        let digest = Bytes::from_static(&[3; 32]);
        let data = Bytes::from_static(b"piece");
        let sealed = SealedChunk::new(100, digest.clone(), 40, data.clone());
        let response = sealed.into_response().decode().expect("our own message");
        let Some(Message::SnapshotChunk(message)) = response.message else {
            panic!("{response:?}");
        };
        assert!(message.is_intact(&AnyStream));
        assert_eq!((message.total_bytes, message.offset), (100, 40));
        assert_eq!((message.sha256, message.data), (digest, data));
    }

    #[test]
    fn the_bytes_begin_with_the_length_of_the_message() {
        let response = EncodedResponse::new(Message::Drain(v1::WatchDrain {}));
        let bytes = response.bytes();
        assert_eq!(bytes[..PREFIX_BYTES], [0, 0, 0, 0, 2]);
        assert_eq!(bytes.len(), PREFIX_BYTES + 2);

        let again = response.clone();
        assert_eq!(again.bytes().as_ptr(), bytes.as_ptr(), "shared");
    }
}
