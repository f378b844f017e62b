//! The store: rows and the log, behind one trait in domain words.
//!
//! [`sql`] holds the one implementation, in portable statements; [`sqlite`] and [`postgres`] drive an engine.

pub mod postgres;
pub mod sql;
pub mod sqlite;

use std::time::Duration;

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
    ApiKey, ApiKeyFilter, ApiKeyHour, ApiKeyUse, AuditEvent, AuditFilter, AuditPosition, AuditVerdict, Entry,
    EntryError, KeyRecord, Micros, NewSession, OpenedSession, Outcome, Policy, Session, SessionFilter, User,
};

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
    /// What the engine's settings let it promise, in words for the operator.
    async fn durability(&self) -> Result<String, StoreError>;

    /// Opens a session, creating its tenant and user when they are new.
    async fn open_session(&self, new: &NewSession) -> Result<OpenedSession, OpenError>;

    /// A session's own part of its refresh tokens, whatever its state.
    async fn salt(&self, tenant: &TenantId, id: SessionId) -> Result<Option<[u8; 16]>, StoreError>;

    /// Advances the session's refresh generation from `generation`, if the session is alive and no one else did
    /// first: of any number of concurrent calls one wins. The others get [`Rotated::Lost`] with the row.
    async fn rotate(&self, tenant: &TenantId, id: SessionId, generation: u64) -> Result<Rotated, StoreError>;

    /// One session, with how it ended, and the time at which that was so.
    async fn session(&self, tenant: &TenantId, id: SessionId) -> Result<Option<(Session, Micros)>, StoreError>;

    /// Sessions in descending order of id (newest first), from just below `before`.
    async fn list_sessions(
        &self,
        filter: &SessionFilter,
        before: Option<SessionId>,
        limit: u32,
    ) -> Result<(Vec<Session>, Micros), StoreError>;

    /// What is known of a user that bears on a sign-in with these footprints.
    async fn known(&self, tenant: &TenantId, user: &UserId, footprints: &[Footprint]) -> Result<Known, StoreError>;

    /// One user.
    async fn user(&self, tenant: &TenantId, id: &UserId) -> Result<Option<User>, StoreError>;

    /// One API key, with how it ended, and the time at which that was so.
    async fn api_key(&self, tenant: &TenantId, id: ApiKeyId) -> Result<Option<(ApiKey, Micros)>, StoreError>;

    /// A key's requests in this hour and the 23 before it, oldest first, those without requests left out.
    async fn api_key_hours(&self, tenant: &TenantId, id: ApiKeyId) -> Result<Vec<ApiKeyHour>, StoreError>;

    /// API keys in descending order of id (newest first), from just below `before`.
    async fn list_api_keys(
        &self,
        filter: &ApiKeyFilter,
        before: Option<ApiKeyId>,
        limit: u32,
    ) -> Result<(Vec<ApiKey>, Micros), StoreError>;

    /// Counts what gates saw of API keys, in one transaction. Keys that are not there are passed over, and what is
    /// more than a day old is dropped. Not for repeating: what is told twice counts twice.
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
    async fn verify_audit_trail(&self, after: Revision, limit: u64) -> Result<Option<AuditVerdict>, StoreError>;

    /// Whether an event of a sign-in or a refresh waits for [`Mutation::Record`](crate::domain::Mutation::Record).
    async fn has_pending_events(&self) -> Result<bool, StoreError>;

    /// Applies a batch in one transaction and one revision. An entry that cannot be applied leaves no trace and
    /// does not hinder the others; one that changes nothing takes no revision of its own.
    async fn append(&self, batch: &[Entry]) -> Result<Appended, StoreError>;

    /// The head of the log.
    async fn head(&self) -> Result<Position, StoreError>;

    /// A durable write to this authority's own row, which also returns the head: a deposed primary cannot answer.
    async fn beat(&self, authority: &[u8; 16]) -> Result<Position, StoreError>;

    /// The batches after `after`, in order, without gaps, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Trimmed`] when the first of them holds no delta any more.
    async fn tail(&self, after: Revision, limit: u32) -> Result<Vec<Frame>, StoreError>;

    /// The chain at a revision, none when the log has no such revision.
    async fn chain(&self, revision: Revision) -> Result<Option<Chain>, StoreError>;

    /// Keeps an encoded view with its authentication code, and the one before it; older ones go.
    async fn save_checkpoint(&self, revision: Revision, view: Bytes, code: Bytes) -> Result<(), StoreError>;

    /// The kept checkpoints, newest first.
    async fn checkpoints(&self) -> Result<Vec<(Bytes, Bytes)>, StoreError>;

    /// Removes the deltas of batches up to `through` that are older than `age`. Revisions, chain and audit rows
    /// stay. Returns how many.
    async fn trim(&self, through: Revision, age: Duration) -> Result<u64, StoreError>;

    /// All signing keys, and the time.
    async fn keys(&self) -> Result<(Vec<KeyRecord>, Micros), StoreError>;

    /// The sealed secret of this name; `fresh` becomes it when there is none.
    async fn secret(&self, name: &str, fresh: &[u8]) -> Result<Vec<u8>, StoreError>;

    /// The longest life of an access token in the whole installation. A longer wish takes force at once; a shorter
    /// one when all tokens of the longer life have run out.
    async fn token_life(&self, wish: Duration) -> Result<TokenLife, StoreError>;

    /// Begins a new history that no validator of the old one can mistake for it: a new incarnation, the revision
    /// and every serial sequence 2^32 further, and (if `sign_out`) everyone cut off. `checkpoint` encodes the new
    /// history's first view, with its authentication code, which is kept in the same transaction.
    async fn recover(
        &self,
        incarnation: Incarnation,
        sign_out: bool,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Recovered, StoreError>;
}

/// What [`Store::append`] did.
#[derive(Debug)]
pub struct Appended {
    /// One for each entry, in their order.
    pub outcomes: Vec<Result<Outcome, EntryError>>,
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

/// What [`Store::rotate`] did.
pub enum Rotated {
    /// This call advanced the generation; the session as it is now.
    Won(Box<Session>, Micros),
    /// It did not; the session as it is.
    Lost(Box<Session>, Micros),
    /// There is no such session.
    NotFound,
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
pub type Checkpoint<'a> = dyn for<'r> Fn(&'r Recovered) -> (Bytes, Bytes) + Sync + 'a;

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

/// Why the store failed. The text is for the authority's own log: it names classes and codes, never values.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or did not answer in time. A commit may have happened.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Another transaction was in the way: a lock, a deadlock, a serialization failure.
    #[error("the transaction has to be repeated: {0}")]
    Conflict(String),
    /// The deltas asked for were trimmed away.
    #[error("the log was trimmed")]
    Trimmed,
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
}

/// The event id of an entry, as stores index it.
pub(crate) fn event_bytes(id: EventId) -> Vec<u8> {
    id.to_bytes().to_vec()
}
