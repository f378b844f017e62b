//! Replay: steps from one view to the next, by the log's own bytes.

use portcullis_contract::{
    position::Position,
    view::{Frame, View},
};

use super::FeedError;

/// Returns the view after `frame`. At the end of the log its chain must be that of `head`: bytes that were altered on the
/// way or in the store can still be a valid delta, whose view lacks a revocation.
///
/// # Errors
/// When the frame does not follow, or the chain up to the head is not that of the head.
pub(super) fn follow(view: &View, frame: &Frame, head: Position) -> Result<View, FeedError> {
    let next = view.apply(frame)?;
    if !agrees(next.position(), head) {
        return Err(FeedError::Damaged);
    }
    Ok(next)
}

/// Returns false if the two positions show that `at` is not in the history that ends at `head`.
pub(super) fn agrees(at: Position, head: Position) -> bool {
    at.incarnation == head.incarnation && (at.revision != head.revision || at.chain == head.chain)
}

#[cfg(test)]
mod tests {
    use portcullis_contract::{
        delta::{self, Change, Scope},
        id::{Serial, UserSerial},
        key::CredentialKind,
        position::{Incarnation, Revision},
    };

    use super::*;

    fn frame(revision: u64, changes: &[Change]) -> Frame {
        Frame {
            revision: Revision(revision),
            delta: delta::encode(changes, Vec::new()),
            audit_digest: [3; 32],
        }
    }

    fn log() -> Vec<Frame> {
        let credential = CredentialKind::Session;
        let revoke = Change::Revoke {
            credential,
            serials: vec![Serial(7), Serial(1 << 40)],
        };
        let cut = Change::Cut {
            credential,
            scope: Scope::User(UserSerial(5)),
            exempt: Some(Serial(9)),
        };
        vec![
            frame(1, &[revoke]),
            frame(2, &[cut]),
            frame(3, &[Change::Turn]),
        ]
    }

    fn replay(log: &[Frame], head: Position) -> Result<View, FeedError> {
        log.iter()
            .try_fold(View::empty(head.incarnation), |view, frame| {
                follow(&view, frame, head)
            })
    }

    /// The whole log, told its end.
    fn head() -> Position {
        let apply = |view: View, frame: &Frame| view.apply(frame).expect("our own log");
        log()
            .iter()
            .fold(View::empty(Incarnation([1; 16])), apply)
            .position()
    }

    #[test]
    fn a_log_with_any_bit_flipped_or_byte_missing_is_refused() {
        assert_eq!(replay(&log(), head()).expect("the log").position(), head());
        for at in 0..log().len() {
            let damaged = |change: &dyn Fn(&mut Frame)| {
                let mut log = log();
                change(&mut log[at]);
                replay(&log, head()).is_err()
            };
            let delta = log()[at].delta.clone();
            for length in 0..delta.len() {
                assert!(
                    damaged(&|frame| frame.delta = delta.slice(..length)),
                    "{length} bytes of batch {at}"
                );
            }
            for bit in 0..delta.len() * 8 {
                let mut flipped = delta.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(
                    damaged(&|frame| frame.delta = flipped.clone().into()),
                    "bit {bit} of batch {at}"
                );
            }
            for bit in 0..256 {
                assert!(damaged(
                    &|frame| frame.audit_digest[bit / 8] ^= 1 << (bit % 8)
                ));
            }
            assert!(damaged(&|frame| frame.revision = frame.revision.next()));
        }
    }

    #[test]
    fn a_log_without_one_of_its_batches_or_in_another_order_is_refused() {
        for at in 0..log().len() - 1 {
            let (mut shorter, mut swapped) = (log(), log());
            shorter.remove(at);
            swapped.swap(at, at + 1);
            assert!(replay(&shorter, head()).is_err() && replay(&swapped, head()).is_err());
        }
    }
}
