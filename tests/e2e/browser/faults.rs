//! A console whose authority and whose gates come and go, as a script asks for it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::SET_COOKIE},
    routing::post,
};
use portcullis_contract::v1::UserRole;
use portcullis_tests::{
    authority::{AUDIENCE, GATEWAY, ISSUER, TENANT, TestAuthority, ready},
    console::{COOKIE, TestConsole, person},
    proxy::{Link, Proxy},
};
use portcullis_validator::Validator;
use tokio::{net::TcpListener, sync::Mutex, task::JoinHandle};

/// How long a gate that hears nothing goes on admitting: longer than a form waits for gates, and not much longer.
const STALENESS_MAX: Duration = Duration::from_secs(8);

/// The administrator; everybody else has no role.
const ADMINISTRATOR: &str = "ada";

/// The parts, and the address at which a script asks for faults.
pub(super) struct Faults {
    parts: Arc<Parts>,
    console: TestConsole,
    origin: String,
    control: String,
    serving: JoinHandle<()>,
    /// A second gate beside the console's own.
    _gate: Validator,
}

struct Parts {
    authority: Mutex<TestAuthority>,
    /// Between the second gate and the authority.
    proxy: Proxy,
}

impl Faults {
    pub(super) async fn start() -> Self {
        let authority = TestAuthority::with(|config| {
            config.server.operators_tenant = Some(TENANT.into());
        })
        .await;
        let console = TestConsole::with(&authority, |config| {
            config.authority.max_staleness = STALENESS_MAX;
        })
        .await;
        let proxy = Proxy::start(authority.config.server.grpc_listen).await;
        let gate = Validator::builder(format!("http://{}", proxy.address()))
            .bearer(GATEWAY)
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .name("shop front")
            .max_staleness(STALENESS_MAX);
        let gate = ready(gate).await;

        let parts = Arc::new(Parts {
            authority: Mutex::new(authority),
            proxy,
        });
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await;
        let listener = listener.expect("a free port");
        let control = listener.local_addr().expect("an address");
        let router = router(Arc::clone(&parts));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self {
            parts,
            origin: format!("http://{}", console.config.server.listen),
            console,
            control: format!("http://{control}"),
            serving,
            _gate: gate,
        }
    }

    /// The address of the pages.
    pub(super) fn console(&self) -> &str {
        &self.origin
    }

    /// Where a script asks for faults.
    pub(super) fn control(&self) -> &str {
        &self.control
    }

    pub(super) async fn stop(mut self) {
        self.serving.abort();
        self.console.stop().await;
        self.parts.authority.lock().await.stop().await;
    }
}

fn router(parts: Arc<Parts>) -> Router {
    Router::new()
        .route("/sign-in/{user}", post(sign_in))
        .route("/authority/stop", post(stop_authority))
        .route("/authority/start", post(start_authority))
        .route("/gate/away", post(lose_gate))
        .route("/gate/back", post(find_gate))
        .with_state(parts)
}

/// Sets the cookie as an application's sign-in page does. Cookies know no ports, so the console gets it too.
async fn sign_in(
    State(parts): State<Arc<Parts>>,
    Path(user): Path<String>,
) -> (StatusCode, HeaderMap) {
    let roles: &[UserRole] = match user == ADMINISTRATOR {
        true => &[UserRole::Admin],
        false => &[],
    };
    let signed_in = person(&*parts.authority.lock().await, &user, roles).await;
    let cookie = format!(
        "{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax",
        signed_in.token
    );
    let mut headers = HeaderMap::new();
    let cookie = HeaderValue::from_str(&cookie).expect("a header");
    headers.insert(SET_COOKIE, cookie);
    (StatusCode::NO_CONTENT, headers)
}

async fn stop_authority(State(parts): State<Arc<Parts>>) {
    parts.authority.lock().await.stop().await;
}

async fn start_authority(State(parts): State<Arc<Parts>>) {
    let mut authority = parts.authority.lock().await;
    // It runs already if a test failed before it stopped it.
    authority.stop().await;
    authority.start().await;
}

async fn lose_gate(State(parts): State<Arc<Parts>>) {
    parts.proxy.set(Link::BLACK_HOLE);
}

async fn find_gate(State(parts): State<Arc<Parts>>) {
    parts.proxy.set(Link::default());
    // Packets that were dropped are gone for good: the gate connects anew.
    parts.proxy.reset();
}
