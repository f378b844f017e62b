//! The background jobs of an authority.

pub(crate) mod audit_outbox;
pub(crate) mod log_maintenance;
pub(crate) mod retention;
pub(crate) mod sweep;
mod turn_counter;
pub(crate) mod write_check;
