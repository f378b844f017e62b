//! The peers, started by the bench itself.

pub(crate) mod pgbench;
pub(crate) mod redis;
