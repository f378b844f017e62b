//! The primitives by which threads share their state. `tests/interleavings` compiles this crate with others in their
//! place that stop a thread at each access and let another one go on, in many orders.

#![allow(
    unexpected_cfgs,
    reason = "only the build script of `tests/interleavings` sets it, so that no feature can"
)]

#[cfg(interleavings)]
#[path = "../../../tests/interleavings/swap.rs"]
mod swap;

#[cfg(not(interleavings))]
mod chosen {
    pub(crate) use std::sync::{
        Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    };

    pub(crate) use arc_swap::ArcSwap;
}

#[cfg(interleavings)]
mod chosen {
    pub(crate) use shuttle::sync::{
        Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    };

    pub(crate) use super::swap::ArcSwap;
}

pub(crate) use chosen::{
    ArcSwap, AtomicBool, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering, PoisonError, RwLock,
};
