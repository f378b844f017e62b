//! Ending a stream whose session has ended.
//!
//! A session ends on the thread of the authority, and a stream may be touched by its own worker only. So the waker of the
//! [`Ended`] future has Envoy run a hook on that worker. An open stream costs no task and no timer, only this object and a
//! place in the engine.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use portcullis_validator_core::{Ended, Rejection};

use crate::envoy::WakeUp;

/// A stream that waits for the end of its session.
pub(crate) struct Cut {
    ended: Ended,
    signal: Arc<Signal>,
}

/// Wakes the worker, until the stream ends.
struct Signal(Mutex<Option<Box<dyn WakeUp>>>);

impl Signal {
    fn wake_up(&self) -> MutexGuard<'_, Option<Box<dyn WakeUp>>> {
        // Nothing panics between two steps of a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Under the lock, so that it is never called once the stream has ended and Envoy may have ended the worker.
        if let Some(wake_up) = &*self.wake_up() {
            wake_up.wake_up();
        }
    }
}

impl Cut {
    /// Begins to wait. An error is the reason for which the session has ended already.
    pub(crate) fn wait(ended: Ended, wake_up: Box<dyn WakeUp>) -> Result<Self, Rejection> {
        let signal = Arc::new(Signal(Mutex::new(Some(wake_up))));
        let mut cut = Self { ended, signal };
        match cut.poll() {
            Poll::Pending => Ok(cut),
            Poll::Ready(rejection) => Err(rejection),
        }
    }

    /// Returns the reason once the session has ended. It waits on otherwise.
    pub(crate) fn poll(&mut self) -> Poll<Rejection> {
        let waker = Waker::from(Arc::clone(&self.signal));
        Pin::new(&mut self.ended).poll(&mut Context::from_waker(&waker))
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        // The thread of the authority may hold a waker for a moment longer.
        let wake_up = self.signal.wake_up().take();
        drop(wake_up);
    }
}
