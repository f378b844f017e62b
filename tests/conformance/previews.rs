//! What a call would end: the same as it then ends.

use portcullis_authority::{
    domain::{
        Entry, Preview, Selection, Session,
        listing::{PREVIEW_SAMPLE_MAX, PREVIEW_SESSIONS_MAX},
    },
    store::Store,
};
use portcullis_contract::id::SessionId;
use portcullis_tests::{
    calls::{apply, head, open},
    given::{revoke, sign_in, sign_out, sign_out_but, sign_out_tenant, tenant, user},
    replay::is_alive,
};

use crate::Engine;

async fn preview(store: &dyn Store, selection: &Selection) -> Preview {
    store
        .preview(&tenant("t"), selection)
        .await
        .expect("an answer")
        .expect("known sessions")
}

async fn a_preview_names_the_sessions_that_the_call_then_ends(engine: Engine) {
    let store = engine.place().await.store().await;
    let mut sessions = Vec::new();
    for user in ["a", "a", "a", "b", "b", "c"] {
        sessions.push(open(&*store, &sign_in("t", user)).await);
    }
    open(&*store, &sign_in("other", "a")).await;
    apply(&*store, revoke(&[&sessions[0]])).await;
    let ids = |at: &[usize]| at.iter().map(|at| sessions[*at].id).collect::<Vec<_>>();
    let keep = Some(sessions[2].id);
    let users = |names: &[&str]| names.iter().map(|name| user(name)).collect::<Vec<_>>();
    let cases: [(Selection, Entry, &[usize]); 5] = [
        (
            Selection::Sessions(ids(&[0, 3])),
            revoke(&[&sessions[0], &sessions[3]]),
            &[3],
        ),
        (
            Selection::Users(users(&["a"]), keep),
            sign_out_but("t", &["a"], keep),
            &[1],
        ),
        (
            Selection::Users(users(&["b", "nobody"]), None),
            sign_out("t", &["b"]),
            &[4],
        ),
        (Selection::Tenant, sign_out_tenant("t"), &[5, 2]),
        (Selection::Tenant, sign_out_tenant("t"), &[]),
    ];
    for (selection, entry, expected) in cases {
        let before = head(&*store).await;
        let preview = preview(&*store, &selection).await;
        assert_eq!(head(&*store).await, before, "a preview changes nothing");
        let sample: Vec<SessionId> = preview.sample.iter().map(|session| session.id).collect();
        assert_eq!(
            (sample, preview.sessions as usize),
            (ids(expected), expected.len()),
            "{selection:?}"
        );
        let alive = alive(&*store, &sessions).await;
        apply(&*store, entry).await;
        let ended = alive
            .into_iter()
            .filter(|at| !expected.contains(at))
            .collect::<Vec<_>>();
        assert_eq!(
            self::alive(&*store, &sessions).await,
            ended,
            "{selection:?}"
        );
    }
}

async fn alive(store: &dyn Store, sessions: &[Session]) -> Vec<usize> {
    let mut alive = Vec::new();
    for (at, session) in sessions.iter().enumerate() {
        if is_alive(store, session).await {
            alive.push(at);
        }
    }
    alive
}

async fn a_selection_with_an_unknown_session_has_no_preview(engine: Engine) {
    let store = engine.place().await.store().await;
    let (own, other) = (
        open(&*store, &sign_in("t", "a")).await,
        open(&*store, &sign_in("other", "a")).await,
    );
    for unknown in [SessionId::generate(), other.id] {
        let selection = Selection::Sessions(vec![own.id, unknown]);
        assert!(
            store
                .preview(&tenant("t"), &selection)
                .await
                .expect("an answer")
                .is_none()
        );
    }
}

async fn a_preview_counts_and_shows_no_more_than_it_says(engine: Engine) {
    let store = engine.place().await.store().await;
    let mut newest = Vec::new();
    for _ in 0..PREVIEW_SESSIONS_MAX + 2 {
        newest.push(open(&*store, &sign_in("t", "a")).await.id);
    }
    newest.sort_by_key(|id| std::cmp::Reverse(id.to_bytes()));
    for selection in [Selection::Tenant, Selection::Users(vec![user("a")], None)] {
        let preview = preview(&*store, &selection).await;
        assert_eq!(preview.sessions, PREVIEW_SESSIONS_MAX + 1);
        let sample: Vec<_> = preview.sample.iter().map(|session| session.id).collect();
        assert_eq!(sample, newest[..PREVIEW_SAMPLE_MAX as usize]);
    }
    let several = preview(&*store, &Selection::Users(vec![user("a"), user("b")], None)).await;
    assert_eq!(
        (several.sessions, several.sample.len()),
        (PREVIEW_SESSIONS_MAX + 1, PREVIEW_SAMPLE_MAX as usize)
    );
}

crate::on_every_engine! {
    a_preview_names_the_sessions_that_the_call_then_ends,
    a_selection_with_an_unknown_session_has_no_preview,
    a_preview_counts_and_shows_no_more_than_it_says,
}
