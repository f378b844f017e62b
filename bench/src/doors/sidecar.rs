//! The sidecar, with listeners that gateways of any user may reach.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use anyhow::Result;
use portcullis_tests::sidecar::{SidecarConfig, TestSidecar};
use tempfile::TempDir;

use super::Settings;

/// A running sidecar.
pub(crate) struct Sidecar {
    running: TestSidecar,
    directory: TempDir,
}

/// Where `/verify` listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    /// On a free port: Traefik knows no sockets.
    Tcp,
    Unix,
}

impl Sidecar {
    /// Starts it and waits until it can decide. `ext_authz` listens on a Unix socket.
    pub(crate) async fn start(settings: &Settings, verify: Verify) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        // NGINX, started by root, works as another user.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
        let mut config = SidecarConfig::new(&settings.endpoint);
        let max_staleness = settings.max_staleness.as_millis();
        config.authority = format!("max_staleness = \"{max_staleness}ms\"\n");
        config.limits = String::new();
        let unix = |name: &str| {
            let path = directory.path().join(name);
            let path = path.display();
            format!("listen = \"unix:{path}\"\nsocket_mode = \"666\"\n")
        };
        config.ext_authz = unix("ext-authz.sock");
        if verify == Verify::Unix {
            config.forward_auth = unix("forward-auth.sock");
        }
        let running = TestSidecar::ready_with(&config).await;
        Ok(Self { running, directory })
    }

    /// The socket of `ext_authz`.
    pub(crate) fn ext_authz(&self) -> PathBuf {
        self.directory.path().join("ext-authz.sock")
    }

    /// Where `/verify` listens: an address, or `unix:` and a path.
    pub(crate) fn forward_auth(&self) -> &str {
        &self.running.forward_auth
    }

    pub(crate) fn id(&self) -> u32 {
        self.running.id().as_raw_nonzero().get().unsigned_abs()
    }
}
