//! One batch of the log.

use prost::bytes::Bytes;

use crate::{
    position::{Digest, MalformedPosition, Revision},
    v1,
    watch::{AnyStream, Checksummed},
};

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

/// Adds the checksum that the message carries on the wire.
impl From<&Frame> for v1::DeltaFrame {
    fn from(frame: &Frame) -> Self {
        let message = Self {
            revision: frame.revision.0,
            delta: frame.delta.clone(),
            audit_digest: Bytes::copy_from_slice(&frame.audit_digest),
            checksum: Bytes::new(),
        };
        message.sealed(&AnyStream)
    }
}

impl TryFrom<v1::DeltaFrame> for Frame {
    type Error = MalformedPosition;

    fn try_from(frame: v1::DeltaFrame) -> Result<Self, MalformedPosition> {
        // The digest goes into the chain as it is. One of another length would give another chain on the two sides.
        let Ok(audit_digest) = frame.audit_digest[..].try_into() else {
            return Err(MalformedPosition);
        };
        Ok(Self {
            revision: Revision(frame.revision),
            delta: frame.delta,
            audit_digest,
        })
    }
}
