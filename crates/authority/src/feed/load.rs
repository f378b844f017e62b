//! The view at the head of the log, from a checkpoint and the batches after it.

use portcullis_contract::{
    position::{Chain, Position},
    view::View,
};

use super::{FeedError, TAIL_FRAMES, replay};
use crate::{
    keys::{CheckpointError, MasterKeys},
    store::{EnforcementStore, LogBatch, StoreError},
};

/// Builds the view at the head from a checkpoint and the batches after it.
///
/// # Errors
/// When the store fails, or there is neither a checkpoint nor the whole log.
pub async fn load_view(
    store: &dyn EnforcementStore,
    master: &MasterKeys,
) -> Result<View, FeedError> {
    loop {
        // Read once: with a head that moves, the replay of a busy log might never end.
        let head = store.head().await?;
        match replay_to(store, master, head).await {
            Ok(view) => return Ok(view),
            Err(FeedError::Store(error)) => return Err(error.into()),
            // After a failover the batches are not those of the head that was read before.
            Err(error) => {
                let (now, chain) = store.head_and_chain(head.revision).await?;
                if is_the_history_of(now, chain, head) {
                    return Err(error);
                }
            }
        }
    }
}

/// Returns true if the log, which ends at `now` and has `chain` at the revision of `head`, is still that of `head`.
fn is_the_history_of(now: Position, chain: Option<Chain>, head: Position) -> bool {
    now.incarnation == head.incarnation && chain == Some(head.chain)
}

async fn replay_to(
    store: &dyn EnforcementStore,
    master: &MasterKeys,
    head: Position,
) -> Result<View, FeedError> {
    let newest = newest_checkpoint(store, master, head).await?;
    // Without a checkpoint the log may never have been trimmed. If it was, the first read below says so.
    let mut view = newest.view.unwrap_or_else(|| View::empty(head.incarnation));
    while view.position().revision < head.revision {
        let batches = match store.tail(view.position().revision, TAIL_FRAMES).await {
            // The operator has the key, and `recover` would sign everybody out.
            Err(StoreError::Trimmed) => {
                return Err(newest.other_key.unwrap_or(FeedError::NoCheckpoint));
            }
            batches => batches?,
        };
        // Without this a log that ends before its head would be read for ever.
        if batches.is_empty() {
            return Err(FeedError::NoCheckpoint);
        }
        view = follow_all(view, &batches, head)?;
    }
    Ok(view)
}

fn follow_all(mut view: View, batches: &[LogBatch], head: Position) -> Result<View, FeedError> {
    for batch in batches {
        view = replay::follow(&view, batch)?;
        if !replay::agrees(view.position(), head) {
            return Err(FeedError::Damaged);
        }
    }
    Ok(view)
}

/// The newest checkpoint that opens.
#[derive(Default)]
struct Newest {
    view: Option<View>,
    /// The problem of a newer one, if another master key made its code.
    other_key: Option<FeedError>,
}

/// Reads the newest checkpoint of the history that ends at `head`.
async fn newest_checkpoint(
    store: &dyn EnforcementStore,
    master: &MasterKeys,
    head: Position,
) -> Result<Newest, StoreError> {
    let mut newest = Newest::default();
    for (bytes, code) in store.checkpoints().await? {
        match master.open_checkpoint(bytes, &code) {
            Ok(view) if continues(store, &view, head).await? => {
                newest.view = Some(view);
                break;
            }
            Ok(_) => {}
            // The one before it does too, with more batches to replay.
            Err(error) => {
                tracing::error!(%error, "a checkpoint is skipped");
                if let CheckpointError::OtherKey(error) = error {
                    newest.other_key = Some(FeedError::CheckpointKey(error));
                }
            }
        }
    }
    Ok(newest)
}

/// Returns true if the view is of the history that ends at `head`. The store may have a checkpoint of another one, written
/// by an authority that had not noticed a failover yet.
async fn continues(
    store: &dyn EnforcementStore,
    view: &View,
    head: Position,
) -> Result<bool, StoreError> {
    let at = view.position();
    if at.revision > head.revision || !replay::agrees(at, head) {
        return Ok(false);
    }
    // The store keeps the chain of trimmed batches too, so an old checkpoint can be judged.
    Ok(store.chain(at.revision).await? == Some(at.chain))
}

#[cfg(test)]
mod tests {
    use portcullis_contract::{delta, position::Incarnation, view::Frame};

    use super::{super::parts::Parts, *};
    use crate::config::WatchConfig;

    #[test]
    fn another_incarnation_or_chain_is_another_history() {
        let head = View::empty(Incarnation([1; 16])).position();
        let other = View::empty(Incarnation([2; 16])).position();
        assert!(is_the_history_of(head, Some(head.chain), head));
        assert!(!is_the_history_of(other, Some(head.chain), head));
        assert!(!is_the_history_of(head, Some(Chain([9; 32])), head));
        assert!(!is_the_history_of(head, None, head));
    }

    #[tokio::test]
    async fn a_view_continues_to_a_head_if_the_store_has_its_chain_before_it() {
        let parts = Parts::new().await;
        let feed = parts.open_feed(&WatchConfig::default()).await;
        let start = feed.view();
        let first = parts.append().await.position;
        feed.advance().await.expect("read");
        let view = feed.view();
        let head = parts.append().await.position;
        let is_continued = async |view: &View, head| continues(&*parts.store, view, head).await;
        assert!(is_continued(&start, head).await.expect("read"));
        assert!(is_continued(&view, head).await.expect("read"));
        assert!(is_continued(&view, first).await.expect("read"), "its own");
        let before = start.position();
        assert!(!is_continued(&view, before).await.expect("read"), "ahead");

        // As an authority wrote it that had not noticed a failover.
        let frame = Frame {
            revision: first.revision,
            delta: delta::encode(&[], Vec::new()),
            audit_digest: [9; 32],
        };
        let other = start.apply(&frame).expect("applies");
        assert!(!is_continued(&other, head).await.expect("read"));
        let other = View::empty(Incarnation([9; 16]));
        assert!(!is_continued(&other, head).await.expect("read"));
    }
}
