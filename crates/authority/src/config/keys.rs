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
    /// File with the master key: 32 bytes in base64 (`openssl rand -base64 32`). It, a credential or a command is
    /// required.
    pub master_key_file: PathBuf,
    /// Name of systemd's credential with the master key.
    pub master_key_credential: Option<String>,
    /// Program that prints the master key, and its arguments. Empty: not this one.
    pub master_key_command: Vec<String>,
    /// Further master keys: each opens the values that it sealed before.
    pub other_master_keys: Vec<MasterKeySource>,
    /// Algorithm of the first signing key and of every key made by a rotation. Existing keys keep theirs.
    pub algorithm: Algorithm,
    /// Time between the publication of a new signing key and its first signature. At least `watch.staleness_max`.
    #[serde(with = "humantime_serde")]
    pub activation_delay: Duration,
}

/// `[[keys.other_master_keys]]`: one of the three.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MasterKeySource {
    /// File.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Name of systemd's credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Program and its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
}

/// The most further master keys. A rotation needs one.
const OTHER_MASTER_KEYS_MAX: usize = 4;

impl Default for KeyConfig {
    fn default() -> Self {
        Self {
            master_key_file: PathBuf::new(),
            master_key_credential: None,
            master_key_command: Vec::new(),
            other_master_keys: Vec::new(),
            algorithm: Algorithm::default(),
            activation_delay: MINUTE,
        }
    }
}

impl KeyConfig {
    /// The source of the master key that seals.
    pub(crate) fn master_key(&self) -> MasterKeySource {
        let file = &self.master_key_file;
        MasterKeySource {
            file: (!file.as_os_str().is_empty()).then(|| file.clone()),
            credential: self.master_key_credential.clone(),
            command: self.master_key_command.clone(),
        }
    }

    /// `staleness_max` is `watch.staleness_max`.
    pub(super) fn check(&self, staleness_max: Duration) -> Result<(), ConfigError> {
        check_durations(&[(
            "keys.activation_delay",
            self.activation_delay,
            Duration::ZERO..=30 * DAY,
        )])?;
        let others = &self.other_master_keys;
        if others.len() > OTHER_MASTER_KEYS_MAX {
            let problem = format!("must be at most {OTHER_MASTER_KEYS_MAX}");
            return Err(ConfigError::new("keys.other_master_keys", problem));
        }
        check_source(&self.master_key(), "keys.master_key_")?;
        for (index, source) in others.iter().enumerate() {
            check_source(source, &format!("keys.other_master_keys[{index}]."))?;
        }
        // A gate learns of a key at most this late. A key that signs earlier would have its tokens refused.
        if self.activation_delay < staleness_max {
            let problem =
                "must be at least watch.staleness_max, or gates may meet a key before they know it";
            return Err(ConfigError::new("keys.activation_delay", problem));
        }
        Ok(())
    }
}

/// Checks the form of a source. A source that does not exist is found when it is read.
fn check_source(source: &MasterKeySource, prefix: &str) -> Result<(), ConfigError> {
    if let Some(credential) = &source.credential
        && !is_credential_name(credential)
    {
        let problem = "must be the name of a credential, without a slash";
        return Err(ConfigError::new(format!("{prefix}credential"), problem));
    }
    if let Some(program) = source.command.first()
        && !program.starts_with('/')
    {
        // No search by $PATH, which is another one in a unit of systemd than in a shell.
        let problem = "must begin with the whole path of a program";
        return Err(ConfigError::new(format!("{prefix}command"), problem));
    }
    Ok(())
}

fn is_credential_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && name != "." && name != ".."
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
