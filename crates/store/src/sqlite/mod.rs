//! SQLite, the embedded engine: one process, one data directory, nothing to install.
//!
//! `README.md` beside this file has the caveats for operators: files, locking, durability.

mod backup;
mod connection;
mod engine;
mod measure;
mod ownership;

pub use self::backup::{Copied, Restoration, back_up, has_database};
pub use self::engine::{Sqlite, installed_issuer, schema};
