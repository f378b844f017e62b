//! The log: the one way by which anything is revoked.

mod appender;
mod maintenance;
mod pace;
mod queue;
mod record;
pub mod retry;
mod turns;

pub(crate) use self::{
    appender::internal,
    maintenance::{Maintenance, maintain},
};
pub use self::{
    appender::{Log, LogError},
    record::record,
};
