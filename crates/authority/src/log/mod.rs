//! The log: the one way by which anything is revoked.

mod appender;
mod pace;
mod queue;
pub mod retry;

pub(crate) use self::appender::internal;
pub use self::appender::{Log, LogError};
