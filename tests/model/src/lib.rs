//! The promise as a model: a checker walks every interleaving within small bounds.
//!
//! Three models, because the promise has three time scales:
//!
//! - [`ordering`]: the moment of a commit. Two authorities append, and a reader follows.
//! - [`enforcement`]: the seconds of `max_staleness`. A gate probes and checks, while servers fail over or lose a part of
//!   the log.
//! - [`forgetting`]: the hours of a token's life. Turns forget, while clocks step and lives are shortened.
//!
//! Each rule of the promise can be switched off ([`Rule`]). With all rules on no property falls; without any one of them
//! the checker finds a schedule that breaks the property that [`Rule::protects`] names. The README explains both in plain
//! words.

pub mod check;
pub mod enforcement;
pub mod forgetting;
pub mod log;
pub mod ordering;
mod rule;

pub use rule::{Property, Rule};
