//! The authority.
pub mod crypto;
pub mod domain;
pub mod store;
