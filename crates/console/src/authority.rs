//! The calls of a page to the authority. Each carries the token of the person whose page it is.
//!
//! The console has no credential for these calls, so a page can do no more than its person may.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION, request};
use http_body_util::{BodyExt, Full};
use portcullis_contract::v1::{
    api_key_service_client::ApiKeyServiceClient, audit_service_client::AuditServiceClient,
    revocation_service_client::RevocationServiceClient,
    session_service_client::SessionServiceClient, tenant_service_client::TenantServiceClient,
    user_service_client::UserServiceClient,
};
use portcullis_serving::config::ConfigError;
use tokio::time::timeout;
use tonic::{
    ConnectError, Status,
    body::Body,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use tower::{Service, ServiceExt};

use crate::config::{self, Config};

type BoxError = Box<dyn Error + Send + Sync>;

/// Longest time until a connection to an authority is open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The silence after which an authority is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// The longest time until it answers that.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// The connections to the authorities of the installation. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Authorities {
    channels: Arc<[Channel]>,
    /// The one that answered last.
    current: Arc<AtomicUsize>,
    call_timeout: Duration,
}

impl Authorities {
    /// Makes connections, which open at the first call.
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let mut tls = ClientTlsConfig::new();
        // The gate's own certificate is left out on purpose: these calls are people's.
        if let Some(pem) = config
            .authority
            .read_ca_certificate()
            .map_err(config::of_setting)?
        {
            tls = tls.ca_certificate(Certificate::from_pem(pem));
        }
        let mut channels = Vec::new();
        for address in &config.authority.endpoints {
            channels.push(channel(address, &tls)?);
        }
        Ok(Self {
            channels: channels.into(),
            current: Arc::default(),
            call_timeout: config.limits.request_timeout,
        })
    }

    /// The authority, as the holder of a token calls it. None: the token cannot be sent.
    pub(crate) fn called_with(&self, token: &str) -> Option<Authority> {
        // A token that was admitted, or whose session has ended, is a signed JWT. Its characters
        // may stand in every header, so a failure here would be a defect.
        let mut header: HeaderValue = format!("Bearer {token}").parse().ok()?;
        // Keeps it out of debug output.
        header.set_sensitive(true);
        Some(Authority {
            transport: Transport {
                authorities: self.clone(),
                authorization: header,
            },
        })
    }

    /// Begins the next call at this authority, or at the first one after the last.
    fn prefer(&self, index: usize) {
        // Relaxed is enough: the index is a hint, and a wrong one costs one attempt.
        self.current.store(index % self.channels.len(), Relaxed);
    }
}

fn channel(address: &str, tls: &ClientTlsConfig) -> Result<Channel, ConfigError> {
    let endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(|error| invalid(&error))?
        .connect_timeout(CONNECT_TIMEOUT)
        // A host that vanishes sends no reset. Without pings every call over its connection would
        // wait for the whole timeout, until the system gives the connection up.
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        // Otherwise the first call after a quiet time finds the dead connection, and waits for it.
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    // The settings of the validator have judged plain `http://` already: beyond this machine it has
    // to be asked for by `authority.insecure`.
    if endpoint.uri().scheme_str() != Some("https") {
        return Ok(endpoint.connect_lazy());
    }
    let endpoint = endpoint
        .tls_config(tls.clone())
        .map_err(|error| invalid(&error))?;
    // Lazily, so that a console starts while the authority is away. Its pages say so until then.
    Ok(endpoint.connect_lazy())
}

fn invalid(error: &tonic::transport::Error) -> ConfigError {
    ConfigError::new("authority.endpoints", error.to_string())
}

/// The authority, as one person calls it.
#[derive(Clone)]
pub(crate) struct Authority {
    transport: Transport,
}

impl Authority {
    /// A client of `SessionService`.
    pub(crate) fn sessions(&self) -> SessionServiceClient<Transport> {
        SessionServiceClient::new(self.transport.clone())
    }

    /// A client of `UserService`.
    pub(crate) fn users(&self) -> UserServiceClient<Transport> {
        UserServiceClient::new(self.transport.clone())
    }

    /// A client of `TenantService`.
    pub(crate) fn tenants(&self) -> TenantServiceClient<Transport> {
        TenantServiceClient::new(self.transport.clone())
    }

    /// A client of `ApiKeyService`.
    pub(crate) fn api_keys(&self) -> ApiKeyServiceClient<Transport> {
        ApiKeyServiceClient::new(self.transport.clone())
    }

    /// A client of `AuditService`.
    pub(crate) fn audit(&self) -> AuditServiceClient<Transport> {
        AuditServiceClient::new(self.transport.clone())
    }

    /// A client of `RevocationService`.
    pub(crate) fn revocation(&self) -> RevocationServiceClient<Transport> {
        RevocationServiceClient::new(self.transport.clone())
    }
}

/// Sends calls with a person's token, to an authority that can be reached.
#[derive(Clone)]
pub(crate) struct Transport {
    authorities: Authorities,
    authorization: HeaderValue,
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    // Which connection is used is not known before the call. `send` waits for the one that it
    // chooses.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let authorization = self.authorization.clone();
        request.headers_mut().insert(AUTHORIZATION, authorization);
        let authorities = self.authorities.clone();
        Box::pin(async move {
            // The one that answered last: otherwise every call would wait for an authority that is away.
            let first = authorities.current.load(Relaxed);
            // One bound for the search through all authorities: a page must not wait longer because
            // there are more of them. It ends with the head of the answer, so a stream may take
            // longer.
            let sending = timeout(authorities.call_timeout, send(&authorities, first, request));
            match sending.await {
                Ok(answer) => answer,
                Err(_) => {
                    // A process that is stopped keeps its connections. Every page would wait for it again.
                    authorities.prefer(first + 1);
                    Err(Status::unavailable("the authority does not answer").into())
                }
            }
        })
    }
}

/// Sends a call to the authority `first`. One to which no connection can be opened has not seen the call, so the next one
/// is tried.
async fn send(
    authorities: &Authorities,
    first: usize,
    request: Request<Body>,
) -> Result<Response<Body>, BoxError> {
    let (head, body) = request.into_parts();
    // Kept whole, because a call that reached no authority is sent again to the next one.
    let body = body.collect().await?.to_bytes();
    let count = authorities.channels.len();
    let mut failure = Status::unavailable("no authority is configured").into();
    for step in 0..count {
        let index = (first + step) % count;
        match attempt(&authorities.channels[index], &head, &body).await {
            Attempt::Answered(answer) => {
                authorities.prefer(index);
                return Ok(answer);
            }
            Attempt::Failed(error) => {
                // It may have taken the call, which is not repeated here. The next call goes elsewhere.
                authorities.prefer(index + 1);
                return Err(error);
            }
            // The call was not sent, so repeating it elsewhere cannot do anything twice.
            Attempt::Unconnected(error) => failure = error,
        }
    }
    Err(failure)
}

/// The end of a call at one authority.
enum Attempt {
    Answered(Response<Body>),
    /// No connection opened.
    Unconnected(BoxError),
    /// The authority may have taken the call.
    Failed(BoxError),
}

async fn attempt(channel: &Channel, head: &request::Parts, body: &Bytes) -> Attempt {
    let body = Body::new(Full::new(body.clone()));
    let request = Request::from_parts(head.clone(), body);
    match channel.clone().oneshot(request).await {
        Ok(answer) => Attempt::Answered(answer),
        Err(error) if is_unconnected(&error) => Attempt::Unconnected(unavailable(&error)),
        Err(error) => Attempt::Failed(unavailable(&error)),
    }
}

/// The connection failed, whatever the transport calls it. The page says that the authority is away.
fn unavailable(error: &tonic::transport::Error) -> BoxError {
    tracing::debug!(%error, "a call to the authority failed");
    Status::unavailable("the authority cannot be reached").into()
}

fn is_unconnected(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // tonic and tower wrap the error of a connection in errors of their own, so the whole chain
        // of causes is searched.
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
