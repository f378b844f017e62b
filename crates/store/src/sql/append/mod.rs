//! The group commit: a batch of entries in one transaction and one revision.
//!
//! Locks are taken in one order, whatever the batch: the row of the installation, tenants and users, policies, sessions,
//! API keys, then the head, then rows that only appenders write. So two appenders cannot wait for each other, and an
//! appender that holds the head waits for nobody. An appender that takes events from the outbox holds the row of the
//! installation.

mod administrators;
mod api_keys;
mod batch;
mod commit;
mod covered;
mod installation;
mod outbox;
mod policies;
mod recall;
mod sessions;
mod signed_out;
mod users;

pub(super) use self::commit::append;
#[cfg(test)]
pub(super) use self::commit::append_kinds;
