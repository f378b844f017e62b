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
mod refresh;
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
        AuditEvent, AuditFault, AuditFilter, AuditPosition, AuditVerdict, Details, PendingEvent,
    },
    entry::{Cause, Entry, EntryError, Mutation, Outcome},
    findings::{Finding, FindingCode},
    key::{KeyRecord, NewKey, current_key, signing_window},
    listing::{
        Page, PageCursor, Preview, Selection, SessionFilter, SessionOrder, UserFilter, UserOrder,
        UserSummary,
    },
    policy::Policy,
    refresh::{RefreshRules, RefreshVerdict, judge_refresh},
    session::{Activity, ClientInfo, Session, SessionEnd, SessionState, Sight, TokenSubject},
    sign_in::{SignIn, SignInOutcome},
    sweep::{GateContact, GateId, GateRecord, Heard, Sweep, SweptSession},
    time::Micros,
    turning::{Count, Counting, SinceTurn},
    user::{Profile, User},
};

// Former names, until every caller has the new ones.
#[doc(hidden)]
pub use self::{
    PageCursor as Cursor, RefreshRules as RotationRules, RefreshVerdict as Rotation,
    SignIn as NewSession, SignInOutcome as OpenedSession, judge_refresh as decide_rotation,
};
