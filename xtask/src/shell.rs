//! Running other programs: with the command printed, so that a person can repeat it by hand, or quietly for an answer.

use std::{
    env,
    ffi::OsStr,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// Builds a command from a program and its arguments.
pub(crate) fn command<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// Prints the command and runs it to its end, its output on the terminal. It gets no standard input: a tool that
/// wants to ask a question fails at once instead of hanging a CI run.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let words = words(&command);
    println!("$ {words}");
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("`{words}` does not start"))?;
    ensure!(status.success(), "`{words}` failed: {status}");
    Ok(())
}

/// Runs a command quietly and returns its trimmed output; none if it fails or does not exist.
pub(crate) fn answer(mut command: Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Returns whether `PATH` has a program of this name.
pub(crate) fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn words(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            let name = name.to_string_lossy();
            words.push(format!("{name}='{}'", value.to_string_lossy()));
        }
    }
    words.push(command.get_program().to_string_lossy().into_owned());
    for argument in command.get_args() {
        words.push(argument.to_string_lossy().into_owned());
    }
    words.join(" ")
}
