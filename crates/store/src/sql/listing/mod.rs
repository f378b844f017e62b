//! Lists of sessions and users.
//!
//! The cost of a list depends on its tenant and on the rows that match. It depends neither on the rest of the database
//! nor on the expectations of the planner, because plans are made once and often while tables are small.
//!
//! So each list chooses one index, by an order that only that index has. A condition that is to be looked up in the index
//! is a range or a row comparison, because an equality would take its column out of the order. Every other condition is
//! written so that no index can serve it. The tests `list_plans` and `postgres_plans` hold this.

pub(super) mod conditions;
pub(super) mod preview;
pub(super) mod removal;
pub(super) mod sessions;
pub(super) mod surplus;
mod user_order;
mod user_totals;
pub(super) mod users;
