//! The rows, a file a group.

pub(crate) mod activity;
pub(crate) mod crowd;
pub(crate) mod doors;
pub(crate) mod lists;
pub(crate) mod noisy_neighbour;
pub(crate) mod noisy_search;
pub(crate) mod pages;
pub(crate) mod propagate;
pub(crate) mod rates;
pub(crate) mod sign_out;
pub(crate) mod soak;
pub(crate) mod validate;
pub(crate) mod view;
