//! The log: the one way by which anything is revoked.

mod appender;
mod maintenance;
pub mod retry;

pub use self::{
    appender::{Log, LogError},
    maintenance::maintain,
};
