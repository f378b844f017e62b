//! The sources of secrets that are read at a start: a file, a credential of systemd, or the output of a command.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
};
use zeroize::Zeroizing;

use crate::config::SecretSource;

/// File permissions that are refused: any for others, and more than reading for the group.
const MODE_FORBIDDEN: u32 = 0o037;
/// The most bytes of a secret with its white space. A key has 44.
const SECRET_BYTES_MAX: u64 = 1024;
/// The longest run of a command.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(10);
/// The variable that names the directory of systemd's credentials.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Where a secret is, of the three places.
pub(super) enum SecretPlace<'a> {
    File(&'a Path),
    Credential(&'a str),
    Command(&'a [String]),
}

impl<'a> SecretPlace<'a> {
    /// The place that is set. None: there is no place, or more than one.
    pub(super) fn of(
        file: Option<&'a Path>,
        credential: Option<&'a str>,
        command: &'a [String],
    ) -> Option<Self> {
        match (file, credential, command) {
            (Some(file), None, []) => Some(Self::File(file)),
            (None, Some(credential), []) => Some(Self::Credential(credential)),
            (None, None, [_, ..]) => Some(Self::Command(command)),
            _ => None,
        }
    }

    /// The name of its setting.
    pub(super) fn setting(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Credential(_) => "credential",
            Self::Command(_) => "command",
        }
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// In words for operators, without the secret.
    pub(super) async fn read(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        match self {
            Self::File(file) => read_file(file),
            Self::Credential(credential) => read_credential(credential),
            Self::Command(command) => {
                let [program, arguments @ ..] = command else {
                    return Err("must name a program".to_owned());
                };
                run(program, arguments, COMMAND_TIME_MAX).await
            }
        }
    }
}

/// Reads a PIN or a token, without the white space around it.
///
/// # Errors
/// In words for operators, without the secret.
pub(super) async fn read_text(source: &SecretSource) -> Result<Zeroizing<String>, String> {
    let place = SecretPlace::of(
        source.file.as_deref(),
        source.credential.as_deref(),
        &source.command,
    );
    let Some(place) = place else {
        return Err("must have one of file, credential and command".to_owned());
    };
    let setting = place.setting();
    let read = place.read().await;
    let bytes = read.map_err(|problem| format!("{setting}: {problem}"))?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(format!("{setting}: must hold one line of text"));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

fn read_file(file: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let opened = fs::File::open(file).map_err(|error| error.to_string())?;
    check_mode(&opened)?;
    let mut text = Zeroizing::new(Vec::with_capacity(buffer_bytes()));
    let mut bounded = io::Read::take(opened, SECRET_BYTES_MAX);
    io::Read::read_to_end(&mut bounded, &mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

fn check_mode(opened: &fs::File) -> Result<(), String> {
    // The mode of the file behind a link counts, because mounted secrets are often links.
    let metadata = opened.metadata().map_err(|error| error.to_string())?;

    // A key that others can read is refused, because its owner would not notice.
    let mode = metadata.permissions().mode() & 0o777;
    if mode & MODE_FORBIDDEN != 0 {
        return Err(format!(
            "has mode {mode:04o}, and 0640 is the most: run chmod 600"
        ));
    }
    Ok(())
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
        // A group of its own, so that all of it can be killed: a shell starts programs that outlive it.
        .process_group(0)
        .spawn()
        .map_err(|error| error.to_string())?;
    let group = child.id();
    let output = match tokio::time::timeout(time_max, output_of(&mut child)).await {
        Ok(output) => output,
        Err(_) => Err(format!("must end within {time_max:?}")),
    };
    if output.is_err() {
        kill_group(group);
        // It may still run. One that has ended cannot be killed, which is as good.
        let _ = child.kill().await;
    }
    output
}

/// Kills a command that has not ended, with the programs that it has started.
fn kill_group(leader: Option<u32>) {
    let leader = leader.and_then(|id| Pid::from_raw(id.try_into().ok()?));
    if let Some(leader) = leader {
        // A group that has ended cannot be killed, which is as good.
        let _ = kill_process_group(leader, Signal::KILL);
    }
}

async fn output_of(child: &mut Child) -> Result<Zeroizing<Vec<u8>>, String> {
    let stdout = child.stdout.take().expect("piped");
    let mut text = Zeroizing::new(Vec::with_capacity(buffer_bytes()));
    stdout
        .take(SECRET_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .await
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("must print at most {SECRET_BYTES_MAX} bytes"));
    }

    let status = child.wait().await.map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("failed ({status}): run it by hand to see why"));
    }
    Ok(text)
}

/// Room for all that is read. A buffer that grew would leave copies of the secret behind in freed memory.
fn buffer_bytes() -> usize {
    // `read_to_end` probes for the end with 32 bytes more.
    SECRET_BYTES_MAX as usize + 64
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_in_time() {
        let began = Instant::now();
        let limit = Duration::from_millis(500);
        let directory = tempfile::tempdir().expect("a directory");
        let started = directory.path().join("started");
        let script = format!("sleep 600 & echo $! >{}; wait", started.display());
        let [program, arguments @ ..] = &shell(&script)[..] else {
            panic!("a program");
        };
        let hung = run(program, arguments, limit).await.map(|_| ());
        assert_eq!(hung, Err("must end within 500ms".to_owned()));
        assert!(began.elapsed() < Duration::from_secs(60));

        // The program that the command started is killed too. It is a zombie until its new parent has asked.
        let started = fs::read_to_string(started).expect("a number");
        let state = || fs::read_to_string(format!("/proc/{}/stat", started.trim()));
        while state().is_ok_and(|state| !state.contains(") Z")) {
            assert!(began.elapsed() < Duration::from_secs(60), "it goes on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_text_is_one_line_without_the_white_space_around_it() {
        let by = |script: &str| SecretSource {
            command: shell(script),
            ..SecretSource::default()
        };
        let read = read_text(&by("echo ' 1234 '")).await;
        assert_eq!(read.expect("a PIN").as_str(), "1234");
        for script in ["true", "echo", "printf '12\\n34'", "printf '\\377'"] {
            let refused = read_text(&by(script)).await.expect_err(script);
            assert!(refused.starts_with("command: must"), "{refused}");
        }
        let none = read_text(&SecretSource::default()).await;
        assert!(none.expect_err("no source").contains("one of"));
    }
}
