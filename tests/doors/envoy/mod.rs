//! The module inside real Envoys, beyond the cases that every door passes: versions, workers, reloads, restarts.

mod bad_config;
mod client;
mod dev;
mod gate;
mod http2;
mod http3;
mod reload;
mod routes;
mod setting;
mod workers;
