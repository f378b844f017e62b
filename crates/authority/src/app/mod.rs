//! Use cases, in domain words.
//!
//! A page, an RPC and a command call the same use case. It takes the caller and domain types, and returns domain types or
//! an [`AppError`]. Nothing here names a wire type: an edge under `api/` parses requests and renders answers.

pub(crate) mod activity;
pub(crate) mod api_keys;
pub(crate) mod audit;
pub(crate) mod audit_watch;
mod authentication;
mod caller;
mod change;
pub(crate) mod dead_letters;
pub(crate) mod erasure;
mod error;
pub(crate) mod export;
pub(crate) mod introspect;
pub(crate) mod policy;
pub(crate) mod preview;
pub(crate) mod provider_logout;
pub(crate) mod receipts;
pub(crate) mod refresh;
pub(crate) mod revoke;
pub(crate) mod revoke_matching;
pub(crate) mod revoke_token;
pub(crate) mod secrets;
mod session_view;
pub(crate) mod sessions;
pub(crate) mod sign_in;
pub(crate) mod sign_out;
pub(crate) mod signing_keys;
pub(crate) mod tenants;
mod token_use;
mod tokens;
pub(crate) mod users;
pub(crate) mod validators;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    authentication::TokenRequirement,
    caller::{ActingUser, Caller, InRole, People, ServiceCaller, StaffCaller, UserCaller},
    change::ChangeOrigin,
    error::{AppError, InvalidField, TokenRefusal},
    session_view::{ActivityStatus, SessionDetail, SessionView},
    token_use::{FLUSH_INTERVAL_MAX, ServedRequest, TokenUses},
    tokens::{
        CLIENT_ID_BYTES_MAX, IssuedTokens, TOKEN_TEXT_BYTES_MAX, missing_key, token_text_problem,
    },
};
use crate::{
    callers::Callers,
    client_info::places::Places,
    config::Config,
    feed::{Feed, Gates, Peers, Receipts, watch::WatchHost},
    identity_providers::IdentityProviders,
    keys::{Keyring, Secrets},
    limits::Limits,
    log::Log,
    policies::Policies,
    refused_sign_ins::RefusedSignIns,
    store::Store,
    telemetry::Instruments,
};

/// The parts of a running authority that use cases work with.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) callers: Arc<Callers>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Log,
    pub(crate) limits: Limits,
    pub(crate) identity_providers: IdentityProviders,
    pub(crate) feed: Arc<Feed>,
    pub(crate) watch: Arc<WatchHost>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) refused_sign_ins: Arc<RefusedSignIns>,
    pub(crate) places: Arc<Places>,
    pub(crate) receipts: Receipts,
    pub(crate) peers: Arc<Peers>,
    pub(crate) gates: Arc<Gates>,
    pub(crate) instruments: Arc<Instruments>,
    pub(crate) token_uses: TokenUses,
    pub(crate) drain: CancellationToken,
}
