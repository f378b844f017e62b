//! Removal of audit events and of cutoffs that have been kept for as long as the configuration says.
//!
//! Every authority runs it. A row of the store lets one of them remove at a time.

use std::{sync::Arc, time::Duration};

use portcullis_contract::position::Revision;
use tokio::{
    sync::{Notify, watch::Receiver},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::audit::RecordCodes,
    audit_archive::ARCHIVE_EXPORT,
    config::Config,
    domain::{AuditFault, TURN_MARGIN},
    keys::MasterKeys,
    store::{AuditRemoved, Left, Store, StoreError},
    telemetry::removal::{RemovalKind, RemovalMetrics},
};

/// The pause between two steps.
const STEP_PAUSE: Duration = Duration::from_secs(1);
/// The pause between two rounds, and after an error.
const ROUND_PAUSE: Duration = Duration::from_secs(60);
/// The most cutoffs of one step.
const CUTOFFS_MAX: u32 = 500;

/// The job, with its dependencies.
pub(super) struct AuditRetention {
    pub(super) store: Arc<dyn Store>,
    pub(super) master: Arc<MasterKeys>,
    /// The oldest revisions that the remaining sessions refer to. None before the first round over them has ended.
    pub(super) marks: Receiver<Option<Left>>,
    /// Notified when a month was archived. None: there is no archive.
    pub(super) archived: Option<Arc<Notify>>,
    pub(super) metrics: Arc<RemovalMetrics>,
    pub(super) config: Config,
}

impl AuditRetention {
    /// Removes rows that are old enough, round after round, until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let pause = async {
                let left = self.wait_for_marks().await;
                if let Err(error) = self.round(left).await {
                    error.log("old audit events were not removed; the next try is in a minute");
                }
                self.wait_for_more().await;
            };
            // Each step is a transaction, which rolls back when it is dropped.
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    async fn wait_for_marks(&mut self) -> Left {
        // The walk over the sessions ends only with the authority, and so does this job.
        let known = self
            .marks
            .wait_for(Option::is_some)
            .await
            .map(|marks| *marks);
        match known {
            Ok(marks) => marks.unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    async fn wait_for_more(&self) {
        let Some(archived) = &self.archived else {
            return sleep(ROUND_PAUSE).await;
        };
        // Rows may go only once they are archived, so a new file is a reason to look.
        let _in_time = timeout(ROUND_PAUSE, archived.notified()).await;
    }

    async fn round(&self, left: Left) -> Result<(), StoreError> {
        // Authorities that crash never end their own.
        self.store.remove_old_beats().await?;
        self.remove_cutoffs(left).await?;
        self.metrics.end_round(RemovalKind::Cutoffs, None);
        // A trail that does not match its chain is not gone through.
        if self.remove_events(left).await? {
            let oldest = self.store.trail_age().await?;
            self.metrics.end_round(RemovalKind::AuditEvents, oldest);
        }
        Ok(())
    }

    /// Removes the cutoffs that cover no session, when no token that they covered can be alive.
    async fn remove_cutoffs(&self, left: Left) -> Result<(), StoreError> {
        let Some(through) = left.opened else {
            return Ok(());
        };
        let wished = self.config.tokens.access_token_lifetime;
        let life = self.store.token_life(wished, TURN_MARGIN).await?.keep;
        let keep = life + TURN_MARGIN;
        loop {
            let removed = self
                .store
                .remove_old_cutoffs(through, keep, CUTOFFS_MAX)
                .await?;
            if removed > 0 {
                tracing::info!(cutoffs = removed, "old cutoffs removed");
            }
            self.metrics.count(RemovalKind::Cutoffs, removed);
            if removed < CUTOFFS_MAX.into() {
                return Ok(());
            }
            sleep(STEP_PAUSE).await;
        }
    }

    /// Removes old events. Returns false when it met a fault, and left the rest.
    async fn remove_events(&self, left: Left) -> Result<bool, StoreError> {
        let rules = self.config.audit.rules();
        if rules.shortest().is_none() {
            return Ok(true);
        }
        let through = self.removable(left).await?;
        let codes = RecordCodes(&self.master);
        let mut after = Revision(0);
        loop {
            let removed = self
                .store
                .remove_old_audit(after, through, &rules, &codes)
                .await?;
            if let Some(fault) = &removed.fault {
                log_fault(fault);
                return Ok(false);
            }
            self.metrics.count(RemovalKind::AuditEvents, removed.rows);
            log_removal(&removed);
            if removed.is_last {
                return Ok(true);
            }
            after = removed.through;
            sleep(STEP_PAUSE).await;
        }
    }

    /// The last revision that may go.
    async fn removable(&self, left: Left) -> Result<Revision, StoreError> {
        // An authority starts from either checkpoint, and compares the chain there.
        let checkpoint = self.store.trimmable_revision().await?;
        let mut through = before(checkpoint);
        // The event that ended a session says when, by whom and why, for as long as the session is listed.
        if let Some(end) = left.end {
            through = through.min(before(end));
        }
        if self.config.audit.archive_directory.is_some() {
            let archived = self.store.exported_revision(ARCHIVE_EXPORT).await?;
            through = through.min(archived.unwrap_or_default());
        }
        Ok(through)
    }
}

fn log_fault(fault: &AuditFault) {
    tracing::error!(
        revision = fault.revision.0,
        problem = fault.problem,
        "old audit events stay: the trail does not match its chain; run `portcullis audit verify`"
    );
}

fn log_removal(removed: &AuditRemoved) {
    if removed.rows > 0 || removed.batches > 0 {
        tracing::info!(
            rows = removed.rows,
            batches = removed.batches,
            through = removed.through.0,
            "old audit events removed"
        );
    }
}

fn before(revision: Revision) -> Revision {
    Revision(revision.0.saturating_sub(1))
}
