//! The doors. Each translates a check of its gateway into a request head, and a decision into its answer.

pub(crate) mod ext_authz;
pub(crate) mod forward_auth;
pub(crate) mod invalid;
mod judge;

pub(crate) use self::{invalid::InvalidCheck, judge::Judge};
