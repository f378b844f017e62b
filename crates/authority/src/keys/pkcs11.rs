//! Master keys that a token of PKCS#11 derives from a key of its own, which never leaves it.

#[cfg(feature = "pkcs11")]
mod token;

use super::MasterKey;
use crate::config::{ConfigError, Pkcs11Config};

/// Asks the token for the master key. `setting` is the name of the table.
#[cfg(feature = "pkcs11")]
pub(super) async fn derive_master_key(
    config: &Pkcs11Config,
    setting: &str,
) -> Result<MasterKey, ConfigError> {
    let pin = super::secret_source::read_text(&config.pin).await;
    let pin = pin.map_err(|problem| ConfigError::new(format!("{setting}.pin"), problem))?;
    token::derive(config.clone(), pin).await.map_err(|error| {
        let setting = format!("{setting}.{}", error.field());
        ConfigError::new(setting, error.to_string())
    })
}

/// Refuses: this program was built without PKCS#11.
#[cfg(not(feature = "pkcs11"))]
pub(super) async fn derive_master_key(
    _config: &Pkcs11Config,
    setting: &str,
) -> Result<MasterKey, ConfigError> {
    let problem = "this program was built without the feature `pkcs11`";
    Err(ConfigError::new(setting, problem))
}
