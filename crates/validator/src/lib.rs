//! Admits or refuses each request of a gateway locally, and learns of a sign-out in milliseconds.
//!
//! A [`Validator`] keeps a view of all revocations over a stream from the authority. To check a token it looks into
//! that view: it makes no call, and the authority may be far away or down for a moment.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use portcullis_validator::Validator;
//!
//! let validator = Validator::builder("http://127.0.0.1:7400")
//!     .bearer("the gateway's credential")
//!     .issuer("http://127.0.0.1:7480")
//!     .audience("gateway")
//!     .start()?;
//! validator.ready().await;
//! match validator.check("a token") {
//!     Ok(identity) => println!("hello {}", identity.user_id),
//!     Err(rejection) => println!("no: {}", rejection.reason()),
//! }
//! # Ok(()) }
//! ```
//!
//! # The model
//!
//! The authority writes every revocation to a log, and streams it. The validator applies each entry to its **view**: the
//! revoked sessions and API keys, the cutoffs of users and tenants, and the trusted keys. A **check** verifies a token's
//! signature once, remembers the token, and asks the view at each use.
//!
//! The validator also knows how old its view may be. Several times within
//! [`max_staleness`](Builder::max_staleness) it sends a probe, and the answer proves that the view has every revocation
//! that was acknowledged before the probe was sent. [`Validator::freshness`] tells the age of the newest proof.
//!
//! # With tower
//!
//! [`ValidatorLayer`] decides about requests by [`Rules`], which all doors of Portcullis share: the credential that a path
//! needs, tenants, scopes, `acr`. Without a rule every request needs a session. The layer answers refused requests itself,
//! a call of gRPC with a status of gRPC. It puts the identity of the others into their extensions, and into headers that
//! no client can set.
//!
//! ```
//! use std::{convert::Infallible, sync::Arc};
//!
//! use http::{Request, Response};
//! use portcullis_validator::{CutBody, Identity, Rules, Validator, ValidatorLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let validator = Validator::builder("http://127.0.0.1:1")
//!     .bearer("the gateway's credential")
//!     .issuer("http://127.0.0.1:7480")
//!     .audience("gateway")
//!     .start()?;
//! let rules = Rules::from_toml(
//!     r#"
//!     cookie = "session"
//!
//!     [[rules]]
//!     path = "/assets/{*rest}"
//!     access = "public"
//!     "#,
//! )?;
//! let service = ValidatorLayer::new(validator, &rules)?.layer(service_fn(whoami));
//!
//! async fn whoami(request: Request<CutBody<String>>) -> Result<Response<String>, Infallible> {
//!     let identity = request.extensions().get::<Arc<Identity>>();
//!     let name = identity.map(|identity| identity.user_id.to_string());
//!     Ok(Response::new(name.unwrap_or_default()))
//! }
//!
//! // No authority is there, so the gate cannot know: 503, not 401.
//! let request = Request::builder()
//!     .uri("/orders")
//!     .header("host", "service.test")
//!     .header("authorization", "Bearer a.b.c")
//!     .body(String::new())?;
//! let response = service.oneshot(request).await?;
//! assert_eq!(response.status(), 503);
//! # Ok(()) }
//! ```
//!
//! # Modes
//!
//! The default is **strict**: once the newest proof is older than `max_staleness` (5 s), every token is refused. No token
//! is accepted later than that after its revocation was acknowledged, whatever fails. With
//! [`Builder::best_effort`] the validator accepts tokens until a second, longer bound, and counts them
//! ([`Statistics::accepted_stale`]). In both modes a validator without a view refuses everything.
//!
//! # Errors
//!
//! A [`Rejection`] says why. [`Rejection::is_unavailable`] tells a dead token (answer 401, the client signs in again)
//! from a gate that cannot know (answer 503, the client retries). A [`BuildError`] names the setting to correct. An
//! authority that cannot be reached is not an error: the validator logs the cause once and tries again, and all
//! [endpoints](Builder::endpoint) in turn.
//!
//! # Authorities
//!
//! Name at least two [endpoints](Builder::endpoint). The validator watches two authorities at a time over one view, and
//! the newer proof counts. So it refuses nothing while one of the two lives, whether the other one is killed, hangs, or
//! is cut off. A silent connection is left within `max_staleness`.
//!
//! Authorities beyond this machine are reached by `https`: with a [CA certificate](Builder::ca_certificate), and with a
//! [certificate](Builder::client_certificate) of the gate's own instead of a bearer. [`Builder::tls_files`] and
//! [`Builder::bearer_file`] take them from files that may be replaced while the validator runs.
//!
//! # Activity
//!
//! An admitted request counts as use of its session. The counts go to the authority every
//! [`activity_interval`](Builder::activity_interval), which shows them and ends idle sessions by them. Call
//! [`Validator::close`] before the process ends, so that the last ones are not lost.
//!
//! # Streams
//!
//! A stream outlives the request that opened it. It ends when a request with the same token would be refused:
//!
//! - The layer cuts the bodies of both directions ([`CutBody`]). The HTTP/1.1 connection closes, the HTTP/2 stream is
//!   reset, and a call of gRPC gets a status.
//! - [`CutSocket`] wraps a WebSocket, and closes it with code 1008 and the reason.
//! - [`run_until_ended`] drops any other work, such as copying an upgraded connection.
//! - [`Identity::ended`](Admitted::ended) and [`Admission::ended`] resolve with the reason, for everything else.
//!
//! A request that a program makes by itself, such as a poll, is no use of the session: say so by a rule with `background`,
//! or by [`RequestInfo::background`].
//!
//! # Cost
//!
//! A check of a known token takes about 0.4 µs and allocates nothing. The decision of the layer adds a pass over the head
//! and the rules. An unknown token costs a signature check, about 30 µs, and forged tokens are bounded for each source
//! ([`forged_tokens_max`](Builder::forged_tokens_max)). A cached token takes a few hundred bytes, a revoked one about
//! two. A stream needs a few messages a second.
//!
//! # Threads
//!
//! [`Validator`] is cheap to clone, `Send` and `Sync`. [`Validator::check`] is not async, never waits for a writer, and
//! may be called from any thread. A few background tasks on the Tokio runtime feed it, and end with the last clone.
//!
//! # Telemetry
//!
//! [`Validator::observe`] registers metrics with an OpenTelemetry meter. Log lines go through `tracing`. Each sampled call
//! that caused a revocation gets a span when it is applied here.
//!
//! # Without Tokio
//!
//! The decision itself is in `portcullis-validator-core`, without a runtime and without gRPC: embed that in a sidecar, a
//! proxy module or a binding for another language.

mod bearer;
mod builder;
mod cause;
mod channels;
mod connection;
mod cut;
mod ended;
mod gate;
mod layer;
mod report;
#[cfg(feature = "settings")]
pub mod settings;
mod stream;
mod targets;
mod telemetry;
mod tls;
mod validator;

pub use portcullis_gate::{Access, Rule, RuleMode, Rules, RulesError, Subject, TrustedProxies};
pub use portcullis_validator_core::{
    Admitted, ApiKeyIdentity, BuildError, Ended, Freshness, Identity, Mode, Position, Rejection,
    RequestInfo, Statistics, Verdicts,
};

pub use self::{
    builder::Builder,
    cut::{
        Admission, CLOSE_CODE, CutBody, CutSocket, CutSocketError, SessionEnded, run_until_ended,
    },
    layer::{ValidatorFuture, ValidatorLayer, ValidatorService},
    tls::TlsFiles,
    validator::Validator,
};
