//! `[places]`: the databases that addresses are looked up in.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[places]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlacesConfig {
    /// MaxMind-format database of cities or countries.
    pub city_database_file: Option<PathBuf>,
    /// MaxMind-format database of network operators (ISP or ASN).
    pub network_database_file: Option<PathBuf>,
}
