//! Attacks, failures and failovers: what goes on beside them, and what heals afterwards.

mod edge;
mod gate;
mod harness;
mod heal;
mod hung;
mod postgres;
mod reads;
mod standby;
