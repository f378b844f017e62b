//! The tower layer, around the routes of the service itself.

use std::net::SocketAddr;

use async_trait::async_trait;
use portcullis_tests::{
    door::{Abilities, Ability, Door, DoorOptions, RunningDoor},
    guarded_service::guarded_service,
};
use portcullis_validator::Validator;
use tokio::{net::TcpListener, task::JoinHandle};

/// A service with the layer.
pub struct Layer;

#[async_trait]
impl Door for Layer {
    fn name(&self) -> &'static str {
        "tower layer"
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
            limits_upgrades: Ability::No("the service itself upgrades"),
            client_address: Ability::Yes,
            best_effort: Ability::Yes,
            decider: Ability::No("decides in its own process"),
        }
    }

    async fn start(&self, options: &DoorOptions) -> Box<dyn RunningDoor> {
        let validator = options.validator().start().expect("good settings");
        let service = guarded_service(&validator, &options.rules(), &options.upstream);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            let service = service.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, service).await.expect("it serves");
        });
        Box::new(Running {
            address,
            serving,
            _validator: validator,
        })
    }
}

struct Running {
    address: SocketAddr,
    serving: JoinHandle<()>,
    _validator: Validator,
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
