//! Gateways that ask the sidecar by forward-auth, started from the files in `deploy/`.

use std::net::SocketAddr;

use async_trait::async_trait;
use futures::future::BoxFuture;
use portcullis_tests::{
    door::{Abilities, Ability, Door, DoorOptions, RunningDoor},
    gateways::{Behind, Gateway, caddy, haproxy, nginx, open_directory, program, traefik},
    sidecar::{SidecarConfig, TestSidecar},
};
use tempfile::TempDir;
use tokio::sync::Mutex;

const NO_CUT: Ability = Ability::No("bounds the age of a stream instead");
const NO_HTTP3: Ability = Ability::No("no HTTP/3 in its sample");

/// A gateway that asks the sidecar.
pub struct Asking {
    name: &'static str,
    abilities: Abilities,
    /// Whether it asks through a Unix socket.
    takes_socket: bool,
    start: fn(Behind) -> BoxFuture<'static, Gateway>,
}

impl Asking {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let abilities = Abilities {
            http2: Ability::Yes,
            http3: NO_HTTP3,
            grpc: Ability::No("its sample has no gRPC upstream"),
            websockets: Ability::Yes,
            cuts_streams: NO_CUT,
            limits_upgrades: Ability::Yes,
            cleans_all_names: Ability::Yes,
            cleans_trailers: Ability::No("passes announced trailers on"),
            refusal_bodies: Ability::Yes,
            refusal_headers: Ability::Yes,
            redirects: Ability::Yes,
            raw_target: Ability::Yes,
            client_address: Ability::Yes,
            best_effort: Ability::Yes,
            decider: Ability::Yes,
        };
        let gateway = |name, start| Self {
            name,
            abilities,
            takes_socket: true,
            start,
        };
        vec![
            Self {
                abilities: Abilities {
                    cleans_all_names: Ability::No("removes the names that there are"),
                    cleans_trailers: Ability::Yes,
                    ..abilities
                },
                ..gateway("NGINX", |behind| {
                    Box::pin(async move { nginx::start(&program::nginxes()[0], &behind).await })
                })
            },
            gateway("Caddy", |behind| {
                Box::pin(async move { caddy::start(&program::caddies()[1], &behind).await })
            }),
            Self {
                takes_socket: false,
                ..gateway("Traefik", |behind| {
                    Box::pin(async move { traefik::start(&program::traefik(), &behind).await })
                })
            },
            gateway("HAProxy", |behind| {
                Box::pin(async move { haproxy::start(&program::haproxy(), &behind).await })
            }),
        ]
    }
}

#[async_trait]
impl Door for Asking {
    fn name(&self) -> &'static str {
        self.name
    }

    fn abilities(&self) -> Abilities {
        self.abilities
    }

    async fn start(&self, options: &DoorOptions) -> Box<dyn RunningDoor> {
        let directory = open_directory();
        let mut config = sidecar_config(options);
        config.ext_authz = String::new();
        if self.takes_socket {
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
        let gateway = (self.start)(behind).await;
        Box::new(Running {
            gateway,
            sidecar: Mutex::new(sidecar),
            _directory: directory,
        })
    }
}

/// The settings of a sidecar for a door under test.
pub fn sidecar_config(options: &DoorOptions) -> SidecarConfig {
    let mut config = SidecarConfig::new(&options.endpoint());
    config.authority.push_str(&format!(
        "max_staleness = \"{}ms\"\n",
        options.max_staleness.as_millis()
    ));
    if let Some(stale_max) = options.best_effort {
        config
            .authority
            .push_str(&format!("best_effort = \"{}ms\"\n", stale_max.as_millis()));
    }
    // The rules are a part of the sidecar's own file.
    let part = toml::Table::from_iter([("rules".to_owned(), options.rules.clone().into())]);
    let text = toml::to_string(&part).expect("TOML");
    let lines = text.strip_prefix("[rules]\n").expect("a table");
    lines.clone_into(&mut config.rules);
    config
}

struct Running {
    gateway: Gateway,
    sidecar: Mutex<TestSidecar>,
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

    async fn kill_decider(&self) {
        self.sidecar.lock().await.kill().await;
    }
}
