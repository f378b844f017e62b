//! The module inside real Envoys, beyond the cases that every door passes: versions, workers, reloads, restarts.

mod client;
mod gate;
mod setting;
