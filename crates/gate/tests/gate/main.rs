//! The gate as a door uses it: a fresh engine, real tokens, whole requests.

mod access;
mod answers;
mod headers;
mod paths;
mod rules;
mod signed;
mod world;
