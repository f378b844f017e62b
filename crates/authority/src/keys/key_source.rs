//! The sources of master keys: a file, a credential of systemd, or the output of a command.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
};
use zeroize::Zeroizing;

use super::{MasterKey, MasterKeys};
use crate::config::{ConfigError, KeyConfig, MasterKeySource};

/// File permissions that are refused: any for others, and more than reading for the group.
const MODE_FORBIDDEN: u32 = 0o037;
/// The most bytes of a key with its white space. A key has 44.
const KEY_BYTES_MAX: u64 = 1024;
/// The longest run of a command.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(10);
/// The variable that names the directory of systemd's credentials.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

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
    let chosen = (
        source.file.as_deref(),
        source.credential.as_deref(),
        source.command.as_slice(),
    );
    let (setting, text) = match chosen {
        (Some(file), None, []) => ("file", read_file(file)),
        (None, Some(credential), []) => ("credential", read_credential(credential)),
        (None, None, [program, arguments @ ..]) => {
            let text = run(program, arguments, COMMAND_TIME_MAX).await;
            ("command", text)
        }
        _ => {
            let problem = format!("set one of it, {prefix}credential and {prefix}command");
            return Err(ConfigError::new(format!("{prefix}file"), problem));
        }
    };
    text.and_then(|text| decode(&text))
        .map_err(|problem| ConfigError::new(format!("{prefix}{setting}"), problem))
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

fn read_file(file: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let opened = fs::File::open(file).map_err(|error| error.to_string())?;
    // The mode of the file behind a link counts, because mounted secrets are often links.
    let metadata = opened.metadata().map_err(|error| error.to_string())?;

    // A key that others can read is refused, because its owner would not notice.
    let mode = metadata.permissions().mode() & 0o777;
    if mode & MODE_FORBIDDEN != 0 {
        return Err(format!(
            "has mode {mode:04o}, and 0640 is the most: run chmod 600"
        ));
    }

    let mut text = Zeroizing::new(Vec::with_capacity(buffer_bytes()));
    let mut bounded = io::Read::take(opened, KEY_BYTES_MAX);
    io::Read::read_to_end(&mut bounded, &mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

fn read_credential(name: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let directory = env::var_os(CREDENTIALS_DIRECTORY);
    let Some(directory) = directory.filter(|directory| !directory.is_empty()) else {
        return Err(format!(
            "needs ${CREDENTIALS_DIRECTORY}, which systemd sets for a unit with LoadCredential="
        ));
    };
    read_file(&PathBuf::from(directory).join(name))
}

/// Runs a program, and returns its standard output.
async fn run(
    program: &str,
    arguments: &[String],
    time_max: Duration,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Programs print what they work with when they fail, and the log of the authority must not have the key.
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    let output = match tokio::time::timeout(time_max, output_of(&mut child)).await {
        Ok(output) => output,
        Err(_) => Err(format!("must end within {time_max:?}")),
    };
    if output.is_err() {
        // It may still run. One that has ended cannot be killed, which is as good.
        let _ = child.kill().await;
    }
    output
}

async fn output_of(child: &mut Child) -> Result<Zeroizing<Vec<u8>>, String> {
    let stdout = child.stdout.take().expect("piped");
    let mut text = Zeroizing::new(Vec::with_capacity(buffer_bytes()));
    stdout
        .take(KEY_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .await
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > KEY_BYTES_MAX {
        return Err(format!("must print at most {KEY_BYTES_MAX} bytes"));
    }

    let status = child.wait().await.map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("failed ({status}): run it by hand to see why"));
    }
    Ok(text)
}

/// Room for all that is read. A buffer that grew would leave copies of the key behind in freed memory.
fn buffer_bytes() -> usize {
    // `read_to_end` probes for the end with 32 bytes more.
    KEY_BYTES_MAX as usize + 64
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::OpenOptionsExt, time::Instant};

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
    async fn a_command_that_hangs_is_killed_in_time() {
        let began = Instant::now();
        let limit = Duration::from_millis(200);
        let [program, arguments @ ..] = &shell("sleep 600; echo")[..] else {
            panic!("a program");
        };
        let hung = run(program, arguments, limit).await.map(|_| ());
        assert_eq!(hung, Err("must end within 200ms".to_owned()));
        assert!(began.elapsed() < Duration::from_secs(60));
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
