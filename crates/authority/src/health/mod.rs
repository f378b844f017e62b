//! Health of an authority: whether it can do its work, and whether each of its background tasks still runs.

pub(crate) mod gauges;
mod readiness;
mod supervisor;

pub(crate) use self::readiness::{Problems, Pulse, describe};
pub use self::{
    readiness::{Condition, Readiness},
    supervisor::Supervisor,
};
