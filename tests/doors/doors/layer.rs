//! The tower layer, around the routes of the service itself.

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use portcullis_gate::{Decision, Gate};
use portcullis_tests::door::{Abilities, Ability, Door, DoorOptions, RunningDoor};
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
            cuts_streams: Ability::No("not yet"),
            cleans_trailers: Ability::No("the identity is no header"),
            refusal_bodies: Ability::Yes,
            refusal_headers: Ability::Yes,
            redirects: Ability::Yes,
            raw_target: Ability::Yes,
            best_effort: Ability::Yes,
            decider: Ability::No("decides in its own process"),
        }
    }

    async fn start(&self, options: &DoorOptions) -> Box<dyn RunningDoor> {
        let validator = options.validator().start().expect("good settings");
        let gate =
            Arc::new(Gate::new(Arc::clone(validator.engine()), &options.rules()).expect("rules"));
        let service = options
            .upstream
            .router()
            .layer(axum::middleware::from_fn_with_state(gate, decide));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            axum::serve(listener, service).await.expect("it serves");
        });
        Box::new(Running {
            address,
            serving,
            _validator: validator,
        })
    }
}

async fn decide(
    axum::extract::State(gate): axum::extract::State<Arc<Gate>>,
    mut request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str().to_owned(),
        None => request
            .headers()
            .get("host")
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default()
            .to_owned(),
    };
    let target = request
        .uri()
        .path_and_query()
        .map_or("", |target| target.as_str());
    let decision = gate.decide(&portcullis_gate::RequestHead {
        method: request.method(),
        authority: &authority,
        target,
        headers: request.headers(),
        peer: None,
    });
    match decision {
        Decision::Allow(allow) => {
            allow.headers.apply(request.headers_mut());
            next.run(request).await
        }
        Decision::Deny(deny) => {
            let mut response = axum::response::Response::new(deny.body.into());
            *response.status_mut() = deny.status;
            response.headers_mut().extend(deny.headers);
            response
        }
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
