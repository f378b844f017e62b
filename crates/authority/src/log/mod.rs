//! The log: every revocation is an entry of it.
//!
//! [`Log::submit`] puts an entry into a queue that is fair between tenants: one for small entries, one for large ones. An
//! appender for each takes batches from it and commits one at a time. The feed reads the committed batches.

mod appender;
mod pace;
mod queue;

pub(crate) use self::appender::Acknowledged;
pub use self::appender::{Log, LogError};
