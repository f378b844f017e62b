//! The peers, started by the bench itself.

pub(crate) mod lemonldap;
pub(crate) mod nginx;
pub(crate) mod pgbench;
pub(crate) mod redis;
pub(crate) mod redis_authz;
