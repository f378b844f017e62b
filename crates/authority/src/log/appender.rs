//! Group commit: one batch in flight, and the next accumulates meanwhile.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::Instant,
};

use super::{
    pace::Pace,
    queue::{Bounds, FairQueue, Ticket},
    retry::Backoff,
};
use crate::{
    config::LogConfig,
    domain::{Entry, EntryError, Micros, Mutation, Outcome, Session},
    health::Supervisor,
    store::{Appended, Store, StoreError},
    telemetry::Instruments,
};
use portcullis_contract::{position::Position, view::Frame};

/// A commit that takes longer than this after its stamp may belong to an earlier generation than its stamp says: it
/// is said again before it is acknowledged.
const COMMIT_AGE_MAX: Duration = Duration::from_secs(30);

/// Submits entries to the appender.
#[derive(Clone)]
pub struct Log {
    queue: Arc<Queue>,
    /// Wakes the appender. Its end tells the appender that nobody submits any more.
    bell: mpsc::Sender<()>,
    instruments: Arc<Instruments>,
}

/// The entries that wait for a batch.
type Queue = Mutex<FairQueue<Submission>>;

/// Why an entry was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// It cannot be applied, and was not.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Too many wait already. It was not applied.
    #[error("the log's queue is full")]
    Overloaded,
    /// The store could not be reached in time. It may have been applied; repeating it is safe.
    #[error("the log is unavailable")]
    Unavailable,
}

impl LogError {
    /// As [`StoreError::log`].
    pub(crate) fn log(self, what: &str) {
        match self {
            Self::Unavailable => tracing::debug!(error = %self, "{what}"),
            _ => tracing::warn!(error = %self, "{what}"),
        }
    }
}

struct Submission {
    entry: Entry,
    reply: oneshot::Sender<Result<Acknowledged, LogError>>,
}

impl Submission {
    fn targets(&self) -> usize {
        self.entry.mutation.targets().max(1)
    }
}

/// What became of an entry, and the session that it ended, if it was for one and ended it, with the time.
pub(crate) type Acknowledged = (Outcome, Option<(Session, Micros)>);

impl Log {
    /// Starts the appender. It ends when all handles are dropped and the last batch is done. `appended` gets each
    /// batch.
    pub fn start(
        store: Arc<dyn Store>,
        config: &LogConfig,
        appended: mpsc::Sender<(Frame, Position)>,
        instruments: Arc<Instruments>,
        tasks: &Supervisor,
    ) -> Self {
        let bounds = Bounds {
            entries_max: config.queue_entries_max,
            source_entries_max: config.queue_tenant_entries_max,
            caller_targets_max: config.queue_caller_targets_max,
        };
        let queue = Arc::new(Mutex::new(FairQueue::new(bounds)));
        let (bell, rung) = mpsc::channel(1);
        let appender = Appender {
            store,
            config: config.clone(),
            appended,
            instruments: Arc::clone(&instruments),
            queue: Arc::clone(&queue),
        };
        tasks.spawn("appender", appender.run(rung));
        Self {
            queue,
            bell,
            instruments,
        }
    }

    /// Appends an entry, and returns when it is durable.
    ///
    /// # Errors
    /// When it was not acknowledged. Dropping the future withdraws an entry whose batch has not begun.
    pub async fn submit(&self, entry: Entry) -> Result<Outcome, LogError> {
        self.submit_for_one(entry).await.map(|(outcome, _)| outcome)
    }

    /// As [`submit`](Self::submit), with the session that the entry ended, as it is now.
    pub(crate) async fn submit_for_one(&self, entry: Entry) -> Result<Acknowledged, LogError> {
        let (reply, answer) = oneshot::channel();
        let pushed = lock(&self.queue).push(Ticket::of(&entry), Submission { entry, reply });
        match pushed {
            Ok(None) => {}
            Ok(Some(evicted)) => {
                self.instruments.refused("log_queue");
                // A caller who has gone away does not need the answer.
                let _ = evicted.reply.send(Err(LogError::Overloaded));
            }
            Err(bound) => {
                self.instruments.refused(bound.name());
                return Err(LogError::Overloaded);
            }
        }
        // When the bell is full the appender has not looked yet, and will.
        if let Err(TrySendError::Closed(())) = self.bell.try_send(()) {
            return Err(LogError::Unavailable);
        }
        answer.await.unwrap_or(Err(LogError::Unavailable))
    }
}

fn lock(queue: &Queue) -> MutexGuard<'_, FairQueue<Submission>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refuses what still waits when the appender ends, however it ends.
struct Closing(Arc<Queue>);

impl Drop for Closing {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        while queue.len() > 0 {
            // Dropping a submission answers it.
            queue.take(usize::MAX, usize::MAX, |_| true);
        }
    }
}

struct Appender {
    queue: Arc<Queue>,
    store: Arc<dyn Store>,
    config: LogConfig,
    appended: mpsc::Sender<(Frame, Position)>,
    instruments: Arc<Instruments>,
}

impl Appender {
    /// Appends batch after batch, until nobody submits any more and nothing waits.
    async fn run(self, mut bell: mpsc::Receiver<()>) {
        let _closing = Closing(Arc::clone(&self.queue));
        let mut pace = Pace::new(self.config.batch_time_goal);
        loop {
            let batch = lock(&self.queue).take(
                self.config.batch_entries_max,
                pace.targets_max(),
                |submission| !submission.reply.is_closed(),
            );
            if batch.is_empty() {
                if bell.recv().await.is_none() && lock(&self.queue).len() == 0 {
                    return;
                }
                continue;
            }
            let targets = batch.iter().map(Submission::targets).sum();
            let begun = Instant::now();
            self.append(batch).await;
            pace.record(targets, begun.elapsed());
        }
    }

    async fn append(&self, batch: Vec<Submission>) {
        let (entries, replies): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|each| (each.entry, each.reply))
            .unzip();
        let outcomes = match self.commit(&entries).await {
            Err(error) if !error.is_retryable() && entries.len() > 1 => {
                self.append_singly(&entries).await
            }
            result => outcomes(result, entries.len()),
        };
        self.instruments
            .acknowledged(outcomes.iter().flatten().map(|(outcome, _)| outcome));
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // A caller who has gone away does not need the answer.
            let _ = reply.send(outcome);
        }
    }

    /// One bad entry must not fail the others.
    async fn append_singly(&self, entries: &[Entry]) -> Vec<Result<Acknowledged, LogError>> {
        let mut all = Vec::with_capacity(entries.len());
        for entry in entries {
            let result = self.commit(std::slice::from_ref(entry)).await;
            all.extend(outcomes(result, 1));
        }
        all
    }

    /// Commits a batch within [`COMMIT_AGE_MAX`] of its stamp, trying again while that may help. Event ids make a
    /// repetition after a lost answer harmless.
    async fn commit(&self, entries: &[Entry]) -> Result<Appended, StoreError> {
        let deadline = Instant::now() + self.config.append_timeout;
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(500));
        loop {
            let begun = Instant::now();
            match self
                .instruments
                .commit(entries, self.store.append(entries))
                .await
            {
                Ok(appended) => {
                    self.publish(&appended);
                    let late = begun.elapsed() > COMMIT_AGE_MAX;
                    return if late {
                        self.repeat(appended).await
                    } else {
                        Ok(appended)
                    };
                }
                Err(error) if error.is_retryable() && Instant::now() < deadline => {
                    error.log("batch will be repeated");
                    tokio::time::sleep(backoff.step()).await;
                }
                Err(error) => {
                    if !error.is_retryable() {
                        tracing::error!(%error, entries = entries.len(), "batch failed");
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Gives the batch to the feed without the way over the store. When the feed is behind it reads the log instead.
    fn publish(&self, appended: &Appended) {
        if let Some(committed) = &appended.committed {
            let _ = self.appended.try_send(committed.clone());
        }
    }

    /// Says the revocations of a late batch again, under a stamp that is not late.
    async fn repeat(&self, mut late: Appended) -> Result<Appended, StoreError> {
        loop {
            let (serials, cuts) = (late.revoked.serials.clone(), late.revoked.cuts.clone());
            let begun = Instant::now();
            let again = self
                .store
                .append(&[internal(Mutation::Repeat { serials, cuts })])
                .await?;
            self.publish(&again);
            if begun.elapsed() > COMMIT_AGE_MAX {
                continue;
            }
            if let Some(Ok(repeated)) = again.outcomes.first() {
                let renew = |outcome: &mut Outcome| {
                    outcome.revision = outcome.revision.max(repeated.revision);
                };
                late.outcomes
                    .iter_mut()
                    .filter_map(|outcome| outcome.as_mut().ok())
                    .for_each(renew);
            }
            return Ok(late);
        }
    }
}

/// An entry of the authority's own.
pub(crate) fn internal(mutation: Mutation) -> Entry {
    Entry::internal(mutation)
}

fn outcomes(
    result: Result<Appended, StoreError>,
    count: usize,
) -> Vec<Result<Acknowledged, LogError>> {
    match result {
        Ok(Appended {
            outcomes,
            mut ended,
            ..
        }) => {
            let with_session = |(index, outcome): (usize, Result<Outcome, EntryError>)| {
                outcome
                    .map(|outcome| (outcome, ended.remove(&index)))
                    .map_err(LogError::from)
            };
            outcomes.into_iter().enumerate().map(with_session).collect()
        }
        Err(error) if error.is_retryable() => {
            (0..count).map(|_| Err(LogError::Unavailable)).collect()
        }
        Err(_) => (0..count)
            .map(|_| Err(EntryError::Refused.into()))
            .collect(),
    }
}
