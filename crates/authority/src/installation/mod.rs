//! An installation: the files that its configuration names, its issuer, and a new history after a loss.

pub(crate) mod files;
pub mod issuer;
pub mod recover;
