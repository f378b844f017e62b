//! Removal of rows that have been kept for as long as the configuration says.
//!
//! The job walks through all rows of a kind in small steps, round after round, so that removal never competes with calls.
//! Every authority runs it: removing a row twice is the same as removing it once.

use std::{sync::Arc, time::Duration};

use portcullis_contract::position::Revision;
use tokio::{sync::watch::Sender, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::PageCursor,
    store::{Left, Removed, Store, StoreError},
    telemetry::removal::{RemovalKind, RemovalMetrics},
};

/// Rows examined in one step.
const STEP_ROWS: u32 = 500;
/// The pause between two steps. Ten million sessions take less than six hours, and a second costs the store one page.
const STEP_PAUSE: Duration = Duration::from_secs(1);
/// The pause between two rounds, and after an error.
const ROUND_PAUSE: Duration = Duration::from_secs(60);

/// A kind of row that is kept for a time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kept {
    /// Sessions, after their end.
    Sessions,
    /// Devices, places and networks of sign-ins, after they were last seen.
    History,
}

impl Kept {
    fn kind(self) -> RemovalKind {
        match self {
            Self::Sessions => RemovalKind::Sessions,
            Self::History => RemovalKind::History,
        }
    }

    /// Removes the old ones among the rows after the cursor.
    async fn remove(
        self,
        store: &dyn Store,
        after: Option<&PageCursor>,
        keep: Duration,
    ) -> Result<Removed, StoreError> {
        match self {
            Self::Sessions => store.remove_ended(after, keep, STEP_ROWS).await,
            Self::History => store.remove_old_history(after, keep, STEP_ROWS).await,
        }
    }
}

/// Removes rows of a kind, round after round, until `stop`. A round over sessions reports the oldest revisions that the
/// remaining sessions refer to.
pub(super) async fn run(
    store: Arc<dyn Store>,
    kept: Kept,
    keep: Duration,
    marks: Option<Sender<Option<Left>>>,
    metrics: Arc<RemovalMetrics>,
    stop: CancellationToken,
) {
    let mut walk = Walk {
        kept,
        keep,
        marks,
        metrics,
        after: None,
        left: Left::default(),
        oldest: None,
    };
    loop {
        let pause = match walk.step(&*store).await {
            Ok(pause) => pause,
            // The position stays, so that the next try repeats this step instead of the whole round.
            Err(error) => {
                error.log("old rows were not removed; the next try is in a minute");
                ROUND_PAUSE
            }
        };
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// The walk through all rows of a kind.
struct Walk {
    kept: Kept,
    keep: Duration,
    marks: Option<Sender<Option<Left>>>,
    metrics: Arc<RemovalMetrics>,
    /// The row after which the round goes on. None: a round begins.
    after: Option<PageCursor>,
    /// The oldest revisions that the sessions of this round refer to.
    left: Left,
    /// The age of the oldest row that this round has left.
    oldest: Option<Duration>,
}

impl Walk {
    /// Takes one step, and returns the pause behind it.
    async fn step(&mut self, store: &dyn Store) -> Result<Duration, StoreError> {
        if self.after.is_none() {
            self.left = begin_round(store).await?;
            self.oldest = None;
        }
        // A small step holds no lock that a call would notice.
        let removing = self.kept.remove(store, self.after.as_ref(), self.keep);
        let removed = removing.await?;
        self.pass(removed);
        if self.after.is_some() {
            return Ok(STEP_PAUSE);
        }
        self.end_round();
        Ok(ROUND_PAUSE)
    }

    fn pass(&mut self, removed: Removed) {
        log_removal(self.kept, &removed);
        self.metrics.count(self.kept.kind(), removed.rows);
        self.left.add(removed.left);
        self.oldest = self.oldest.max(removed.oldest);
        self.after = removed.next;
    }

    fn end_round(&self) {
        self.metrics.end_round(self.kept.kind(), self.oldest);
        // Only after a whole round: half of it would miss references of sessions that it has not met.
        if let Some(marks) = &self.marks {
            marks.send_replace(Some(self.left));
        }
    }
}

/// The marks of a round that has met no session yet. Sessions that are opened or end while it walks do so at this head or
/// later.
async fn begin_round(store: &dyn Store) -> Result<Left, StoreError> {
    let Revision(head) = store.head().await?.revision;
    let mut left = Left::default();
    left.add_opened(Revision(head));
    left.add_end(Revision(head + 1));
    Ok(left)
}

fn log_removal(kept: Kept, removed: &Removed) {
    if removed.rows > 0 {
        tracing::info!(?kept, rows = removed.rows, "old rows removed");
    }
}
