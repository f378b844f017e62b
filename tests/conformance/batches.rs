//! What one batch does, entry by entry.

use portcullis_authority::domain::{Actor, Cause, Entry, EntryError, Mutation, Outcome, Session};
use portcullis_contract::{
    delta::{self, Change},
    id::SessionId,
    key::KeyId,
    position::Revision,
};
use portcullis_tests::{
    calls::{append, apply, head, open, session},
    given::{
        disable, enable, entry, revoke, sign_in, sign_out, sign_out_but, sign_out_tenant, tenant,
        user,
    },
    replay::{is_alive, replay},
};

use crate::Engine;

fn ending(tenant_id: &str, sessions: &[SessionId], owner: Option<&str>) -> Entry {
    entry(Mutation::RevokeSessions {
        tenant: tenant(tenant_id),
        sessions: sessions.to_vec(),
        owner: owner.map(user),
        cause: Cause::User,
    })
}

const NOT_FOUND: Result<Outcome, EntryError> = Err(EntryError::SessionNotFound);

async fn bad_entries_fail_alone(engine: Engine) {
    let store = engine.place().await.store().await;
    let session = open(&*store, &sign_in("t", "u")).await;
    let stranger = open(&*store, &sign_in("t", "v")).await;
    let absent = KeyId::parse("absent").expect("an id");
    let batch = [
        ending("t", &[SessionId::generate()], None),
        revoke(&[&session]),
        enable("t", "nobody"),
        entry(Mutation::DistrustKey(absent)),
        sign_out_but("t", &["u"], Some(stranger.id)),
        sign_out("t", &["w"]),
    ];
    let outcomes = append(&*store, &batch).await;
    let applied = Ok(Outcome {
        revision: Revision(1),
        changed: 1,
    });
    let expected = [
        NOT_FOUND,
        applied,
        Err(EntryError::UserNotFound),
        Err(EntryError::KeyNotFound),
        NOT_FOUND,
        applied,
    ];
    assert_eq!(outcomes, expected);
    assert!(!is_alive(&*store, &session).await);
    assert!(is_alive(&*store, &stranger).await);
}

async fn a_batch_of_nothing_but_bad_entries_takes_no_revision(engine: Engine) {
    let store = engine.place().await.store().await;
    assert_eq!(
        append(&*store, &[ending("t", &[SessionId::generate()], None)]).await,
        [NOT_FOUND]
    );
    assert_eq!(head(&*store).await, Revision(0));
}

async fn an_entry_that_fails_leaves_no_trace_of_its_other_half(engine: Engine) {
    let store = engine.place().await.store().await;
    open(&*store, &sign_in("t", "known")).await;
    for id in ["known", "unknown"] {
        let mut disabling = disable("t", id);
        let Mutation::SignOutUsers { keep, .. } = &mut disabling.mutation else {
            panic!("a sign-out")
        };
        *keep = Some(SessionId::generate());
        assert_eq!(append(&*store, &[disabling]).await, [NOT_FOUND]);
    }
    let known = store
        .user(&tenant("t"), &user("known"))
        .await
        .expect("the store answers");
    assert!(known.expect("a user").disabled.is_none());
    assert!(
        store
            .user(&tenant("t"), &user("unknown"))
            .await
            .expect("the store answers")
            .is_none()
    );
}

async fn revoking_several_sessions_is_all_or_nothing(engine: Engine) {
    let store = engine.place().await.store().await;
    let (one, two) = (
        open(&*store, &sign_in("t", "u")).await,
        open(&*store, &sign_in("t", "v")).await,
    );
    let elsewhere = open(&*store, &sign_in("other", "u")).await;
    for bad in [SessionId::generate(), elsewhere.id] {
        assert_eq!(
            append(&*store, &[ending("t", &[one.id, bad, two.id], None)]).await,
            [NOT_FOUND]
        );
        assert!(is_alive(&*store, &one).await && is_alive(&*store, &two).await);
    }
    assert_eq!(
        apply(&*store, ending("t", &[one.id, two.id, one.id], None))
            .await
            .changed,
        2
    );
    assert!(!is_alive(&*store, &one).await && !is_alive(&*store, &two).await);
    assert!(is_alive(&*store, &elsewhere).await);
}

async fn a_session_of_another_owner_is_not_found(engine: Engine) {
    let store = engine.place().await.store().await;
    let (own, other) = (
        open(&*store, &sign_in("t", "u")).await,
        open(&*store, &sign_in("t", "v")).await,
    );
    for sessions in [&[other.id][..], &[own.id, other.id]] {
        assert_eq!(
            append(&*store, &[ending("t", sessions, Some("u"))]).await,
            [NOT_FOUND]
        );
    }
    assert_eq!(
        append(&*store, &[ending("elsewhere", &[own.id], Some("u"))]).await,
        [NOT_FOUND]
    );
    assert!(is_alive(&*store, &own).await && is_alive(&*store, &other).await);
    assert_eq!(
        apply(&*store, ending("t", &[own.id], Some("u")))
            .await
            .changed,
        1
    );
    assert!(!is_alive(&*store, &own).await);
}

async fn an_entry_that_ended_one_session_tells_it_as_it_is_now(engine: Engine) {
    let store = engine.place().await.store().await;
    let mut opened = Vec::new();
    for _ in 0..4 {
        opened.push(open(&*store, &sign_in("t", "u")).await);
    }
    let user_message = "Was that you?".to_owned();
    let told = Entry {
        user_message,
        ..ending("t", &[opened[1].id], Some("u"))
    };
    let entries = [
        sign_out("t", &["v"]),
        told,
        revoke(&[&opened[2], &opened[3]]),
        revoke(&[&opened[1]]),
    ];
    let appended = store.append(&entries).await.expect("appended");
    assert_eq!(appended.ended.keys().collect::<Vec<_>>(), [&1]);
    let (told, now) = &appended.ended[&1];
    let found = session(&*store, &opened[1]).await;
    assert!(told.id == found.id && told.end.is_some() && told.end == found.end);
    assert_eq!(Some(*now), found.end.map(|end| end.at));
}

async fn ending_an_ended_session_changes_nothing_and_takes_no_revision(engine: Engine) {
    let store = engine.place().await.store().await;
    let (single, cut) = (
        open(&*store, &sign_in("t", "u")).await,
        open(&*store, &sign_in("t", "v")).await,
    );
    apply(&*store, revoke(&[&single])).await;
    apply(&*store, sign_out("t", &["v"])).await;
    for session in [&single, &cut] {
        let before = self::session(&*store, session).await.end.expect("an end");
        let again = apply(&*store, revoke(&[session])).await;
        assert_eq!(
            again,
            Outcome {
                revision: Revision(2),
                changed: 0
            }
        );
        assert_eq!(
            self::session(&*store, session).await.end,
            Some(before),
            "the first end stands"
        );
    }
    assert_eq!(head(&*store).await, Revision(2));
}

async fn two_entries_of_a_batch_that_end_one_session_end_it_once(engine: Engine) {
    let store = engine.place().await.store().await;
    let (one, two) = (
        open(&*store, &sign_in("t", "u")).await,
        open(&*store, &sign_in("t", "u")).await,
    );
    let outcomes = append(
        &*store,
        &[revoke(&[&one]), revoke(&[&one, &two]), revoke(&[&two])],
    )
    .await;
    let changed: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.expect("applied").changed)
        .collect();
    assert_eq!(changed, [1, 1, 0]);
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.expect("applied").revision == Revision(1))
    );
    assert_eq!(replay(&*store).await.revoked_count(), 2);
}

async fn an_end_says_when_by_whom_and_why(engine: Engine) {
    let store = engine.place().await.store().await;
    let said = |mutation| Entry {
        actor: Actor::on_behalf("shop", &user("boss"), "192.0.2.1".into()),
        reason: "left the company".into(),
        user_message: "goodbye".into(),
        ..entry(mutation)
    };
    let one = open(&*store, &sign_in("t", "u")).await;
    apply(&*store, said(revoke(&[&one]).mutation)).await;
    let (two, three) = (
        open(&*store, &sign_in("t", "u")).await,
        open(&*store, &sign_in("t", "v")).await,
    );
    apply(&*store, said(disable("t", "u").mutation)).await;
    apply(&*store, sign_out_tenant("t")).await;

    let end = async |of: &Session| session(&*store, of).await.end.expect("an end");
    for (of, revision, cause) in [
        (&one, 1, Cause::Administrator),
        (&two, 2, Cause::UserDisabled),
    ] {
        let end = end(of).await;
        assert_eq!(
            (end.revision.0, end.cause, end.actor.as_str()),
            (revision, cause, "user:boss")
        );
        assert_eq!(
            (end.reason.as_str(), end.user_message.as_str()),
            ("left the company", "goodbye")
        );
        assert!(end.at >= of.created);
    }
    let third = end(&three).await;
    assert_eq!(
        (third.revision.0, third.actor.as_str()),
        (3, "service:test")
    );
}

async fn a_batch_may_be_large(engine: Engine) {
    let store = engine.place().await.store().await;
    let mut sessions = Vec::new();
    for number in 0..1_100 {
        sessions.push(open(&*store, &sign_in("t", &format!("u{}", number % 10))).await);
    }
    let ids: Vec<_> = sessions.iter().map(|session| session.id).collect();
    let names: Vec<_> = (0..1_100).map(|number| format!("n{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut batch = vec![ending("t", &ids, None), sign_out("t", &names)];
    batch.extend((0..1_100).map(|_| sign_out("t", &["u"])));
    let outcomes = append(&*store, &batch).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.expect("applied").revision == Revision(1))
    );
    assert_eq!(
        (
            outcomes[0].expect("applied").changed,
            outcomes[1].expect("applied").changed
        ),
        (1_100, 1_100)
    );
    assert_eq!(
        append(&*store, &batch).await,
        outcomes,
        "all of it is known"
    );
    assert_eq!(replay(&*store).await.revoked_count(), 1_100);
    let last = sessions.last().expect("a session");
    assert!(!is_alive(&*store, last).await);
}

async fn what_was_said_too_late_is_said_again(engine: Engine) {
    let store = engine.place().await.store().await;
    let one = open(&*store, &sign_in("t", "u")).await;
    let two = open(&*store, &sign_in("t", "v")).await;
    let three = open(&*store, &sign_in("t", "v")).await;
    let late = store
        .append(&[revoke(&[&one]), sign_out_but("t", &["v"], Some(two.id))])
        .await
        .expect("applied")
        .revoked;
    assert_eq!(late.serials, [one.subject.serial]);
    apply(
        &*store,
        entry(Mutation::Turn {
            life: std::time::Duration::ZERO,
            margin: std::time::Duration::ZERO,
        }),
    )
    .await;
    let repeated = Mutation::Repeat {
        serials: late.serials,
        cuts: late.cuts,
    };
    assert_eq!(apply(&*store, entry(repeated)).await.revision, Revision(3));
    apply(
        &*store,
        entry(Mutation::Turn {
            life: std::time::Duration::ZERO,
            margin: std::time::Duration::ZERO,
        }),
    )
    .await;

    for ended in [&one, &three] {
        assert!(
            !is_alive(&*store, ended).await,
            "the view has not forgotten"
        );
    }
    assert!(
        is_alive(&*store, &two).await,
        "the exemption was said again too"
    );
    let first = session(&*store, &one).await.end.expect("an end");
    assert_eq!(first.revision, Revision(1));
    let batches = store.tail(Revision(2), 1).await.expect("a tail");
    let changes = delta::decode(&batches[0].frame.delta).expect("a delta");
    assert!(
        changes
            .iter()
            .any(|change| matches!(change, Change::Revoke { serials, .. } if serials.len() == 1))
    );
}

crate::on_every_engine! {
    bad_entries_fail_alone,
    a_batch_of_nothing_but_bad_entries_takes_no_revision,
    an_entry_that_fails_leaves_no_trace_of_its_other_half,
    revoking_several_sessions_is_all_or_nothing,
    a_session_of_another_owner_is_not_found,
    an_entry_that_ended_one_session_tells_it_as_it_is_now,
    ending_an_ended_session_changes_nothing_and_takes_no_revision,
    two_entries_of_a_batch_that_end_one_session_end_it_once,
    an_end_says_when_by_whom_and_why,
    a_batch_may_be_large,
    what_was_said_too_late_is_said_again,
}
