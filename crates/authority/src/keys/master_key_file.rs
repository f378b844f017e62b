//! The file that holds the master key.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use zeroize::Zeroizing;

use super::MasterKey;
use crate::config::ConfigError;

/// File permissions that are refused: any for others, and more than reading for the group.
const MODE_FORBIDDEN: u32 = 0o037;

/// Reads the master key's file.
///
/// # Errors
/// When it cannot be read, does not hold a key, or is readable by others.
pub fn read_master_key(file: &Path) -> Result<MasterKey, ConfigError> {
    let text = fs::read_to_string(file).map_err(|error| invalid(error.to_string()))?;
    let text = Zeroizing::new(text);
    // The mode of the file behind a link counts, because mounted secrets are often links.
    let metadata = fs::metadata(file).map_err(|error| invalid(error.to_string()))?;

    // A key that others can read is refused, because its owner would not notice.
    let mode = metadata.permissions().mode() & 0o777;
    if mode & MODE_FORBIDDEN != 0 {
        let problem = format!("has mode {mode:04o}, and 0640 is the most: run chmod 600");
        return Err(invalid(problem));
    }

    let Some(key) = MasterKey::from_base64(&text) else {
        return Err(invalid("must hold 32 bytes in base64"));
    };
    // A placeholder of zeros decodes like a key, and would protect nothing.
    if key.is_constant() {
        let problem = "holds one byte 32 times: make a key with `openssl rand -base64 32`";
        return Err(invalid(problem));
    }
    Ok(key)
}

fn invalid(problem: impl Into<String>) -> ConfigError {
    ConfigError::new("keys.master_key_file", problem)
}
