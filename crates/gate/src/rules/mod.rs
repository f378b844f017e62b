//! The rules of a gate: TOML for the sidecar, JSON for the Envoy module, one model.
//!
//! `model` has the keys that an operator writes, `load` reads it, `compile` checks it.

mod compile;
mod error;
mod identity_signer;
mod load;
mod model;
mod overlap;
mod ruling;
#[cfg(feature = "schema")]
mod schema;
mod sign_in;

#[cfg(feature = "schema")]
pub use self::schema::rules_schema;
pub use self::{
    compile::{CompiledRules, RULES_MAX},
    error::RulesError,
    model::{Access, PrivateKeyText, Rule, RuleMode, Rules, SignedIdentity},
};
pub(crate) use self::{
    identity_signer::IdentitySigner,
    ruling::{Demands, Ruling},
};
