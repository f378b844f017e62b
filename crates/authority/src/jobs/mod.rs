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
    app::App,
    audit_archive::Archiver,
    audit_export::Exporter,
    client_info::places::Places,
    config::Config,
    feed::{Feed, Gates},
    health::Supervisor,
    keys::{Keyring, MasterKeys, Secrets},
    log::Log,
    net::Tls,
    refused_sign_ins::RefusedSignIns,
    store::{LogBatch, Store},
    telemetry::store_gauges::Measured,
};

/// The parts of an authority that its jobs work with.
pub(crate) struct Jobs {
    pub(crate) app: Arc<App>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) measured: Arc<Measured>,
    pub(crate) log: Log,
    pub(crate) feed: Arc<Feed>,
    pub(crate) gates: Arc<Gates>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) places: Arc<Places>,
    pub(crate) audit_exports: Vec<Exporter>,
    pub(crate) audit_archive: Option<Archiver>,
    /// The TLS of each port that has it.
    pub(crate) tls: Vec<Arc<Tls>>,
    pub(crate) refused_sign_ins: Arc<RefusedSignIns>,
    /// The batches that this authority commits.
    pub(crate) batches: mpsc::Receiver<LogBatch>,
    pub(crate) master: Arc<MasterKeys>,
    pub(crate) config: Config,
}

impl Jobs {
    /// Starts all jobs under `tasks`: each ends when `stop` is cancelled, and the process ends if one ends earlier.
    pub(crate) fn start(self, tasks: &Supervisor, stop: &CancellationToken) {
        self.start_interruptible(tasks, stop);
        self.start_stepwise(tasks, stop);
    }

    /// Starts the jobs that may be dropped between any two steps.
    fn start_interruptible(&self, tasks: &Supervisor, stop: &CancellationToken) {
        let check_writes = write_check::run(
            Arc::clone(&self.store),
            self.config.readiness.beat_interval,
            Arc::clone(tasks.readiness()),
        );
        tasks.spawn_until(stop, "write check", check_writes);

        let measure_store = store_measure::run(Arc::clone(&self.store), Arc::clone(&self.measured));
        tasks.spawn_until(stop, "store measure", measure_store);

        let follow_keys = key_following::run(Arc::clone(&self.feed), Arc::clone(&self.keyring));
        tasks.spawn_until(stop, "keys", follow_keys);

        let follow_secrets =
            secret_following::run(Arc::clone(&self.secrets), self.config.keys.activation_delay);
        tasks.spawn_until(stop, "secrets", follow_secrets);

        let answer_set_back = clock_set_back::run(
            self.log.clone(),
            Arc::clone(tasks.readiness()),
            clock_set_back::PATIENCE,
            self.app.instruments.clock_sign_outs.clone(),
        );
        tasks.spawn_until(stop, "clock", answer_set_back);

        let end_expired = caller_expiry::run(Arc::clone(&self.app.callers));
        tasks.spawn_until(stop, "callers", end_expired);

        let interval = self.config.watch.canary_interval;
        let measure = canary::run(Arc::clone(&self.app), interval);
        tasks.spawn_until(stop, "canary", measure);

        let sweeper = Sweeper::new(
            Arc::clone(&self.store),
            self.log.clone(),
            Arc::clone(&self.gates),
            self.config.sessions.clone(),
        );
        // A sweep of many sessions takes long, and a drain must not wait for it. Sessions that it did not reach stay
        // due.
        tasks.spawn_until(stop, "sweep", sweeper.run());
    }

    /// Starts the jobs that finish the step that they are at.
    fn start_stepwise(self, tasks: &Supervisor, stop: &CancellationToken) {
        let (marks, marked) = watch::channel(None);
        let kept = [
            (Kept::Sessions, self.config.sessions.retention, Some(marks)),
            (Kept::History, self.config.sessions.history_retention, None),
        ];
        for (kept, keep, marks) in kept {
            let store = Arc::clone(&self.store);
            let metrics = Arc::clone(&self.app.instruments.removal);
            let remove = retention::run(store, kept, keep, marks, metrics, stop.clone());
            tasks.spawn("retention", remove);
        }
        let retention = AuditRetention {
            store: Arc::clone(&self.store),
            master: Arc::clone(&self.master),
            marks: marked,
            archived: self
                .audit_archive
                .as_ref()
                .map(|archive| Arc::clone(&archive.archived)),
            metrics: Arc::clone(&self.app.instruments.removal),
            config: self.config.clone(),
        };
        tasks.spawn("audit retention", retention.run(stop.clone()));
        if let Some(archive) = self.audit_archive {
            tasks.spawn("audit archive", audit_archive::run(archive, stop.clone()));
        }

        let eraser = Eraser {
            store: Arc::clone(&self.store),
            log: self.log.clone(),
            refused: Arc::clone(&self.refused_sign_ins),
            settle: self.config.sessions.erasure_settle,
        };
        tasks.spawn("erasure", eraser.run(stop.clone()));

        let record_events = audit_outbox::run(
            Arc::clone(&self.store),
            self.log.clone(),
            self.refused_sign_ins,
            stop.clone(),
        );
        tasks.spawn("record", record_events);

        for export in self.audit_exports {
            tasks.spawn("audit export", audit_export::run(export, stop.clone()));
        }

        let record_uses = token_uses::run(Arc::clone(&self.app), stop.clone());
        tasks.spawn("use", record_uses);

        let reload_places = places_reload::run(self.places, stop.clone());
        tasks.spawn("places", reload_places);

        if !self.tls.is_empty() {
            let tls = self.tls;
            tasks.spawn("TLS files", tls_reload::run(tls, stop.clone()));
        }

        let follow_log = log_following::run(
            Arc::clone(&self.feed),
            self.config.log.clone(),
            self.batches,
            Arc::clone(tasks.readiness()),
            stop.clone(),
        );
        // Not dropped in the middle: a reload that stops half-way leaves the ring of one history beside the view of
        // another.
        tasks.spawn("feed", follow_log);

        let maintenance = LogMaintenance {
            store: self.store,
            log: self.log,
            feed: self.feed,
            keyring: self.keyring,
            secrets: self.secrets,
            readiness: Arc::clone(tasks.readiness()),
            master: self.master,
            config: self.config,
        };
        // Not dropped in the middle: a checkpoint that was claimed and not written holds off those of other
        // authorities.
        tasks.spawn("maintenance", maintenance.run(stop.clone()));
    }
}
