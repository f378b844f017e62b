//! Attacks, failures and failovers: what goes on beside them, and what heals afterwards.

mod authorities;
mod descriptors;
mod forged_tokens;
mod gate_log;
mod harness;
mod heal;
mod hung_transactions;
mod idleness;
mod late_commits;
mod mutual_tls;
mod overload;
mod postgres;
mod recover;
mod search;
mod standby;
mod tls;
mod two_authorities;
mod watch;
