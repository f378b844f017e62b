//! The real gateways, in processes of their own, started from the files in `deploy/`.

pub mod envoy;
pub mod program;
mod running;

pub use self::{
    program::Program,
    running::{Launch, Running, free_port},
};
