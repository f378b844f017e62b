//! A receiver of webhooks, and the library of the specification, which verifies what it got.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Instant,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::post,
};
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpListener, process::Command};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

use crate::{application::node_home, wait::within};

/// A request that the receiver got.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: String,
    /// The status that it was answered.
    pub answered: u16,
    /// When it came.
    pub at: Instant,
}

impl Received {
    /// A header.
    ///
    /// # Panics
    /// When the request does not have it.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.unwrap_or_else(|| panic!("{name} in {:?}", self.headers))
    }

    /// The event in the body.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn event(&self) -> Value {
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        body["data"].clone()
    }
}

/// Decides about a request by its event.
type Rule = Box<dyn Fn(&Value) -> Option<u16> + Send>;

#[derive(Default)]
struct Inner {
    received: Vec<Received>,
    /// Answers to the next requests, with the seconds of `Retry-After`.
    next: VecDeque<(u16, Option<u64>)>,
    rule: Option<Rule>,
    /// The first bytes of each connection to a port with TLS.
    connections: Vec<Vec<u8>>,
}

/// A receiver on this machine.
#[derive(Clone)]
pub struct WebhookReceiver {
    inner: Arc<Mutex<Inner>>,
    address: SocketAddr,
    is_tls: bool,
}

impl WebhookReceiver {
    /// Starts it. It takes everything.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let inner = Arc::<Mutex<Inner>>::default();
        let address = listener.local_addr().expect("an address");
        let routes = Router::new()
            .route("/hooks/audit", post(receive))
            .with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self {
            inner,
            address,
            is_tls: false,
        }
    }

    /// Starts one that speaks TLS only, with a certificate for `localhost` that a private authority signs. Returns the
    /// certificate of that authority too.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn start_with_tls() -> (Self, String) {
        let authority = Issuer::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let inner = Arc::<Mutex<Inner>>::default();
        let address = listener.local_addr().expect("an address");
        let acceptor = authority.acceptor("localhost");
        tokio::spawn(serve_tls(listener, acceptor, Arc::clone(&inner)));
        let receiver = Self {
            inner,
            address,
            is_tls: true,
        };
        (receiver, authority.certificate())
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        match self.is_tls {
            true => format!("https://localhost:{}/hooks/audit", self.address.port()),
            false => format!("http://{}/hooks/audit", self.address),
        }
    }

    /// The connections that were opened, and the bytes that the first of them began with.
    ///
    /// # Panics
    /// When another test thread panicked.
    #[must_use]
    pub fn connections(&self) -> Vec<Vec<u8>> {
        self.inner.lock().expect("whole").connections.clone()
    }

    /// Answers the next request with a status.
    ///
    /// # Panics
    /// When another test thread panicked.
    pub fn answer_next(&self, status: u16, retry_after: Option<u64>) {
        let mut inner = self.inner.lock().expect("whole");
        inner.next.push_back((status, retry_after));
    }

    /// Answers by a rule from now on; what it does not decide about is taken.
    ///
    /// # Panics
    /// When another test thread panicked.
    pub fn decide(&self, rule: impl Fn(&Value) -> Option<u16> + Send + 'static) {
        self.inner.lock().expect("whole").rule = Some(Box::new(rule));
    }

    /// All that it got.
    ///
    /// # Panics
    /// When another test thread panicked.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.inner.lock().expect("whole").received.clone()
    }

    /// The requests that it took.
    #[must_use]
    pub fn taken(&self) -> Vec<Received> {
        let mut received = self.received();
        received.retain(|request| request.answered < 300);
        received
    }
}

/// A private certificate authority.
struct Issuer {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Issuer {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            certificate,
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    fn certificate(&self) -> String {
        self.certificate.pem()
    }

    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new([name.to_owned()]).expect("a name");
        let signed = params.signed_by(&key, &self.issuer).expect("signed");
        let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![signed.der().clone()], private)
            .expect("a certificate");
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn serve_tls(listener: TcpListener, acceptor: TlsAcceptor, inner: Arc<Mutex<Inner>>) {
    let routes = Router::new()
        .route("/hooks/audit", post(receive))
        .with_state(Arc::clone(&inner));
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, routes, inner) = (acceptor.clone(), routes.clone(), Arc::clone(&inner));
        tokio::spawn(async move {
            let mut begin = [0; 5];
            let peeked = stream.peek(&mut begin).await.unwrap_or(0);
            let begin = begin[..peeked].to_vec();
            inner.lock().expect("whole").connections.push(begin);
            let Ok(encrypted) = acceptor.accept(stream).await else {
                return;
            };
            let service = TowerToHyperService::new(routes);
            let served = http1::Builder::new().serve_connection(TokioIo::new(encrypted), service);
            // A client that goes away is no fault of the receiver.
            let _ended = served.await;
        });
    }
}

async fn receive(State(inner): State<Arc<Mutex<Inner>>>, request: Request) -> Response {
    let at = Instant::now();
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let body = String::from_utf8(body.to_vec()).expect("UTF-8");
    let headers = text_of(&head.headers);
    let mut inner = inner.lock().expect("whole");
    let (status, retry_after) = match inner.next.pop_front() {
        Some(next) => next,
        None => {
            let event = serde_json::from_str::<Value>(&body).expect("JSON")["data"].clone();
            let decided = inner.rule.as_ref().and_then(|rule| rule(&event));
            (decided.unwrap_or(204), None)
        }
    };
    inner.received.push(Received {
        headers,
        body,
        answered: status,
        at,
    });
    let status = StatusCode::from_u16(status).expect("a status");
    match retry_after {
        Some(seconds) => (status, [(RETRY_AFTER, seconds.to_string())]).into_response(),
        None => status.into_response(),
    }
}

fn text_of(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for (name, value) in headers {
        let value = value.to_str().expect("ASCII").to_owned();
        texts.insert(name.to_string(), value);
    }
    texts
}

/// What the library of the specification says about each request: `ok`, or an error.
///
/// # Panics
/// When the library cannot be run.
pub async fn verify(requests: &[(&str, Received)]) -> Vec<String> {
    let home = node_home("webhook", "tests/webhook").await;
    let mut child = Command::new("node")
        .arg(home.join("verify.js"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node starts");
    let mut lines = String::new();
    for (secret, request) in requests {
        let line = json!({
            "secret": secret,
            "headers": request.headers,
            "body": request.body,
        });
        lines += &format!("{line}\n");
    }
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(lines.as_bytes()).await.expect("written");
    drop(stdin);
    let output = within("the library", child.wait_with_output()).await;
    let output = output.expect("it ran");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    said.lines().map(str::to_owned).collect()
}
