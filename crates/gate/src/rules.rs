//! The rules of a gate: TOML for the sidecar, JSON for the Envoy module, one model.

use serde::Deserialize;

/// The rules of a gate. The first one that matches a request decides; without one a session is required.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// The cookie that brings the access token, beside `Authorization: Bearer …`.
    pub cookie: Option<String>,
}
