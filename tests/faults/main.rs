//! Attacks, failures and failovers: what goes on beside them, and what heals afterwards.

#![allow(
    clippy::print_stdout,
    reason = "a fault shows what it measured, for RELIABILITY.md"
)]

mod authorities;
mod callers_file;
mod clocks;
mod commits;
mod descriptors;
mod disks;
mod documentation;
mod encrypted_ports;
mod exhaustion;
mod forged_tokens;
mod frozen;
mod gate_log;
mod harness;
mod heal;
mod hung_transactions;
mod idleness;
mod late_commits;
mod measure;
mod mutual_tls;
mod networks;
mod overload;
mod point_in_time;
mod postgres;
mod postgres_tls;
mod primaries;
mod recover;
mod search;
mod slow_readers;
mod standby;
mod tls;
mod two_authorities;
mod watch;
