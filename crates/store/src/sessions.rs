//! Sessions: sign-ins, refreshes, lists and retention.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use portcullis_contract::{
    id::{SessionId, TenantId, UserId},
    position::Revision,
};
use portcullis_domain::{
    ClientInfo, Micros, Page, PageCursor, PendingEvent, Preview, Selection, Session, SessionFilter,
    SessionOrder, SignIn, SignInOutcome,
    findings::{Footprint, History},
};

use crate::StoreError;

/// The sessions of all tenants.
///
/// **Durable.** A session returned by [`sign_in`](Self::sign_in), and a generation returned as
/// [`RefreshOutcome::Won`], survive a crash.
///
/// **Idempotent.** `sign_in` returns the existing session when the session id, or the `request_id` with the same
/// arguments, is known. `record_shared_token` records one event per generation. A repeated `refresh` returns
/// [`RefreshOutcome::Lost`] with the row, never a second generation.
///
/// **Snapshots.** Every `Micros` returned beside rows is the database's clock at the snapshot of those rows.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Opens a session, creating its tenant and user when they are new.
    ///
    /// The head of the log is read no later than anything else. A sign-out that commits meanwhile therefore has a
    /// greater revision than the session's and covers it.
    ///
    /// The policy's version and the number of the user's sessions are compared in the transaction that opens the session.
    /// Sign-ins of a user with a limit take turns in it, so of any number at once exactly as many succeed as there is
    /// room for, or the outcome of each names the older sessions that it leaves no room for.
    ///
    /// # Errors
    /// [`SignInError::UserDisabled`], [`SignInError::RequestReused`], [`SignInError::PolicyChanged`] and
    /// [`SignInError::SessionLimit`] change nothing. The same call fails again, unless there is room by then.
    async fn sign_in(&self, new: &SignIn) -> Result<SignInOutcome, SignInError>;

    /// Advances the session's refresh generation from `generation`, if the session is alive, the proof holds and no
    /// other call advanced it first. Of any number of concurrent calls one wins, and its `client` is kept. The others get
    /// [`RefreshOutcome::Lost`] with the row. Without proof nothing changes.
    ///
    /// # Errors
    /// When the store fails. The generation may have advanced if the error is retryable.
    async fn refresh(
        &self,
        tenant: &TenantId,
        id: SessionId,
        generation: u64,
        proof: Proof,
        client: &ClientInfo,
    ) -> Result<RefreshOutcome, StoreError>;

    /// Records that two clients presented the refresh token before `generation`, with an event for the audit trail.
    /// Changes nothing when that was recorded for this generation before, or when the session has another generation by
    /// now: a token that comes often must not fill the trail.
    ///
    /// # Errors
    /// When the store fails.
    async fn record_shared_token(
        &self,
        tenant: &TenantId,
        id: SessionId,
        generation: u64,
        event: &PendingEvent,
    ) -> Result<(), StoreError>;

    /// One session and how it ended. Sees every write that was acknowledged before the call.
    ///
    /// # Errors
    /// When the store fails.
    async fn session(
        &self,
        tenant: &TenantId,
        id: SessionId,
    ) -> Result<Option<(Session, Micros)>, StoreError>;

    /// The sessions that the open session of a sign-in leaves no room for, newest first: at most
    /// [`EXCESS_SESSIONS_MAX`](portcullis_domain::EXCESS_SESSIONS_MAX). Sign-ins need them, so this never waits behind a
    /// list.
    ///
    /// # Errors
    /// When the store fails.
    async fn excess_sessions(&self, new: &SignIn) -> Result<Vec<SessionId>, StoreError>;

    /// One page of at most `limit` sessions, from just after the cursor.
    ///
    /// A session that exists and matches from the first page to the last appears on exactly one of them. Only in the
    /// order of last activity may a session that is used meanwhile move to an earlier page.
    ///
    /// # Errors
    /// [`StoreError::TooSlow`] for a search that is too wide, [`StoreError::Overloaded`] when too many searches wait.
    async fn list_sessions(
        &self,
        filter: &SessionFilter,
        order: SessionOrder,
        after: Option<&PageCursor>,
        limit: u32,
    ) -> Result<Page<Session>, StoreError>;

    /// The number of a tenant's active sessions, counted up to `max`.
    ///
    /// # Errors
    /// As [`list_sessions`](Self::list_sessions).
    async fn count_sessions(&self, tenant: &TenantId, max: u32) -> Result<u32, StoreError>;

    /// The active sessions that revoking a selection would end. None when a session that it names does not exist.
    ///
    /// # Errors
    /// As [`list_sessions`](Self::list_sessions).
    async fn preview(
        &self,
        tenant: &TenantId,
        selection: &Selection,
    ) -> Result<Option<Preview>, StoreError>;

    /// The user's earlier sign-ins, as far as they matter for a sign-in with these footprints.
    ///
    /// # Errors
    /// When the store fails.
    async fn sign_in_history(
        &self,
        tenant: &TenantId,
        user: &UserId,
        footprints: &[Footprint],
    ) -> Result<SignInHistory, StoreError>;

    /// Visits the `limit` sessions after the cursor, over all tenants, and deletes those that ended longer than
    /// `retention` ago. Audit rows stay.
    ///
    /// # Errors
    /// When the store fails. Repeating the call is safe.
    async fn remove_ended(
        &self,
        after: Option<&PageCursor>,
        retention: Duration,
        limit: u32,
    ) -> Result<Removed, StoreError>;

    /// Visits the `limit` known devices, places and networks of earlier sign-ins after the cursor, over all users, and
    /// deletes those that no sign-in has seen for `keep`.
    ///
    /// # Errors
    /// When the store fails. Repeating the call is safe.
    async fn remove_old_history(
        &self,
        after: Option<&PageCursor>,
        keep: Duration,
        limit: u32,
    ) -> Result<Removed, StoreError>;
}

/// The result of [`SessionStore::sign_in_history`].
#[derive(Debug)]
pub struct SignInHistory {
    /// The footprints, the last known place, and the networks of the device.
    pub history: History,
    /// The number of earlier sign-ins on the device with that id.
    pub device_sign_ins: u32,
    /// The database's clock at the read.
    pub now: Micros,
}

/// Checks whether a refresh token belongs to the session with this salt. The salt is the session's own part of its
/// refresh tokens.
pub type Proof = Arc<dyn Fn(&[u8; 16]) -> bool + Send + Sync>;

/// The result of [`SessionStore::refresh`].
pub enum RefreshOutcome {
    /// This call advanced the generation. Holds the session after it.
    Won(Box<Session>, Micros),
    /// This call changed nothing. Holds the session as it is.
    Lost(Box<Session>, Micros),
    /// The session does not exist, or the proof does not hold for it.
    NotFound,
}

/// The result of [`SessionStore::remove_ended`] and [`SessionStore::remove_old_history`].
#[derive(Debug)]
pub struct Removed {
    /// The number of rows deleted.
    pub rows: u64,
    /// The cursor to continue from. None after the last row.
    pub next: Option<PageCursor>,
    /// The oldest revisions that the visited sessions which stay refer to.
    pub left: Left,
    /// The greatest age of a visited row that stays: since the end of a session, or since a sign-in saw a row of the
    /// history. None: none stays that has an age.
    pub oldest: Option<Duration>,
}

/// The oldest revisions that sessions refer to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The oldest head that a sign-in read. A cutoff up to it covers none of the sessions.
    pub opened: Option<Revision>,
    /// The oldest revision whose audit rows say how a session ended.
    pub end: Option<Revision>,
}

impl Left {
    /// Adds the head that a sign-in read.
    pub fn add_opened(&mut self, revision: Revision) {
        self.opened = Some(self.opened.map_or(revision, |oldest| oldest.min(revision)));
    }

    /// Adds the end of a session.
    pub fn add_end(&mut self, revision: Revision) {
        self.end = Some(self.end.map_or(revision, |oldest| oldest.min(revision)));
    }

    /// Adds the revisions that other sessions refer to.
    pub fn add(&mut self, other: Self) {
        if let Some(opened) = other.opened {
            self.add_opened(opened);
        }
        if let Some(end) = other.end {
            self.add_end(end);
        }
    }
}

/// A reason why a session was not opened.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The user may not sign in.
    #[error("the user is disabled")]
    UserDisabled,
    /// The `request_id` belongs to a call with other arguments.
    #[error("the request id was used with other arguments")]
    RequestReused,
    /// The tenant has another policy than the one that the sign-in follows.
    #[error("the policy was changed meanwhile")]
    PolicyChanged,
    /// The user has as many sessions as the policy allows.
    #[error("the user has as many sessions as allowed")]
    SessionLimit,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
