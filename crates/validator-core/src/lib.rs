//! The decision of the Portcullis validator, without a network: it admits or refuses each token locally.
//!
//! Embed this crate in a sidecar, a proxy module, or a binding for another language. A gateway in Rust takes
//! `portcullis-validator`, which adds the connection, the reports and a tower layer.
//!
//! There is no async runtime here, no gRPC, no logging and no thread. The host owns the connection to the authority and
//! hands messages over; the crate owns the state, the protocol and the verdicts.
//!
//! # The model
//!
//! The authority writes every revocation to a **log**. The sum of the log up to a revision is a **view**: the revoked
//! serials, the cutoffs of users and tenants, and the trusted keys. An [`Engine`] holds the newest view and looks tokens
//! up in it. It asks nobody: a check does no I/O.
//!
//! A view alone does not say how old it is. So the engine wants a **proof of freshness**: the [`Follower`] sends a probe
//! and remembers when; the authority answers with a *beat*, which names the head of the log as a durable write saw it
//! after the probe arrived. Once the view has reached that head, it has every revocation that was acknowledged before
//! the probe was sent. The age of the newest such proof is the [`Freshness`] of the engine.
//!
//! Three parts work together:
//!
//! - [`Engine`] decides. All threads share one.
//! - [`Follower`] speaks the protocol of the `Watch` rpc. Messages go in; a new state comes out at the engine. One task
//!   owns it.
//! - [`Reports`] collects the use of tokens for the `ReportActivity` rpc. One task owns it.
//!
//! [`http`] finds the credential of a request and renders the answer to a refused one.
//!
//! # How to start
//!
//! ```
//! use std::sync::Arc;
//!
//! use portcullis_validator_core::{
//!     Engine, Event, Follower, Freshness, Line, Mark, Rejection, RequestInfo, Settings,
//!     http::{Refusal, find_token},
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::new("https://issuer", "gateway");
//! let (engine, _reports) = Engine::new(settings)?;
//! let engine = Arc::new(engine);
//!
//! // The host opens the stream, sends the hello, and hands over each answer by `follower.receive(line, answer, Mark::now())`.
//! let mut follower = Follower::new(Arc::clone(&engine), 1 << 30, |event| {
//!     if let Event::NotReady(reason) = event {
//!         eprintln!("not ready: {reason}");
//!     }
//! });
//! let hello = follower.begin(Line::First);
//! assert_eq!(hello.stream.len(), 16);
//! // Without a view there is nothing to prove fresh.
//! assert_eq!(follower.probe(Line::First, Mark::now()), Ok(None));
//! assert!(matches!(engine.freshness(), Freshness::Unready { .. }));
//!
//! // A request arrives before the first view.
//! let mut headers = ::http::HeaderMap::new();
//! headers.insert("authorization", "Bearer a.b.c".parse()?);
//! let token = find_token(&headers, Some("session"))?;
//! let rejection = engine.check(token, &RequestInfo::default()).unwrap_err();
//! assert_eq!(rejection, Rejection::Unready);
//! let refusal = Refusal::new(&rejection);
//! assert_eq!(refusal.status(), 503);
//! assert_eq!(
//!     refusal.body(),
//!     r#"{"error":"temporarily_unavailable","reason":"unready"}"#
//! );
//! # Ok(())
//! # }
//! ```
//!
//! # The loop of a stream
//!
//! 1. Call [`Follower::begin`], add `max_staleness`, `mode`, `name`, `gate_id` and `admits_for` to the hello, seal it
//!    ([`Checksummed::sealed`](portcullis_contract::watch::Checksummed::sealed)) and send it as the first message.
//! 2. Hand every answer to [`Follower::receive`] with the time of its arrival. On an error close the stream and open
//!    another one, at another authority if there are several.
//! 3. Send [`Follower::probe`] when [`Follower::wants_first_probe`] says so, and then several times within
//!    `max_staleness`. An eighth of it survives a lost beat or two.
//! 4. When neither [`Follower::proved`] nor [`Follower::progressed`] moves for longer than `max_staleness`, try another
//!    authority: this one may be cut off from its store. Call [`Follower::end`] when a stream has ended.
//! 5. When the code that reads the stream panics, call [`Follower::distrust`].
//! 6. Call [`Engine::wake_ended`] after [`Event::Published`] and several times a second, while streams wait for
//!    [`Admitted::ended`]: [`Engine::streams_wait`] tells when. When the host ends, call [`Engine::close`].
//!
//! The stream may break at any time. The view stays, and so does a snapshot that is half received.
//!
//! With two authorities, run the loop twice, once for each [`Line`]. Both streams feed one view, and the newer proof
//! counts, so the gate loses nothing when one of the two authorities is gone. Begin the second stream when there is a
//! view: one snapshot is enough.
//!
//! # Modes
//!
//! [`Mode::Strict`], the default, refuses every token once the proof is older than
//! [`max_staleness`](Settings::max_staleness): no token is accepted later than that after its revocation was
//! acknowledged. [`Mode::BestEffort`] goes on accepting until a second bound, and counts the requests
//! ([`Statistics::accepted_stale`]). An engine without a view, or with one that it does not understand, refuses in both
//! modes.
//!
//! # Errors
//!
//! A [`Rejection`] is either about the token or about the gate ([`Rejection::is_unavailable`]). [`http::Refusal`] answers
//! 401 to the former and 503 with `Retry-After` to the latter. A [`ProtocolError`] is about a stream: nothing has been
//! applied, and what this line proved does not count any more. A [`BuildError`] names a setting.
//!
//! # Clocks
//!
//! Freshness compares two readings of this machine's own clocks ([`Mark`]), never the clocks of two machines. Tokens are
//! judged by the database's clock, which beats carry. A machine with a clock that is off by more than
//! [`clock_skew_max`](Settings::clock_skew_max) refuses everything with [`Rejection::ClockSkew`].
//!
//! # Cost
//!
//! A check of a known token takes about 0.4 µs, allocates nothing, and takes no lock that a writer holds for long: on a
//! part of the cache that is being written it verifies the token anew. An unknown token costs a signature check, about
//! 30 µs. Forged tokens are bounded for each source and in all ([`ForgedRates`]). A cached token takes a few hundred
//! bytes, a revoked serial about two.
//!
//! # Threads
//!
//! [`Engine`] is `Send + Sync`, and its counters are spread over cache lines, so checks on several threads do not slow
//! each other down. [`Follower`] and [`Reports`] are `Send` and belong to one task each; neither blocks. Two tasks with a
//! stream each share the follower by a mutex.

mod activity;
mod cache;
mod clock;
mod database_clock;
mod ended;
mod engine;
mod first_sight;
mod follower;
pub mod http;
mod identity;
mod judge;
mod reports;
mod settings;
mod state;
mod statistics;
mod sync;
mod tracking;

pub use portcullis_contract::{position::Position, rejection::Rejection};

pub use self::{
    activity::RequestInfo,
    clock::Mark,
    ended::Ended,
    engine::Engine,
    first_sight::ForgedRates,
    follower::{Event, Follower, Line, ProtocolError},
    identity::{Admitted, ApiKeyIdentity, Identity},
    reports::{Batch, Reports, Round},
    settings::{BuildError, Settings},
    state::{Freshness, Mode},
    statistics::{Statistics, Verdicts},
};
