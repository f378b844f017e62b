//! The audit trail as it grows, in the order of the log.
//!
//! Every event belongs to a batch of the log and becomes visible with it. So a place in the log is all that a reader has
//! to remember, and no event can appear behind it later.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{Stream, stream};
use portcullis_contract::{
    id::TenantId,
    position::{Chain, Position, Revision},
};
use tokio::{sync::watch::Receiver, time::timeout_at};

use super::{App, AppError, Caller};
use crate::domain::{AuditEvent, TrailPosition};

/// The most events that are read at once.
const EVENTS_MAX: u32 = 500;
/// The pause between two looks into the trail, so that a busy log does not make a stream read all the time.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a reader of a quiet tenant keeps an old place.
const QUIET_MAX: Duration = Duration::from_secs(10);
/// The longest stream of a person. It is short because a stream goes on when the session or the role of its person ends.
const PERSON_MAX: Duration = Duration::from_secs(5);

/// A place in the trail of one history of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TrailPlace {
    pub(crate) position: TrailPosition,
    /// The chain at the revision of the position, which no other history has.
    pub(crate) chain: Chain,
}

/// Where a stream begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TrailStart {
    /// With the next event.
    Now,
    /// Behind a revision.
    Behind(Revision),
    /// Where an earlier stream stopped.
    Resumed(TrailPlace),
}

/// Events that were read together, and the place behind them.
#[derive(Debug)]
pub(crate) struct TrailPiece {
    pub(crate) events: Vec<AuditEvent>,
    pub(crate) place: TrailPlace,
}

/// Streams the events of a tenant until a time. None: the events of the whole installation.
pub(crate) async fn watch_audit_events(
    app: Arc<App>,
    caller: &Caller,
    tenant: Option<TenantId>,
    start: TrailStart,
    until: Instant,
) -> Result<impl Stream<Item = Result<TrailPiece, AppError>> + Send + use<>, AppError> {
    let until = match caller {
        Caller::Service(_) => until,
        Caller::User(_) | Caller::Staff(_) => until.min(Instant::now() + PERSON_MAX),
    };
    // Taken before the place is read, so that no batch in between goes unnoticed.
    let head = app.feed.position();
    let place = find_place(&app, start).await?;
    let watch = TrailWatch {
        app,
        tenant,
        place,
        head,
        has_all: false,
        until,
        sent: None,
    };
    // A piece is read when its reader has room for it.
    Ok(stream::unfold(Some(watch), TrailWatch::step))
}

async fn find_place(app: &App, start: TrailStart) -> Result<TrailPlace, AppError> {
    let position = match start {
        TrailStart::Now => {
            let head = app.feed.view().position();
            return Ok(TrailPlace {
                position: TrailPosition::behind_revision(head.revision),
                chain: head.chain,
            });
        }
        TrailStart::Behind(revision) => TrailPosition::behind_revision(revision),
        // The first read compares its chain with the log.
        TrailStart::Resumed(place) => return Ok(place),
    };
    let chain = app.store.chain(position.revision).await?;
    let chain = chain
        .ok_or_else(|| AppError::invalid("after_revision", "must be a revision of the log"))?;
    Ok(TrailPlace { position, chain })
}

/// A stream of the trail.
struct TrailWatch {
    app: Arc<App>,
    tenant: Option<TenantId>,
    place: TrailPlace,
    head: Receiver<Position>,
    /// Whether the place is behind all that this authority knows.
    has_all: bool,
    until: Instant,
    /// When the reader last heard of its place. None: it has not yet.
    sent: Option<Instant>,
}

impl TrailWatch {
    async fn step(watch: Option<Self>) -> Option<(Result<TrailPiece, AppError>, Option<Self>)> {
        let mut watch = watch?;
        match watch.next_piece().await {
            Ok(None) => None,
            Ok(Some(piece)) => Some((Ok(piece), Some(watch))),
            Err(error) => Some((Err(error), None)),
        }
    }

    /// The next piece that is worth sending. None: the time of the stream is over.
    async fn next_piece(&mut self) -> Result<Option<TrailPiece>, AppError> {
        loop {
            if self.has_all {
                self.wait_for_more().await;
            }
            if self.is_over() {
                return Ok(None);
            }
            let events = self.read().await?;
            // A reader gets its first place at once, so that it can go on from there whatever happens.
            let is_due = self.sent.is_none_or(|sent| sent.elapsed() >= QUIET_MAX);
            if is_due || !events.is_empty() {
                self.sent = Some(Instant::now());
                let place = self.place;
                return Ok(Some(TrailPiece { events, place }));
            }
        }
    }

    /// Reads some events, and moves the place behind them.
    async fn read(&mut self) -> Result<Vec<AuditEvent>, AppError> {
        let head = *self.head.borrow_and_update();
        // The place may be ahead of this authority: another one was there.
        if head.revision < self.place.position.revision {
            self.has_all = true;
            return Ok(Vec::new());
        }
        self.check_history().await?;
        let asking = self.tenant.as_ref();
        let mut events = self
            .app
            .store
            .audit_events_behind(asking, self.place.position, head.revision, EVENTS_MAX)
            .await?;
        self.has_all = events.len() < EVENTS_MAX as usize;
        self.place = match events.last() {
            Some(last) if !self.has_all => self.place_behind(last, head).await?,
            // If the log has another history by now, this chain is not of it, and the next look finds out.
            _ => TrailPlace {
                position: TrailPosition::behind_revision(head.revision),
                chain: head.chain,
            },
        };
        let tenant = self.tenant.as_ref().map_or("", TenantId::as_str);
        events.retain(|event| event.tenant_id == tenant);
        Ok(events)
    }

    /// Refuses to go on if the log has another history than the one that the place is of.
    async fn check_history(&self) -> Result<(), AppError> {
        let TrailPlace { position, chain } = self.place;
        // A failover may lose the last batches of a history, and other ones get their revisions. A reader that went on
        // would miss the events in them.
        if self.app.store.chain(position.revision).await? != Some(chain) {
            return Err(other_history());
        }
        Ok(())
    }

    /// The place behind an event that was read up to `head`.
    async fn place_behind(
        &self,
        last: &AuditEvent,
        head: Position,
    ) -> Result<TrailPlace, AppError> {
        let position = TrailPosition::behind(last);
        let chain = self.app.store.chain(position.revision).await?;
        // Read last. A failover before it may have given the revision another chain, and the place would then be of a
        // history whose events were not read.
        if self.app.store.chain(head.revision).await? != Some(head.chain) {
            return Err(other_history());
        }
        let chain = chain.ok_or(AppError::Unavailable)?;
        Ok(TrailPlace { position, chain })
    }

    /// Waits until the log has more, or the time of the stream is over.
    async fn wait_for_more(&mut self) {
        let until = self.until;
        let more = async {
            tokio::time::sleep(PAUSE).await;
            // An authority that ends closes the channel. Its streams end with it.
            let _changed = self.head.changed().await;
        };
        let drained = self.app.drain.clone();
        let in_time = drained.run_until_cancelled(more);
        let _in_time = timeout_at(until.into(), in_time).await;
    }

    fn is_over(&self) -> bool {
        self.app.drain.is_cancelled() || Instant::now() >= self.until
    }
}

fn other_history() -> AppError {
    AppError::invalid(
        "resume_token",
        "must be of the history that the log has: begin with after_revision",
    )
}
