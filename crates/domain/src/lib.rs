//! The rules of Portcullis: sessions, users, policies, findings and the entries of the log.
//!
//! This crate computes. It does no I/O and reads no clock: times are arguments, in microseconds since 1970 by the
//! database's clock ([`Micros`]). The store keeps its types as rows, and the authority's use cases call its functions.
//! No type here knows a wire format.
//!
//! | subject | start with |
//! |---|---|
//! | sign-ins | [`SignIn`], and [`findings`] for suspicious ones |
//! | sessions | [`Session`], [`Session::state`], [`SessionEnd`] |
//! | refreshes | [`judge_refresh`]: a token that comes again, and whether that is theft |
//! | changes | [`Entry`] and [`Mutation`]: everything that goes through the log |
//! | policies | [`Policy::effective`], [`Limits::violation`](policy::Limits::violation), presets of standards |
//! | the sweep | [`SweptSession::sweep`]: idle sessions, and policies that became stricter |
//! | turns | [`SinceTurn`] and [`Counting`]: when the log may forget revocations |
//! | devices and places | [`device`], [`place`] |
//! | lists | [`listing`]: filters, orders, pages, previews |
//! | names | [`names`]: their keys, by which lists search and sort |
//! | audit | [`AuditEvent`], [`PendingEvent`] |
//! | erasure of a user | [`Erasure`], [`Mutation::EraseUser`] |
//! | exports of the trail | [`ExportPlace`]: how one finds back when the log has another history |
//!
//! A rule that two sides evaluate has one source. For example the store renders
//! [`Limits::rules`](policy::Limits::rules) as SQL, and [`Limits::violation`](policy::Limits::violation) evaluates the
//! same list in memory.

mod activity;
mod actor;
mod api_key;
mod audit;
mod audit_export;
mod dead_letter;
pub mod device;
mod entry;
mod erasure;
mod export;
pub mod findings;
mod identity_provider;
mod key;
pub mod listing;
pub mod names;
pub mod place;
pub mod policy;
mod refresh;
mod secret;
mod session;
mod sign_in;
mod sweep;
pub mod text;
pub mod time;
mod turning;
mod user;

pub use self::{
    activity::{LastUse, MovedSession, SessionActivity},
    actor::Actor,
    api_key::{
        API_KEY_LIFETIME_MAX, ApiKey, ApiKeyFilter, ApiKeyHour, ApiKeyState, ApiKeyUse, NewApiKey,
    },
    audit::{
        AuditEvent, AuditFault, AuditFilter, AuditPosition, AuditVerdict, CodedRecord, ErasedRows,
        PendingEvent, TrailBegin, TrailPosition,
    },
    audit_export::{ExportPlace, ExportStatus, TrailMark},
    dead_letter::{DeadLetter, DeadLetterAnswer, DeadLetterId},
    entry::{Cause, Details, Entry, EntryError, Mutation, Outcome, SignedOut},
    erasure::{ErasedCounts, Erasure, erased_owner},
    export::{ExportKind, ExportedRecord, ExportedValue},
    findings::{Finding, FindingCode},
    identity_provider::{ProviderKey, ProviderLogout, ProviderSession},
    key::{KEY_AHEAD_MAX, KeyRecord, NewKey, current_key, signing_window},
    listing::{
        Page, PageCursor, Preview, Selection, SessionFilter, SessionOrder, UserFilter, UserOrder,
        UserSummary,
    },
    policy::{Policy, SessionLimit},
    refresh::{RefreshRules, RefreshVerdict, judge_refresh},
    secret::{
        NewSecret, RemovalPlace, Resealed, SealedPlace, SealedValue, SecretId, SecretKind,
        SecretRecord, current_secret, made_until,
    },
    session::{
        Activity, ClientInfo, Session, SessionEnd, SessionState, Sight, SignInFacts, TokenSubject,
    },
    sign_in::{EXCESS_SESSIONS_MAX, OTHER_SESSIONS_MAX, SignIn, SignInOutcome},
    sweep::{GateContact, GateId, GateRecord, Heard, Sweep, SweptSession},
    time::Micros,
    turning::{Count, Counting, SinceTurn, TURN_MARGIN, is_set_back},
    user::{Profile, User, UserRole, UserRoles},
};
