//! The Portcullis validator inside Envoy, as a dynamic module: no sidecar, no hop.
//!
//! Envoy loads `libportcullis_envoy.so` and calls its hooks. A request passes [`filter`], which asks the gate and changes
//! the headers or answers. A stream that was admitted stays with its filter until it ends; when its session ends before,
//! the [cut](cut) wakes the worker of the stream, which resets it.
//!
//! [`authority`] owns the thread that follows the authority. Filter configurations with equal settings share it, so a new
//! configuration of the same listener is as fresh as the old one at once.
//!
//! [`ffi`] speaks with Envoy, and is the only file with `unsafe`. All other files see the traits of [`envoy`]. A panic in a
//! hook refuses the request: nothing here fails open.

#![cfg_attr(
    test,
    allow(
        dead_code,
        reason = "`ffi` uses it, and is no part of tests: they have no Envoy"
    )
)]

mod authority;
mod config;
mod cut;
mod envoy;
#[cfg(not(test))]
mod ffi;
mod filter;
mod filter_config;
mod head;
mod log;
mod meters;
mod route;

#[cfg(test)]
mod testing;
