//! The audit trail: its rows, its lists, its verification, its exports, and the outbox of events that wait for it.

pub(super) mod archive;
pub(super) mod dead_letters;
pub(super) mod exports;
pub(super) mod gone;
pub(super) mod list;
pub(super) mod outbox;
pub(super) mod removal;
pub(super) mod row;
pub(super) mod verify;
