//! A disk that fails and a clock that is wrong, for one program of a test.
//!
//! `shim.c` is compiled once and loaded into the program by `LD_PRELOAD`. The program itself is the real one: PostgreSQL,
//! the authority or the sidecar, as built.

use std::{
    ffi::OsStr,
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;

/// The orders are three numbers of 8 bytes.
const CLOCK: u64 = 0;
const SYNCS: u64 = 8;
const DISK: u64 = 16;
const ORDERS_BYTES: usize = 24;

/// What happens to the programs that were started under it.
pub struct Shim {
    orders: File,
    path: PathBuf,
    _directory: TempDir,
}

impl Shim {
    /// Makes one under which nothing is wrong yet.
    ///
    /// # Panics
    /// When there is no C compiler.
    #[must_use]
    pub fn new() -> Self {
        let directory = readable_directory();
        let path = directory.path().join("orders");
        std::fs::write(&path, [0; ORDERS_BYTES]).expect("written");
        let orders = File::options().write(true).open(&path).expect("open");
        Self {
            orders,
            path,
            _directory: directory,
        }
    }

    /// The variables of the environment that put a program under it.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, &OsStr); 2] {
        [
            ("LD_PRELOAD", library().as_os_str()),
            ("PORTCULLIS_SHIM", self.path.as_os_str()),
        ]
    }

    /// Steps the wall clock: it is this far ahead of the machine's from now on.
    pub fn step_clock(&self, ahead_seconds: i64) {
        self.order(CLOCK, ahead_seconds);
    }

    /// Whether syncs fail, as they do on a disk that is broken.
    pub fn fail_syncs(&self, fail: bool) {
        self.order(SYNCS, i64::from(fail));
    }

    /// Whether the disk is full.
    pub fn fill_disk(&self, full: bool) {
        self.order(DISK, i64::from(full));
    }

    fn order(&self, at: u64, value: i64) {
        let written = self.orders.write_all_at(&value.to_ne_bytes(), at);
        written.expect("written");
    }
}

impl Default for Shim {
    fn default() -> Self {
        Self::new()
    }
}

/// The compiled library. It stays while the process lives.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, library) = LIBRARY.get_or_init(|| {
        let directory = readable_directory();
        let library = directory.path().join("shim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/shim.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl")
            .status();
        assert!(
            compiled.expect("cc runs: install a C compiler").success(),
            "the shim compiles"
        );
        (directory, library)
    });
    library
}

/// A directory that the user of PostgreSQL can read too.
fn readable_directory() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::Builder::new()
        .prefix("portcullis-shim-")
        .tempdir_in("/tmp")
        .expect("a temporary directory");
    let readable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), readable).expect("our own directory");
    directory
}
