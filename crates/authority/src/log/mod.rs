//! The log: the one way by which anything is revoked.

mod appender;
mod maintenance;
mod record;
pub mod retry;

pub use self::{
    appender::{Log, LogError},
    maintenance::maintain,
    record::record,
};
