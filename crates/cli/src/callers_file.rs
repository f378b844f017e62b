//! The callers follow the configuration file while `serve` runs: on SIGHUP, and when the file has changed.

use std::{convert::Infallible, sync::Arc, time::Duration};

use portcullis_authority::{
    Callers,
    config::{Config, ConfigError},
};
use tokio::{
    signal::unix::Signal,
    task::{JoinError, spawn_blocking},
    time::{Interval, MissedTickBehavior, interval},
};

use crate::configuration::Source;

/// The time between two looks at the file. A changed file is read when two looks in a row saw the same, so that a file that an
/// editor is still writing is left alone.
const INTERVAL: Duration = Duration::from_secs(1);

/// A configuration file, and the state of it that was used last.
pub(crate) struct CallersFile {
    source: Arc<Source>,
    /// The file as it was read last, whether it could be used or not.
    read: [u8; 32],
    /// The file at the last look.
    seen: [u8; 32],
}

impl CallersFile {
    /// `read` is the digest of the file from before it was read for the start: a change meanwhile is then seen.
    pub(crate) fn new(source: Arc<Source>, read: [u8; 32]) -> Self {
        Self {
            source,
            read,
            seen: read,
        }
    }

    /// Replaces the callers for as long as it is polled.
    pub(crate) async fn follow(mut self, callers: &Callers, mut hangup: Signal) -> Infallible {
        let mut looks = interval(INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.wait(&mut looks, &mut hangup).await;
            let source = Arc::clone(&self.source);
            // On a thread for blocking work: the wait for a signal and the watchdog share this
            // task, and a slow disk must not hold them up.
            replace(callers, spawn_blocking(move || source.read()).await);
        }
    }

    /// Waits until the file has to be read.
    async fn wait(&mut self, looks: &mut Interval, hangup: &mut Signal) {
        loop {
            let is_asked = tokio::select! {
                _ = looks.tick() => false,
                asked = hangup.recv() => asked.is_some(),
            };
            let source = Arc::clone(&self.source);
            // The reader panicked, or the runtime ends. The next look decides.
            let Ok(now) = spawn_blocking(move || source.digest()).await else {
                continue;
            };
            // The same twice: an editor may be in the middle of writing. A signal says that it is done.
            let is_settled = now == self.seen;
            self.seen = now;
            if is_asked || (is_settled && now != self.read) {
                // Remembered before the file is judged: a file that cannot be used is logged once,
                // not every second.
                self.read = now;
                return;
            }
        }
    }
}

/// Replaces the callers by those of a configuration. One that cannot be used changes nothing.
fn replace(callers: &Callers, read: Result<Result<Config, ConfigError>, JoinError>) {
    let replaced = match read {
        // Only the callers are taken. The parts that read the other settings read them once, and
        // half of a file in force would be worse than a restart.
        Ok(read) => read.and_then(|config| callers.replace(&config.callers)),
        Err(error) => {
            callers.record_unusable();
            tracing::error!(%error, "the configuration file was not read");
            return;
        }
    };
    match replaced {
        Ok(done) => tracing::info!(
            ended = done.ended,
            added = done.added,
            "the callers are those of the configuration file; other settings need a restart"
        ),
        Err(error) => {
            // Nothing else changes: an empty table would lock everybody out, among them whoever
            // mends the file.
            callers.record_unusable();
            tracing::error!(%error, "the configuration file cannot be used; the callers before still count");
        }
    }
}
