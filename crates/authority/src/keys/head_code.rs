//! Codes over heads of the log. A validator presents one to prove that it was told of the head.

use aws_lc_rs::hmac;
use portcullis_contract::position::Position;
use prost::bytes::Bytes;
use zeroize::Zeroizing;

/// Makes and checks the codes. Every authority of an installation has the same keys.
pub struct HeadCodes {
    /// The one that makes codes is first.
    keys: Vec<hmac::Key>,
}

impl HeadCodes {
    /// The codes of at least one key. The first makes them.
    pub(super) fn new(keys: &[Zeroizing<[u8; 32]>]) -> Self {
        let mut made = Vec::with_capacity(keys.len());
        for key in keys {
            made.push(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()));
        }
        Self { keys: made }
    }

    /// Makes the code over a head.
    #[must_use]
    pub fn sign(&self, head: Position) -> Bytes {
        // Only authorities check a code, so a shared key suffices and no beat pays for a signature.
        Bytes::copy_from_slice(hmac::sign(&self.keys[0], &bytes_of(head)).as_ref())
    }

    /// Returns true if one of the keys made the code over this head, in constant time for each key.
    ///
    /// A gate may show a code of before a rotation of the master key, or of an authority that has not heard of it yet. A
    /// code of a key that is gone proves nothing, and nothing follows from it.
    #[must_use]
    pub fn verify(&self, head: Position, code: &[u8]) -> bool {
        let bytes = bytes_of(head);
        let mut keys = self.keys.iter();
        keys.any(|key| hmac::verify(key, &bytes, code).is_ok())
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
        let codes = HeadCodes::new(&[key(1)]);
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
        assert!(!HeadCodes::new(&[key(5)]).verify(head, &code));
        assert!(!codes.verify(head, &[]));
    }

    #[test]
    fn while_two_keys_are_there_codes_of_both_prove_their_head() {
        let head = Position {
            incarnation: Incarnation([2; 16]),
            revision: Revision(3),
            chain: Chain([4; 32]),
        };
        let old = HeadCodes::new(&[key(1)]);
        let new = HeadCodes::new(&[key(5)]);
        let both = HeadCodes::new(&[key(5), key(1)]);
        assert!(both.verify(head, &old.sign(head)) && both.verify(head, &new.sign(head)));
        assert!(new.verify(head, &both.sign(head)) && !old.verify(head, &both.sign(head)));
    }

    fn key(byte: u8) -> Zeroizing<[u8; 32]> {
        Zeroizing::new([byte; 32])
    }
}
