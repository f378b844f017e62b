//! The reporter: what tokens were used for, now and then, to the authority that the stream is with.
//!
//! Counts stay where requests count them until a report was taken. So there is nothing to be kept of one that failed:
//! the next says what both would have said.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use portcullis_contract::v1::{self, revocation_service_client::RevocationServiceClient};
use prost::Message;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tonic::{
    Code, Request,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use crate::{
    activity::{Tracking, Used},
    clock::Mark,
    sync::jittered,
};

/// The most credentials of one report.
const ACTIVITIES_MAX: usize = 10_000;
/// The largest report, in bytes: a half of what an authority takes.
const REPORT_BYTES_MAX: usize = 2 << 20;
/// How long an authority may take for one. One that hangs delays reports, and nothing else.
const REPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Reports until it is dropped or closed.
pub(crate) struct Reporter {
    pub(crate) interval: Duration,
    pub(crate) authorization: MetadataValue<Ascii>,
    /// The connection of the stream, while there is one.
    pub(crate) channel: watch::Receiver<Option<Channel>>,
    pub(crate) tracking: Arc<Tracking>,
    pub(crate) fresh: mpsc::Receiver<Arc<dyn Used>>,
    pub(crate) gate: Gate,
    /// Asks for the last report; answered when it is done.
    pub(crate) closing: mpsc::Receiver<oneshot::Sender<()>>,
}

/// How a gate introduces itself, so that its silence is noticed.
#[derive(Clone, Copy)]
pub(crate) struct Gate {
    /// Chosen at random by this process.
    pub(crate) id: [u8; 16],
    /// How long it admits requests after it lost its authority.
    pub(crate) admits_for: Duration,
}

impl Reporter {
    pub(crate) async fn run(mut self) {
        // Gates that were started together do not report together.
        let mut ticks = interval_at(Instant::now() + jittered(self.interval), self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tracked = Vec::new();
        loop {
            // A new connection is used at once: what could not be reported before may have been waited for.
            let closed = tokio::select! {
                _ = ticks.tick() => None,
                changed = self.channel.changed() => match changed {
                    Ok(()) => None,
                    Err(_) => return,
                },
                closing = self.closing.recv() => match closing {
                    Some(done) => Some(done),
                    None => return,
                },
            };
            while let Ok(identity) = self.fresh.try_recv() {
                tracked.push(identity);
            }
            let connected = self.channel.borrow_and_update().clone();
            if let Some(channel) = connected {
                // The transport panics at a damaged status header, and the next report has to come all the same.
                let flushed = AssertUnwindSafe(self.flush(channel, &tracked, closed.is_some()));
                match flushed.catch_unwind().await {
                    Ok(Ok(())) => {}
                    Ok(Err(code)) => tracing::info!(?code, "activity is reported later"),
                    Err(_) => tracing::error!("a report of activity panicked"),
                }
            }
            if let Some(done) = closed {
                let _ = done.send(());
                return;
            }
            self.forget(&mut tracked);
        }
    }

    /// Reports all that is tracked. The last report of the round says that it was the last: only then does the
    /// authority know that there is nothing else.
    async fn flush(
        &self,
        channel: Channel,
        tracked: &[Arc<dyn Used>],
        leaving: bool,
    ) -> Result<(), Code> {
        let was_dropped = self.tracking.take_dropped();
        let round = self.send_all(channel, tracked, leaving, was_dropped).await;
        if round.is_err() && was_dropped {
            self.tracking.note_dropped();
        }
        round
    }

    async fn send_all(
        &self,
        channel: Channel,
        tracked: &[Arc<dyn Used>],
        leaving: bool,
        was_dropped: bool,
    ) -> Result<(), Code> {
        let begun = Mark::now();
        let mut client = RevocationServiceClient::new(channel);
        let mut left = tracked;
        let mut next = Report::next(&mut left);
        loop {
            let report = next.take().unwrap_or_default();
            next = Report::next(&mut left);
            let is_last = next.is_none();

            let mut message = self.message(report.activities);
            if is_last {
                message.leaving = leaving;
                // Use that found no room is not reported, and so is not all use.
                let age = (!was_dropped).then(|| Mark::now().since(&begun));
                message.complete_age = age.and_then(|age| age.try_into().ok());
            }
            self.send(&mut client, message, &report.counted).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    fn message(&self, activities: Vec<v1::Activity>) -> v1::ReportActivityRequest {
        v1::ReportActivityRequest {
            activities,
            gate_id: self.gate.id.to_vec().into(),
            admits_for: self.gate.admits_for.try_into().ok(),
            ..Default::default()
        }
    }

    async fn send(
        &self,
        client: &mut RevocationServiceClient<Channel>,
        message: v1::ReportActivityRequest,
        counted: &[(&dyn Used, u32)],
    ) -> Result<(), Code> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", self.authorization.clone());
        request.set_timeout(REPORT_TIMEOUT);
        let answer = timeout(REPORT_TIMEOUT, client.report_activity(request)).await;
        let answer = answer.map_err(|_| Code::DeadlineExceeded)?;

        match answer {
            Ok(taken) => {
                warn_refused(&taken.into_inner());
                let requests = counted.iter().map(|(_, count)| u64::from(*count)).sum();
                self.tracking.add_reported(requests);
            }
            // It would be refused again and again.
            Err(status) if status.code() == Code::InvalidArgument => {
                tracing::warn!("a report of activity was refused");
            }
            Err(status) => return Err(status.code()),
        }
        for (of, count) in counted {
            if let Some(activity) = of.activity() {
                activity.settle(*count);
            }
        }
        Ok(())
    }

    /// Gives up what only the reporter knows any more and has reported.
    fn forget(&self, tracked: &mut Vec<Arc<dyn Used>>) {
        let before = tracked.len();
        let has_pending = |identity: &dyn Used| {
            identity
                .activity()
                .is_some_and(|activity| activity.pending() > 0)
        };
        tracked.retain(|identity| Arc::strong_count(identity) > 1 || has_pending(&**identity));
        self.tracking.release(before - tracked.len());
    }
}

/// Entries with something wrong in them would be refused again: they are given up, and the others were taken.
fn warn_refused(answer: &v1::ReportActivityResponse) {
    if let Some(first) = answer.refusals.first() {
        tracing::warn!(
            entries = answer.refused,
            field = first.field,
            problem = first.description,
            "entries of a report of activity were refused"
        );
    }
}

/// One report, and what it counts of whom.
#[derive(Default)]
struct Report<'a> {
    activities: Vec<v1::Activity>,
    counted: Vec<(&'a dyn Used, u32)>,
}

impl<'a> Report<'a> {
    /// As much as fits of what is `left`; none: there is nothing left to report.
    fn next(left: &mut &'a [Arc<dyn Used>]) -> Option<Self> {
        let mut report = Self::default();
        let mut bytes = 0;
        let now = Mark::now();
        while let Some((identity, rest)) = left.split_first() {
            if report.activities.len() >= ACTIVITIES_MAX || bytes >= REPORT_BYTES_MAX {
                break;
            }
            *left = rest;
            let Some(activity) = identity.report(&now) else {
                continue;
            };
            bytes += activity.encoded_len();
            report.counted.push((&**identity, activity.requests));
            report.activities.push(activity);
        }
        (!report.activities.is_empty()).then_some(report)
    }
}
