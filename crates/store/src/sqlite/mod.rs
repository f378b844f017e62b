//! SQLite, the embedded engine: one process, one data directory, nothing to install.
//!
//! `README.md` beside this file has the caveats for operators: files, locking, durability.

mod connection;
mod engine;
mod measure;

pub use self::engine::{Sqlite, installed_issuer};
