//! A server's directory, whose end does not depend on the test's.

use std::{
    fs::{self, Permissions},
    io::Write,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::binaries;

/// Waits for the test process to end, by itself or by SIGKILL: then the pipe closes. Ends the last server it was told
/// of and removes the directory. A server that was itself killed leaves its shared memory segment behind.
const KEEPER: &str = r#"
while read -r line; do pid=$line; done
if [ -n "$pid" ]; then
    kill -QUIT "$pid" 2>/dev/null
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
fi
segment=$(sed -n '7s/.* //p' "$1/data/postmaster.pid" 2>/dev/null) && [ -n "$segment" ] && ipcrm -m "$segment"
rm -rf "$1"
"#;

pub(super) struct Directory {
    path: PathBuf,
    keeper: Child,
}

/// Gives a file to the user of the servers.
fn give_away(path: &Path) {
    if let Some((uid, gid)) = binaries::user() {
        chown(path, Some(uid), Some(gid)).expect("root may give a file away");
    }
}

impl Directory {
    pub(super) fn new() -> Self {
        let made = tempfile::Builder::new()
            .prefix("portcullis-postgres-")
            .tempdir_in("/tmp");
        let path = made.expect("a temporary directory").keep();
        give_away(&path);
        let mut keeper = Command::new("/bin/sh");
        keeper
            .args(["-c", KEEPER, "keeper"])
            .arg(&path)
            .process_group(0);
        binaries::unprivileged(&mut keeper);
        keeper
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self {
            keeper: keeper.spawn().expect("a shell"),
            path,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory in it that the server may write to.
    pub(super) fn make(&self, name: &str) -> String {
        let made = self.path.join(name);
        fs::create_dir(&made).expect("a directory");
        give_away(&made);
        made.display().to_string()
    }

    /// Writes a file for the server, which nobody else may read.
    pub(super) fn write(&self, file: &Path, text: &str) {
        fs::write(file, text).expect("a file");
        fs::set_permissions(file, Permissions::from_mode(0o600)).expect("a mode");
        give_away(file);
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Makes sure that the server ends with the test.
    pub(super) fn entrust(&mut self, server: &Child) {
        self.tell(&server.id().to_string());
    }

    /// The server ended: its process id may soon be another's.
    pub(super) fn forget(&mut self) {
        self.tell("");
    }

    fn tell(&mut self, line: &str) {
        let told = writeln!(
            self.keeper.stdin.as_mut().expect("open until drop"),
            "{line}"
        );
        told.expect("the keeper listens");
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Nothing can be done about a keeper that is gone.
        let _ = self.keeper.wait();
    }
}
