//! The example gateway, a reverse proxy with the tower layer.

use std::{future::pending, net::SocketAddr};

use async_trait::async_trait;
use portcullis_example_gateway::Gateway;
use portcullis_tests::door::{Abilities, Ability, Door, DoorOptions, RunningDoor};
use tokio::{net::TcpListener, task::JoinHandle};

/// The example gateway.
pub struct ExampleGateway;

#[async_trait]
impl Door for ExampleGateway {
    fn name(&self) -> &'static str {
        "example gateway"
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            http2: Ability::Yes,
            http3: Ability::No("no HTTP/3 server"),
            grpc: Ability::Yes,
            websockets: Ability::Yes,
            cuts_streams: Ability::Yes,
            cleans_all_names: Ability::Yes,
            cleans_trailers: Ability::Yes,
            refusal_bodies: Ability::Yes,
            refusal_headers: Ability::Yes,
            redirects: Ability::Yes,
            raw_target: Ability::Yes,
            limits_upgrades: Ability::Yes,
            client_address: Ability::Yes,
            best_effort: Ability::Yes,
            decider: Ability::No("decides in its own process"),
        }
    }

    async fn start(&self, options: &DoorOptions) -> Box<dyn RunningDoor> {
        let validator = options.validator().start().expect("good settings");
        let upstream = options.upstream.address().to_string();
        let upstream = upstream.parse().expect("an address");
        let gateway = Gateway::new(&validator, &options.rules(), upstream).expect("good rules");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(gateway.serve(listener, pending()));
        Box::new(Running { address, serving })
    }
}

struct Running {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl RunningDoor for Running {
    fn http(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
