//! A file of `deploy/`, with the addresses of a test in it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use aho_corasick::{AhoCorasick, MatchKind};

use super::program::root;

/// The address at which every shipped file listens.
const LISTEN: &str = "127.0.0.1:8080";

/// The address of the application in every shipped file.
const APPLICATION: &str = "127.0.0.1:3000";

/// The servers behind a gateway.
#[derive(Clone, Debug)]
pub struct Behind {
    /// Where the sidecar answers `/verify`: an address, or `unix:` and a path.
    pub sidecar: String,
    /// The application.
    pub application: SocketAddr,
}

/// A listener of a gateway for HTTPS, with HTTP/3, beside the one without TLS.
#[derive(Clone, Debug)]
pub struct Https {
    /// Where it listens, in TCP and UDP.
    pub address: SocketAddr,
    /// The file of its certificate.
    pub certificate: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
}

/// The text of a shipped file.
#[derive(Clone, Debug)]
pub struct Sample {
    name: String,
    text: String,
    /// What is replaced, and by what.
    values: Vec<(String, String)>,
}

impl Sample {
    /// Reads a file as we ship it.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn deployed(name: &str) -> Self {
        let path = root().join("deploy").join(name);
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self {
            name: name.to_owned(),
            text,
            values: Vec::new(),
        }
    }

    /// Replaces a value that a person sets.
    ///
    /// # Panics
    /// When the file does not have it: then the file and the test do not agree.
    #[must_use]
    pub fn set(mut self, shipped: &str, ours: &str) -> Self {
        assert!(
            self.text.contains(shipped),
            "deploy/{} has no `{shipped}`",
            self.name
        );
        self.values.push((shipped.to_owned(), ours.to_owned()));
        self
    }

    /// Returns the lines from `first` to the next empty line.
    ///
    /// # Panics
    /// When the file does not have them.
    #[must_use]
    pub fn block(&self, first: &str) -> String {
        let start = self.text.find(first);
        let start = start.unwrap_or_else(|| panic!("deploy/{} has no `{first}`", self.name));
        let rest = &self.text[start..];
        let end = rest.find("\n\n").unwrap_or(rest.len());
        rest[..end].to_owned()
    }

    /// Replaces the address at which the gateway listens.
    #[must_use]
    pub fn listen(self, address: SocketAddr) -> Self {
        self.set(LISTEN, &address.to_string())
    }

    /// Replaces the address of the application.
    #[must_use]
    pub fn application(self, behind: &Behind) -> Self {
        self.set(APPLICATION, &behind.application.to_string())
    }

    /// Writes it for the gateway to read.
    ///
    /// # Panics
    /// When it cannot.
    pub fn write(&self, file: &Path) {
        fs::write(file, self.text()).expect("written");
    }

    /// The text with all values in one pass: a value that was put in is not looked at again. Port 3000 of the shipped
    /// file is also the beginning of the test's port 30002.
    fn text(&self) -> String {
        let (shipped, ours): (Vec<_>, Vec<_>) = self.values.iter().cloned().unzip();
        AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(shipped)
            .expect("a few short patterns")
            .replace_all(&self.text, &ours)
    }
}
