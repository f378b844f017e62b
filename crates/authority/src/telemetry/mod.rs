//! What the authority tells of itself: one set of instruments, read at `/metrics` and sent by OTLP, and the context of
//! traces. Nothing of a request but the rpc's name and its code is ever recorded.

mod enforcement;
mod export;
mod instruments;
mod log_limit;
mod store;
mod trace;

pub(crate) use self::{
    export::Telemetry,
    instruments::{CallStatus, Gauges, Rpc},
    log_limit::LogLimit,
    trace::{sampled_parent, set_parent},
};
pub use self::{
    export::{TelemetryError, Traces},
    instruments::Instruments,
};
