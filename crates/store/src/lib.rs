//! The store: rows and the log, behind one trait in domain words.
//!
//! [`sql`] holds the one implementation, in portable statements; [`sqlite`] and [`postgres`] drive an engine.

pub mod outage;
pub mod postgres;
pub mod sql;
pub mod sqlite;

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use portcullis_contract::{
    delta::Scope,
    id::{ApiKeyId, EventId, Serial, SessionId, TenantId, UserId},
    position::{Chain, Incarnation, Position, Revision},
    view::Frame,
};
use prost::bytes::Bytes;

use crate::domain::findings::{Footprint, History};
use crate::domain::{
    ApiKey, ApiKeyFilter, ApiKeyHour, ApiKeyUse, AuditEvent, AuditFilter, AuditPosition,
    AuditVerdict, ClientInfo, Counting, Cursor, Entry, EntryError, GateContact, GateRecord,
    KeyRecord, Micros, MovedSession, NewSession, OpenedSession, Outcome, Page, PendingEvent,
    Policy, Preview, Selection, Session, SessionActivity, SessionFilter, SessionOrder,
    SweptSession, User, UserFilter, UserOrder, UserSummary,
};
use crate::outage::Outage;

// The paths that the modules below know.
pub(crate) use crate as store;
pub(crate) use portcullis_domain as domain;

/// Everything the authority keeps.
///
/// **Order.** Revisions are dense and commit order is revision order: when [`append`](Store::append) has returned
/// revision R, every later [`tail`](Store::tail), [`beat`](Store::beat) or [`head`](Store::head) sees R, and a
/// tail reader that saw R has been shown every revision before it.
///
/// **Atomicity.** A batch is one transaction with its state changes, cutoffs and audit rows. A method that fails
/// has changed nothing, except that a failure with [`StoreError::is_retryable`] may have lost the answer of a
/// commit: repeating the same call (same event ids, same session id) is always safe and does nothing twice.
///
/// **Sign-ins.** [`open_session`](Store::open_session) reads the head no later than anything else, so a sign-out
/// that commits meanwhile has a greater revision than the session's and covers it.
///
/// **Durability.** What [`append`](Store::append) and [`beat`](Store::beat) return is durable to the level that
/// [`durability`](Store::durability) names; a commit whose wait for a standby was cancelled is an error.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The reporter of the store's outages, by lane. It writes their lines to the log, so that callers need not.
    fn outage(&self) -> Arc<Outage>;

    /// The connections of each lane, where the engine has pools of them.
    fn pools(&self) -> Vec<PoolState>;

    /// What the engine's settings let it promise, in words for the operator.
    async fn durability(&self) -> Result<String, StoreError>;

    /// Opens a session, creating its tenant and user when they are new.
    async fn open_session(&self, new: &NewSession) -> Result<OpenedSession, OpenError>;

    /// Advances the session's refresh generation from `generation`, if the session is alive, the proof holds for it and
    /// no one else did first: of any number of concurrent calls one wins, whose `client` is kept. The others get
    /// [`Rotated::Lost`] with the row. Without proof nothing changes.
    async fn rotate(
        &self,
        tenant: &TenantId,
        id: SessionId,
        generation: u64,
        proof: Proof,
        client: &ClientInfo,
    ) -> Result<Rotated, StoreError>;

    /// Notes that two clients presented the refresh token before `generation`, with the event that tells of it. Changes
    /// nothing when that was noted of this generation before, or the session has another generation by now: one event a
    /// generation, however often the token comes.
    async fn note_shared_token(
        &self,
        tenant: &TenantId,
        id: SessionId,
        generation: u64,
        event: &PendingEvent,
    ) -> Result<(), StoreError>;

    /// One session, with how it ended, and the time at which that was so.
    async fn session(
        &self,
        tenant: &TenantId,
        id: SessionId,
    ) -> Result<Option<(Session, Micros)>, StoreError>;

    /// One page of sessions, at most `limit` from just after the cursor on. A session that is there, and matches, from
    /// the first page to the last is on one of them and no other; but in the order of last activity one that is used
    /// meanwhile moves to a page that was before.
    async fn list_sessions(
        &self,
        filter: &SessionFilter,
        order: SessionOrder,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<Session>, StoreError>;

    /// A user's active sessions, newest first. Sign-ins ask for them, so it never waits behind a list.
    async fn active_sessions(
        &self,
        tenant: &TenantId,
        user: &UserId,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError>;

    /// One page of users with active sessions, as [`list_sessions`](Store::list_sessions).
    async fn list_users(
        &self,
        filter: &UserFilter,
        order: UserOrder,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<UserSummary>, StoreError>;

    /// Active sessions of a tenant, counted up to `max`.
    async fn count_sessions(&self, tenant: &TenantId, max: u32) -> Result<u32, StoreError>;

    /// The active sessions of a selection: what ending it would end. None when a session that it names is not there.
    async fn preview(
        &self,
        tenant: &TenantId,
        selection: &Selection,
    ) -> Result<Option<Preview>, StoreError>;

    /// Looks at the `limit` sessions after the cursor, over all tenants, and removes for good those that ended longer
    /// than `retention` ago. Audit rows stay.
    async fn remove_ended(
        &self,
        after: Option<&Cursor>,
        retention: Duration,
        limit: u32,
    ) -> Result<Removed, StoreError>;

    /// What is known of a user that bears on a sign-in with these footprints.
    async fn known(
        &self,
        tenant: &TenantId,
        user: &UserId,
        footprints: &[Footprint],
    ) -> Result<Known, StoreError>;

    /// Those of these users who are known, in any order.
    async fn users(&self, tenant: &TenantId, ids: &[UserId]) -> Result<Vec<User>, StoreError>;

    /// Users of a tenant, counted up to `max`.
    async fn count_users(&self, tenant: &TenantId, max: u32) -> Result<u32, StoreError>;

    /// Makes the rows of users who are not known, in one transaction.
    async fn add_users(&self, tenant: &TenantId, users: &[UserId]) -> Result<(), StoreError>;

    /// Live API keys of a tenant, counted up to `max`.
    async fn count_live_api_keys(&self, tenant: &TenantId, max: u32) -> Result<u32, StoreError>;

    /// One user.
    async fn user(&self, tenant: &TenantId, id: &UserId) -> Result<Option<User>, StoreError>;

    /// One API key, with how it ended, and the time at which that was so.
    async fn api_key(
        &self,
        tenant: &TenantId,
        id: ApiKeyId,
    ) -> Result<Option<(ApiKey, Micros)>, StoreError>;

    /// A key's requests in this hour and the 23 before it, oldest first, those without requests left out.
    async fn api_key_hours(
        &self,
        tenant: &TenantId,
        id: ApiKeyId,
    ) -> Result<Vec<ApiKeyHour>, StoreError>;

    /// API keys in descending order of id (newest first), from just below `before`.
    async fn list_api_keys(
        &self,
        filter: &ApiKeyFilter,
        before: Option<ApiKeyId>,
        limit: u32,
    ) -> Result<(Vec<ApiKey>, Micros), StoreError>;

    /// Counts what a gate saw of API keys, each named once, in the order of their ids, in one transaction. Keys that are not there are passed over,
    /// and what is more than a day old is dropped. Not for repeating: what is told twice counts twice.
    async fn record_api_key_uses(&self, uses: &[ApiKeyUse]) -> Result<(), StoreError>;

    /// A tenant's policy with its version; none: it set none.
    async fn policy(&self, tenant: &TenantId) -> Result<Option<(Policy, u64)>, StoreError>;

    /// Events of the audit trail, newest first, from just below a position.
    async fn list_audit_events(
        &self,
        filter: &AuditFilter,
        below: Option<AuditPosition>,
        limit: u32,
    ) -> Result<Vec<AuditEvent>, StoreError>;

    /// Computes the chain again from the rows of at most `limit` batches after `after`, perhaps of fewer, and names
    /// the first place that does not fit. None: there is no revision `after`.
    async fn verify_audit_trail(
        &self,
        after: Revision,
        limit: u64,
    ) -> Result<Option<AuditVerdict>, StoreError>;

    /// Whether an event of a sign-in or a refresh waits for [`Mutation::Record`](crate::domain::Mutation::Record).
    async fn has_pending_events(&self) -> Result<bool, StoreError>;

    /// Adds what a gate saw of sessions, each named once, in the order of their keys. Sessions that are not there are
    /// ignored, and what is older than what is known moves nothing back. Returns those that moved: two reports that meet
    /// may both say so. Not idempotent: repeated, it counts twice.
    async fn record_activity(
        &self,
        activities: &[SessionActivity],
    ) -> Result<Vec<MovedSession>, StoreError>;

    /// Lets events wait for the audit trail that are part of no other change.
    async fn defer(&self, events: &[PendingEvent]) -> Result<(), StoreError>;

    /// Notes that an authority is there to hear of activity. Returns when one was there again after the last time that
    /// none had been for longer than `absence`.
    async fn hear(&self, absence: Duration) -> Result<Micros, StoreError>;

    /// Takes in what this authority knows of gates, in the order of their ids, and forgets those that said that they
    /// end, or that have not been able to admit a request for longer than `keep`. Returns all that are left, and the
    /// time at which that was so.
    async fn record_gates(
        &self,
        contacts: &[GateContact],
        keep: Duration,
    ) -> Result<(Vec<GateRecord>, Micros), StoreError>;

    /// Sessions that are due to be looked at, in the order in which they became so, at most `limit`.
    async fn due_sessions(&self, limit: u32) -> Result<DueSessions, StoreError>;

    /// Sets when to look at sessions again.
    async fn reschedule(&self, schedules: &[Schedule]) -> Result<(), StoreError>;

    /// The next sessions, at most `limit`, of the first tenant after `after` whose policy has changed and whose
    /// sessions have not all been looked at since. None: there is no such tenant.
    async fn policy_walk(
        &self,
        after: Option<&TenantId>,
        limit: u32,
    ) -> Result<Option<PolicyWalk>, StoreError>;

    /// Goes on with a walk after `next`, or ends it, and sets when to look again, in one transaction. False, and
    /// nothing done, when the policy has changed since or another authority ended the walk.
    async fn advance_walk(
        &self,
        walk: &PolicyWalk,
        next: Option<SessionId>,
        schedules: &[Schedule],
    ) -> Result<bool, StoreError>;

    /// Applies a batch in one transaction and one revision. An entry that cannot be applied leaves no trace and
    /// does not hinder the others; one that changes nothing takes no revision of its own.
    async fn append(&self, batch: &[Entry]) -> Result<Appended, StoreError>;

    /// The head of the log.
    async fn head(&self) -> Result<Position, StoreError>;

    /// The head of the log, and the chain at `revision` if the log has it: both of one moment, so that they are of one
    /// history.
    async fn head_and_chain(
        &self,
        revision: Revision,
    ) -> Result<(Position, Option<Chain>), StoreError>;

    /// A small durable write, where a beat is none: whether the disk has room.
    async fn check_writes(&self) -> Result<(), StoreError>;

    /// A durable write to this authority's own row, which also returns the head: a deposed primary cannot answer.
    async fn beat(&self, authority: &[u8; 16]) -> Result<Beat, StoreError>;

    /// The batches after `after`, in order, without gaps, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Trimmed`] when the first of them holds no delta any more.
    async fn tail(&self, after: Revision, limit: u32) -> Result<Vec<Frame>, StoreError>;

    /// As [`tail`](Store::tail), for those who fell behind: the feed does not wait for it.
    async fn catch_up(&self, after: Revision, limit: u32) -> Result<Vec<Frame>, StoreError>;

    /// The chain at a revision, none when the log has no such revision.
    async fn chain(&self, revision: Revision) -> Result<Option<Chain>, StoreError>;

    /// Keeps an encoded view with its authentication code, and the one before it; older ones go.
    async fn save_checkpoint(
        &self,
        revision: Revision,
        view: Bytes,
        code: Bytes,
    ) -> Result<(), StoreError>;

    /// Whether this authority is to write a checkpoint at `revision`: enough has changed since the last one, and no other
    /// authority has been told so within the interval.
    async fn claim_checkpoint(
        &self,
        revision: Revision,
        due: &CheckpointDue,
    ) -> Result<bool, StoreError>;

    /// Through where deltas may be trimmed, so that either of the two kept checkpoints can be started from.
    async fn trimmable(&self) -> Result<Revision, StoreError>;

    /// The kept checkpoints, newest first.
    async fn checkpoints(&self) -> Result<Vec<(Bytes, Bytes)>, StoreError>;

    /// Removes the deltas of batches up to `through` that are older than `age`. Revisions, chain and audit rows
    /// stay. Returns how many.
    async fn trim(&self, through: Revision, age: Duration) -> Result<u64, StoreError>;

    /// All signing keys, and the time.
    async fn keys(&self) -> Result<(Vec<KeyRecord>, Micros), StoreError>;

    /// Moves keys that seem to have been made later than `tolerance` from now so far back that the newest was made now:
    /// the clock was ahead then. Returns which.
    async fn correct_future_keys(&self, tolerance: Duration) -> Result<Vec<String>, StoreError>;

    /// API keys that are good and were made in a time, over all tenants.
    async fn count_api_keys(&self, from: Micros, until: Option<Micros>) -> Result<u64, StoreError>;

    /// Which authority counts the time since the last turn.
    async fn turn_counting(&self) -> Result<Counting, StoreError>;

    /// Adds to the time since the last turn, if nobody has counted or turned after `number`. Whether it did.
    async fn count_towards_turn(
        &self,
        authority: &[u8; 16],
        number: i64,
        passed: Duration,
    ) -> Result<bool, StoreError>;

    /// The sealed secret of this name; `fresh` becomes it when there is none.
    async fn secret(&self, name: &str, fresh: &[u8]) -> Result<Vec<u8>, StoreError>;

    /// The longest life of an access token in the whole installation. A longer wish takes force at once; a shorter
    /// one when all tokens of the longer life have run out.
    async fn token_life(&self, wish: Duration) -> Result<TokenLife, StoreError>;

    /// The issuer of the installation; `issuer` becomes it when there is none.
    async fn keep_issuer(&self, issuer: &str) -> Result<String, StoreError>;

    /// Replaces the issuer of the installation.
    async fn change_issuer(&self, issuer: &str) -> Result<(), StoreError>;

    /// Begins a new history that no validator of the old one can mistake for it: a new incarnation, the revision
    /// and every serial sequence 2^32 further, and (if `sign_out`) everyone cut off. `checkpoint` encodes the new
    /// history's first view, with its authentication code, which is kept in the same transaction; it sees the head of
    /// the old history under its lock, and nothing is changed when it fails.
    ///
    /// Refused with [`StoreError::InUse`] while an authority has beaten lately.
    async fn recover(
        &self,
        incarnation: Incarnation,
        sign_out: bool,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Recovered, StoreError>;
}

/// When a checkpoint is worth writing.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointDue {
    /// At most one in this time, over all authorities.
    pub interval: Duration,
    /// After this many batches,
    pub batches_min: u64,
    /// or this many bytes of deltas,
    pub bytes_min: u64,
    /// or when the oldest batch since the last one is this old.
    pub age_max: Duration,
}

/// Sessions to look at, as they were at one time.
#[derive(Debug)]
pub struct DueSessions {
    /// The sessions.
    pub sessions: Vec<SweptSession>,
    /// The policies of their tenants, where they have one. None: one that this version does not understand.
    pub policies: HashMap<TenantId, Option<Policy>>,
    /// The time.
    pub now: Micros,
}

/// A walk over the sessions of a tenant whose policy has changed.
#[derive(Debug)]
pub struct PolicyWalk {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Which of its policies.
    pub version: i64,
    /// The policy. None: one that this version does not understand.
    pub policy: Option<Policy>,
    /// The next sessions, in the order of their ids.
    pub sessions: Vec<SweptSession>,
    /// The time at which they were so.
    pub now: Micros,
}

/// When to look at a session again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The session.
    pub session_id: SessionId,
    /// When; none: never.
    pub due: Option<Micros>,
    /// Only if this is what is set; none: whatever is.
    pub unless_changed: Option<Micros>,
}

/// What [`Store::append`] did.
pub struct Appended {
    /// One for each entry, in their order.
    pub outcomes: Vec<Result<Outcome, EntryError>>,
    /// The sessions that entries for one session ended, by the entry's place in the batch, and the time at which that was
    /// so.
    pub ended: HashMap<usize, (Session, Micros)>,
    /// What the batch revoked, to be said again when the commit took too long.
    pub revoked: Revoked,
    /// The batch as the log has it, and the head that it is; none when it changed nothing.
    pub committed: Option<(Frame, Position)>,
}

/// The session revocations of a batch.
#[derive(Debug, Default)]
pub struct Revoked {
    /// Single ones.
    pub serials: Vec<Serial>,
    /// Scopes, with the one they exempt.
    pub cuts: Vec<(Scope, Option<Serial>)>,
}

/// What [`Store::known`] found.
#[derive(Debug)]
pub struct Known {
    /// From earlier sign-ins.
    pub history: History,
    /// Of them, how many were on the device with that id.
    pub device_sign_ins: u32,
    /// The time at which that was so.
    pub now: Micros,
}

/// Whether a refresh token is of the session with this salt, which is the session's own part of its refresh tokens.
pub type Proof = Arc<dyn Fn(&[u8; 16]) -> bool + Send + Sync>;

/// What [`Store::rotate`] did.
pub enum Rotated {
    /// This call advanced the generation; the session as it is now.
    Won(Box<Session>, Micros),
    /// It did not; the session as it is.
    Lost(Box<Session>, Micros),
    /// There is no such session, or the proof does not hold for it.
    NotFound,
}

/// What [`Store::remove_ended`] did.
#[derive(Debug)]
pub struct Removed {
    /// How many sessions went.
    pub sessions: u64,
    /// Where to go on; none: these were the last.
    pub next: Option<Cursor>,
}

/// Proof that a store could write just now, and what it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The head of the log.
    pub head: Position,
    /// The database's clock when it read the head.
    pub time: Micros,
}

/// The longest life of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLife {
    /// What tokens may be issued with now.
    pub issue: Duration,
    /// What tokens that are alive may have: revocations are kept for this long.
    pub keep: Duration,
}

/// Encodes the first view of a new history, with its authentication code.
pub type Checkpoint<'a> =
    dyn for<'r> Fn(&'r Recovered) -> Result<(Bytes, Bytes), StoreError> + Sync + 'a;

/// Where the old history ended and the new one begins.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The first batch of the new history.
    pub frame: Frame,
    /// The head of the old history.
    pub old: Position,
    /// The head of the new one.
    pub head: Position,
}

/// Why a session was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The user may not sign in.
    #[error("the user is disabled")]
    UserDisabled,
    /// The `request_id` belongs to a call with other arguments.
    #[error("the request id was used with other arguments")]
    RequestReused,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The connections of a lane at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// Its lane. Lanes that share connections are one.
    pub lane: &'static str,
    /// The most connections.
    pub max: u64,
    /// Connections on loan.
    pub in_use: u64,
    /// Callers that wait for one.
    pub waiting: u64,
    /// Callers that have waited, if only for a moment, since the start.
    pub waits: u64,
    /// The time that they waited in all.
    pub waited: Duration,
}

/// Why the store failed. The text is for the authority's own log: it names classes and codes, never values.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or did not answer in time. A commit may have happened.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Another transaction was in the way: a lock, a deadlock, a serialization failure.
    #[error("the transaction has to be repeated: {0}")]
    Conflict(String),
    /// A search took longer than it may. A narrower one may not.
    #[error("the search took too long: {0}")]
    TooSlow(String),
    /// Too many calls of this kind wait already.
    #[error("overloaded: {0}")]
    Overloaded(String),
    /// The deltas asked for were trimmed away.
    #[error("the log was trimmed")]
    Trimmed,
    /// The schema is not this version's, and this role may not change it.
    #[error(
        "the database is not of this version, and the role of store.url may not change it: run `portcullis migrate` \
         with store.owner_url"
    )]
    NotMigrated,
    /// Its URL or its server cannot be used as it is.
    #[error("{0}")]
    Unusable(String),
    /// An authority is running on it, and must not be.
    #[error("the store is in use: {0}")]
    InUse(String),
    /// Rows are not what the store wrote, or a statement is wrong.
    #[error("the store is corrupt or the statement wrong: {0}")]
    Internal(String),
}

impl StoreError {
    /// Whether the same call may succeed soon. Repeating it is safe.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Conflict(_))
    }

    /// Logs `what` as put off or undone because of this error. A store that is away is reported by
    /// [`Store::outage`], a few lines in all: what its outage keeps from happening is at DEBUG.
    pub fn log(&self, what: &str) {
        match self {
            Self::Unavailable(_) => tracing::debug!(error = %self, "{what}"),
            _ => tracing::warn!(error = %self, "{what}"),
        }
    }
}

/// The event id of an entry, as stores index it.
pub(crate) fn event_bytes(id: EventId) -> Vec<u8> {
    id.to_bytes().to_vec()
}
