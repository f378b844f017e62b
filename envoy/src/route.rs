//! The configuration of a route: other rules for the same gate.

use std::sync::{Arc, PoisonError, RwLock, Weak};

use portcullis_gate::{Gate, Rules, RulesError};

use crate::{
    authority::Authority,
    config::{ConfigError, RouteSettings, compile},
};

/// The rules of a route. They replace those of the filter; nothing here opens a route.
pub(crate) struct RouteConfig {
    rules: Rules,
    /// A gate for each authority. Two listeners with different authorities may share the route.
    gates: RwLock<Vec<(Weak<Authority>, Arc<Gate>)>>,
}

impl RouteConfig {
    /// Reads the configuration of a route.
    pub(crate) fn new(json: &[u8]) -> Result<Self, ConfigError> {
        let settings = RouteSettings::read(json)?;
        // The gate itself is made when the first request comes: only then is the authority known.
        compile(&settings.rules)?;
        Ok(Self {
            rules: settings.rules,
            gates: RwLock::default(),
        })
    }

    /// Returns the gate of these rules over the engine of an authority.
    ///
    /// # Errors
    /// When a rule needs best-effort mode and the authority's gate is strict.
    pub(crate) fn gate(&self, authority: &Arc<Authority>) -> Result<Arc<Gate>, RulesError> {
        // Nothing panics between two steps of a change.
        let gates = self.gates.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = find(&gates, authority) {
            return Ok(gate);
        }
        drop(gates);

        let mut gates = self.gates.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = find(&gates, authority) {
            return Ok(gate);
        }
        // Those of configurations that were replaced.
        gates.retain(|(authority, _)| authority.strong_count() > 0);
        let engine = Arc::clone(authority.engine());
        let gate = Arc::new(Gate::new(engine, &self.rules)?);
        gates.push((Arc::downgrade(authority), Arc::clone(&gate)));
        Ok(gate)
    }
}

fn find(gates: &[(Weak<Authority>, Arc<Gate>)], authority: &Arc<Authority>) -> Option<Arc<Gate>> {
    for (known, gate) in gates {
        if known.as_ptr() == Arc::as_ptr(authority) {
            return Some(Arc::clone(gate));
        }
    }
    None
}
