//! `[keys]`: the master key and the signing keys.

use std::{fmt, path::PathBuf, time::Duration};

use http::Uri;
use portcullis_contract::key::Algorithm;
use serde::{Deserialize, Serialize};

use super::{
    ConfigError,
    bounds::{DAY, MINUTE, check_durations},
    web_origin::LOOPBACK_HOSTS,
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
    /// Key in a token of PKCS#11 from which the master key is derived.
    pub master_key_pkcs11: Option<Pkcs11Config>,
    /// Key of Vault's transit engine from which the master key is derived.
    pub master_key_vault: Option<VaultConfig>,
    /// Further master keys: each opens the values that it sealed before.
    pub other_master_keys: Vec<MasterKeySource>,
    /// Algorithm of the first signing key and of every key made by a rotation. Existing keys keep theirs.
    pub algorithm: Algorithm,
    /// Time between the publication of a new signing key and its first signature. At least `watch.staleness_max`.
    #[serde(with = "humantime_serde")]
    pub activation_delay: Duration,
}

/// `[[keys.other_master_keys]]`: one of the five.
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
    /// Key in a token of PKCS#11.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pkcs11: Option<Pkcs11Config>,
    /// Key of Vault's transit engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultConfig>,
}

/// `keys.master_key_pkcs11`: a secret key in a token. It never leaves the token.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11Config {
    /// The library that speaks to the token, by its whole path.
    pub module: PathBuf,
    /// Label of the token.
    pub token: String,
    /// Label of the key.
    pub key: String,
    /// The user's PIN.
    pub pin: SecretSource,
}

/// `keys.master_key_vault`: a key of the transit engine of Vault or OpenBao. It never leaves the server.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct VaultConfig {
    /// `https://` and the address. `http://` is for this machine only.
    pub address: String,
    /// PEM file with the certificates that sign the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Path of the transit engine.
    #[serde(default = "default_mount")]
    pub mount: String,
    /// Name of the key.
    pub key: String,
    /// Version of the key. Another version makes another master key.
    pub version: u32,
    /// The token that may use the key.
    pub token: SecretSource,
}

fn default_mount() -> String {
    "transit".to_owned()
}

/// A PIN or a token: one of the three.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretSource {
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
/// The longest label of a key of PKCS#11, in bytes. Tokens have 32.
const LABEL_BYTES_MAX: usize = 255;
/// The longest path in Vault, in bytes.
const VAULT_PATH_BYTES_MAX: usize = 255;

impl Default for KeyConfig {
    fn default() -> Self {
        Self {
            master_key_file: PathBuf::new(),
            master_key_credential: None,
            master_key_command: Vec::new(),
            master_key_pkcs11: None,
            master_key_vault: None,
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
            pkcs11: self.master_key_pkcs11.clone(),
            vault: self.master_key_vault.clone(),
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
    check_credential(source.credential.as_deref(), prefix)?;
    check_command(&source.command, prefix)?;
    if let Some(pkcs11) = &source.pkcs11 {
        pkcs11.check(&format!("{prefix}pkcs11"))?;
    }
    if let Some(vault) = &source.vault {
        vault.check(&format!("{prefix}vault"))?;
    }
    Ok(())
}

fn check_credential(credential: Option<&str>, prefix: &str) -> Result<(), ConfigError> {
    match credential {
        Some(credential) if !is_credential_name(credential) => {
            let problem = "must be the name of a credential, without a slash";
            Err(ConfigError::new(format!("{prefix}credential"), problem))
        }
        _ => Ok(()),
    }
}

fn check_command(command: &[String], prefix: &str) -> Result<(), ConfigError> {
    match command.first() {
        // No search by $PATH, which is another one in a unit of systemd than in a shell.
        Some(program) if !program.starts_with('/') => {
            let problem = "must begin with the whole path of a program";
            Err(ConfigError::new(format!("{prefix}command"), problem))
        }
        _ => Ok(()),
    }
}

impl SecretSource {
    fn check(&self, setting: &str) -> Result<(), ConfigError> {
        let prefix = format!("{setting}.");
        check_credential(self.credential.as_deref(), &prefix)?;
        check_command(&self.command, &prefix)?;
        let sources = [
            self.file.is_some(),
            self.credential.is_some(),
            !self.command.is_empty(),
        ];
        if sources.iter().filter(|is_set| **is_set).count() != 1 {
            let problem = "must have one of file, credential and command";
            return Err(ConfigError::new(setting, problem));
        }
        Ok(())
    }
}

impl Pkcs11Config {
    fn check(&self, setting: &str) -> Result<(), ConfigError> {
        // A name without a slash would be looked up in the directories of libraries.
        if !self.module.is_absolute() {
            let problem = "must be the whole path of a library";
            return Err(ConfigError::new(format!("{setting}.module"), problem));
        }
        for (field, label) in [("token", &self.token), ("key", &self.key)] {
            let is_label = (1..=LABEL_BYTES_MAX).contains(&label.len());
            if !is_label || label.chars().any(char::is_control) {
                let problem = format!("must be 1 to {LABEL_BYTES_MAX} bytes");
                return Err(ConfigError::new(format!("{setting}.{field}"), problem));
            }
        }
        self.pin.check(&format!("{setting}.pin"))
    }
}

impl VaultConfig {
    fn check(&self, setting: &str) -> Result<(), ConfigError> {
        let checked = self.check_server().and_then(|()| self.check_key());
        if let Err((field, problem)) = checked {
            return Err(ConfigError::new(format!("{setting}.{field}"), problem));
        }
        self.token.check(&format!("{setting}.token"))
    }

    /// Checks the address and the certificates. An error has its field.
    fn check_server(&self) -> Result<(), (&'static str, &'static str)> {
        let Some((host, is_tls)) = self.server() else {
            let problem = "must be a URL as https://vault.example.com:8200";
            return Err(("address", problem));
        };
        // The answer is the master key.
        if !is_tls && !LOOPBACK_HOSTS.contains(&host.as_str()) {
            let problem = "must begin with https://, or name this machine";
            return Err(("address", problem));
        }
        if is_tls != self.ca_file.is_some() {
            let problem = "is required with https://, and only with it";
            return Err(("ca_file", problem));
        }
        Ok(())
    }

    /// Checks the names and the version of the key. An error has its field.
    fn check_key(&self) -> Result<(), (&'static str, &'static str)> {
        for (field, path) in [("mount", &self.mount), ("key", &self.key)] {
            if !is_vault_path(path, field == "mount") {
                return Err((field, "must have letters, digits, `-`, `_` and `.` only"));
            }
        }
        if let Some(namespace) = &self.namespace
            && !is_vault_path(namespace, true)
        {
            return Err(("namespace", "must be a path"));
        }
        if self.version == 0 {
            return Err(("version", "must be at least 1"));
        }
        Ok(())
    }

    /// The host, and true if it is spoken to over TLS.
    fn server(&self) -> Option<(String, bool)> {
        let url: Uri = self.address.parse().ok()?;
        let is_tls = match url.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let has_path = url.path_and_query().is_some_and(|path| path != "/");
        let host = url.host().filter(|host| !host.is_empty())?;
        let is_plain = !has_path && !self.address.contains('@');
        is_plain.then(|| (host.to_owned(), is_tls))
    }
}

/// Returns true for a name that means itself in a path. A mount and a namespace may have several parts.
fn is_vault_path(path: &str, may_have_parts: bool) -> bool {
    let is_part = |part: &str| {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(is_word)
    };
    let has_one = may_have_parts || !path.contains('/');
    path.len() <= VAULT_PATH_BYTES_MAX && has_one && path.split('/').all(is_part)
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(keys: &Value) -> KeyConfig {
        serde_json::from_value(keys.clone()).expect("a configuration")
    }

    fn refused(keys: &Value) -> String {
        let refused = read(keys).check(Duration::ZERO);
        refused.expect_err("a bad setting").to_string()
    }

    #[test]
    fn each_setting_of_a_token_is_checked() {
        let good = json!({
            "module": "/m.so", "token": "t", "key": "k", "pin": { "file": "/pin" },
        });
        let keys = |field: &str, value: Value| {
            let mut changed = good.clone();
            changed[field] = value;
            json!({ "master_key_pkcs11": changed })
        };
        read(&keys("key", json!("k")))
            .check(Duration::ZERO)
            .expect("good");
        for (field, value, setting) in [
            ("module", json!("m.so"), "module"),
            ("token", json!(""), "token"),
            ("key", json!("x".repeat(256)), "key"),
            ("pin", json!({}), "pin"),
            ("pin", json!({ "file": "/pin", "credential": "pin" }), "pin"),
            ("pin", json!({ "command": ["cat"] }), "pin.command"),
        ] {
            let text = refused(&keys(field, value));
            let setting = format!("keys.master_key_pkcs11.{setting}: ");
            assert!(text.contains(&setting), "{setting}: {text}");
        }
    }

    #[test]
    fn each_setting_of_vault_is_checked() {
        let keys = |address: &str, changes: Value| {
            let mut vault = json!({ "address": address, "key": "k", "version": 1, "token": { "file": "/token" } });
            if address.starts_with("https") {
                vault["ca_file"] = json!("/ca.pem");
            }
            for (field, value) in changes.as_object().expect("fields") {
                vault[field] = value.clone();
            }
            json!({ "other_master_keys": [{ "vault": vault }] })
        };
        for address in ["https://vault.example.com:8200", "http://127.0.0.1:8200"] {
            let good = read(&keys(address, json!({ "mount": "a/transit" })));
            good.check(Duration::ZERO).expect("good");
        }
        let tls = "https://vault";
        for (address, changes, field) in [
            ("vault:8200", json!({}), "address"),
            ("https://u@vault", json!({}), "address"),
            ("https://vault/v1", json!({}), "address"),
            ("http://vault.example.com", json!({}), "address"),
            (tls, json!({ "ca_file": null }), "ca_file"),
            ("http://localhost", json!({ "ca_file": "/ca" }), "ca_file"),
            (tls, json!({ "key": "../sys" }), "key"),
            (tls, json!({ "key": "k?x" }), "key"),
            (tls, json!({ "mount": "a//b" }), "mount"),
            (tls, json!({ "namespace": "a\r\nb" }), "namespace"),
            (tls, json!({ "version": 0 }), "version"),
            (tls, json!({ "token": {} }), "token"),
        ] {
            let text = refused(&keys(address, changes));
            let setting = format!("keys.other_master_keys[0].vault.{field}: ");
            assert!(text.contains(&setting), "{setting}: {text}");
        }
    }
}
