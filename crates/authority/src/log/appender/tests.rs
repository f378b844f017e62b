//! Tests of the appender: its batches, their answers, and its end.

use std::{
    path::Path,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Wake, Waker},
};

use portcullis_contract::{
    delta::Scope,
    id::{Serial, SessionId, TenantId},
};

use super::*;
use crate::{
    config::{StoreConfig, TelemetryConfig},
    domain::Cause,
    installation::open_store,
    telemetry::Telemetry,
};

/// Longer than the store itself waits for a lock.
const BUSY: Duration = Duration::from_secs(3);

/// Notes whether the bell was closed when the entry in the queue was refused.
struct Refusal {
    bell: mpsc::Sender<()>,
    bell_was_closed: AtomicBool,
}

impl Wake for Refusal {
    fn wake(self: Arc<Self>) {
        let is_closed = self.bell.is_closed();
        self.bell_was_closed.store(is_closed, Ordering::SeqCst);
    }
}

/// An appender over a store in this directory, and what it tells the feed.
async fn appender(directory: &Path, queue: &Arc<Queue>) -> (Appender, mpsc::Receiver<LogBatch>) {
    let config = StoreConfig {
        url: format!("sqlite:{}", directory.display()),
        ..StoreConfig::default()
    };
    let (_, instruments) =
        Telemetry::start(&TelemetryConfig::default(), "sqlite").expect("instruments");
    let (appended, batches) = mpsc::channel(16);
    let appender = Appender {
        queue: Arc::clone(queue),
        store: open_store(&config).await.expect("opens"),
        config: LogConfig::default(),
        appended,
        instruments: Arc::new(instruments),
    };
    (appender, batches)
}

fn queue() -> Arc<Queue> {
    Arc::new(Mutex::new(FairQueue::new(Bounds {
        entries_max: 10,
        source_entries_max: 10,
        caller_targets_max: 10,
    })))
}

/// A submission, and where its answer comes.
fn submission(
    mutation: Mutation,
) -> (
    Submission,
    oneshot::Receiver<Result<Acknowledged, LogError>>,
) {
    let (reply, answer) = oneshot::channel();
    let entry = Entry::internal(mutation);
    (Submission { entry, reply }, answer)
}

#[tokio::test]
async fn an_appender_that_ends_takes_no_entry_after_it_has_refused_the_rest() {
    let directory = tempfile::tempdir().expect("a directory");
    let queue = queue();
    let (appender, _batches) = appender(directory.path(), &queue).await;
    let (bell, rung) = mpsc::channel(1);
    let refusal = Arc::new(Refusal {
        bell,
        bell_was_closed: AtomicBool::new(false),
    });
    let mut running = Box::pin(appender.run(rung));
    assert!(futures::poll!(&mut running).is_pending(), "nothing waits");

    let (submission, answer) = submission(Mutation::Record);
    let ticket = Ticket::of(&submission.entry);
    assert!(matches!(lock(&queue).push(ticket, submission), Ok(None)));
    let mut answer = pin!(answer);
    let waker = Waker::from(Arc::clone(&refusal));
    let polled = answer.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());

    // An entry that found the queue empty and the bell open would wait for an answer for ever.
    drop(running);
    assert!(answer.await.is_err(), "refused");
    assert!(refusal.bell_was_closed.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order_and_given_to_the_feed() {
    let directory = tempfile::tempdir().expect("a directory");
    let (appender, mut batches) = appender(directory.path(), &queue()).await;
    let before = appender.store.head().await.expect("read");
    // The second one ends sessions of a tenant that is not there.
    let absent = Mutation::RevokeSessions {
        tenant: TenantId::parse("absent").expect("a tenant id"),
        sessions: vec![SessionId::generate()],
        owner: None,
        cause: Cause::Administrator,
    };
    let (first, first_answer) = submission(Mutation::Canary);
    let (second, second_answer) = submission(absent);
    let (third, third_answer) = submission(Mutation::Canary);
    appender.append(vec![first, second, third]).await;

    let revision = before.revision.next();
    for answer in [first_answer, third_answer] {
        let acknowledged = answer.await.expect("answered").expect("applied");
        assert_eq!(acknowledged.outcome.revision, revision, "of one batch");
    }
    let refused = second_answer.await.expect("answered");
    assert!(matches!(refused, Err(LogError::Entry(_))));
    let batch = batches.try_recv().expect("the feed knows at once");
    assert_eq!(batch.frame.revision, revision);
    assert_eq!(batch.position, appender.store.head().await.expect("read"));
}

/// Works at the file of a store behind its back.
fn database(directory: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(directory.join("portcullis.db")).expect("opens")
}

#[tokio::test]
async fn an_entry_that_the_store_cannot_take_fails_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let (appender, _batches) = appender(directory.path(), &queue()).await;
    database(directory.path())
        .execute_batch("ALTER TABLE policies RENAME TO gone")
        .expect("renamed");
    let bad = || {
        submission(Mutation::SetPolicy {
            tenant: TenantId::parse("acme").expect("a tenant id"),
            policy: Box::default(),
            expected: 0,
        })
    };
    let (first, first_answer) = submission(Mutation::Canary);
    let (second, second_answer) = bad();
    let (third, third_answer) = submission(Mutation::Canary);
    appender.append(vec![first, second, third]).await;
    for answer in [first_answer, third_answer] {
        assert!(answer.await.expect("answered").is_ok());
    }
    let refused = Some(LogError::Entry(EntryError::Refused));
    assert_eq!(second_answer.await.expect("answered").err(), refused);

    let (alone, answer) = bad();
    appender.append(vec![alone]).await;
    assert_eq!(answer.await.expect("answered").err(), refused);
}

#[tokio::test]
async fn a_batch_is_tried_again_until_its_time_is_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut appender, _batches) = appender(directory.path(), &queue()).await;
    let database = database(directory.path());
    database.execute_batch("BEGIN IMMEDIATE").expect("locked");
    appender.config.append_timeout = Duration::ZERO;
    let (late, answer) = submission(Mutation::Canary);
    appender.append(vec![late]).await;
    let unavailable = Some(LogError::Unavailable);
    assert_eq!(answer.await.expect("answered").err(), unavailable);

    appender.config.append_timeout = COMMIT_AGE_MAX;
    let (patient, mut answer) = submission(Mutation::Canary);
    let appending = appender.append(vec![patient]);
    let unlocking = async {
        let early = tokio::time::timeout(BUSY, &mut answer).await;
        assert!(early.is_err(), "it is still tried");
        database.execute_batch("ROLLBACK").expect("unlocked");
        answer.await
    };
    let ((), answered) = tokio::join!(appending, unlocking);
    assert!(answered.expect("answered").is_ok());
}

#[tokio::test]
async fn a_batch_of_several_entries_has_the_time_of_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut appender, _batches) = appender(directory.path(), &queue()).await;
    let database = database(directory.path());
    database.execute_batch("BEGIN IMMEDIATE").expect("locked");
    appender.config.append_timeout = Duration::ZERO;
    let (submissions, answers): (Vec<_>, Vec<_>) =
        (0..3).map(|_| submission(Mutation::Canary)).unzip();
    let begun = Instant::now();
    appender.append(submissions).await;
    // The store waits for its lock once, and not for each entry by itself.
    assert!(begun.elapsed() < 2 * BUSY, "{:?}", begun.elapsed());
    for answer in answers {
        let answered = answer.await.expect("answered");
        assert_eq!(answered.err(), Some(LogError::Unavailable));
    }
}

/// Lets what is being committed be older than is acknowledged.
async fn grow_old() {
    tokio::time::pause();
    tokio::time::advance(COMMIT_AGE_MAX + Duration::from_secs(1)).await;
    tokio::time::resume();
}

fn sign_out(tenant: &str) -> Mutation {
    Mutation::SignOutTenant {
        tenant: TenantId::parse(tenant).expect("a tenant id"),
    }
}

/// The revision of a batch, and the number of its cuts.
fn cuts(batch: &LogBatch) -> (Revision, usize) {
    let mut revoked = Revoked::default();
    add_revocations(&mut revoked, &batch.frame).expect("decodes");
    (batch.frame.revision, revoked.cuts.len())
}

#[tokio::test]
async fn a_late_batch_is_appended_again_until_a_commit_is_not_late() {
    let directory = tempfile::tempdir().expect("a directory");
    let (appender, mut batches) = appender(directory.path(), &queue()).await;
    let first = appender.store.head().await.expect("read").revision.next();
    let (late, answer) = submission(sign_out("acme"));
    let mut appending = Box::pin(appender.append(vec![late]));
    assert!(futures::poll!(&mut appending).is_pending());
    grow_old().await;

    // Not polled any more once the feed has the batch: its repetition has begun then.
    let batch = tokio::select! {
        biased;
        batch = batches.recv() => batch.expect("a batch"),
        () = &mut appending => panic!("it was not late"),
    };
    assert_eq!(cuts(&batch), (first, 1));
    grow_old().await;
    appending.await;
    let acknowledged = answer.await.expect("answered").expect("applied");
    let third = first.next().next();
    assert_eq!(acknowledged.outcome.revision, third);
    for revision in [first.next(), third] {
        let batch = batches.try_recv().expect("a batch");
        assert_eq!(cuts(&batch), (revision, 1));
    }
    assert!(batches.try_recv().is_err());
}

#[tokio::test]
async fn what_answers_for_a_late_batch_is_appended_again_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let (appender, mut batches) = appender(directory.path(), &queue()).await;
    let (recalled, _answer) = submission(sign_out("acme"));
    // A try whose answer was lost.
    let entries = [recalled.entry.clone()];
    appender.store.append(&entries).await.expect("appended");
    let lost = appender.store.head().await.expect("read").revision;

    let (other, answer) = submission(sign_out("globex"));
    let mut appending = Box::pin(appender.append(vec![recalled, other]));
    assert!(futures::poll!(&mut appending).is_pending());
    grow_old().await;
    appending.await;
    let acknowledged = answer.await.expect("answered").expect("applied");
    let repeated = lost.next().next();
    assert_eq!(acknowledged.outcome.revision, repeated);
    let batch = batches.try_recv().expect("a batch");
    assert_eq!(cuts(&batch), (lost.next(), 1));
    let batch = batches.try_recv().expect("a batch");
    assert_eq!(cuts(&batch), (repeated, 2));
}

#[tokio::test]
async fn the_appender_outlives_a_bell_that_rings_for_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let queue = queue();
    let (appender, _batches) = appender(directory.path(), &queue).await;
    let (bell, rung) = mpsc::channel(1);
    let mut running = Box::pin(appender.run(rung));
    bell.try_send(()).expect("rung");
    assert!(futures::poll!(&mut running).is_pending());
    assert_eq!(bell.capacity(), 1, "heard");

    let (submission, answer) = submission(Mutation::Canary);
    let ticket = Ticket::of(&submission.entry);
    assert!(matches!(lock(&queue).push(ticket, submission), Ok(None)));
    bell.try_send(()).expect("rung");
    tokio::select! {
        () = running => panic!("it ended"),
        answered = answer => assert!(answered.expect("answered").is_ok()),
    }
}

#[tokio::test]
async fn the_appender_ends_with_its_last_handle_and_after_the_last_entry() {
    let directory = tempfile::tempdir().expect("a directory");
    let queue = queue();
    let (appender, _batches) = appender(directory.path(), &queue).await;
    let (bell, rung) = mpsc::channel(1);
    let (submission, answer) = submission(Mutation::Canary);
    let ticket = Ticket::of(&submission.entry);
    assert!(matches!(lock(&queue).push(ticket, submission), Ok(None)));
    drop(bell);
    let run = tokio::time::timeout(COMMIT_AGE_MAX, appender.run(rung));
    run.await.expect("it ends");
    let answered = answer.await.expect("answered");
    assert!(answered.is_ok(), "and not refused");
}

#[test]
fn an_entry_counts_its_targets_and_at_least_one() {
    for (sessions, targets) in [(0, 1), (1, 1), (3, 3)] {
        let (submission, _) = submission(Mutation::RevokeSessions {
            tenant: TenantId::parse("acme").expect("a tenant id"),
            sessions: vec![SessionId::generate(); sessions],
            owner: None,
            cause: Cause::Administrator,
        });
        assert_eq!(submission.targets(), targets);
    }
}

#[test]
fn an_entry_is_wanted_while_its_caller_waits() {
    let (submission, answer) = submission(Mutation::Record);
    assert!(submission.is_wanted());
    drop(answer);
    assert!(!submission.is_wanted());
}

#[tokio::test]
async fn an_evicted_entry_is_answered() {
    let (submission, answer) = submission(Mutation::Record);
    submission.answer(Err(LogError::Overloaded));
    let answered = answer.await.expect("answered");
    assert_eq!(answered.err(), Some(LogError::Overloaded));
}

#[test]
fn only_an_outage_is_worth_another_try_of_the_caller() {
    let unavailable = StoreError::Unavailable("away".into());
    assert_eq!(log_error(&unavailable), LogError::Unavailable);
    let refused = LogError::Entry(EntryError::Refused);
    assert_eq!(log_error(&StoreError::Internal("bad".into())), refused);
    let results = results_of(Err(unavailable), 3);
    assert_eq!(results.len(), 3);
    for result in results {
        assert_eq!(result.err(), Some(LogError::Unavailable));
    }
}

#[test]
fn the_session_revocations_of_a_batch_are_repeated_and_nothing_else() {
    let session = CredentialKind::Session;
    let key = CredentialKind::ApiKey;
    let scope = Scope::Everyone;
    let changes = [
        Change::Revoke {
            credential: session,
            serials: vec![Serial(7), Serial(9)],
        },
        Change::Revoke {
            credential: key,
            serials: vec![Serial(8)],
        },
        Change::Cut {
            credential: session,
            scope,
            exempt: Some(Serial(3)),
        },
        Change::Cut {
            credential: key,
            scope,
            exempt: None,
        },
        Change::Turn,
    ];
    let frame = Frame {
        revision: Revision(1),
        delta: delta::encode(&changes, Vec::new()),
        audit_digest: [0; 32],
    };
    let mut revoked = Revoked::default();
    add_revocations(&mut revoked, &frame).expect("decodes");
    assert_eq!(revoked.serials, [Serial(7), Serial(9)]);
    assert_eq!(revoked.cuts, [(scope, Some(Serial(3)))]);
}
