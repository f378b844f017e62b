//! The watch protocol of one validator's stream, without its transport: greeting, snapshot or deltas, and a beat for each
//! probe.
//!
//! The transport asks for the next answer when its reader has room for one. So a stream is no task and has no queue: while
//! its reader is slow nobody asks, and it stays at its revision.

mod host;
mod messages;
#[cfg(test)]
mod parts;
mod stream;
#[cfg(test)]
mod tests;
mod transfer;

pub(crate) use self::{
    host::WatchHost,
    messages::{Answer, Asked, Hello, Probe, ProvenHead, StreamEnd, StreamSource, WatchError},
    stream::WatchStream,
};
