//! Background jobs: the work that an authority does without being asked.
//!
//! [`Jobs::start`] is the list. Every authority of an installation runs every job; the store makes sure that a step
//! which two of them attempt together happens once.

mod audit_archive;
mod audit_export;
mod audit_outbox;
mod audit_retention;
mod caller_expiry;
mod canary;
pub(crate) mod checkpoint;
pub(crate) mod clock_set_back;
mod erasure;
mod key_following;
mod log_following;
mod log_maintenance;
mod places_reload;
mod retention;
mod secret_following;
mod store_measure;
mod sweep;
mod tls_reload;
mod token_uses;
mod turn_counter;
mod write_check;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::{
    audit_retention::AuditRetention, erasure::Eraser, log_maintenance::LogMaintenance,
    retention::Kept, sweep::Sweeper,
};
use crate::{
    app::App, audit_archive::Archiver, audit_export::Exporter, health::Supervisor,
    keys::MasterKeys, net::Tls, store::LogBatch, telemetry::store_gauges::Measured,
};

/// The parts of an authority that its jobs work with.
pub(crate) struct Jobs {
    pub(crate) app: Arc<App>,
    pub(crate) master: Arc<MasterKeys>,
    pub(crate) measured: Arc<Measured>,
    pub(crate) audit_exports: Vec<Exporter>,
    pub(crate) audit_archive: Option<Archiver>,
    /// The TLS of each port that has it.
    pub(crate) tls: Vec<Arc<Tls>>,
    /// The batches that this authority commits.
    pub(crate) batches: mpsc::Receiver<LogBatch>,
}

impl Jobs {
    /// Starts all jobs under `tasks`: each ends when `stop` is cancelled, and the process ends if one ends earlier.
    pub(crate) fn start(self, tasks: &Supervisor, stop: &CancellationToken) {
        self.start_interruptible(tasks, stop);
        self.start_removal(tasks, stop);
        self.start_stepwise(tasks, stop);
    }

    /// Starts the jobs that may be dropped between any two steps.
    fn start_interruptible(&self, tasks: &Supervisor, stop: &CancellationToken) {
        let app = &*self.app;
        let readiness = tasks.readiness();

        let interval = app.config.readiness.beat_interval;
        let check_writes =
            write_check::run(Arc::clone(&app.store), interval, Arc::clone(readiness));
        tasks.spawn_until(stop, "write check", check_writes);

        let measure_store = store_measure::run(Arc::clone(&app.store), Arc::clone(&self.measured));
        tasks.spawn_until(stop, "store measure", measure_store);

        let follow_keys = key_following::run(Arc::clone(&app.feed), Arc::clone(&app.keyring));
        tasks.spawn_until(stop, "keys", follow_keys);

        let follow_secrets =
            secret_following::run(Arc::clone(&app.secrets), app.config.keys.activation_delay);
        tasks.spawn_until(stop, "secrets", follow_secrets);

        let answer_set_back = clock_set_back::run(
            app.log.clone(),
            Arc::clone(readiness),
            clock_set_back::PATIENCE,
            app.instruments.clock_sign_outs.clone(),
        );
        tasks.spawn_until(stop, "clock", answer_set_back);

        let end_expired = caller_expiry::run(Arc::clone(&app.callers));
        tasks.spawn_until(stop, "callers", end_expired);

        let measure = canary::run(Arc::clone(&self.app), app.config.watch.canary_interval);
        tasks.spawn_until(stop, "canary", measure);

        let sweeper = Sweeper::new(
            Arc::clone(&app.store),
            app.log.clone(),
            Arc::clone(&app.gates),
            app.config.sessions.clone(),
        );
        // A sweep of many sessions takes long, and a drain must not wait for it. Sessions that it did not reach stay
        // due.
        tasks.spawn_until(stop, "sweep", sweeper.run());
    }

    /// Starts the jobs that remove old or erased rows. Each finishes the step that it is at.
    fn start_removal(&self, tasks: &Supervisor, stop: &CancellationToken) {
        let app = &*self.app;
        let sessions = &app.config.sessions;

        let (marks, marked) = watch::channel(None);
        let kept = [
            (Kept::Sessions, sessions.retention, Some(marks)),
            (Kept::History, sessions.history_retention, None),
        ];
        for (kept, keep, marks) in kept {
            let store = Arc::clone(&app.store);
            let metrics = Arc::clone(&app.instruments.removal);
            let remove = retention::run(store, kept, keep, marks, metrics, stop.clone());
            tasks.spawn("retention", remove);
        }

        let retention = AuditRetention {
            store: Arc::clone(&app.store),
            master: Arc::clone(&self.master),
            marks: marked,
            archived: self
                .audit_archive
                .as_ref()
                .map(|archive| Arc::clone(&archive.archived)),
            metrics: Arc::clone(&app.instruments.removal),
            config: app.config.clone(),
        };
        tasks.spawn("audit retention", retention.run(stop.clone()));

        let eraser = Eraser {
            store: Arc::clone(&app.store),
            log: app.log.clone(),
            refused: Arc::clone(&app.refused_sign_ins),
            settle: sessions.erasure_settle,
        };
        tasks.spawn("erasure", eraser.run(stop.clone()));
    }

    /// Starts the other jobs that finish the step that they are at.
    fn start_stepwise(self, tasks: &Supervisor, stop: &CancellationToken) {
        let app = &*self.app;

        if let Some(archive) = self.audit_archive {
            tasks.spawn("audit archive", audit_archive::run(archive, stop.clone()));
        }

        let record_events = audit_outbox::run(
            Arc::clone(&app.store),
            app.log.clone(),
            Arc::clone(&app.refused_sign_ins),
            stop.clone(),
        );
        tasks.spawn("record", record_events);

        for export in self.audit_exports {
            tasks.spawn("audit export", audit_export::run(export, stop.clone()));
        }

        let record_uses = token_uses::run(Arc::clone(&self.app), stop.clone());
        tasks.spawn("use", record_uses);

        let reload_places = places_reload::run(Arc::clone(&app.places), stop.clone());
        tasks.spawn("places", reload_places);

        if !self.tls.is_empty() {
            tasks.spawn("TLS files", tls_reload::run(self.tls, stop.clone()));
        }

        let follow_log = log_following::run(
            Arc::clone(&app.feed),
            app.config.log.clone(),
            self.batches,
            Arc::clone(tasks.readiness()),
            stop.clone(),
        );
        // Not dropped in the middle: a reload that stops half-way leaves the ring of one history beside the view of
        // another.
        tasks.spawn("feed", follow_log);

        let maintenance = LogMaintenance {
            store: Arc::clone(&app.store),
            log: app.log.clone(),
            feed: Arc::clone(&app.feed),
            keyring: Arc::clone(&app.keyring),
            secrets: Arc::clone(&app.secrets),
            readiness: Arc::clone(tasks.readiness()),
            master: self.master,
            config: app.config.clone(),
        };
        // Not dropped in the middle: a checkpoint that was claimed and not written holds off those of other
        // authorities.
        tasks.spawn("maintenance", maintenance.run(stop.clone()));
    }
}
