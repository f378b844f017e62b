//! The module inside the newest Envoy, as `deploy/envoy.yaml` configures it.

use std::net::SocketAddr;

use async_trait::async_trait;
use portcullis_tests::{
    authority::GATEWAY,
    door::{Abilities, Ability, Door, DoorOptions, RunningDoor},
    gateways::{
        envoy::{Envoy, EnvoyConfig},
        program::envoys,
    },
    http3,
};
use serde_json::json;

/// Envoy with the module.
pub struct EnvoyModule;

#[async_trait]
impl Door for EnvoyModule {
    fn name(&self) -> &'static str {
        "Envoy module"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            http2: Ability::Yes,
            http3: Ability::Yes,
            grpc: Ability::Yes,
            websockets: Ability::Yes,
            cuts_streams: Ability::Yes,
            limits_upgrades: Ability::Yes,
            cleans_all_names: Ability::Yes,
            cleans_trailers: Ability::Yes,
            refusal_bodies: Ability::Yes,
            refusal_headers: Ability::Yes,
            redirects: Ability::Yes,
            raw_target: Ability::No(super::NORMALIZES),
            client_address: Ability::Yes,
            best_effort: Ability::Yes,
            decider: Ability::No(super::OWN_PROCESS),
            answers_unavailable: Ability::No(super::OWN_PROCESS),
            bounds_decision: Ability::No(super::OWN_PROCESS),
        }
    }

    async fn start(&self, options: &DoorOptions) -> Box<dyn RunningDoor> {
        let mut config = EnvoyConfig::deployed(&options.endpoint(), options.upstream.address());
        let authority = config.at("/authority");
        authority["max_staleness"] = json!(format!("{}ms", options.max_staleness.as_millis()));
        if let Some(stale_max) = options.best_effort {
            authority["best_effort"] = json!(format!("{}ms", stale_max.as_millis()));
        }
        // The file of the credential is written for one listener. Both share the connection.
        let members = authority.as_object_mut().expect("an object");
        members.remove("bearer_file");
        members.insert("bearer".into(), json!(GATEWAY));
        *config.at("/rules") = serde_json::from_str(&options.rules_json()).expect("JSON");
        let http3 = http3::listen_in_envoy(&mut config.value, &options.certificate);
        let envoy = Envoy::start(&envoys()[0], &config).await;
        Box::new(RunningEnvoy { envoy, http3 })
    }
}

struct RunningEnvoy {
    envoy: Envoy,
    http3: SocketAddr,
}

impl RunningDoor for RunningEnvoy {
    fn http(&self) -> SocketAddr {
        self.envoy.address()
    }

    fn http3(&self) -> Option<SocketAddr> {
        Some(self.http3)
    }
}
