//! Client information: the device that a user agent names, and the place of an address.

pub mod places;
pub mod user_agents;
