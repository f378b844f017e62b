//! The decision about a request, which every door of Portcullis shares. No I/O, no runtime.
//!
//! A door translates: it makes a [`RequestHead`] of a request, asks [`Gate::decide`], and carries out the [`Decision`].
//! The tower layer, the Envoy module, `ext_authz` and forward-auth are doors. All of them run the same table of cases.
//!
//! - [`Decision::Allow`] has the headers to remove and to set, and the [`Subject`] whose end cuts a live stream.
//! - [`Decision::Deny`] has the whole answer: status, headers and body.

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
mod reads;
mod refused;
mod request;
mod rules;

pub use self::{
    answer::{ERROR_HEADER, REASON_HEADER, STATUS_HEADER},
    decision::{Allow, Decision, Deny, HeaderChanges, Subject},
    explain::{ExplainError, Explanation},
    gate::Gate,
    identity_headers::{IDENTITY_HEADERS, is_identity_header},
    path::PathProblem,
    reads::{
        BackslashReading, DotReading, DotSegmentReading, DoubleSlashReading, EncodedReading,
        SemicolonReading, SlashReading, UpstreamReads,
    },
    refused::{HeadProblem, Refused, UnmetDemand},
    request::{HEAD_BYTES_MAX, RequestHead},
    rules::{
        Access, CompiledRules, PrivateKeyText, RULES_MAX, Rule, RuleMode, Rules, RulesError,
        SignedIdentity,
    },
};
