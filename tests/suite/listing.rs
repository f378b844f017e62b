//! Lists of sessions.

use std::{collections::BTreeSet, time::Duration};

use portcullis_authority::{
    domain::{Cause, Mutation, NewSession, Session, SessionFilter, SessionState},
    store::{Store, sql::SqlStore},
};
use portcullis_contract::id::SessionId;
use portcullis_tests::{
    calls::{apply, open, session},
    given::{entry, revoke, sign_in, sign_out, tenant, user},
    wait::eventually,
};

fn of(tenant_id: &str, user_id: Option<&str>, state: Option<SessionState>) -> SessionFilter {
    SessionFilter { tenant_id: tenant(tenant_id), user_id: user_id.map(user), state }
}

async fn list(store: &SqlStore, filter: &SessionFilter, before: Option<SessionId>, limit: u32) -> Vec<SessionId> {
    let (sessions, _) = store.list_sessions(filter, before, limit).await.expect("a list");
    sessions.iter().map(|session| session.id).collect()
}

async fn all(store: &SqlStore, filter: &SessionFilter) -> BTreeSet<[u8; 16]> {
    list(store, filter, None, 100).await.into_iter().map(SessionId::to_bytes).collect()
}

fn ids(sessions: &[&Session]) -> BTreeSet<[u8; 16]> {
    sessions.iter().map(|session| session.id.to_bytes()).collect()
}

#[tokio::test]
async fn sessions_are_listed_by_tenant_and_user() {
    let store = crate::place().await.store().await;
    let (a, b) = (open(&*store, &sign_in("t", "a")).await, open(&*store, &sign_in("t", "b")).await);
    let elsewhere = open(&*store, &sign_in("other", "a")).await;
    assert_eq!(all(&store, &of("t", None, None)).await, ids(&[&a, &b]));
    assert_eq!(all(&store, &of("t", Some("a"), None)).await, ids(&[&a]));
    assert_eq!(all(&store, &of("other", None, None)).await, ids(&[&elsewhere]));
    assert!(all(&store, &of("nowhere", None, None)).await.is_empty());
    assert!(all(&store, &of("t", Some("nobody"), None)).await.is_empty());
}

async fn expired(store: &SqlStore, user_id: &str) -> Session {
    let opened = open(store, &NewSession { lifetime: Duration::from_millis(1), ..sign_in("t", user_id) }).await;
    let over = async || {
        let (row, now) = store.session(&opened.tenant_id, opened.id).await.expect("an answer").expect("a session");
        (row.expires <= now).then_some(())
    };
    eventually("the session expires", over).await;
    opened
}

#[tokio::test]
async fn sessions_are_listed_by_state() {
    let store = crate::place().await.store().await;
    let signed_out = open(&*store, &sign_in("t", "a")).await;
    let own = Mutation::RevokeSessions {
        tenant: tenant("t"),
        sessions: vec![signed_out.id],
        owner: Some(user("a")),
        cause: Cause::User,
    };
    apply(&*store, entry(own)).await;
    let (revoked, cut) = (open(&*store, &sign_in("t", "a")).await, open(&*store, &sign_in("t", "b")).await);
    apply(&*store, revoke(&[&revoked])).await;
    apply(&*store, sign_out("t", &["b"])).await;
    let (expired, active) = (expired(&store, "a").await, open(&*store, &sign_in("t", "b")).await);
    let cases = [
        (SessionState::Active, ids(&[&active])),
        (SessionState::Expired, ids(&[&expired])),
        (SessionState::SignedOut, ids(&[&signed_out])),
        (SessionState::Revoked, ids(&[&revoked, &cut])),
    ];
    for (state, expected) in cases {
        let (sessions, now) = store.list_sessions(&of("t", None, Some(state)), None, 10).await.expect("a list");
        assert!(sessions.iter().all(|session| session.state(now) == state), "{state:?}");
        assert_eq!(ids(&sessions.iter().collect::<Vec<_>>()), expected, "{state:?}");
    }
    assert_eq!(all(&store, &of("t", Some("b"), Some(SessionState::Revoked))).await, ids(&[&cut]));
}

#[tokio::test]
async fn a_session_that_had_expired_is_not_ended_by_what_came_later() {
    let store = crate::place().await.store().await;
    let expired = expired(&store, "a").await;
    apply(&*store, sign_out("t", &["a"])).await;
    assert_eq!(apply(&*store, revoke(&[&expired])).await.changed, 0);
    assert_eq!(session(&*store, &expired).await.end, None, "it ended by itself");
    assert_eq!(all(&store, &of("t", None, Some(SessionState::Expired))).await, ids(&[&expired]));
    assert!(all(&store, &of("t", None, Some(SessionState::Revoked))).await.is_empty());
}

#[tokio::test]
async fn pages_cover_each_session_once_while_others_come_and_go() {
    let store = crate::place().await.store().await;
    for filter in [of("t", None, None), of("t", Some("a"), None), of("t", None, Some(SessionState::Active))] {
        let mut there = Vec::new();
        for _ in 0..7 {
            there.push(open(&*store, &sign_in("t", "a")).await);
        }
        let (mut pages, mut before) = (Vec::new(), None);
        loop {
            let page = list(&store, &filter, before, 3).await;
            open(&*store, &sign_in("t", "a")).await;
            let Some(last) = page.last() else { break };
            before = Some(*last);
            pages.extend(page);
            assert!(pages.len() < 100, "pages come to an end");
        }
        let descending = pages.windows(2).all(|pair| pair[0].to_bytes() > pair[1].to_bytes());
        assert!(descending, "newest first, and none twice");
        let newest = pages.iter().take(7).map(|id| id.to_bytes()).collect::<BTreeSet<_>>();
        assert_eq!(newest, ids(&there.iter().collect::<Vec<_>>()), "none is missing, and none of those that came");
    }
}
