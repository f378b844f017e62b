//! Receipts: how far a change is enforced. They consist of counts, so that every caller may have them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{Stream, stream};
use portcullis_contract::position::Revision;

use super::{App, AppError, Caller, ChangeOrigin};
use crate::feed::{Enforcement, ReceiptPlace, ReceiptQuestion};

/// The least time between two receipts of a stream.
const WATCH_PAUSE: Duration = Duration::from_millis(100);
/// The longest time between two receipts of a stream.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

impl App {
    /// Prepares the receipt of a change that is about to be appended.
    pub(super) fn expect_receipt(&self, origin: &ChangeOrigin) {
        if origin.enforced_until.is_some() {
            self.receipts.expect_next();
        }
    }

    /// The receipt of a change that is durable. It waits for enforcement if the caller asked for that.
    ///
    /// It cannot fail: the change is made, and an error would look as if it were not.
    pub(super) async fn receipt(&self, origin: &ChangeOrigin, revision: Revision) -> Enforcement {
        let question = self.receipts.question(revision, origin.received);
        let Some(until) = origin.enforced_until else {
            // Gates that have not confirmed the revision yet do so within their staleness.
            return self.receipts.now(&question);
        };
        match self.receipts.take_place(origin.caller.holder()) {
            Ok(_place) => self.receipts.wait(&question, until).await,
            // Too many wait. The caller can ask for the rest later.
            Err(_) => self.receipts.now(&question),
        }
    }

    /// A question about a revision, which the log must have.
    async fn receipt_question(&self, wait: ReceiptWait) -> Result<ReceiptQuestion, AppError> {
        let revision = wait.revision;
        // The caller may have it from another authority, whose batches this one has not read yet.
        if self.feed.view().position().revision < revision
            && self.store.head().await?.revision < revision
        {
            return Err(AppError::RevisionAhead);
        }
        Ok(self.receipts.question(revision, wait.received))
    }

    fn receipt_place(&self, caller: &Caller) -> Result<ReceiptPlace, AppError> {
        let place = self.receipts.take_place(caller.holder());
        place.map_err(|_| AppError::Overloaded)
    }
}

/// A wait for the receipt of a revision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiptWait {
    pub(crate) revision: Revision,
    /// The arrival of the call.
    pub(crate) received: Instant,
    pub(crate) until: Instant,
}

/// Waits until a revision is enforced, or the time is over.
pub(crate) async fn wait_for_enforcement(
    app: &App,
    caller: &Caller,
    wait: ReceiptWait,
) -> Result<Enforcement, AppError> {
    let _place = app.receipt_place(caller)?;
    let question = app.receipt_question(wait).await?;
    Ok(app.receipts.wait(&question, wait.until).await)
}

/// The receipts of a revision until it is enforced, or the time is over: at once, at changes, and once in a while.
pub(crate) async fn watch_enforcement(
    app: Arc<App>,
    caller: &Caller,
    wait: ReceiptWait,
) -> Result<impl Stream<Item = Enforcement> + Send + use<>, AppError> {
    let place = app.receipt_place(caller)?;
    let question = app.receipt_question(wait).await?;
    let watch = EnforcementWatch {
        app,
        question,
        until: wait.until,
        last: None,
        _place: place,
    };
    // A receipt is made when the reader has room for it, so that a slow one gets fewer.
    Ok(stream::unfold(watch, EnforcementWatch::step))
}

/// A stream of receipts.
struct EnforcementWatch {
    app: Arc<App>,
    question: ReceiptQuestion,
    until: Instant,
    last: Option<Enforcement>,
    _place: ReceiptPlace,
}

impl EnforcementWatch {
    async fn step(mut self) -> Option<(Enforcement, Self)> {
        let receipts = &self.app.receipts;
        let receipt = match &self.last {
            None => {
                // The validators are asked at once, and not at their next probe.
                receipts.ask(&self.question);
                receipts.now(&self.question)
            }
            Some(last) if last.complete || Instant::now() >= self.until => return None,
            Some(last) => {
                // Confirmations come in bursts. Without a pause each would be a message of its own.
                tokio::time::sleep(WATCH_PAUSE).await;
                let next = self.until.min(Instant::now() + WATCH_INTERVAL);
                receipts.wait_for_change(&self.question, last, next).await
            }
        };
        self.last = Some(receipt.clone());
        Some((receipt, self))
    }
}
