//! Lists of sessions.

use std::{collections::BTreeSet, time::Duration};

use portcullis_authority::{
    domain::{
        Cause, Mutation, PageCursor, Session, SessionFilter, SessionOrder, SessionState, SignIn,
    },
    store::Store,
};
use portcullis_tests::{
    calls::{apply, list, open, session},
    given::{entry, revoke, sign_in, sign_out, tenant, user},
    wait::eventually,
};

use crate::Engine;

fn of(tenant_id: &str, user_id: Option<&str>, state: Option<SessionState>) -> SessionFilter {
    SessionFilter {
        user_id: user_id.map(user),
        state,
        ..SessionFilter::of(tenant(tenant_id))
    }
}

async fn all(store: &dyn Store, filter: &SessionFilter) -> BTreeSet<[u8; 16]> {
    list(store, filter)
        .await
        .iter()
        .map(|session| session.id.to_bytes())
        .collect()
}

fn ids(sessions: &[&Session]) -> BTreeSet<[u8; 16]> {
    sessions
        .iter()
        .map(|session| session.id.to_bytes())
        .collect()
}

async fn sessions_are_listed_by_tenant_and_user(engine: Engine) {
    let store = engine.place().await.store().await;
    let (a, b) = (
        open(&*store, &sign_in("t", "a")).await,
        open(&*store, &sign_in("t", "b")).await,
    );
    let elsewhere = open(&*store, &sign_in("other", "a")).await;
    assert_eq!(all(&*store, &of("t", None, None)).await, ids(&[&a, &b]));
    assert_eq!(all(&*store, &of("t", Some("a"), None)).await, ids(&[&a]));
    assert_eq!(
        all(&*store, &of("other", None, None)).await,
        ids(&[&elsewhere])
    );
    assert!(all(&*store, &of("nowhere", None, None)).await.is_empty());
    assert!(
        all(&*store, &of("t", Some("nobody"), None))
            .await
            .is_empty()
    );
}

async fn expired(store: &dyn Store, user_id: &str) -> Session {
    let opened = open(
        store,
        &SignIn {
            lifetime: Duration::from_millis(1),
            ..sign_in("t", user_id)
        },
    )
    .await;
    let over = async || {
        let (row, now) = store
            .session(&opened.tenant_id, opened.id)
            .await
            .expect("an answer")
            .expect("a session");
        (row.expires <= now).then_some(())
    };
    eventually("the session expires", over).await;
    opened
}

async fn sessions_are_listed_by_state(engine: Engine) {
    let store = engine.place().await.store().await;
    let signed_out = open(&*store, &sign_in("t", "a")).await;
    let own = Mutation::RevokeSessions {
        tenant: tenant("t"),
        sessions: vec![signed_out.id],
        owner: Some(user("a")),
        cause: Cause::User,
    };
    apply(&*store, entry(own)).await;
    let (revoked, cut) = (
        open(&*store, &sign_in("t", "a")).await,
        open(&*store, &sign_in("t", "b")).await,
    );
    apply(&*store, revoke(&[&revoked])).await;
    apply(&*store, sign_out("t", &["b"])).await;
    let (expired, active) = (
        expired(&*store, "a").await,
        open(&*store, &sign_in("t", "b")).await,
    );
    let cases = [
        (SessionState::Active, ids(&[&active])),
        (SessionState::Expired, ids(&[&expired])),
        (SessionState::SignedOut, ids(&[&signed_out])),
        (SessionState::Revoked, ids(&[&revoked, &cut])),
    ];
    for (state, expected) in cases {
        let page = store
            .list_sessions(&of("t", None, Some(state)), SessionOrder::Start, None, 10)
            .await
            .expect("a list");
        assert!(
            page.items
                .iter()
                .all(|session| session.state(page.now) == state),
            "{state:?}"
        );
        assert_eq!(
            ids(&page.items.iter().collect::<Vec<_>>()),
            expected,
            "{state:?}"
        );
    }
    assert_eq!(
        all(&*store, &of("t", Some("b"), Some(SessionState::Revoked))).await,
        ids(&[&cut])
    );
}

async fn an_expired_session_stays_expired_when_it_is_signed_out(engine: Engine) {
    let store = engine.place().await.store().await;
    let expired = expired(&*store, "a").await;
    apply(&*store, sign_out("t", &["a"])).await;
    assert_eq!(apply(&*store, revoke(&[&expired])).await.changed, 0);
    assert_eq!(
        session(&*store, &expired).await.end,
        None,
        "it ended by itself"
    );
    assert_eq!(
        all(&*store, &of("t", None, Some(SessionState::Expired))).await,
        ids(&[&expired])
    );
    assert!(
        all(&*store, &of("t", None, Some(SessionState::Revoked)))
            .await
            .is_empty()
    );
}

async fn pages_cover_each_session_once_while_others_come_and_go(engine: Engine) {
    let store = engine.place().await.store().await;
    let orders = [SessionOrder::Start, SessionOrder::User];
    for filter in [
        of("t", None, None),
        of("t", Some("a"), None),
        of("t", None, Some(SessionState::Active)),
    ] {
        for order in orders {
            come_and_go(&*store, &filter, order).await;
        }
    }
    come_and_go(
        &*store,
        &of("t", Some("a"), None),
        SessionOrder::LastActive(None),
    )
    .await;
}

async fn come_and_go(store: &dyn Store, filter: &SessionFilter, order: SessionOrder) {
    let mut there = Vec::new();
    for _ in 0..7 {
        there.push(open(store, &sign_in("t", "a")).await);
    }
    let (mut pages, mut after): (Vec<Session>, Option<PageCursor>) = (Vec::new(), None);
    loop {
        let page = store
            .list_sessions(filter, order, after.as_ref(), 3)
            .await
            .expect("a page");
        // One goes that was shown, and one comes.
        let gone = open(store, &sign_in("t", "a")).await;
        apply(store, revoke(&[&gone])).await;
        open(store, &sign_in("t", "a")).await;
        pages.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
        assert!(pages.len() < 10_000, "pages come to an end");
    }
    let descending = pages
        .windows(2)
        .all(|pair| pair[0].id.to_bytes() > pair[1].id.to_bytes());
    assert!(descending, "newest first, and none twice");
    let newest = pages
        .iter()
        .take(7)
        .map(|session| session.id.to_bytes())
        .collect::<BTreeSet<_>>();
    assert_eq!(
        newest,
        ids(&there.iter().collect::<Vec<_>>()),
        "none is missing, and none of those that came"
    );
}

async fn ended_sessions_are_listed_for_the_retention_and_then_removed(engine: Engine) {
    let store = engine.place().await.store().await;
    let (revoked, cut) = (
        open(&*store, &sign_in("t", "a")).await,
        open(&*store, &sign_in("t", "b")).await,
    );
    let (expired, active) = (
        expired(&*store, "a").await,
        open(&*store, &sign_in("t", "c")).await,
    );
    apply(&*store, revoke(&[&revoked])).await;
    apply(&*store, sign_out("t", &["b"])).await;
    let kept = |retention| SessionFilter {
        retention,
        ..of("t", None, None)
    };
    assert_eq!(
        all(&*store, &kept(Duration::from_secs(60))).await,
        ids(&[&revoked, &cut, &expired, &active])
    );
    assert_eq!(all(&*store, &kept(Duration::ZERO)).await, ids(&[&active]));
    for state in [SessionState::Expired, SessionState::Revoked] {
        assert!(
            all(
                &*store,
                &SessionFilter {
                    state: Some(state),
                    ..kept(Duration::ZERO)
                }
            )
            .await
            .is_empty()
        );
    }

    let early = sweep(&*store, Duration::from_secs(60)).await;
    assert_eq!(early, 0, "they are kept for a minute");
    assert_eq!(all(&*store, &of("t", None, None)).await.len(), 4);
    // Those that have ended have an age, and one that lives has none.
    let kept = store.remove_ended(None, Duration::from_secs(60), 9).await;
    let oldest = kept.expect("a step").oldest.expect("an age");
    assert!(oldest < Duration::from_secs(60), "{oldest:?}");
    assert_eq!(sweep(&*store, Duration::ZERO).await, 3);
    let left = store.remove_ended(None, Duration::ZERO, 9).await;
    assert_eq!(left.expect("a step").oldest, None);
    assert_eq!(all(&*store, &of("t", None, None)).await, ids(&[&active]));
    assert!(
        store
            .session(&revoked.tenant_id, revoked.id)
            .await
            .expect("an answer")
            .is_none()
    );
    assert_eq!(session(&*store, &active).await.end, None);
    assert_eq!(sweep(&*store, Duration::ZERO).await, 0);
}

/// A whole round, in steps of two sessions.
async fn sweep(store: &dyn Store, retention: Duration) -> u64 {
    let (mut removed, mut after) = (0, None);
    loop {
        let step = store
            .remove_ended(after.as_ref(), retention, 2)
            .await
            .expect("a step");
        removed += step.rows;
        after = step.next;
        if after.is_none() {
            return removed;
        }
    }
}

crate::on_every_engine! {
    sessions_are_listed_by_tenant_and_user,
    sessions_are_listed_by_state,
    an_expired_session_stays_expired_when_it_is_signed_out,
    pages_cover_each_session_once_while_others_come_and_go,
    ended_sessions_are_listed_for_the_retention_and_then_removed,
}
