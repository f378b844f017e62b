//! The installed PostgreSQL, and the user that it agrees to run as.

use std::{
    env, fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

/// A command of the newest installed PostgreSQL, in a process group of its own: what ends the test from the
/// keyboard does not end the server first.
pub(super) fn command(name: &str) -> Command {
    let mut command = Command::new(directory().join(name));
    unprivileged(&mut command);
    command.process_group(0);
    command
}

/// PostgreSQL refuses to run as root.
pub(super) fn unprivileged(command: &mut Command) {
    if let Some((uid, gid)) = user() {
        command.uid(uid).gid(gid);
    }
    // The caller's directory may be out of that user's reach.
    command.current_dir("/tmp");
}

/// Whom to become, when the caller is root.
pub(super) fn user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("a list of users");
    let found = ["postgres", "nobody"]
        .iter()
        .find_map(|name| users.lines().find_map(|line| ids(line, name)));
    Some(found.expect("a user postgres or nobody"))
}

fn ids(line: &str, name: &str) -> Option<(u32, u32)> {
    let fields: Vec<_> = line.split(':').collect();
    let [found, _, uid, gid, ..] = fields[..] else {
        return None;
    };
    (found == name).then(|| Some((uid.parse().ok()?, gid.parse().ok()?)))?
}

fn directory() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let numbered = versions.filter_map(|entry| {
        Some((
            entry.file_name().to_str()?.parse::<u32>().ok()?,
            entry.path(),
        ))
    });
    let installed = numbered
        .map(|(version, path)| (version, path.join("bin")))
        .filter(|(_, bin)| has_initdb(bin));
    let newest = installed
        .max_by_key(|(version, _)| *version)
        .map(|(_, bin)| bin);
    let on_path =
        || env::split_paths(&env::var_os("PATH").unwrap_or_default()).find(|bin| has_initdb(bin));
    newest
        .or_else(on_path)
        .expect("PostgreSQL's initdb in /usr/lib/postgresql/*/bin or on PATH")
}

fn has_initdb(bin: &Path) -> bool {
    bin.join("initdb").is_file()
}
