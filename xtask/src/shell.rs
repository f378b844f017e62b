//! Running other programs: aloud, so that a person can repeat by hand what a chore did, or as a quiet question.

use std::{
    env,
    ffi::OsStr,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// A command and its arguments.
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

/// What a command that succeeded printed, trimmed; nothing when it failed or does not exist.
pub(crate) fn answer(mut command: Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Whether a program of this name can be found.
pub(crate) fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn words(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        let value = value?.to_string_lossy();
        Some(format!("{}='{value}'", name.to_string_lossy()))
    });
    let arguments = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    variables
        .chain(arguments.map(|word| word.to_string_lossy().into_owned()))
        .collect::<Vec<_>>()
        .join(" ")
}
