//! Group commit: one batch is in flight, and the next one accumulates meanwhile.
//!
//! Large entries have an appender of their own, so that nobody's sign-out waits while the store works through another
//! tenant's thousand. The two append as the appenders of two authorities do: the store puts their batches in order.

use std::{
    collections::BTreeSet,
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
};
use crate::{
    config::LogConfig,
    domain::{Entry, EntryError, Micros, Mutation, Outcome, Session, SignedOut},
    health::Supervisor,
    store::{Appended, EnforcementStore, LogBatch, Revoked, StoreError},
    telemetry::Instruments,
};
use portcullis_contract::{
    delta::{self, Change},
    key::CredentialKind,
    position::Revision,
    retry::Backoff,
    view::Frame,
};

/// The longest commit that is acknowledged as it is. A later one may belong to an earlier generation than its stamp
/// says, and be forgotten too early; its revocations are appended again first.
const COMMIT_AGE_MAX: Duration = Duration::from_secs(30);

/// The first and the longest pause between two tries of a commit.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_millis(500);

/// A handle that submits entries to the appenders.
#[derive(Clone)]
pub struct Log {
    small: Inlet,
    large: Inlet,
    instruments: Arc<Instruments>,
}

/// The way to one appender.
#[derive(Clone)]
struct Inlet {
    queue: Arc<Queue>,
    /// Wakes the appender. It closes with the last handle, and the appender ends then.
    bell: mpsc::Sender<()>,
}

/// The entries that wait for a batch.
type Queue = Mutex<FairQueue<Submission>>;

/// Why an entry was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// It cannot be applied, and was not.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Too many entries wait already. It was not applied.
    #[error("the log's queue is full")]
    Overloaded,
    /// The store could not be reached in time. It may have been applied; repeating it is safe.
    #[error("the log is unavailable")]
    Unavailable,
}

impl LogError {
    /// Logs the error as [`StoreError::log`] does: an outage has its own line, so each of its errors is only debug.
    pub(crate) fn log(self, what: &str) {
        match self {
            Self::Unavailable => tracing::debug!(error = %self, "{what}"),
            _ => tracing::warn!(error = %self, "{what}"),
        }
    }
}

/// The way back to the caller of an entry.
type Reply = oneshot::Sender<Result<Acknowledged, LogError>>;

struct Submission {
    entry: Entry,
    reply: Reply,
}

impl Submission {
    fn targets(&self) -> usize {
        self.entry.mutation.targets().max(1)
    }

    /// Returns true while the caller waits for the answer.
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    fn answer(self, result: Result<Acknowledged, LogError>) {
        // A caller that has gone away does not need the answer.
        let _ = self.reply.send(result);
    }
}

/// The effect of an entry.
pub(crate) struct Acknowledged {
    pub(crate) outcome: Outcome,
    /// The session of an entry for one session, if the entry ended it, and the time of that.
    pub(crate) ended: Option<(Session, Micros)>,
    /// The effect of a sign-out that counts.
    pub(crate) signed_out: Option<SignedOut>,
}

impl Log {
    /// Starts the appenders. They end when all handles are dropped and the last batch is done. Each batch is also sent to
    /// `appended`.
    pub fn start(
        store: &Arc<dyn EnforcementStore>,
        config: &LogConfig,
        appended: &mpsc::Sender<LogBatch>,
        instruments: Arc<Instruments>,
        tasks: &Supervisor,
    ) -> Self {
        let start_appender = |name| {
            let (inlet, rung) = Inlet::new(config);
            let appender = Appender {
                store: Arc::clone(store),
                config: config.clone(),
                appended: appended.clone(),
                instruments: Arc::clone(&instruments),
                queue: Arc::clone(&inlet.queue),
            };
            tasks.spawn(name, appender.run(rung));
            inlet
        };
        Self {
            small: start_appender("appender"),
            large: start_appender("large_appender"),
            instruments,
        }
    }

    /// Appends an entry, and returns when it is durable.
    ///
    /// # Errors
    /// When it was not acknowledged. Dropping the future withdraws an entry whose batch has not begun.
    pub async fn submit(&self, entry: Entry) -> Result<Outcome, LogError> {
        Ok(self.submit_for_effect(entry).await?.outcome)
    }

    /// Appends an entry, and returns everything that it did.
    pub(crate) async fn submit_for_effect(&self, entry: Entry) -> Result<Acknowledged, LogError> {
        let ticket = Ticket::of(&entry);
        let inlet = match ticket.is_large() {
            true => &self.large,
            false => &self.small,
        };
        let answer = self.enqueue(inlet, ticket, entry)?;
        // If the bell is full, the appender has not looked since it was last rung, and will see this entry too.
        if let Err(TrySendError::Closed(())) = inlet.bell.try_send(()) {
            return Err(LogError::Unavailable);
        }
        // An error of the channel means that the appender ended without an answer.
        answer.await.unwrap_or(Err(LogError::Unavailable))
    }

    fn enqueue(
        &self,
        inlet: &Inlet,
        ticket: Ticket,
        entry: Entry,
    ) -> Result<oneshot::Receiver<Result<Acknowledged, LogError>>, LogError> {
        let (reply, answer) = oneshot::channel();
        let pushed = lock(&inlet.queue).push(ticket, Submission { entry, reply });
        match pushed {
            Ok(None) => {}
            Ok(Some(evicted)) => {
                self.instruments.refusals.count_call("log_queue");
                evicted.answer(Err(LogError::Overloaded));
            }
            Err(bound) => {
                self.instruments.refusals.count_call(bound.name());
                return Err(LogError::Overloaded);
            }
        }
        Ok(answer)
    }
}

impl Inlet {
    /// Makes the way to an appender. The receiver is the appender's.
    fn new(config: &LogConfig) -> (Self, mpsc::Receiver<()>) {
        let bounds = Bounds {
            entries_max: config.queue_entries_max,
            source_entries_max: config.queue_tenant_entries_max,
            caller_targets_max: config.queue_caller_targets_max,
        };
        let queue = Arc::new(Mutex::new(FairQueue::new(bounds)));
        // One place is enough: a bell that was rung and not heard yet speaks for all entries.
        let (bell, rung) = mpsc::channel(1);
        (Self { queue, bell }, rung)
    }
}

fn lock(queue: &Queue) -> MutexGuard<'_, FairQueue<Submission>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refuses the entries that still wait when the appender ends, even by a panic.
struct RefuseOnDrop(Arc<Queue>);

impl Drop for RefuseOnDrop {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        while queue.len() > 0 {
            // Dropping a submission closes its channel, which its caller takes for `Unavailable`.
            queue.take(usize::MAX, usize::MAX, |_| true);
        }
    }
}

struct Appender {
    queue: Arc<Queue>,
    store: Arc<dyn EnforcementStore>,
    config: LogConfig,
    appended: mpsc::Sender<LogBatch>,
    instruments: Arc<Instruments>,
}

impl Appender {
    /// Appends batch after batch, until all handles are dropped and nothing waits.
    async fn run(self, bell: mpsc::Receiver<()>) {
        // A queue outlives its appender, because the handles share it. Without this the entries in
        // it would never be answered.
        let _refuse = RefuseOnDrop(Arc::clone(&self.queue));
        // Dropped before the queue is emptied: an entry that came between the two would wait for an answer for ever.
        let mut bell = bell;
        let mut pace = Pace::new(self.config.batch_time_goal);
        loop {
            let batch = self.take_batch(pace.targets_max());
            // The bell may have been rung for entries that an earlier batch took, or that were withdrawn.
            if batch.is_empty() {
                let all_handles_dropped = bell.recv().await.is_none();
                if all_handles_dropped && lock(&self.queue).len() == 0 {
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

    fn take_batch(&self, targets_max: usize) -> Vec<Submission> {
        let entries_max = self.config.batch_entries_max;
        lock(&self.queue).take(entries_max, targets_max, Submission::is_wanted)
    }

    /// Commits a batch and answers its callers.
    async fn append(&self, batch: Vec<Submission>) {
        let (entries, replies) = split(batch);
        let results = match self.commit(&entries).await {
            // The store refused the whole batch. One bad entry must not fail the others.
            Err(error) if !error.is_retryable() && entries.len() > 1 => {
                self.append_one_by_one(&entries).await
            }
            result => results_of(result, entries.len()),
        };

        self.measure(&entries, &results);
        for (reply, result) in replies.into_iter().zip(results) {
            // A caller that has gone away does not need the answer.
            let _ = reply.send(result);
        }
    }

    /// Begins to measure how long the enforcement of a batch takes.
    fn measure(&self, entries: &[Entry], results: &[Result<Acknowledged, LogError>]) {
        let enforcement = &self.instruments.enforcement;
        for (entry, result) in entries.iter().zip(results) {
            if let (Mutation::Canary, Ok(acknowledged)) = (&entry.mutation, result) {
                enforcement.record_canary(&acknowledged.outcome);
            }
        }
        let acknowledged = results.iter().flatten();
        enforcement.record_acknowledged(acknowledged.map(|acknowledged| &acknowledged.outcome));
    }

    async fn append_one_by_one(&self, entries: &[Entry]) -> Vec<Result<Acknowledged, LogError>> {
        let mut results = Vec::with_capacity(entries.len());
        for entry in entries {
            let result = self.commit(std::slice::from_ref(entry)).await;
            results.extend(results_of(result, 1));
        }
        results
    }

    /// Commits a batch within [`COMMIT_AGE_MAX`] of its stamp, and tries again while that may help.
    ///
    /// Trying again is harmless even if the answer of the first try was lost: the store knows the event ids of entries
    /// that it has applied.
    async fn commit(&self, entries: &[Entry]) -> Result<Appended, StoreError> {
        let deadline = Instant::now() + self.config.append_timeout;
        let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
        // A try whose answer was lost may have been applied, at any time until the next one recalls its entries. So the
        // age of the commit counts from the first try.
        let begun = Instant::now();
        loop {
            let appending = self.store.append(entries);
            match self.instruments.commits.run(entries, appending).await {
                Ok(mut appended) => {
                    // Also if it is late: gates may enforce it at once. The repetition only keeps it from being
                    // forgotten too early.
                    self.publish(&appended);
                    if begun.elapsed() > COMMIT_AGE_MAX {
                        self.add_recalled(&mut appended).await?;
                        return self.repeat_revocations(appended).await;
                    }
                    return Ok(appended);
                }
                // Without the deadline an outage would leave every caller without an answer for as long as it lasts.
                Err(error) if error.is_retryable() && Instant::now() < deadline => {
                    error.log("a batch is tried again");
                    tokio::time::sleep(backoff.step()).await;
                }
                Err(error) => return Err(give_up(error, entries.len())),
            }
        }
    }

    /// Gives the batch to the feed at once, which would else learn of it by polling the store.
    fn publish(&self, appended: &Appended) {
        if let Some(committed) = &appended.committed {
            // If the channel is full, the feed is behind and reads the batch from the log.
            let _ = self.appended.try_send(committed.clone());
        }
    }

    /// Adds the revocations of the earlier batches that answer for entries of this one: those of a try whose answer was
    /// lost.
    async fn add_recalled(&self, appended: &mut Appended) -> Result<(), StoreError> {
        let own = appended
            .committed
            .as_ref()
            .map(|batch| batch.frame.revision);
        let mut earlier = BTreeSet::new();
        for outcome in appended.outcomes.iter().flatten() {
            if Some(outcome.revision) != own {
                earlier.insert(outcome.revision);
            }
        }
        for revision in earlier {
            let before = Revision(revision.0.saturating_sub(1));
            // By the connection of streams that are far behind: `tail` is the feed's own.
            for batch in self.store.catch_up(before, 1).await? {
                add_revocations(&mut appended.revoked, &batch.frame)?;
            }
        }
        Ok(())
    }

    /// Appends the revocations of a late batch again, until a commit is not late.
    ///
    /// The stamp of the late one may lie in a generation that gates forget before all tokens of it have expired (I4).
    async fn repeat_revocations(&self, mut late: Appended) -> Result<Appended, StoreError> {
        loop {
            let repeat = Entry::internal(Mutation::Repeat {
                serials: late.revoked.serials.clone(),
                cuts: late.revoked.cuts.clone(),
            });
            let begun = Instant::now();
            let repeated = self.store.append(&[repeat]).await?;
            self.publish(&repeated);
            // The stamp of the repetition has to be fresh too, or it could be forgotten as early as
            // the one that it repeats.
            if begun.elapsed() > COMMIT_AGE_MAX {
                continue;
            }

            // A caller that waits for enforcement must wait for the revision that counts.
            if let Some(Ok(repeated)) = repeated.outcomes.first() {
                for outcome in late.outcomes.iter_mut().flatten() {
                    outcome.revision = outcome.revision.max(repeated.revision);
                }
            }
            return Ok(late);
        }
    }
}

/// Adds the session revocations of a batch of the log. It may have more of them than the entry that is looked for: to
/// repeat those too is harmless.
fn add_revocations(revoked: &mut Revoked, frame: &Frame) -> Result<(), StoreError> {
    let changes = delta::decode(&frame.delta);
    let changes = changes.map_err(|error| StoreError::Internal(error.to_string()))?;
    for change in changes {
        match change {
            Change::Revoke {
                credential: CredentialKind::Session,
                serials,
            } => revoked.serials.extend(serials),
            Change::Cut {
                credential: CredentialKind::Session,
                scope,
                exempt,
            } => revoked.cuts.push((scope, exempt)),
            // No turn forgets the others.
            _ => {}
        }
    }
    Ok(())
}

fn split(batch: Vec<Submission>) -> (Vec<Entry>, Vec<Reply>) {
    let mut entries = Vec::with_capacity(batch.len());
    let mut replies = Vec::with_capacity(batch.len());
    for submission in batch {
        entries.push(submission.entry);
        replies.push(submission.reply);
    }
    (entries, replies)
}

fn give_up(error: StoreError, entries: usize) -> StoreError {
    if !error.is_retryable() {
        tracing::error!(%error, entries, "a batch failed");
    }
    error
}

fn log_error(error: &StoreError) -> LogError {
    match error.is_retryable() {
        true => LogError::Unavailable,
        // `commit` has logged the cause. The caller does not get it, because it describes the store.
        false => LogError::Entry(EntryError::Refused),
    }
}

/// The results of the entries of a batch, in their order.
fn results_of(
    result: Result<Appended, StoreError>,
    entries: usize,
) -> Vec<Result<Acknowledged, LogError>> {
    let appended = match result {
        Ok(appended) => appended,
        Err(error) => {
            let error = log_error(&error);
            return (0..entries).map(|_| Err(error)).collect();
        }
    };

    let mut ended = appended.ended;
    let mut signed_out = appended.signed_out;
    let mut results = Vec::with_capacity(entries);
    for (index, outcome) in appended.outcomes.into_iter().enumerate() {
        results.push(match outcome {
            Ok(outcome) => Ok(Acknowledged {
                outcome,
                ended: ended.remove(&index),
                signed_out: signed_out.remove(&index),
            }),
            Err(error) => Err(LogError::from(error)),
        });
    }
    results
}

#[cfg(test)]
mod tests;
