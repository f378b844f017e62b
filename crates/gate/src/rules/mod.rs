//! The rules of a gate: TOML for the sidecar, JSON for the Envoy module, one model.
//!
//! `model` is what an operator writes, `load` reads it, `compile` checks it.

mod compile;
mod error;
mod identity_signer;
mod load;
mod model;
mod overlap;
mod ruling;
mod sign_in;

pub(crate) use self::ruling::{Demands, Ruling};
pub use self::{
    compile::{CompiledRules, RULES_MAX},
    error::RulesError,
    model::{Access, PrivateKeyText, Rule, RuleMode, Rules, SignedIdentity},
};
