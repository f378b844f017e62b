//! Group commit: one batch in flight, and the next accumulates meanwhile.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::retry::Backoff;
use crate::{
    config::LogConfig,
    domain::{Actor, Entry, EntryError, Micros, Mutation, Outcome, Session},
    store::{Appended, Store, StoreError},
    supervision::Supervisor,
    telemetry::Instruments,
};
use portcullis_contract::{id::EventId, position::Position, view::Frame};

/// A commit that takes longer than this after its stamp may belong to an earlier generation than its stamp says: it
/// is said again before it is acknowledged.
const COMMIT_AGE_MAX: Duration = Duration::from_secs(30);

/// The most sessions and users of one batch; a batch's first entry always fits.
const BATCH_TARGETS_MAX: usize = 10_000;

/// Submits entries to the appender.
#[derive(Clone)]
pub struct Log {
    queue: mpsc::Sender<Submission>,
}

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
        let (queue, submissions) = mpsc::channel(config.queue_entries_max);
        let appender = Appender {
            store,
            config: config.clone(),
            appended,
            instruments,
        };
        tasks.spawn("appender", appender.run(submissions));
        Self { queue }
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
        self.queue
            .try_send(Submission { entry, reply })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => LogError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => LogError::Unavailable,
            })?;
        answer.await.unwrap_or(Err(LogError::Unavailable))
    }
}

struct Appender {
    store: Arc<dyn Store>,
    config: LogConfig,
    appended: mpsc::Sender<(Frame, Position)>,
    instruments: Arc<Instruments>,
}

impl Appender {
    async fn run(self, mut submissions: mpsc::Receiver<Submission>) {
        while let Some(first) = submissions.recv().await {
            let batch = self.collect(first, &mut submissions);
            self.append(batch).await;
        }
    }

    /// All that waits, up to the bounds of a batch, but what its caller gave up.
    fn collect(
        &self,
        first: Submission,
        submissions: &mut mpsc::Receiver<Submission>,
    ) -> Vec<Submission> {
        let mut targets = first.entry.mutation.targets();
        let mut batch = vec![first];
        while batch.len() < self.config.batch_entries_max && targets < BATCH_TARGETS_MAX {
            let Ok(next) = submissions.try_recv() else {
                break;
            };
            targets += next.entry.mutation.targets();
            batch.push(next);
        }
        batch.retain(|submission| !submission.reply.is_closed());
        batch
    }

    async fn append(&self, batch: Vec<Submission>) {
        if batch.is_empty() {
            return;
        }
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
    Entry {
        event_id: EventId::generate(),
        actor: Actor::authority(),
        reason: String::new(),
        user_message: String::new(),
        trace_parent: None,
        mutation,
    }
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
