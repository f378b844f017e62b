//! The primitives by which the threads of the feed share their state. `tests/interleavings` puts primitives here whose every order it
//! chooses, and compiles [`super::published`] over them.

pub(super) use std::sync::{
    Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicU64, Ordering},
};

pub(super) use arc_swap::ArcSwap;
