//! Debian's SoftHSM 2: a token of PKCS#11 in files, and OpenSC's tool, which makes keys in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::authority::write_private;

/// The PIN of every token here.
pub const PIN: &str = "46-38-21";
/// The library.
pub const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// Tokens in a directory of their own.
pub struct SoftHsm {
    directory: TempDir,
}

impl SoftHsm {
    /// Makes a directory for tokens, and the file of a PIN.
    ///
    /// # Panics
    /// When SoftHSM is not there.
    #[must_use]
    pub fn new() -> Self {
        let is_there = Path::new(MODULE).is_file();
        assert!(is_there, "no {MODULE}: run `cargo xtask test`");
        let directory = tempfile::tempdir().expect("a directory");
        let hsm = Self { directory };
        fs::create_dir(hsm.file("tokens")).expect("a directory");
        let tokens = hsm.file("tokens");
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            tokens.display()
        );
        fs::write(hsm.configuration(), text).expect("written");
        write_private(&hsm.pin_file(), PIN);
        hsm
    }

    /// The variable by which the module finds its tokens.
    #[must_use]
    pub fn variable(&self) -> (&'static str, String) {
        ("SOFTHSM2_CONF", self.configuration().display().to_string())
    }

    /// The file with the PIN.
    #[must_use]
    pub fn pin_file(&self) -> PathBuf {
        self.file("pin")
    }

    /// A file beside the tokens.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a token.
    ///
    /// # Panics
    /// When SoftHSM does not make it.
    pub fn make_token(&self, label: &str) {
        let arguments = [
            "--init-token",
            "--free",
            "--label",
            label,
            "--pin",
            PIN,
            "--so-pin",
            "87654321",
        ];
        self.run("softhsm2-util", &arguments);
    }

    /// Makes a key that the token keeps, by the command of docs/operating/keys.md.
    ///
    /// # Panics
    /// When the token does not make it.
    pub fn make_key(&self, token: &str, label: &str) {
        self.make(token, label, "GENERIC:32", &["--sensitive"]);
    }

    /// Makes a key that the token would give away.
    ///
    /// # Panics
    /// When the token does not make it.
    pub fn make_extractable_key(&self, token: &str, label: &str) {
        self.make(
            token,
            label,
            "GENERIC:32",
            &["--sensitive", "--extractable"],
        );
    }

    fn make(&self, token: &str, label: &str, kind: &str, more: &[&str]) {
        let arguments = [
            "--module",
            MODULE,
            "--token-label",
            token,
            "--login",
            "--pin",
            PIN,
            "--keygen",
            "--key-type",
            kind,
            "--label",
            label,
        ];
        self.run("pkcs11-tool", &[&arguments[..], more].concat());
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let (name, value) = self.variable();
        let ran = Command::new(program)
            .args(arguments)
            .env(name, value)
            .output();
        let ran = ran.unwrap_or_else(|error| panic!("{program}: {error}: run `cargo xtask test`"));
        assert!(ran.status.success(), "{program}: {ran:?}");
        ran
    }

    /// The tokens are gone, as if they were unplugged.
    ///
    /// # Panics
    /// When they were gone before.
    pub fn unplug(&self) {
        fs::rename(self.file("tokens"), self.file("unplugged")).expect("moved");
        fs::create_dir(self.file("tokens")).expect("a directory");
    }

    fn configuration(&self) -> PathBuf {
        self.file("softhsm2.conf")
    }
}

impl Default for SoftHsm {
    fn default() -> Self {
        Self::new()
    }
}
