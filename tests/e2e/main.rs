//! The product over real sockets, one module a subject.

mod activity;
mod administrators;
mod api_keys;
mod audit;
mod callers;
mod configuration;
mod devices;
mod end_cause;
mod examples;
mod gateway;
mod hostile;
mod lists;
mod messages;
mod metrics;
mod policy;
mod process;
mod quotas;
mod refresh;
mod refresh_replay;
mod sidecar;
mod sign_in_rules;
mod sign_out;
mod signing_keys;
mod story;
mod streams;
mod watch;
