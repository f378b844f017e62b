//! The module inside the newest Envoy, as `deploy/envoy.yaml` configures it.

use std::net::SocketAddr;

use async_trait::async_trait;
use portcullis_tests::{
    door::{Abilities, Ability, Door, DoorOptions, RunningDoor},
    gateways::{
        envoy::{Envoy, EnvoyConfig},
        program::envoys,
    },
};
use serde_json::json;

/// Envoy with the module.
pub struct EnvoyModule;

#[async_trait]
impl Door for EnvoyModule {
    fn name(&self) -> &'static str {
        "envoy module"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            http2: Ability::Yes,
            http3: Ability::No("in tests/envoy: it needs TLS"),
            grpc: Ability::Yes,
            websockets: Ability::Yes,
            cuts_streams: Ability::Yes,
            cleans_all_names: Ability::Yes,
            cleans_trailers: Ability::Yes,
            refusal_bodies: Ability::Yes,
            refusal_headers: Ability::Yes,
            redirects: Ability::Yes,
            raw_target: Ability::No("Envoy normalizes or refuses it first"),
            limits_upgrades: Ability::Yes,
            client_address: Ability::Yes,
            best_effort: Ability::Yes,
            decider: Ability::No("decides in its own process"),
        }
    }

    async fn start(&self, options: &DoorOptions) -> Box<dyn RunningDoor> {
        let mut config = EnvoyConfig::deployed(&options.endpoint(), options.upstream.address());
        let authority = config.at("/authority");
        authority["max_staleness"] = json!(format!("{}ms", options.max_staleness.as_millis()));
        if let Some(stale_max) = options.best_effort {
            authority["best_effort"] = json!(format!("{}ms", stale_max.as_millis()));
        }
        *config.at("/rules") = serde_json::from_str(&options.rules_json()).expect("JSON");
        let envoy = Envoy::start(&envoys()[0], &config).await;
        Box::new(RunningEnvoy(envoy))
    }
}

struct RunningEnvoy(Envoy);

impl RunningDoor for RunningEnvoy {
    fn http(&self) -> SocketAddr {
        self.0.address()
    }
}
