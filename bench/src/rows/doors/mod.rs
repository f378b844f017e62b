//! The cost of each door, and the time until it closes.

pub(crate) mod cut;
pub(crate) mod envoy;
pub(crate) mod forward_auth;
pub(crate) mod layer;
pub(crate) mod memory;
pub(crate) mod propagate;
pub(crate) mod sidecar;
pub(crate) mod storm;
