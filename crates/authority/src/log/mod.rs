//! The log: the one way by which anything is revoked.

mod appender;
mod maintenance;
mod pace;
mod queue;
mod record;
pub mod retry;

pub(crate) use self::appender::internal;
pub use self::{
    appender::{Log, LogError},
    maintenance::maintain,
    record::record,
};
