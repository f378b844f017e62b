//! The store in portable SQL: one implementation that every engine runs.
//!
//! [`Backend`] is the interface of an engine, and [`SqlStore`] the store over it. Statements read and write rows by the
//! names of their columns; the module `columns` says how.

mod activity;
mod api_key_uses;
mod api_keys;
mod append;
mod audit;
mod checkpoints;
mod columns;
pub mod connection;
mod cursor;
mod cutoffs;
mod db;
mod erasure;
mod export;
mod gates;
mod group;
mod history;
mod installation;
mod json;
mod listing;
mod log;
mod log_version;
mod peers;
mod policies;
mod providers;
mod recover;
mod refresh;
mod reporting;
mod row;
mod search;
mod secrets;
mod sessions;
mod sign_in;
mod signing_keys;
mod store;
mod sweep;
mod transaction;
mod turns;
mod users;
mod value;
mod values;

pub(crate) use self::installation::ISSUER;
pub use self::{
    columns::{Column, ONLY},
    connection::{Backend, Connection, DbError, Dialect, Lane, Statement},
    row::Row,
    store::SqlStore,
    value::Value,
};
