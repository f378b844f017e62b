//! The rules, in the field's words: what a session, a user and a revocation are. No I/O and no clock; times are
//! arguments, in microseconds since 1970 by the database's clock.

mod activity;
mod actor;
mod entry;
pub mod findings;
mod key;
pub mod policy;
mod session;
mod sweep;
pub(crate) mod time;
mod user;

pub use self::{
    activity::SessionActivity,
    actor::Actor,
    entry::{Cause, Entry, EntryError, Mutation, Outcome},
    findings::FindingCode,
    key::{KeyRecord, NewKey, current_key},
    policy::Policy,
    session::{
        ClientInfo, End, NewSession, OpenedSession, Rotation, Session, SessionFilter, SessionState, TokenSubject,
        decide_rotation,
    },
    sweep::{Heard, Sweep, SweptSession},
    time::Micros,
    user::{Profile, User},
};
