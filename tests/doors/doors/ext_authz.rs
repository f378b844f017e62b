//! Envoy that asks the sidecar, from `deploy/envoy-ext-authz.yaml`.

use std::{net::SocketAddr, path::PathBuf};

use async_trait::async_trait;
use portcullis_tests::{
    door::{Abilities, Ability, Door, DoorOptions, RunningDoor},
    gateways::{Running, ext_authz, program::envoys},
    sidecar::{SidecarConfig, TestSidecar},
    wait::eventually,
};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::UnixStream;

/// The newest Envoy with a sidecar of its own.
pub struct ExtAuthz;

#[async_trait]
impl Door for ExtAuthz {
    fn name(&self) -> &'static str {
        "envoy ext_authz"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            http2: Ability::Yes,
            http3: Ability::No("the sample has no HTTP/3"),
            grpc: Ability::No("the sample's application is HTTP/1.1"),
            websockets: Ability::Yes,
            cuts_streams: Ability::No("checked once; 5 min at most"),
            cleans_trailers: Ability::Yes,
            refusal_bodies: Ability::Yes,
            refusal_headers: Ability::Yes,
            redirects: Ability::Yes,
            raw_target: Ability::No("Envoy normalizes it first"),
            best_effort: Ability::Yes,
            decider: Ability::Yes,
        }
    }

    async fn start(&self, options: &DoorOptions) -> Box<dyn RunningDoor> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let socket = directory.path().join("authz.sock");
        let mut config = SidecarConfig::new(&options.endpoint());
        config.authority = format!(
            "max_staleness = \"{}ms\"\n",
            options.max_staleness.as_millis()
        );
        if let Some(stale_max) = options.best_effort {
            let line = format!("best_effort = \"{}ms\"\n", stale_max.as_millis());
            config.authority.push_str(&line);
        }
        config.ext_authz = format!("listen = \"unix:{}\"\n", socket.display());
        config.forward_auth.clear();
        config.rules = options.rules.clone();

        let sidecar = TestSidecar::start(&config).await;
        let newest = &envoys()[0];
        let envoy = ext_authz::start(newest, &socket, options.upstream.address()).await;
        Box::new(RunningEnvoy {
            envoy,
            sidecar,
            socket,
            _directory: directory,
        })
    }
}

struct RunningEnvoy {
    envoy: Running,
    sidecar: TestSidecar,
    socket: PathBuf,
    /// Kept, because the socket is in it.
    _directory: TempDir,
}

#[async_trait]
impl RunningDoor for RunningEnvoy {
    fn http(&self) -> SocketAddr {
        self.envoy.address
    }

    async fn kill_decider(&self) {
        self.sidecar.signal(Signal::KILL);
        eventually("the sidecar to be gone", async || {
            UnixStream::connect(&self.socket).await.err()
        })
        .await;
    }
}
