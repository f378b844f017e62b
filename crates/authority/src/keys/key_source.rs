//! The sources of master keys: a file, a credential of systemd, the output of a command, a token of PKCS#11, or Vault.

use futures::future::BoxFuture;

use super::{MasterKey, MasterKeys, pkcs11, secret_source::SecretPlace, vault};
use crate::config::{ConfigError, KeyConfig, MasterKeySource};

/// Reads the master keys that a configuration names.
///
/// # Errors
/// When a source cannot be read or does not hold a key, when the key that seals has no source or two, or when two
/// sources hold the same key.
pub fn read_master_keys(config: &KeyConfig) -> BoxFuture<'_, Result<MasterKeys, ConfigError>> {
    Box::pin(async move {
        let current = read_source(&config.master_key(), "keys.master_key_").await?;
        let mut others = Vec::with_capacity(config.other_master_keys.len());
        let mut ids = vec![current.id()];
        for (index, source) in config.other_master_keys.iter().enumerate() {
            let key = format!("keys.other_master_keys[{index}]");
            let other = read_source(source, &format!("{key}.")).await?;
            // Likely the old file's name twice: the key that was meant would be missing.
            if ids.contains(&other.id()) {
                let problem = format!("holds the master key {} again", other.id());
                return Err(ConfigError::new(key, problem));
            }
            ids.push(other.id());
            others.push(other);
        }
        Ok(MasterKeys::new(current, others))
    })
}

/// Reads one key. `prefix` begins the names of its settings.
async fn read_source(source: &MasterKeySource, prefix: &str) -> Result<MasterKey, ConfigError> {
    let place = SecretPlace::of(
        source.file.as_deref(),
        source.credential.as_deref(),
        &source.command,
    );
    let has_text =
        source.file.is_some() || source.credential.is_some() || !source.command.is_empty();
    match (place, &source.pkcs11, &source.vault) {
        (Some(place), None, None) => {
            let setting = format!("{prefix}{}", place.setting());
            let text = place.read().await;
            text.and_then(|text| decode(&text))
                .map_err(|problem| ConfigError::new(setting, problem))
        }
        (None, Some(config), None) if !has_text => {
            pkcs11::derive_master_key(config, &format!("{prefix}pkcs11")).await
        }
        (None, None, Some(config)) if !has_text => {
            vault::derive_master_key(config, &format!("{prefix}vault")).await
        }
        _ => {
            let problem = format!(
                "set one of it, {prefix}credential, {prefix}command, {prefix}pkcs11 and {prefix}vault"
            );
            Err(ConfigError::new(format!("{prefix}file"), problem))
        }
    }
}

fn decode(text: &[u8]) -> Result<MasterKey, String> {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let Some(key) = MasterKey::from_base64(text) else {
        return Err("must hold 32 bytes in base64".to_owned());
    };
    // A placeholder of zeros decodes like a key, and would protect nothing.
    if key.is_constant() {
        let problem = "holds one byte 32 times: make a key with `openssl rand -base64 32`";
        return Err(problem.to_owned());
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::{fs, io, os::unix::fs::OpenOptionsExt, path::Path};

    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    fn command(script: &str) -> KeyConfig {
        KeyConfig {
            master_key_command: shell(script),
            ..KeyConfig::default()
        }
    }

    async fn problem(config: &KeyConfig) -> String {
        match read_master_keys(config).await {
            Ok(_) => panic!("a key was read"),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn the_output_of_a_command_is_a_key() {
        let key = MasterKey::generate();
        let config = command(&format!("echo {}", key.to_base64().as_str()));
        let keys = read_master_keys(&config).await.expect("a key");
        assert_eq!(keys.current(), key.id());
    }

    #[tokio::test]
    async fn a_command_that_fails_prints_too_much_or_hangs_is_refused_without_its_words() {
        let secret = MasterKey::generate().to_base64();
        let secret = secret.as_str();
        let cases = [
            (
                format!("echo {secret}; echo {secret} >&2; exit 3"),
                "failed",
            ),
            (format!("yes {secret}"), "at most 1024 bytes"),
            ("echo".to_owned(), "32 bytes in base64"),
            ("kill -9 $$".to_owned(), "signal"),
        ];
        for (script, expected) in cases {
            let problem = problem(&command(&script)).await;
            assert!(problem.contains("keys.master_key_command"), "{problem}");
            assert!(problem.contains(expected), "{script}: {problem}");
            assert!(!problem.contains(secret), "{problem}");
        }
        let missing = KeyConfig {
            master_key_command: vec!["/nowhere/a-program".to_owned()],
            ..KeyConfig::default()
        };
        assert!(problem(&missing).await.contains("No such file"));
    }

    #[tokio::test]
    async fn a_key_has_one_source_and_no_two_sources_have_one_key() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("master.key");
        let key = MasterKey::generate();
        write(&file, &key.to_base64(), 0o600);

        let none = problem(&KeyConfig::default()).await;
        assert!(none.contains("keys.master_key_credential"), "{none}");
        let two = KeyConfig {
            master_key_file: file.clone(),
            ..command("true")
        };
        assert!(problem(&two).await.contains("set one of it"));

        let same = MasterKeySource {
            file: Some(file.clone()),
            ..MasterKeySource::default()
        };
        let twice = KeyConfig {
            master_key_file: file.clone(),
            other_master_keys: vec![same],
            ..KeyConfig::default()
        };
        let problem = problem(&twice).await;
        assert!(problem.contains("keys.other_master_keys[0]"), "{problem}");
        assert!(problem.contains(&key.id().to_string()), "{problem}");

        let other = MasterKey::generate();
        write(
            &directory.path().join("other.key"),
            &other.to_base64(),
            0o600,
        );
        let both = KeyConfig {
            master_key_file: file,
            other_master_keys: vec![MasterKeySource {
                file: Some(directory.path().join("other.key")),
                ..MasterKeySource::default()
            }],
            ..KeyConfig::default()
        };
        let keys = read_master_keys(&both).await.expect("two keys");
        assert_eq!(keys.ids().0, [key.id(), other.id()]);
    }

    fn write(file: &Path, text: &str, mode: u32) {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let mut opened = options.open(file).expect("a file");
        io::Write::write_all(&mut opened, text.as_bytes()).expect("written");
    }
}
