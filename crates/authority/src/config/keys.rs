//! `[keys]`: the master key and the signing keys.

use std::{fmt, path::PathBuf, time::Duration};

use portcullis_contract::key::Algorithm;
use serde::{Deserialize, Serialize};

use super::{
    ConfigError,
    bounds::{DAY, MINUTE, check_durations},
};

/// `[keys]`
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyConfig {
    /// File with the master key: 32 bytes in base64 (`openssl rand -base64 32`). Required.
    pub master_key_file: PathBuf,
    /// Algorithm of the first signing key and of every key made by a rotation. Existing keys keep theirs.
    pub algorithm: Algorithm,
    /// Time between the publication of a new signing key and its first signature. At least `watch.staleness_max`.
    #[serde(with = "humantime_serde")]
    pub activation_delay: Duration,
}

impl Default for KeyConfig {
    fn default() -> Self {
        Self {
            master_key_file: PathBuf::new(),
            algorithm: Algorithm::default(),
            activation_delay: MINUTE,
        }
    }
}

impl KeyConfig {
    /// `staleness_max` is `watch.staleness_max`.
    pub(super) fn check(&self, staleness_max: Duration) -> Result<(), ConfigError> {
        check_durations(&[(
            "keys.activation_delay",
            self.activation_delay,
            Duration::ZERO..=30 * DAY,
        )])?;
        // A gate learns of a key at most this late. A key that signs earlier would have its tokens refused.
        if self.activation_delay < staleness_max {
            let problem =
                "must be at least watch.staleness_max, or gates may meet a key before they know it";
            return Err(ConfigError::new("keys.activation_delay", problem));
        }
        Ok(())
    }
}

impl fmt::Debug for KeyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the path: where the master key is kept belongs in no log.
        f.debug_struct("KeyConfig")
            .field("algorithm", &self.algorithm)
            .field("activation_delay", &self.activation_delay)
            .finish_non_exhaustive()
    }
}
