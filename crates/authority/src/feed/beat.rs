//! Beats: the proof that a validator asks for.

use std::sync::Arc;

use portcullis_contract::position::Position;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::store::Store;

/// The most probes that wait at a time.
const PROBES_MAX: usize = 65_536;

/// Asks for beats. One beat answers every probe that waited when it began.
#[derive(Clone)]
pub struct Beats {
    probes: mpsc::Sender<oneshot::Sender<Position>>,
}

impl Beats {
    /// Starts beating. It ends when all handles are dropped.
    pub fn start(store: Arc<dyn Store>, authority: [u8; 16], tasks: &TaskTracker) -> Self {
        let (probes, waiting) = mpsc::channel(PROBES_MAX);
        tasks.spawn(beat(store, authority, waiting));
        Self { probes }
    }

    /// Asks for the head, as a beat that begins after this call returns it. The answer does not come when there was no
    /// durable read of the head: silence is not freshness. Answers come in the order of the questions. None when too many
    /// wait.
    #[must_use]
    pub fn ask(&self) -> Option<oneshot::Receiver<Position>> {
        let (reply, answer) = oneshot::channel();
        self.probes.try_send(reply).ok()?;
        Some(answer)
    }
}

async fn beat(
    store: Arc<dyn Store>,
    authority: [u8; 16],
    mut waiting: mpsc::Receiver<oneshot::Sender<Position>>,
) {
    while let Some(first) = waiting.recv().await {
        // Only those who wait before the beat begins may be answered by it.
        let mut answered = vec![first];
        while let Ok(next) = waiting.try_recv() {
            answered.push(next);
        }
        match store.beat(&authority).await {
            Ok(head) => {
                for reply in answered {
                    // A stream that has ended does not need the answer.
                    let _ = reply.send(head);
                }
            }
            Err(error) => error.log("no beat"),
        }
    }
}
