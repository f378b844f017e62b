//! Exports of the audit trail: each event to a file, a syslog server or a webhook, at least once and in the order of the
//! log.
//!
//! Every authority of an installation tries to claim each export, and the one with the claim delivers it. Its place in the
//! trail is in the store and moves only after delivery, so whatever was not delivered is delivered by the next holder of
//! the claim. Decision 103 has the reasons.

mod claim;
mod delivery;
mod destination;
mod file;
mod json;
mod metrics;
mod open;
mod redelivery;
mod signature;
mod syslog;
mod trail;
mod webhook;

use std::{sync::Arc, time::Duration};

use portcullis_contract::retry::Backoff;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::{
    claim::{Claimed, keep_claim},
    delivery::{Delivery, DeliveryError},
    destination::Destination,
    trail::{Piece, Trail},
};
pub(crate) use self::{
    metrics::ExportMetrics,
    open::{Parts, check_files, open},
};
use crate::{
    config::ExportStart,
    domain::{AuditEvent, ExportPlace, TrailMark},
    feed::Feed,
    store::{ExportClaim, Store, StoreError},
};

/// The pause between two looks at an export that another authority delivers.
const LOOK: Duration = Duration::from_secs(1);
/// How long a place that moved without a delivery is in memory only.
const SAVE: Duration = Duration::from_secs(2);
/// The bound of the first pause after a failed delivery.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The bound of the longest.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// One export, and the parts that it works with.
pub(crate) struct Exporter {
    name: Arc<str>,
    start: ExportStart,
    destination: Destination,
    trail: Trail,
    store: Arc<dyn Store>,
    feed: Arc<Feed>,
    /// The id of this authority.
    authority: [u8; 16],
    metrics: Arc<ExportMetrics>,
    backoff: Backoff,
    looked_for_dead_letters: Option<Instant>,
}

/// Why an authority no longer delivers.
enum End {
    /// Another authority may have the claim.
    Lost,
    /// The receiver took nothing, or the store failed. The next attempt may succeed.
    Failed,
    /// The receiver wants no more.
    Gone,
}

/// How far the holder of a claim has come.
struct Progress {
    fence: u64,
    place: ExportPlace,
    /// When the place was last written to the store.
    saved: Instant,
    /// Whether the store has this place.
    is_saved: bool,
}

impl Progress {
    fn of(claim: ExportClaim) -> Self {
        Self {
            fence: claim.fence,
            place: claim.place,
            saved: Instant::now(),
            is_saved: true,
        }
    }

    fn move_to(&mut self, place: ExportPlace) {
        self.is_saved = self.is_saved && place == self.place;
        self.place = place;
    }

    fn is_save_due(&self) -> bool {
        !self.is_saved && self.saved.elapsed() >= SAVE
    }
}

impl Exporter {
    /// Delivers whenever this authority has the claim, until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let claimed = self.wait_for_claim();
            let Some(Claimed { claim, until }) = stop.run_until_cancelled(claimed).await else {
                return;
            };
            let fence = claim.fence;
            let delivered = self.deliver_under(claim, until);
            match stop.run_until_cancelled(delivered).await {
                None => return self.release(fence).await,
                Some(End::Lost) => {
                    tracing::warn!(export = %self.name, "the claim of the audit export was lost");
                }
                Some(End::Gone) => self.stop(fence).await,
                Some(End::Failed) => {
                    // Another authority may reach a receiver that this one does not reach.
                    self.release(fence).await;
                    let pause = sleep(self.backoff.step());
                    if stop.run_until_cancelled(pause).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    async fn wait_for_claim(&self) -> Claimed {
        loop {
            // Taken before the claim, so that this authority does not believe in it for longer than the store.
            let asked = Instant::now();
            match self.try_claim().await {
                Ok(Some(claim)) => return Claimed::new(claim, asked),
                Ok(None) => {}
                Err(error) => error.log("an audit export was not claimed"),
            }
            sleep(LOOK).await;
        }
    }

    async fn try_claim(&self) -> Result<Option<ExportClaim>, StoreError> {
        let status = claim::read_status(&*self.store, &self.name, &self.metrics).await?;
        // Looked at first, because a claim is a write even when it is refused.
        if status.is_some_and(|status| !status.is_free) {
            return Ok(None);
        }
        // It counts for the first claim only. From then on the store has a place.
        let start = self.first_place();
        let lease = claim::LEASE;
        self.store
            .claim_export(&self.name, &self.authority, &start, lease)
            .await
    }

    /// The place where an export begins that the store does not know yet.
    fn first_place(&self) -> ExportPlace {
        match self.start {
            ExportStart::Beginning => ExportPlace::beginning(),
            ExportStart::Now => {
                let head = self.feed.view().position();
                ExportPlace::behind(TrailMark {
                    revision: head.revision,
                    chain: head.chain,
                })
            }
        }
    }

    /// Delivers for as long as the claim counts and deliveries succeed.
    async fn deliver_under(&mut self, claim: ExportClaim, until: Instant) -> End {
        let revision = claim.place.position().revision.0;
        tracing::info!(export = %self.name, revision, "this authority delivers the audit export");
        let store = Arc::clone(&self.store);
        let (name, metrics) = (Arc::clone(&self.name), Arc::clone(&self.metrics));
        let fence = claim.fence;
        // A delivery that is dropped in the middle is repeated by the next holder.
        tokio::select! {
            end = self.deliver(claim) => end,
            () = keep_claim(&*store, &name, fence, until, &metrics) => End::Lost,
        }
    }

    async fn deliver(&mut self, claim: ExportClaim) -> End {
        let mut progress = Progress::of(claim);
        loop {
            if let Err(end) = self.deliver_next(&mut progress).await {
                return end;
            }
        }
    }

    /// Delivers due dead letters, and the next events of the trail.
    async fn deliver_next(&mut self, progress: &mut Progress) -> Result<(), End> {
        self.redeliver(progress.fence).await?;
        let piece = self.read_piece(&progress.place).await?;
        let (events, is_last) = self.pass_piece(piece, progress);

        let is_delivery = !events.is_empty();
        if is_delivery {
            self.deliver_events(progress.fence, &events).await?;
        }
        // A place that passed the events of others is written now and then only.
        if is_delivery || progress.is_save_due() {
            self.save_place(progress).await?;
        }
        if is_last {
            self.trail.wait_for_more(&self.feed).await;
        }
        Ok(())
    }

    async fn read_piece(&self, place: &ExportPlace) -> Result<Piece, End> {
        match self.trail.next(&*self.store, &self.feed, place).await {
            Ok(piece) => Ok(piece),
            Err(error) => {
                error.log("the audit trail was not read for an export");
                Err(End::Failed)
            }
        }
    }

    /// Moves the place behind a piece. Returns its events, and whether the log had no more.
    fn pass_piece(&self, piece: Piece, progress: &mut Progress) -> (Vec<AuditEvent>, bool) {
        match piece {
            Piece::Events {
                events,
                behind,
                is_last,
            } => {
                progress.move_to(behind);
                (events, is_last)
            }
            Piece::OtherHistory { common } => {
                self.warn_of_history(&progress.place, &common);
                progress.move_to(common);
                (Vec::new(), false)
            }
        }
    }

    async fn save_place(&self, progress: &mut Progress) -> Result<(), End> {
        let advancing = self
            .store
            .advance_export(&self.name, progress.fence, &progress.place);
        match advancing.await {
            Ok(true) => {
                progress.saved = Instant::now();
                progress.is_saved = true;
                Ok(())
            }
            Ok(false) => Err(End::Lost),
            Err(error) => {
                error.log("the place of an audit export was not moved");
                Err(End::Failed)
            }
        }
    }

    async fn deliver_events(&mut self, fence: u64, events: &[AuditEvent]) -> Result<(), End> {
        let delivery = Delivery {
            export: &self.name,
            fence,
            store: &*self.store,
            metrics: &self.metrics,
        };
        match self.destination.deliver(events, &delivery).await {
            Ok(()) => {
                self.backoff.reset();
                Ok(())
            }
            Err(DeliveryError::Gone) => Err(End::Gone),
            Err(DeliveryError::Lost) => Err(End::Lost),
            Err(DeliveryError::Failed(problem)) => {
                self.metrics.count_failure(&self.name);
                tracing::warn!(export = %self.name, problem, "the audit export was not delivered; it is tried again");
                Err(End::Failed)
            }
        }
    }

    fn warn_of_history(&self, place: &ExportPlace, common: &ExportPlace) {
        tracing::warn!(
            export = %self.name,
            delivered = place.position().revision.0,
            common = common.position().revision.0,
            "the log has another history than the one that was exported: events behind the common revision are \
             delivered again",
        );
    }

    async fn release(&self, fence: u64) {
        if let Err(error) = self.store.release_export(&self.name, fence).await {
            error.log("the claim of an audit export was not given back; it ends by itself");
        }
    }

    async fn stop(&self, fence: u64) {
        tracing::error!(
            export = %self.name,
            "the receiver of the audit export is gone for good (410): the export has stopped until an operator lets it \
             go on",
        );
        if let Err(error) = self.store.stop_export(&self.name, fence).await {
            error.log("an audit export was not stopped; the receiver is asked again");
        }
    }
}
