//! The rules as an operator writes them.

use std::{fmt, time::Duration};

use serde::Deserialize;

use crate::reads::UpstreamReads;

/// The rules of a gate. The first one that matches a request decides; without one a session is required.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// The cookie that brings the access token, beside `Authorization: Bearer …`. If unset, no cookie does.
    pub cookie: Option<String>,
    /// The addresses and networks of the proxies that are trusted to tell the client's address in `X-Forwarded-For`.
    /// Default: nobody. At most 256.
    pub trusted_proxies: Vec<String>,
    /// All values of `acr` that rules may ask for, the weakest first. A session with a later value meets an earlier
    /// demand. If empty, a session meets a demand by the same value only. At most 32.
    pub acr_order: Vec<String>,
    /// The address to which a browser's navigation is redirected when it has no good session: a path of the same host, or
    /// a URL. If unset, navigations are refused like all other requests.
    pub sign_in: Option<String>,
    /// The query parameter of the sign-in address that has the path to return to. Default `return_to`. It is added only
    /// if the sign-in address is on the host of the request.
    pub return_parameter: Option<String>,
    /// The signed identity for upstreams that trust nobody. If unset, none is sent.
    pub signed_identity: Option<SignedIdentity>,
    /// The rules, in the order in which they are tried. At most 512.
    pub rules: Vec<Rule>,
}

/// A rule: the requests that it matches, and what it demands of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The host, without a port: `api.example.com`, or `*.example.com` for all names below. If unset, every host.
    #[serde(default)]
    pub host: Option<String>,
    /// The path: `/orders`, `/orders/{id}`, or `/assets/{*rest}` for a directory and everything below.
    pub path: String,
    /// The methods, in capitals. `GET` includes `HEAD`. If empty, every method.
    #[serde(default)]
    pub methods: Vec<String>,
    /// The credential that is required.
    pub access: Access,
    /// The scopes that an API key must have, all of them. A session has no scopes and needs none.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The tenants that may pass. If empty, every tenant.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// The least `acr` of a session, by `acr_order`.
    #[serde(default)]
    pub acr: Option<String>,
    /// The methods of authentication that a session must have, all of them.
    #[serde(default)]
    pub amr: Vec<String>,
    /// The longest time since the user authenticated, as `5m`. At least one second.
    #[serde(default, with = "humantime_serde::option")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub max_age: Option<Duration>,
    /// The behaviour without a proof of freshness. If unset, the gate's own.
    #[serde(default)]
    pub mode: Option<RuleMode>,
    /// Whether programs make these requests by themselves, so that they are no use of the session. Default false.
    #[serde(default)]
    pub background: bool,
    /// Whether CORS preflights for these requests go on without a credential, for an upstream that answers them. Default
    /// false.
    #[serde(default)]
    pub pass_preflights: bool,
    /// The sign-in address for these requests, instead of the common one.
    #[serde(default)]
    pub sign_in: Option<String>,
    /// Whether navigations are redirected to the sign-in address. Default true.
    #[serde(default = "yes")]
    pub redirect: bool,
    /// Whether the upstream gets the credential. Default false.
    #[serde(default)]
    pub forward_credential: bool,
    /// Whether the upstream gets headers by which some frameworks replace the path or the method: `X-Original-URL`,
    /// `X-Rewrite-URL`, `X-HTTP-Method-Override`, `X-HTTP-Method`, `X-Method-Override`. Default false.
    #[serde(default)]
    pub forward_overrides: bool,
    /// The audience of the signed identity, instead of the common one.
    #[serde(default)]
    pub identity_audience: Option<String>,
    /// How the upstream reads paths that servers read in different ways. What is not said is refused.
    #[serde(default)]
    pub upstream_reads: UpstreamReads,
}

fn yes() -> bool {
    true
}

impl Rule {
    /// Returns a rule for all hosts and methods without further demands.
    #[must_use]
    pub fn new(path: impl Into<String>, access: Access) -> Self {
        Self {
            host: None,
            path: path.into(),
            methods: Vec::new(),
            access,
            scopes: Vec::new(),
            tenants: Vec::new(),
            acr: None,
            amr: Vec::new(),
            max_age: None,
            mode: None,
            background: false,
            pass_preflights: false,
            sign_in: None,
            redirect: true,
            forward_credential: false,
            forward_overrides: false,
            identity_audience: None,
            upstream_reads: UpstreamReads::default(),
        }
    }
}

/// The credential that a rule requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// None.
    Public,
    /// The access token of a session.
    Session,
    /// An API key.
    ApiKey,
    /// A session or an API key.
    Either,
}

/// The behaviour of a rule without a proof of freshness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RuleMode {
    /// Refuses once the proof is older than the gate's `max_staleness`, also at a gate in best-effort mode.
    Strict,
    /// Accepts up to the gate's second bound. Needs a gate in best-effort mode: a rule loosens nothing.
    BestEffort,
}

/// The signed identity: a short JWT about the caller in `X-Portcullis-Identity`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SignedIdentity {
    /// The private key, Ed25519, as PEM (`openssl genpkey -algorithm ed25519`). It signs nothing else.
    pub key: PrivateKeyText,
    /// The `kid`: 1 to 64 letters, digits, `-` or `_`.
    pub key_id: String,
    /// The `iss`: this gate's name for its upstreams.
    pub issuer: String,
    /// The `aud`: the upstream. A rule may name another one.
    pub audience: String,
    /// The time from `iat` to `exp`. Default 30 s; 1 s to 60 s.
    #[serde(default = "default_lifetime", with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub lifetime: Duration,
}

fn default_lifetime() -> Duration {
    Duration::from_secs(30)
}

/// The text of a private key. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct PrivateKeyText(pub String);

impl fmt::Debug for PrivateKeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKeyText(..)")
    }
}
