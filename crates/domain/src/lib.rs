//! The rules, in the field's words: what a session, a user and a revocation are. No I/O and no clock; times are
//! arguments, in microseconds since 1970 by the database's clock.

mod activity;
mod actor;
mod api_key;
mod audit;
pub mod device;
mod entry;
pub mod findings;
mod key;
pub mod listing;
pub mod place;
pub mod policy;
mod rotation;
mod session;
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
        AuditEvent, AuditFault, AuditFilter, AuditPosition, AuditVerdict, Details, PendingEvent,
    },
    entry::{Cause, Entry, EntryError, Mutation, Outcome},
    findings::{Finding, FindingCode},
    key::{KeyRecord, NewKey, current_key, signing_window},
    listing::{
        Cursor, Page, Preview, Selection, SessionFilter, SessionOrder, UserFilter, UserOrder,
        UserSummary,
    },
    policy::Policy,
    rotation::{Rotation, RotationRules, decide_rotation},
    session::{
        Activity, ClientInfo, End, NewSession, OpenedSession, Session, SessionState, Sight,
        TokenSubject,
    },
    sweep::{GateContact, GateId, GateRecord, Heard, Sweep, SweptSession},
    time::Micros,
    turning::{Count, Counting, SinceTurn},
    user::{Profile, User},
};
