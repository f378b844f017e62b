//! Replay: steps from one view to the next, by the log's own bytes.

use portcullis_contract::{position::Position, view::View};

use super::FeedError;
use crate::store::LogBatch;

/// Returns the view after `batch`. It must stand where the log says.
///
/// Bytes that were altered on the way or in the store can still be a valid delta, whose view lacks a revocation. After a
/// failover the batch may be one of another history, which does not continue the view.
///
/// # Errors
/// When the batch does not follow, or leads to another position.
pub(super) fn follow(view: &View, batch: &LogBatch) -> Result<View, FeedError> {
    let next = view.apply(&batch.frame)?;
    if next.position() != batch.position {
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
        position::{Chain, Incarnation},
        view::Frame,
    };

    use super::*;

    /// The log, with each batch in its place.
    fn log() -> Vec<LogBatch> {
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
        let mut view = empty();
        let mut log = Vec::new();
        for changes in [[revoke], [cut], [Change::Turn]] {
            let frame = Frame {
                revision: view.position().revision.next(),
                delta: delta::encode(&changes, Vec::new()),
                audit_digest: [3; 32],
            };
            view = view.apply(&frame).expect("our own log");
            let position = view.position();
            log.push(LogBatch { frame, position });
        }
        log
    }

    fn empty() -> View {
        View::empty(Incarnation([1; 16]))
    }

    fn replay(log: &[LogBatch]) -> Result<View, FeedError> {
        log.iter()
            .try_fold(empty(), |view, batch| follow(&view, batch))
    }

    #[test]
    fn a_log_with_any_bit_flipped_or_byte_missing_is_refused() {
        let end = log()[2].position;
        assert_eq!(replay(&log()).expect("the log").position(), end);
        for at in 0..log().len() {
            let damaged = |change: &dyn Fn(&mut Frame)| {
                let mut log = log();
                change(&mut log[at].frame);
                replay(&log).is_err()
            };
            let delta = log()[at].frame.delta.clone();
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
    fn a_batch_of_another_history_is_refused() {
        let mut other_chain = log();
        other_chain[1].position.chain = Chain([9; 32]);
        let mut other_incarnation = log();
        other_incarnation[1].position.incarnation = Incarnation([2; 16]);
        assert!(replay(&other_chain).is_err() && replay(&other_incarnation).is_err());
    }

    #[test]
    fn a_log_without_one_of_its_batches_or_in_another_order_is_refused() {
        for at in 0..log().len() - 1 {
            let (mut shorter, mut swapped) = (log(), log());
            shorter.remove(at);
            swapped.swap(at, at + 1);
            assert!(replay(&shorter).is_err() && replay(&swapped).is_err());
        }
    }

    #[test]
    fn a_position_is_of_a_history_unless_it_is_shown_not_to_be() {
        let log = log();
        let (head, before) = (log[2].position, log[1].position);
        assert!(agrees(head, head) && agrees(before, head));
        let mut other_chain = head;
        other_chain.chain = Chain([9; 32]);
        assert!(!agrees(other_chain, head));
        for mut other in [head, before] {
            other.incarnation = Incarnation([2; 16]);
            assert!(!agrees(other, head));
        }
    }
}
