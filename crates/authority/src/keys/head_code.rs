//! Codes over heads of the log. A validator presents one to prove that it was told of the head.

use aws_lc_rs::hmac;
use portcullis_contract::position::Position;
use prost::bytes::Bytes;

/// Makes and checks the codes. Every authority of an installation has the same key.
pub struct HeadCodes(hmac::Key);

impl HeadCodes {
    pub(super) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// Makes the code over a head.
    #[must_use]
    pub fn sign(&self, head: Position) -> Bytes {
        // Only authorities check a code, so a shared key suffices and no beat pays for a signature.
        Bytes::copy_from_slice(hmac::sign(&self.0, &bytes_of(head)).as_ref())
    }

    /// Returns true if the code is over this head, in constant time.
    #[must_use]
    pub fn verify(&self, head: Position, code: &[u8]) -> bool {
        hmac::verify(&self.0, &bytes_of(head), code).is_ok()
    }
}

/// The bytes that a code covers. All parts have a fixed length, so no two heads have the same bytes.
fn bytes_of(head: Position) -> Vec<u8> {
    let revision = head.revision.0.to_be_bytes();
    [&head.incarnation.0[..], &revision, &head.chain.0].concat()
}

#[cfg(test)]
mod tests {
    use portcullis_contract::position::{Chain, Incarnation, Revision};

    use super::*;

    #[test]
    fn a_code_is_for_one_head_and_one_key() {
        let codes = HeadCodes::new(&[1; 32]);
        let head = Position {
            incarnation: Incarnation([2; 16]),
            revision: Revision(3),
            chain: Chain([4; 32]),
        };
        let code = codes.sign(head);
        assert!(codes.verify(head, &code));

        let later = Position {
            revision: Revision(4),
            ..head
        };
        assert!(!codes.verify(later, &code));
        assert!(!HeadCodes::new(&[5; 32]).verify(head, &code));
        assert!(!codes.verify(head, &[]));
    }
}
