//! `ArcSwap` over a lock of shuttle, which may stop a thread before and after each access.

use std::sync::Arc;

use shuttle::sync::RwLock;

/// A value that is replaced whole.
pub(crate) struct ArcSwap<T>(RwLock<Arc<T>>);

#[allow(dead_code, reason = "the gate and the feed use different parts of it")]
impl<T> ArcSwap<T> {
    pub(crate) fn from_pointee(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    pub(crate) fn load(&self) -> Arc<T> {
        self.load_full()
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        Arc::clone(&self.0.read().expect("nobody panics with it"))
    }

    pub(crate) fn store(&self, value: Arc<T>) {
        *self.0.write().expect("nobody panics with it") = value;
    }
}
