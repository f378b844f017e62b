//! Calls that are repeated as the log repeats them: while the store says that it may help.

use std::sync::Arc;

use portcullis_authority::{
    domain::{
        ClientInfo, Entry, EntryError, Outcome, Session, SessionFilter, SessionOrder, SignIn,
        SignInOutcome,
    },
    store::{Proof, RefreshOutcome, SignInError, Store, StoreError},
};
use portcullis_contract::position::Revision;

use crate::wait::eventually;

/// Appends a batch.
///
/// # Panics
/// When the store refuses it.
pub async fn append(store: &dyn Store, entries: &[Entry]) -> Vec<Result<Outcome, EntryError>> {
    let appended = eventually("the batch is appended", async || {
        acceptable(store.append(entries).await)
    });
    appended.await.outcomes
}

/// Appends an entry that can be applied.
///
/// # Panics
/// When it cannot.
pub async fn apply(store: &dyn Store, entry: Entry) -> Outcome {
    apply_again(store, &entry).await
}

/// As [`apply`], for an entry that may be known already.
///
/// # Panics
/// When it cannot be applied.
pub async fn apply_again(store: &dyn Store, entry: &Entry) -> Outcome {
    append(store, std::slice::from_ref(entry))
        .await
        .remove(0)
        .expect("the entry is applied")
}

/// Opens a session under the policy that is in force, or says that the user is disabled.
///
/// # Panics
/// When the store fails for good.
pub async fn try_open(store: &dyn Store, new: &SignIn) -> Option<Session> {
    let opened = eventually("the session is opened", async || {
        match sign_in_now(store, new).await {
            Err(SignInError::Store(error)) => acceptable::<Session>(Err(error)).map(Some),
            Err(SignInError::UserDisabled) => Some(None),
            Err(error) => panic!("{error}"),
            Ok(opened) => Some(Some(opened.session)),
        }
    });
    opened.await
}

async fn sign_in_now(store: &dyn Store, new: &SignIn) -> Result<SignInOutcome, SignInError> {
    match store.sign_in(new).await {
        Err(SignInError::PolicyChanged) => {
            let policy = store.policy(&new.tenant_id).await?;
            let policy_version = policy.map_or(0, |(_, version)| version);
            let current = SignIn {
                policy_version,
                ..new.clone()
            };
            store.sign_in(&current).await
        }
        opened => opened,
    }
}

/// Opens a session.
///
/// # Panics
/// When it is not opened.
pub async fn open(store: &dyn Store, new: &SignIn) -> Session {
    try_open(store, new)
        .await
        .expect("the user is not disabled")
}

/// What proves that a token is of this session.
#[must_use]
pub fn proof_of(session: &Session) -> Proof {
    let own = session.salt;
    Arc::new(move |salt| *salt == own)
}

/// Advances a session's generation.
///
/// # Panics
/// When the store fails for good.
pub async fn rotate(store: &dyn Store, session: &Session, generation: u64) -> RefreshOutcome {
    let rotate = async || {
        acceptable(
            store
                .refresh(
                    &session.tenant_id,
                    session.id,
                    generation,
                    proof_of(session),
                    &ClientInfo::default(),
                )
                .await,
        )
    };
    eventually("the session is rotated", rotate).await
}

/// The session as the rows have it now.
///
/// # Panics
/// When it is not there.
pub async fn session(store: &dyn Store, session: &Session) -> Session {
    let found = store
        .session(&session.tenant_id, session.id)
        .await
        .expect("the store answers");
    found.expect("the session is there").0
}

/// The newest sessions that match, at most 100.
///
/// # Panics
/// When the store fails.
pub async fn list(store: &dyn Store, filter: &SessionFilter) -> Vec<Session> {
    store
        .list_sessions(filter, SessionOrder::Start, None, 100)
        .await
        .expect("a list")
        .items
}

/// The head's revision.
///
/// # Panics
/// When the store fails.
pub async fn head(store: &dyn Store) -> Revision {
    store.head().await.expect("a head").revision
}

fn acceptable<T>(result: Result<T, StoreError>) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        Err(error) if error.is_retryable() => None,
        Err(error) => panic!("{error}"),
    }
}
