//! The connection to an authority: a validator on a thread of its own, which all filters with equal settings share.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use portcullis_validator::{
    Validator,
    settings::{SettingError, Settings},
};
use portcullis_validator_core::{BuildError, Engine};
use tokio::{
    runtime::{self, Handle},
    sync::oneshot,
    time::timeout,
};

use crate::config::{self, ConfigError};

/// The longest time for the last report of the use of sessions.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest time for which the end of Envoy waits for it.
const END_WAIT_MAX: Duration = Duration::from_millis(500);

/// A validator and its thread. It ends with the last filter configuration and the last stream that have it.
pub(crate) struct Authority {
    engine: Arc<Engine>,
    runtime: Handle,
    /// Dropped to end the thread.
    running: Option<oneshot::Sender<()>>,
    /// Closed at the end of the thread.
    ended: Mutex<Receiver<()>>,
}

/// The authorities of this process by their settings.
static OPEN: Mutex<Vec<(Settings, Weak<Authority>)>> = Mutex::new(Vec::new());

impl Authority {
    /// Returns the authority with these settings. If it is new, waits for its first view for at most `start_wait`: until
    /// then the gate refuses everything, and a configuration that is being replaced still serves.
    pub(crate) fn open(
        settings: &Settings,
        start_wait: Duration,
    ) -> Result<Arc<Self>, ConfigError> {
        let mut open = lock_open();
        open.retain(|(_, authority)| authority.strong_count() > 0);
        for (known, authority) in open.iter() {
            if known == settings
                && let Some(authority) = authority.upgrade()
            {
                return Ok(authority);
            }
        }
        let (authority, ready) = Self::start(settings)?;
        let authority = Arc::new(authority);
        open.push((settings.clone(), Arc::downgrade(&authority)));
        drop(open);

        if ready.recv_timeout(start_wait).is_err() {
            tracing::warn!(
                "no view of the authority yet: requests are refused with 503 until there is one"
            );
        }
        Ok(authority)
    }

    fn start(settings: &Settings) -> Result<(Self, Receiver<()>), ConfigError> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| thread_error(&error))?;
        let handle = runtime.handle().clone();
        let builder = config::validator(settings)?;
        let (running, end) = oneshot::channel();
        let (started, start) = sync_channel(1);
        let (ready, readiness) = sync_channel(1);
        let (at_end, ended) = sync_channel(0);
        let serve = move || {
            let _at_end = at_end;
            runtime.block_on(async move {
                let validator = match builder.start() {
                    Ok(validator) => validator,
                    Err(error) => return drop(started.send(Err(error))),
                };
                drop(started.send(Ok(Arc::clone(validator.engine()))));
                serve(validator, ready, end).await;
            });
        };
        thread::Builder::new()
            .name("portcullis".into())
            .spawn(serve)
            .map_err(|error| thread_error(&error))?;

        let started: Result<Arc<Engine>, BuildError> = start
            .recv()
            .map_err(|_| ConfigError::new("authority", "the thread of the validator ended"))?;
        let engine = started.map_err(SettingError::from)?;
        let authority = Self {
            engine,
            runtime: handle,
            running: Some(running),
            ended: Mutex::new(ended),
        };
        Ok((authority, readiness))
    }

    /// The engine that decides.
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The thread, for work of a filter configuration.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

/// Keeps the validator until the authority is dropped, then reports the last use of sessions.
async fn serve(validator: Validator, ready: SyncSender<()>, end: oneshot::Receiver<()>) {
    let readiness = async {
        validator.ready().await;
        // An error means that nobody waits any more.
        let _ = ready.try_send(());
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = readiness => {}
        // An error too: the sender is dropped, not used.
        _ = end => {}
    }
    if timeout(CLOSE_TIMEOUT, validator.close()).await.is_err() {
        tracing::warn!("the last use of sessions could not be reported");
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        drop(self.running.take());
        let others = lock_open()
            .iter()
            .any(|(_, authority)| authority.strong_count() > 0);
        if !others {
            // Envoy ends, or does without the gate from now on: the last report has to leave before the process does.
            let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
            let _ = ended.recv_timeout(END_WAIT_MAX);
        }
    }
}

fn lock_open() -> MutexGuard<'static, Vec<(Settings, Weak<Authority>)>> {
    // Nothing panics between two steps of a change.
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn thread_error(error: &std::io::Error) -> ConfigError {
    ConfigError::new("authority", format!("cannot start its thread: {error}"))
}
