//! The validator: an engine with the tasks that feed it.

use std::sync::Arc;

use opentelemetry::metrics::Meter;
use portcullis_validator_core::{
    ApiKeyIdentity, Engine, Freshness, Identity, Position, Rejection, RequestInfo, Statistics,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
};

use crate::telemetry;

/// Admits or refuses tokens, by a view that background tasks keep. Cheap to clone; the tasks end with the last clone.
#[derive(Clone)]
pub struct Validator {
    engine: Arc<Engine>,
    name: Arc<str>,
    position: Arc<watch::Sender<Option<Position>>>,
    /// Asks the reporter for its last report.
    close: mpsc::Sender<oneshot::Sender<()>>,
    _tasks: Arc<EndOnDrop>,
}

/// The tasks that feed the engine. It decides nothing any more once they end.
struct EndOnDrop {
    tasks: Vec<AbortHandle>,
    engine: Arc<Engine>,
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        for task in &self.tasks {
            // Aborted, not asked to end: the tasks have nothing to finish. `close` is for the last report.
            task.abort();
        }
        // Streams that are still open would learn of no revocation.
        self.engine.close();
    }
}

impl Validator {
    pub(crate) fn new(
        engine: Arc<Engine>,
        name: String,
        position: Arc<watch::Sender<Option<Position>>>,
        tasks: Vec<AbortHandle>,
        close: mpsc::Sender<oneshot::Sender<()>>,
    ) -> Self {
        let tasks = EndOnDrop {
            tasks,
            engine: Arc::clone(&engine),
        };
        Self {
            engine,
            name: name.into(),
            position,
            close,
            _tasks: Arc::new(tasks),
        }
    }

    /// Decides about the access token of a session.
    ///
    /// Does no I/O, never awaits and never waits for a writer; allocates nothing for a known token. An admitted request
    /// counts as use of the session. An API key is refused here ([`Rejection::WrongType`]).
    ///
    /// # Errors
    /// The reason for the refusal. [`Rejection::is_unavailable`] tells a dead token from a gate that cannot know.
    #[inline]
    pub fn check(&self, token: &str) -> Result<Arc<Identity>, Rejection> {
        self.engine.check(token, &RequestInfo::default())
    }

    /// Decides like [`check`](Self::check), for a request with more known facts. The authority shows them as the
    /// session's last use, unless the request is [in the background](RequestInfo::background).
    ///
    /// # Errors
    /// The same as [`check`](Self::check).
    #[inline]
    pub fn check_request(
        &self,
        token: &str,
        request: &RequestInfo<'_>,
    ) -> Result<Arc<Identity>, Rejection> {
        self.engine.check(token, request)
    }

    /// Decides about an API key. An access token is refused here. An admitted request counts as use of the key.
    ///
    /// # Errors
    /// The same as [`check`](Self::check).
    #[inline]
    pub fn check_api_key(&self, key: &str) -> Result<Arc<ApiKeyIdentity>, Rejection> {
        self.engine.check_api_key(key, &RequestInfo::default())
    }

    /// Decides like [`check_api_key`](Self::check_api_key), for a request with more known facts: forged keys are counted
    /// for their source.
    ///
    /// # Errors
    /// The same as [`check`](Self::check).
    #[inline]
    pub fn check_api_key_request(
        &self,
        key: &str,
        request: &RequestInfo<'_>,
    ) -> Result<Arc<ApiKeyIdentity>, Rejection> {
        self.engine.check_api_key(key, request)
    }

    /// Returns the engine, for a door that decides by rules. It decides nothing any more when the last clone of the
    /// validator is dropped.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The knowledge of this validator now.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        self.engine.freshness()
    }

    /// Returns whether it would accept a good token now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.engine.is_ready()
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        // Subscribed before the first look, so a proof between the two still wakes this call.
        let mut position = self.position();
        while !self.is_ready() {
            // Each proof marks the position as changed, also when it is the same.
            if position.changed().await.is_err() {
                return;
            }
        }
    }

    /// Reports the use of sessions for the last time, and says that this gate ends.
    ///
    /// Call it when no more requests are admitted, before the process ends. Without it the authority waits for this
    /// gate's reports for a while, and no session ends as idle meanwhile. It takes a few seconds at most, and returns at
    /// once when no authority is connected.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.close.send(done).await.is_ok() {
            // An error means that the reporter has ended, which is as good.
            let _ = closed.await;
        }
    }

    /// Subscribes to the applied position. Every delta and every proof of freshness wakes the receiver.
    #[must_use]
    pub fn position(&self) -> watch::Receiver<Option<Position>> {
        self.position.subscribe()
    }

    /// Accepts the authority's present history as the only one, at the next probe. See [`Engine::accept_history`].
    pub fn accept_history(&self) {
        self.engine.accept_history();
    }

    /// Counts since the start.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.engine.statistics()
    }

    /// Registers the same counts as observable instruments of an OpenTelemetry meter. Call it once for each meter.
    pub fn observe(&self, meter: &Meter) {
        telemetry::observe(&self.engine, &self.name, meter);
    }
}
