//! Rust services: the tower layer around the routes of the service itself, and the example gateway, a reverse proxy with
//! that layer.

use std::{future::pending, net::SocketAddr};

use async_trait::async_trait;
use futures::future::BoxFuture;
use portcullis_example_gateway::Gateway;
use portcullis_tests::{
    door::{Abilities, Ability, Door, DoorOptions, RunningDoor},
    guarded_service::guarded_service,
};
use portcullis_validator::Validator;
use tokio::{net::TcpListener, task::JoinHandle};

/// A door in the process of the tests.
pub struct RustDoor {
    name: &'static str,
    limits_upgrades: Ability,
    /// The server's work, which never ends.
    serve: fn(&Validator, &DoorOptions, TcpListener) -> BoxFuture<'static, ()>,
}

/// A service with the layer.
pub const LAYER: RustDoor = RustDoor {
    name: "tower layer",
    limits_upgrades: Ability::No("the service itself decides what it upgrades to"),
    serve: serve_service,
};

/// The example gateway.
pub const EXAMPLE_GATEWAY: RustDoor = RustDoor {
    name: "example gateway",
    limits_upgrades: Ability::Yes,
    serve: serve_gateway,
};

fn serve_service(
    validator: &Validator,
    options: &DoorOptions,
    listener: TcpListener,
) -> BoxFuture<'static, ()> {
    let service = guarded_service(validator, &options.rules(), &options.upstream);
    let service = service.into_make_service_with_connect_info::<SocketAddr>();
    Box::pin(async move { axum::serve(listener, service).await.expect("it serves") })
}

fn serve_gateway(
    validator: &Validator,
    options: &DoorOptions,
    listener: TcpListener,
) -> BoxFuture<'static, ()> {
    let upstream = options.upstream.address().to_string();
    let upstream = upstream.parse().expect("an address");
    let gateway = Gateway::new(validator, &options.rules(), upstream).expect("good rules");
    Box::pin(gateway.serve(listener, pending()))
}

#[async_trait]
impl Door for RustDoor {
    fn name(&self) -> &'static str {
        self.name
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            http2: Ability::Yes,
            http3: Ability::No("no HTTP/3 server"),
            grpc: Ability::Yes,
            websockets: Ability::Yes,
            cuts_streams: Ability::Yes,
            limits_upgrades: self.limits_upgrades,
            cleans_all_names: Ability::Yes,
            cleans_trailers: Ability::Yes,
            refusal_bodies: Ability::Yes,
            refusal_headers: Ability::Yes,
            redirects: Ability::Yes,
            raw_target: Ability::Yes,
            client_address: Ability::Yes,
            best_effort: Ability::Yes,
            decider: Ability::No(super::OWN_PROCESS),
            answers_unavailable: Ability::No(super::OWN_PROCESS),
            bounds_decision: Ability::No(super::OWN_PROCESS),
        }
    }

    async fn start(&self, options: &DoorOptions) -> Box<dyn RunningDoor> {
        let validator = options.validator().start().expect("good settings");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn((self.serve)(&validator, options, listener));
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
