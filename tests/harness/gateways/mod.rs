//! The real gateways, in processes of their own, started from the files in `deploy/`.

pub mod caddy;
pub mod envoy;
pub mod ext_authz;
pub mod haproxy;
pub mod nginx;
pub mod program;
mod running;
mod sample;
pub mod traefik;

use std::{
    fs::{Permissions, set_permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
};

use tempfile::TempDir;

pub use self::{
    program::Program,
    running::{Launch, Running},
    sample::{Behind, Https, Sample},
};

/// A running gateway that asks the sidecar about each request.
pub struct Gateway {
    /// The process. It serves HTTP/1.1.
    pub running: Running,
    /// Where it serves HTTP/2 by prior knowledge.
    pub http2: SocketAddr,
    _directory: TempDir,
}

impl Gateway {
    fn new(running: Running, http2: SocketAddr, directory: TempDir) -> Self {
        Self {
            running,
            http2,
            _directory: directory,
        }
    }

    /// Where it serves HTTP/1.1.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.running.address
    }
}

/// Makes a directory that others may enter: NGINX, started by root, works as another user.
///
/// # Panics
/// When it cannot.
#[must_use]
pub fn open_directory() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("permitted");
    directory
}
