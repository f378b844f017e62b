//! Hostile bytes against every decoder: one module a target.
//!
//! `check` throws bytes at a decoder, panics when what it says of them cannot be, and returns whether they were
//! accepted. `seeds` gives the inputs that the corpus begins with; `cargo run --example seeds` writes them.

pub mod access_token;
pub mod checkpoint;
pub mod configuration;
pub mod credential;
pub mod cursor;
pub mod delta;
pub mod follower;
pub mod gate;
pub mod page_token;
pub mod refresh_token;
pub mod snapshot;
pub mod world;

/// An input that the corpus begins with.
pub struct Seed {
    /// The name of its file.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
    /// Whether `check` accepts it.
    pub accepted: bool,
}

impl Seed {
    /// One that is accepted.
    pub fn good(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
            accepted: true,
        }
    }

    /// One that is refused.
    pub fn bad(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
            accepted: false,
        }
    }
}

/// A fuzz target.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Throws bytes at the decoder.
    pub check: fn(&[u8]) -> bool,
    /// Where its corpus begins.
    pub seeds: fn() -> Vec<Seed>,
}

macro_rules! targets {
    ($($name:ident),*) => {
        [$(Target { name: stringify!($name), check: $name::check, seeds: $name::seeds }),*]
    };
}

/// All targets.
pub const TARGETS: [Target; 11] = targets!(
    access_token,
    refresh_token,
    page_token,
    delta,
    snapshot,
    checkpoint,
    cursor,
    configuration,
    credential,
    gate,
    follower
);

/// The first byte of an input chooses what is done with the rest.
pub(crate) fn mode(data: &[u8]) -> Option<(u8, &[u8])> {
    data.split_first().map(|(mode, rest)| (*mode, rest))
}

pub(crate) fn with_mode(mode: u8, rest: impl AsRef<[u8]>) -> Vec<u8> {
    [&[mode], rest.as_ref()].concat()
}
