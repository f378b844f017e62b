//! The log: every revocation is an entry of it.
//!
//! [`Log::submit`] puts an entry into a queue that is fair between tenants. The appender takes batches from the queue and
//! commits one at a time. The feed reads the committed batches.

mod appender;
mod pace;
mod queue;

pub(crate) use self::appender::Acknowledged;
pub use self::appender::{Log, LogError};
