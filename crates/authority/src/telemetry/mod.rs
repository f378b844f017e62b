//! Telemetry: one set of instruments, read at `/metrics` and sent by OTLP, and the context of traces.
//!
//! Of a call, only the rpc's name and its code are ever recorded. Each instrument has a file by its subject; gauges of a
//! part stand beside the part.

mod calls;
mod commits;
mod connections;
mod delays;
mod enforcement;
mod export;
mod histogram;
mod instruments;
mod log_limit;
mod native;
mod otlp;
mod protobuf;
mod refusals;
pub(crate) mod removal;
pub(crate) mod store_gauges;
mod trace;

pub(crate) use self::{
    calls::{CallStatus, Rpc},
    delays::EnforcementDelays,
    export::{Format, Telemetry},
    log_limit::LogLimit,
    otlp::check_files,
    trace::{sampled_parent, set_parent},
};
pub use self::{
    export::{TelemetryError, Traces},
    instruments::Instruments,
};
