//! The decision about a request, which every door of Portcullis shares: a request head in, a decision out. No I/O, no
//! runtime, no thread.
//!
//! A **door** is a place that enforces: the tower layer, the Envoy module, the sidecar. It translates. It makes a
//! [`RequestHead`] of what its server gives it, asks [`Gate::decide`], and carries out the [`Decision`]. Rules,
//! credentials, identity headers and refusals are here, so that all doors do the same. They run one table of cases.
//!
//! # How to start
//!
//! ```
//! use std::sync::Arc;
//!
//! use http::{HeaderMap, Method};
//! use portcullis_gate::{Decision, Gate, RequestHead, Rules};
//! use portcullis_validator_core::{Engine, Settings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let rules = Rules::from_toml(
//!     r#"
//!     cookie = "session"
//!
//!     [[rules]]
//!     path = "/assets/{*rest}"
//!     access = "public"
//!     "#,
//! )?;
//! // `portcullis-validator` keeps an engine up to date: `Validator::engine()`. This one knows nothing yet.
//! let (engine, _reports) = Engine::new(Settings::new("https://issuer", "gateway"))?;
//! let gate = Gate::new(Arc::new(engine), &rules)?;
//!
//! let mut headers = HeaderMap::new();
//! headers.insert("x-portcullis-user", "root".parse()?);
//! headers.insert("cookie", "session=a.b.c; theme=dark".parse()?);
//! let mut head = RequestHead {
//!     method: &Method::GET,
//!     authority: "app.example.com",
//!     target: "/assets/logo.svg",
//!     headers: &headers,
//!     peer: Some([192, 0, 2, 1].into()),
//! };
//! let Decision::Allow(allow) = gate.decide(&head) else {
//!     panic!("assets are public");
//! };
//! // The upstream sees neither what the client says about itself nor the credential.
//! let mut upstream = headers.clone();
//! allow.headers.apply(&mut upstream);
//! assert_eq!(upstream.len(), 1);
//! assert_eq!(upstream["cookie"], "theme=dark");
//!
//! // Elsewhere a session is required, and this gate cannot know about it yet.
//! head.target = "/orders";
//! let Decision::Deny(deny) = gate.decide(&head) else {
//!     panic!("nobody is admitted without a view");
//! };
//! assert_eq!(deny.status, 503);
//! assert_eq!(deny.reason, "unready");
//! assert!(gate.explain("GET", "https://app.example.com/orders")?.rule.is_none());
//! # Ok(())
//! # }
//! ```
//!
//! # What a door does
//!
//! 1. Read [`Rules`] at the start ([`from_toml`](Rules::from_toml), [`from_json`](Rules::from_json)) and make a [`Gate`].
//!    An error names the key, and then nothing starts. To change rules, make another gate over the same engine and
//!    replace the old one.
//! 2. Hand over the head **as the client sent it**: the target neither decoded nor normalized, all headers, and the
//!    address of the connection. A request that cannot be read so is answered with [`Deny::new`].
//! 3. On [`Decision::Allow`], remove and set the headers ([`HeaderChanges`]), and remove trailers by
//!    [`is_identity_header`]. Send the target on unchanged. The gate has refused what the upstream could read in another
//!    way.
//! 4. Poll [`Allow::ended`] while the stream of the request lives, and cut it when it resolves.
//! 5. On [`Decision::Deny`], answer with its status, headers and body. NGINX's `auth_request` needs
//!    [`Deny::for_auth_request`].
//! 6. Never fail open. A panic, a missing attribute, a dead gate refuse: [`Refused::Failed`].
//!
//! # Rules
//!
//! The first rule that matches host, method and path decides; without one a session is required. `docs/reference/rules.md`
//! lists every key with its default and its errors. Rules that contradict or shadow each other are an error that names
//! both. With the feature `schema`, `rules_schema` returns their JSON schema.
//!
//! A public rule matches paths exactly. Every other rule ignores letter case and a slash at the end, as many upstreams do.
//! A path that servers read in different ways ([`PathProblem`]) is refused unless [`UpstreamReads`] says how the upstream
//! reads it.
//!
//! # Errors
//!
//! [`RulesError`] is about rules, and stops a start. [`Refused`] is about a request: an unusable head, a dead credential,
//! an unmet demand, or a gate that cannot know. Its [`reason`](Refused::reason) is the word in the body, for counters and
//! logs. No error repeats a credential or a value of a header.
//!
//! # Cost
//!
//! A decision about a known token is one pass over the head, the rules in order, and the check of the engine. A rule that does not match costs a comparison of its path's beginning. The changes of an admitted request's
//! headers take a handful of allocations, and a public request usually none. A path with percent-encodings or capitals
//! is copied once.
//!
//! # Threads
//!
//! [`Gate`] is `Send + Sync` and has no lock. Share one between all threads.

mod answer;
mod decision;
mod demands;
mod explain;
mod gate;
mod host;
mod identity_headers;
mod lookup;
mod navigation;
mod path;
mod pattern;
mod proxies;
mod reads;
mod refused;
mod request;
mod rules;

#[cfg(feature = "schema")]
pub use self::rules::rules_schema;
pub use self::{
    answer::{ERROR_HEADER, REASON_HEADER, STATUS_HEADER},
    decision::{Allow, Decision, Deny, HeaderChanges, Subject},
    explain::{ExplainError, Explanation},
    gate::Gate,
    identity_headers::{IDENTITY_HEADERS, is_identity_header},
    path::PathProblem,
    proxies::TrustedProxies,
    reads::{
        BackslashReading, DotReading, DotSegmentReading, DoubleSlashReading, EncodedReading,
        LookalikeReading, SemicolonReading, SlashReading, UpstreamReads,
    },
    refused::{HeadProblem, Refused, UnmetDemand},
    request::{HEAD_BYTES_MAX, RequestHead},
    rules::{
        Access, CompiledRules, PrivateKeyText, RULES_MAX, Rule, RuleMode, Rules, RulesError,
        SignedIdentity,
    },
};
