//! Gateways that ask the sidecar by forward-auth, started from the files in `deploy/`.

use std::net::SocketAddr;

use async_trait::async_trait;
use http::StatusCode;
use portcullis_tests::{
    door::{Abilities, Ability, Door, DoorOptions, RunningDoor},
    gateways::{Behind, Gateway, open_directory},
    sidecar::{SidecarConfig, TestSidecar},
    visitor::Visit,
    wait::eventually,
};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::kind::Kind;

/// A gateway that asks the sidecar.
pub struct Asking(pub Kind);

#[async_trait]
impl Door for Asking {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn abilities(&self) -> Abilities {
        let common = Abilities {
            http2: Ability::Yes,
            http3: Ability::No("no HTTP/3 in its packages"),
            grpc: Ability::No("its sample forwards HTTP/1.1"),
            websockets: Ability::Yes,
            cuts_streams: Ability::No("asks once; its page says what bounds the age of a stream"),
            limits_upgrades: Ability::Yes,
            cleans_all_names: Ability::Yes,
            cleans_trailers: Ability::No(
                "passes trailers on; an application must not take them for headers",
            ),
            refusal_bodies: Ability::Yes,
            refusal_headers: Ability::Yes,
            redirects: Ability::Yes,
            raw_target: Ability::Yes,
            client_address: Ability::Yes,
            best_effort: Ability::Yes,
            decider: Ability::Yes,
            answers_unavailable: Ability::Yes,
            bounds_decision: Ability::Yes,
        };
        match self.0 {
            Kind::NginxDebian | Kind::NginxNewest => Abilities {
                cleans_all_names: Ability::No("removes the headers that there are, by name"),
                cleans_trailers: Ability::Yes,
                ..common
            },
            Kind::CaddyDebian | Kind::CaddyNewest => Abilities {
                http3: Ability::Yes,
                ..common
            },
            Kind::Traefik => Abilities {
                http3: Ability::Yes,
                answers_unavailable: Ability::No("answers 500, without a time"),
                bounds_decision: Ability::No("waits for 30 s, and admits nobody meanwhile"),
                ..common
            },
            Kind::Haproxy => common,
        }
    }

    async fn start(&self, options: &DoorOptions) -> Box<dyn RunningDoor> {
        let directory = open_directory();
        let mut config = sidecar_config(options);
        config.ext_authz = String::new();
        if self.0.takes_socket() {
            let socket = directory.path().join("forward-auth.sock");
            // NGINX, started by root, asks as another user.
            config.forward_auth = format!(
                "listen = \"unix:{}\"\nsocket_mode = \"0666\"\n",
                socket.display()
            );
        }
        let sidecar = TestSidecar::start(&config).await;
        let behind = Behind {
            sidecar: sidecar.forward_auth.clone(),
            application: options.upstream.address(),
        };
        let https = options.certificate.write(directory.path());
        let gateway = self.0.start_https(&behind, &https).await;
        // Traefik listens before it knows its routes.
        eventually("the gateway to know its routes", async || {
            let answer = Visit::get("/ready").http1(gateway.http()).await?;
            (answer.status != StatusCode::NOT_FOUND).then_some(())
        })
        .await;
        Box::new(Running {
            gateway,
            http3: https.address,
            sidecar: Mutex::new(sidecar),
            _directory: directory,
        })
    }
}

/// The settings of a sidecar for a door under test.
pub fn sidecar_config(options: &DoorOptions) -> SidecarConfig {
    let mut config = SidecarConfig::new(&options.endpoint());
    let staleness = options.max_staleness.as_millis();
    config
        .authority
        .push_str(&format!("max_staleness = \"{staleness}ms\"\n"));
    if let Some(stale_max) = options.best_effort {
        let stale_max = stale_max.as_millis();
        config
            .authority
            .push_str(&format!("best_effort = \"{stale_max}ms\"\n"));
    }
    config.rules = options.rules.clone();
    config
}

struct Running {
    gateway: Gateway,
    http3: SocketAddr,
    sidecar: Mutex<TestSidecar>,
    /// Kept, because the socket and the certificate are in it.
    _directory: TempDir,
}

#[async_trait]
impl RunningDoor for Running {
    fn http(&self) -> SocketAddr {
        self.gateway.http()
    }

    fn http2(&self) -> SocketAddr {
        self.gateway.http2
    }

    fn http3(&self) -> Option<SocketAddr> {
        Some(self.http3)
    }

    async fn kill_decider(&self) {
        self.sidecar.lock().await.kill().await;
    }

    async fn stop_decider(&self) {
        self.sidecar.lock().await.hang().await;
    }
}
