//! The rules, in the field's words: what a session, a user and a revocation are. No I/O and no clock; times are
//! arguments, in microseconds since 1970 by the database's clock.

mod actor;
mod entry;
pub mod findings;
mod key;
pub mod listing;
pub mod policy;
mod session;
pub(crate) mod time;
mod user;

pub use self::{
    actor::Actor,
    entry::{Cause, Entry, EntryError, Mutation, Outcome},
    findings::FindingCode,
    key::{KeyRecord, NewKey, current_key},
    listing::{Cursor, Page, Preview, Selection, SessionFilter, SessionOrder, UserFilter, UserOrder, UserSummary},
    policy::Policy,
    session::{
        ClientInfo, End, NewSession, OpenedSession, Rotation, Session, SessionState, TokenSubject, decide_rotation,
    },
    time::Micros,
    user::{Profile, User},
};
