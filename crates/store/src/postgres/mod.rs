//! PostgreSQL: several authorities over one database.
//!
//! `README.md` beside this file has the caveats for operators: durability, failover, locks, poolers, settings.

mod cancel;
mod connect;
mod connection;
mod durability;
mod engine;
mod error;
mod hosts;
mod inspect;
mod measure;
mod migrate;
mod pool;
mod pooler;
mod send;
mod tls;
mod url;

pub use self::{
    connect::PostgresOptions,
    engine::Postgres,
    inspect::{examine, installed_issuer},
    migrate::{migrate_to, schema},
    url::{check_url, remark_on_url},
};
