//! Where a bearer string comes from: a file, a variable of the environment, or a helper program.

use std::{
    env, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
    time::timeout,
};

use crate::failure::{Failure, Result};

/// The largest credential, in bytes. An access token of a person is at most 8 KiB.
pub(crate) const CREDENTIAL_BYTES_MAX: usize = 16 * 1024;

/// Longest time that a helper may take. A person may have to unlock a safe meanwhile.
const HELPER_TIMEOUT: Duration = Duration::from_secs(60);

/// Where a bearer string is kept.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Source {
    /// A file that only its owner may read.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// A program and its arguments, without a shell. Its standard output is the credential.
    Helper(Vec<String>),
}

impl Source {
    /// Reads the bearer string.
    pub(super) async fn read(&self, context: &str) -> Result<String> {
        let text = match self {
            Self::File(file) => read_private(file)?,
            Self::Environment(name) => env::var(name).map_err(|_| {
                Failure::usage(format!(
                    "the variable {name} with the credential is not set"
                ))
            })?,
            Self::Helper(words) => ask_helper(words, context).await?,
        };
        // Files and programs end with a line break, which no header may have.
        let text = text.trim();
        if text.is_empty() {
            return Err(Failure::usage(format!(
                "{} gave no credential",
                self.describe()
            )));
        }
        Ok(text.to_owned())
    }

    /// In words, without the credential.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::File(file) => format!("file {}", file.display()),
            Self::Environment(name) => format!("environment {name}"),
            Self::Helper(words) => format!("helper {}", words.join(" ")),
        }
    }
}

/// Reads a file that nobody but its owner may read or change.
pub(super) fn read_private(file: &Path) -> Result<String> {
    check_private(file)?;
    let text = fs::read(file).map_err(|error| unreadable(file, &error))?;
    if text.len() > CREDENTIAL_BYTES_MAX {
        let problem = format!(
            "{}: larger than {CREDENTIAL_BYTES_MAX} bytes",
            file.display()
        );
        return Err(Failure::usage(problem));
    }
    String::from_utf8(text).map_err(|_| Failure::usage(format!("{}: is no text", file.display())))
}

/// Fails if others than the owner may read or change the file, or if it is another user's.
pub(super) fn check_private(file: &Path) -> Result<()> {
    let metadata = fs::metadata(file).map_err(|error| unreadable(file, &error))?;
    // The metadata of what a link leads to, because that is read.
    let mode = metadata.mode() & 0o777;
    // Refused and not mended: somebody may have read it already.
    if mode & 0o077 != 0 {
        let problem = format!("{}: has mode {mode:04o}", file.display());
        let hint = format!("others may read or change it: chmod 600 {}", file.display());
        return Err(Failure::usage(problem).hint(hint));
    }
    // Root may read everything anyway, and hands out files in containers.
    let owner = metadata.uid();
    if owner != geteuid().as_raw() && owner != 0 {
        let problem = format!("{}: belongs to another user", file.display());
        return Err(Failure::usage(problem));
    }
    Ok(())
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("{}: {error}", file.display()))
}

/// Runs the helper. It may talk to the person: its standard input and error are ours.
async fn ask_helper(words: &[String], context: &str) -> Result<String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::usage("the credential's helper has no program"));
    };
    let mut child = spawn_helper(program, arguments, context)
        .map_err(|error| helper_failure(program, &format!("cannot be started: {error}")))?;
    let (status, output) = timeout(HELPER_TIMEOUT, read_to_end(&mut child))
        .await
        .map_err(|_| {
            let seconds = HELPER_TIMEOUT.as_secs();
            helper_failure(program, &format!("did not end within {seconds} s"))
        })?
        .map_err(|error| helper_failure(program, &format!("failed: {error}")))?;
    if !status.success() {
        // Its output is not shown: it may be half of a credential.
        return Err(helper_failure(program, &format!("failed: {status}")));
    }
    check_output(output).map_err(|problem| helper_failure(program, &problem))
}

/// Returns the output as text. An error is the end of a sentence.
fn check_output(output: Vec<u8>) -> Result<String, String> {
    if output.len() > CREDENTIAL_BYTES_MAX {
        return Err(format!("wrote more than {CREDENTIAL_BYTES_MAX} bytes"));
    }
    String::from_utf8(output).map_err(|_| "wrote no text".to_owned())
}

fn helper_failure(program: &str, problem: &str) -> Failure {
    Failure::usage(format!("the helper {program} {problem}"))
}

fn spawn_helper(program: &str, arguments: &[String], context: &str) -> io::Result<Child> {
    Command::new(program)
        .args(arguments)
        // So that one helper can serve several contexts.
        .env("PORTCULLIS_CONTEXT", context)
        .stdout(Stdio::piped())
        // The timeout drops the child, and a helper that hangs must not outlive the command.
        .kill_on_drop(true)
        .spawn()
}

/// Reads a bounded part of the output, and waits for the end of the process.
async fn read_to_end(child: &mut Child) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut output = Vec::new();
    // One more, so that an output that is too long is told from one that just fits.
    let bound = u64::try_from(CREDENTIAL_BYTES_MAX).unwrap_or(u64::MAX) + 1;
    // Dropped before the wait, or a helper with more to say would wait for us.
    if let Some(stdout) = child.stdout.take() {
        stdout.take(bound).read_to_end(&mut output).await?;
    }
    Ok((child.wait().await?, output))
}
