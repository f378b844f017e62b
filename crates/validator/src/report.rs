//! The reporter: what tokens were used for, now and then, to the authority that the stream is with.
//!
//! Counts stay where requests count them until a report was taken. So there is nothing to be kept of one that failed:
//! the next says what both would have said.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use portcullis_contract::v1::{self, revocation_service_client::RevocationServiceClient};
use prost::Message;
use tokio::{
    sync::{mpsc, watch},
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

/// Reports until it is dropped.
pub(crate) struct Reporter {
    pub(crate) interval: Duration,
    pub(crate) authorization: MetadataValue<Ascii>,
    /// The connection of the stream, while there is one.
    pub(crate) channel: watch::Receiver<Option<Channel>>,
    pub(crate) tracking: Arc<Tracking>,
    pub(crate) fresh: mpsc::Receiver<Arc<dyn Used>>,
}

impl Reporter {
    pub(crate) async fn run(mut self) {
        // Gates that were started together do not report together.
        let mut ticks = interval_at(Instant::now() + jittered(self.interval), self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tracked = Vec::new();
        loop {
            ticks.tick().await;
            while let Ok(identity) = self.fresh.try_recv() {
                tracked.push(identity);
            }
            let connected = self.channel.borrow().clone();
            if let Some(channel) = connected {
                // The transport panics at a damaged status header, and the next report has to come all the same.
                let flushed = AssertUnwindSafe(self.flush(channel, &tracked));
                match flushed.catch_unwind().await {
                    Ok(Ok(())) => {}
                    Ok(Err(code)) => tracing::info!(?code, "activity is reported later"),
                    Err(_) => tracing::error!("a report of activity panicked"),
                }
            }
            self.forget(&mut tracked);
        }
    }

    async fn flush(&self, channel: Channel, tracked: &[Arc<dyn Used>]) -> Result<(), Code> {
        let mut client = RevocationServiceClient::new(channel);
        let mut left = tracked;
        while let Some(report) = Report::next(&mut left) {
            let mut request = Request::new(v1::ReportActivityRequest {
                activities: report.activities,
            });
            request
                .metadata_mut()
                .insert("authorization", self.authorization.clone());
            request.set_timeout(REPORT_TIMEOUT);
            let answer = timeout(REPORT_TIMEOUT, client.report_activity(request)).await;
            match answer
                .map_err(|_| Code::DeadlineExceeded)?
                .map_err(|status| status.code())
            {
                Ok(_) => self.tracking.add_reported(
                    report
                        .counted
                        .iter()
                        .map(|(_, count)| u64::from(*count))
                        .sum(),
                ),
                // It would be refused again and again.
                Err(Code::InvalidArgument) => tracing::warn!("a report of activity was refused"),
                Err(code) => return Err(code),
            }
            report
                .counted
                .iter()
                .filter_map(|(of, count)| Some((of.activity()?, count)))
                .for_each(|(activity, count)| activity.settle(*count));
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

/// One report, and what it counts of whom.
struct Report<'a> {
    activities: Vec<v1::Activity>,
    counted: Vec<(&'a dyn Used, u32)>,
}

impl<'a> Report<'a> {
    /// As much as fits of what is `left`; none: there is nothing left to report.
    fn next(left: &mut &'a [Arc<dyn Used>]) -> Option<Self> {
        let (mut report, mut bytes, now) = (
            Self {
                activities: Vec::new(),
                counted: Vec::new(),
            },
            0,
            Mark::now(),
        );
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
