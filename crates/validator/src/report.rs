//! The reporter: sends the use of tokens to the authority that the stream is with.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use portcullis_contract::{
    retry::jittered,
    v1::{self, revocation_service_client::RevocationServiceClient},
};
use portcullis_validator_core::{Batch, Mark, Reports, Round};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, Interval, MissedTickBehavior, interval_at, timeout},
};
use tonic::{Code, Request, transport::Channel};

use crate::{bearer::Bearer, channels::Open, gate::Gate};

/// The longest time for one report. An authority that hangs delays reports, and nothing else.
const REPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Reports until it is dropped or closed.
pub(crate) struct Reporter {
    pub(crate) interval: Duration,
    pub(crate) bearer: Arc<Bearer>,
    /// The connections of the streams, while there are some.
    pub(crate) channels: watch::Receiver<Open>,
    pub(crate) gate: Gate,
    /// Asks for the last report. Answered when it is done.
    pub(crate) closing: mpsc::Receiver<oneshot::Sender<()>>,
    /// The last report failed, and the log says so.
    pub(crate) is_late: bool,
}

/// The occasion of a round of reports.
enum Occasion {
    /// The interval has passed, or there is a new connection.
    Due,
    /// The gate ends, and waits for the answer.
    Closing(oneshot::Sender<()>),
    /// The validator was dropped.
    Dropped,
}

impl Reporter {
    pub(crate) async fn run(mut self, mut reports: Reports) {
        // Gates that were started together do not report together.
        let first = Instant::now() + jittered(self.interval);
        let mut ticks = interval_at(first, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // A slow report delays the next tick instead of piling up reports.
            match self.wait(&mut ticks).await {
                Occasion::Due => {
                    self.report(&mut reports, false).await;
                    reports.forget_reported();
                }
                // A last report, so that no use of the last interval is lost, and so that idleness need not wait for
                // this gate.
                Occasion::Closing(done) => {
                    self.report(&mut reports, true).await;
                    self.leave_other().await;
                    let _ = done.send(());
                    return;
                }
                Occasion::Dropped => return,
            }
        }
    }

    async fn wait(&mut self, ticks: &mut Interval) -> Occasion {
        tokio::select! {
            _ = ticks.tick() => Occasion::Due,
            // A new connection is used at once: use that could not be reported before may be awaited.
            changed = self.channels.changed() => match changed {
                Ok(()) => Occasion::Due,
                Err(_) => Occasion::Dropped,
            },
            closing = self.closing.recv() => match closing {
                Some(done) => Occasion::Closing(done),
                None => Occasion::Dropped,
            },
        }
    }

    async fn report(&mut self, reports: &mut Reports, leaving: bool) {
        let Some(channel) = self.channels.borrow_and_update().chosen() else {
            return;
        };
        // The transport panics at a damaged status header, and the next report has to come all the same.
        let round = AssertUnwindSafe(self.send_round(channel, reports, leaving));
        match round.catch_unwind().await {
            Ok(Ok(())) => self.is_late = false,
            Ok(Err(code)) => {
                // Once: each attempt to connect anew brings a report that fails.
                if !self.is_late {
                    tracing::info!(?code, "activity is reported later");
                }
                self.is_late = true;
            }
            Err(_) => tracing::error!("a report of activity panicked"),
        }
    }

    /// Says to the other authority too that this gate ends. It knows the gate by its stream, and would wait for it.
    async fn leave_other(&self) {
        let Some(channel) = self.channels.borrow().other() else {
            return;
        };
        let message = v1::ReportActivityRequest {
            leaving: true,
            ..self.empty_message()
        };
        let mut client = RevocationServiceClient::new(channel);
        let leaving = AssertUnwindSafe(client.report_activity(self.request(message)));
        match timeout(REPORT_TIMEOUT, leaving.catch_unwind()).await {
            Ok(Ok(Ok(_))) => {}
            _ => tracing::info!("an authority was not told that this gate ends"),
        }
    }

    async fn send_round(
        &self,
        channel: Channel,
        reports: &mut Reports,
        leaving: bool,
    ) -> Result<(), Code> {
        // A client is a handle on the shared connection, and costs nothing to make.
        let mut client = RevocationServiceClient::new(channel);
        let mut round = reports.begin_round();
        loop {
            let mut batch = round.next_batch();
            let is_last = batch.is_last();
            let message = self.message(&mut batch, &round, leaving);
            if let Err(code) = self.send(&mut client, message, batch).await {
                round.abandon();
                return Err(code);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn message(
        &self,
        batch: &mut Batch<'_>,
        round: &Round<'_>,
        leaving: bool,
    ) -> v1::ReportActivityRequest {
        let mut message = v1::ReportActivityRequest {
            activities: batch.take_activities(),
            ..self.empty_message()
        };
        // Only the last report of a round may claim that nothing else was used: the authority ends idle sessions by it.
        if batch.is_last() {
            message.leaving = leaving;
            if let Some(begun) = round.complete_as_of() {
                // An age and not a time: the authority's clock may differ from this machine's.
                message.complete_age = Mark::now().since(&begun).try_into().ok();
            }
        }
        message
    }

    fn empty_message(&self) -> v1::ReportActivityRequest {
        v1::ReportActivityRequest {
            gate_id: self.gate.id.to_vec().into(),
            admits_for: self.gate.admits_for.try_into().ok(),
            ..Default::default()
        }
    }

    fn request(&self, message: v1::ReportActivityRequest) -> Request<v1::ReportActivityRequest> {
        let mut request = Request::new(message);
        self.bearer.authorize(&mut request);
        // Told to the authority too, so that it does not go on with a report that nobody waits for.
        request.set_timeout(REPORT_TIMEOUT);
        request
    }

    async fn send(
        &self,
        client: &mut RevocationServiceClient<Channel>,
        message: v1::ReportActivityRequest,
        batch: Batch<'_>,
    ) -> Result<(), Code> {
        let request = self.request(message);
        let Ok(answer) = timeout(REPORT_TIMEOUT, client.report_activity(request)).await else {
            // The authority may have taken the report, and its counts then go out again. Use that
            // is counted twice is overstated; use that is lost could end a session as idle.
            return Err(Code::DeadlineExceeded);
        };

        match answer {
            Ok(taken) => {
                warn_refused(&taken.into_inner());
                batch.settle_taken();
                Ok(())
            }
            Err(status) if status.code() == Code::InvalidArgument => {
                // The same report would be refused again and again, and would hold up all later ones.
                tracing::warn!("a report of activity was refused");
                batch.settle_refused();
                Ok(())
            }
            Err(status) => Err(status.code()),
        }
    }
}

/// Logs the entries that the authority refused. They are given up, and the others were taken.
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
