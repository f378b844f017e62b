//! The harness of the end-to-end, conformance and fault tests: real servers, real sockets; only faults are made.
//!
//! Everything here is for tests: what cannot go on panics, and says what it was waiting for.

pub mod api_keys;
pub mod application;
pub mod audit;
pub mod audit_export;
pub mod authority;
pub mod browser;
pub mod calls;
pub mod canary;
pub mod chromium;
pub mod console;
pub mod door;
pub mod embedding;
pub mod everywhere;
pub mod example_gateway;
pub mod fault;
pub mod forms;
pub mod gate;
pub mod gateways;
pub mod geography;
pub mod given;
pub mod grpc_web;
pub mod guarded_service;
pub mod half_open;
pub mod http3;
pub mod lines;
pub mod live;
pub mod place;
pub mod plans;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod refusing;
pub mod replay;
pub mod rows;
pub mod rsyslog;
pub mod serve;
pub mod shim;
pub mod sidecar;
pub mod standards;
pub mod telemetry;
pub mod upstream;
pub mod visitor;
pub mod wait;
pub mod webhook;
