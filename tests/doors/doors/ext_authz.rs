//! Envoy that asks the sidecar, from `deploy/envoy-ext-authz.yaml`.

use std::net::SocketAddr;

use async_trait::async_trait;
use portcullis_tests::{
    door::{Abilities, Ability, Door, DoorOptions, RunningDoor},
    gateways::{Running, ext_authz, program::envoys},
    http3,
    sidecar::TestSidecar,
};
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::asking::sidecar_config;

/// The newest Envoy with a sidecar of its own.
pub struct ExtAuthz;

#[async_trait]
impl Door for ExtAuthz {
    fn name(&self) -> &'static str {
        "Envoy ext_authz"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            http2: Ability::Yes,
            http3: Ability::Yes,
            grpc: Ability::No("its sample forwards HTTP/1.1"),
            websockets: Ability::Yes,
            cuts_streams: Ability::No("asks once; a stream lasts at most 5 min"),
            limits_upgrades: Ability::Yes,
            cleans_all_names: Ability::Yes,
            cleans_trailers: Ability::Yes,
            refusal_bodies: Ability::Yes,
            refusal_headers: Ability::Yes,
            redirects: Ability::Yes,
            raw_target: Ability::No(super::NORMALIZES),
            client_address: Ability::Yes,
            best_effort: Ability::Yes,
            decider: Ability::Yes,
            answers_unavailable: Ability::Yes,
            bounds_decision: Ability::Yes,
        }
    }

    async fn start(&self, options: &DoorOptions) -> Box<dyn RunningDoor> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let socket = directory.path().join("authz.sock");
        let mut config = sidecar_config(options);
        config.ext_authz = format!("listen = \"unix:{}\"\n", socket.display());
        config.forward_auth.clear();

        let sidecar = TestSidecar::start(&config).await;
        let upstream = options.upstream.address();
        let newest = envoys().remove(0);
        let mut address = None;
        let envoy = ext_authz::start_with(&newest, &socket, upstream, |config| {
            address = Some(http3::listen_in_envoy(config, &options.certificate));
        })
        .await;
        Box::new(RunningEnvoy {
            envoy,
            http3: address,
            sidecar: Mutex::new(sidecar),
            _directory: directory,
        })
    }
}

struct RunningEnvoy {
    envoy: Running,
    http3: Option<SocketAddr>,
    sidecar: Mutex<TestSidecar>,
    /// Kept, because the socket is in it.
    _directory: TempDir,
}

#[async_trait]
impl RunningDoor for RunningEnvoy {
    fn http(&self) -> SocketAddr {
        self.envoy.address
    }

    fn http3(&self) -> Option<SocketAddr> {
        self.http3
    }

    async fn kill_decider(&self) {
        self.sidecar.lock().await.kill().await;
    }

    async fn stop_decider(&self) {
        self.sidecar.lock().await.hang().await;
    }
}
