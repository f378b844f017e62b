//! The log read from its beginning, as a validator does, and held against the rows.

use portcullis_authority::{
    domain::{Session, SessionState},
    store::Store,
};
use portcullis_contract::{
    key::CredentialKind,
    position::{Position, Revision},
    view::{Subject, View},
};

/// How many batches one read takes: small, so that reads have seams.
const BATCHES: u32 = 7;

/// The view at the head.
///
/// # Panics
/// When the log has a gap, or ends elsewhere than the head says.
pub async fn replay(store: &dyn Store) -> View {
    let head = store.head().await.expect("a head");
    let mut view = View::empty(head.incarnation);
    while view.position().revision < head.revision {
        let batches = store
            .tail(view.position().revision, BATCHES)
            .await
            .expect("a tail");
        assert!(!batches.is_empty(), "the log ends before its head");
        for batch in batches {
            let revision = batch.frame.revision;
            if revision > head.revision {
                break;
            }
            view = view.apply(&batch.frame).expect("the log is dense");
            assert_eq!(view.position(), batch.position, "the batch at {revision}");
            let chain = store.chain(revision).await.expect("a chain");
            assert_eq!(
                chain,
                Some(view.position().chain),
                "the chain at {revision}"
            );
        }
    }
    assert_eq!(view.position(), head);
    view
}

/// The position of the log at a revision.
///
/// # Panics
/// When the log does not have the revision.
pub async fn position_at(store: &dyn Store, revision: Revision) -> Position {
    let (head, chain) = store.head_and_chain(revision).await.expect("a head");
    Position {
        incarnation: head.incarnation,
        revision,
        chain: chain.expect("the log has the revision"),
    }
}

/// Whether a validator with this view takes the session's tokens.
#[must_use]
pub fn accepts(view: &View, subject: &Subject) -> bool {
    !view.is_revoked(CredentialKind::Session, subject)
        && !view.is_cut(CredentialKind::Session, subject)
}

/// Whether the session can be used.
///
/// # Panics
/// When rows and log do not agree on it.
pub async fn is_alive(store: &dyn Store, session: &Session) -> bool {
    let found = store
        .session(&session.tenant_id, session.id)
        .await
        .expect("the store answers");
    let (row, now) = found.expect("the session is there");
    let by_row = row.state(now) == SessionState::Active;
    let by_view = accepts(&replay(store).await, &session.subject);
    assert_eq!(
        by_row, by_view,
        "rows and log disagree on a session opened at {}",
        session.subject.opened
    );
    by_row
}
