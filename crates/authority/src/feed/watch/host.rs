//! The authority's side of all streams: registration, and the judgement of a validator's cursor.

use std::sync::Arc;

use portcullis_contract::{
    position::Position,
    seeded::{self, Mistake},
};
use tokio_util::sync::CancellationToken;

use super::messages::{Hello, StreamSource, WatchError};
use crate::{
    config::WatchConfig,
    feed::{Beats, Feed, Gate, Gates, Registration, Validators},
    health::{Condition, Readiness},
    keys::HeadCodes,
    store::{EnforcementStore, StoreError},
};

/// The parts of the authority that streams work with.
pub(crate) struct WatchHost {
    pub(crate) config: WatchConfig,
    pub(crate) feed: Arc<Feed>,
    pub(crate) store: Arc<dyn EnforcementStore>,
    pub(crate) beats: Beats,
    pub(crate) validators: Arc<Validators>,
    pub(crate) gates: Arc<Gates>,
    pub(crate) heads: Arc<HeadCodes>,
    pub(crate) readiness: Arc<Readiness>,
    /// Cancelled when the authority stops taking streams.
    pub(crate) drain: CancellationToken,
}

/// The relation of a validator's cursor to the history of this authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CursorState {
    /// A position of this history: deltas follow.
    Known,
    /// The validator has no cursor.
    Missing,
    /// A position of another history, or of a part of this one that the primary does not have.
    Fork,
}

impl WatchHost {
    /// Registers a stream, within the authority's bounds.
    pub(super) fn register(
        &self,
        source: &StreamSource,
        hello: &Hello,
    ) -> Result<Registration, WatchError> {
        // A revocation is enforced everywhere once the largest staleness has passed, so that it needs a bound.
        let staleness = hello.max_staleness;
        if staleness.is_zero() || staleness > self.config.staleness_max {
            let problem = "max_staleness is out of the authority's bounds";
            return Err(WatchError::Protocol(problem));
        }

        let gate = Gate {
            caller: source.caller.clone(),
            name: hello.name.clone(),
            address: source.address.clone(),
            version: hello.version.clone(),
            log_version: hello.log_version,
            instance: hello.instance,
            mode: hello.mode,
            max_staleness: staleness,
        };
        self.validators
            .register(gate, self.feed.history(), self.config.streams_max)
            .ok_or(WatchError::TooManyStreams)
    }

    /// Judges the cursor of a validator. Only the primary can tell that a cursor ahead of this view is of another history:
    /// a replica may just be behind.
    pub(super) async fn judge_cursor(&self, hello: &Hello) -> Result<CursorState, StoreError> {
        let Some(cursor) = hello.cursor else {
            return Ok(CursorState::Missing);
        };
        // Another incarnation is another history, whatever the revisions say.
        let here = self.feed.view().position();
        if cursor.incarnation != here.incarnation {
            return Ok(CursorState::Fork);
        }
        let ahead = cursor.revision > here.revision;
        if ahead && seeded::has(Mistake::FutureResume) {
            return Ok(CursorState::Known);
        }
        // Gates that connect again to a quiet log are at this very position, and cost no read of the store.
        if cursor == here || self.has(cursor).await? {
            return Ok(CursorState::Known);
        }
        self.report_lost_history(hello).await?;
        Ok(CursorState::Fork)
    }

    /// Whether the store has a position.
    async fn has(&self, position: Position) -> Result<bool, StoreError> {
        // The chain covers every batch up to the revision: where it is the same, all before it is the same.
        let chain = self.store.chain(position.revision).await?;
        if seeded::has(Mistake::EqualHeads) {
            return Ok(chain.is_some());
        }
        Ok(chain == Some(position.chain))
    }

    /// Reports that the store is older than the history that a validator was shown, unless this authority saw that happen.
    ///
    /// Beats go on. They prove the head of this history, which is all that can be proved: the lost part is not in it,
    /// however long anybody waits, and the gates that saw it enforce both histories. Without beats every gate would
    /// refuse everything for a loss that only an operator can weigh.
    ///
    /// The validator's word is not enough, because one that lies could take the authority out of service. It has to show
    /// a head that a beat named.
    async fn report_lost_history(&self, hello: &Hello) -> Result<(), StoreError> {
        let Some(shown) = self.proven_head(hello) else {
            return Ok(());
        };
        if self.has(shown).await? {
            return Ok(());
        }
        // A gate that was away for longer than the log is kept proves nothing about the end of the log.
        if shown.revision < self.store.gone_revision().await? {
            return Ok(());
        }
        // A view that the store does not know either is about to be replaced: the feed has seen both histories then.
        let here = self.feed.view().position();
        if !self.has(here).await? || self.feed.explains(shown) {
            return Ok(());
        }

        let problem = format!(
            "the store does not have revision {} as a validator was shown it: it was restored, or failed over with a \
             loss; run `portcullis recover`",
            shown.revision
        );
        self.readiness.raise(Condition::History, problem);
        Ok(())
    }

    /// The head of this history that a beat told the validator, if it can prove that.
    fn proven_head(&self, hello: &Hello) -> Option<Position> {
        let proven = hello.proven_head.as_ref()?;
        // A head of an earlier history is expected to be missing after a recovery.
        let is_ours = proven.head.incarnation == self.feed.view().position().incarnation;
        let is_proven = self.heads.verify(proven.head, &proven.code);
        (is_ours && is_proven).then_some(proven.head)
    }
}

#[cfg(test)]
mod tests;
