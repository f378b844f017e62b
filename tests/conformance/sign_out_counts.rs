//! How many active sessions a sign-out ends, and which of its users are unknown.

use futures::future::join_all;
use portcullis_authority::{
    domain::{AuditFilter, Entry, Mutation, SignedOut},
    store::Store,
};
use portcullis_tests::{
    calls::{apply, open},
    given::{
        disable, enable, entry, revoke, sign_in, sign_out, sign_out_but, sign_out_tenant, tenant,
        user,
    },
    place::Place,
    rows::query,
    wait::eventually,
};

use crate::Engine;

fn counting(entry: Entry) -> Entry {
    Entry {
        counts_sessions: true,
        ..entry
    }
}

/// Appends entries, and returns what each sign-out of them counted.
async fn counted(store: &dyn Store, entries: &[Entry]) -> Vec<Option<SignedOut>> {
    let append = async || match store.append(entries).await {
        Ok(appended) => Some(appended),
        Err(error) => {
            assert!(error.is_retryable(), "{error}");
            None
        }
    };
    let mut appended = eventually("the batch is appended", append).await;
    let mut counted = Vec::new();
    for index in 0..entries.len() {
        counted.push(appended.signed_out.remove(&index));
    }
    counted
}

async fn count(store: &dyn Store, entry: Entry) -> SignedOut {
    let counted = counted(store, &[counting(entry)]).await.remove(0);
    counted.expect("a count")
}

fn ended(sessions: u32, unknown: &[&str]) -> SignedOut {
    SignedOut {
        sessions,
        is_capped: false,
        unknown: unknown.iter().map(|id| user(id)).collect(),
    }
}

async fn a_sign_out_counts_the_active_sessions_of_its_scope(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let store = &*store;
    for (user, sessions) in [("ada", 3), ("bob", 2), ("eve", 2), ("ivy", 1)] {
        for _ in 0..sessions {
            open(store, &sign_in("t", user)).await;
        }
    }
    open(store, &sign_in("other", "ada")).await;
    // One has ended, one has expired.
    let revoked = open(store, &sign_in("t", "ada")).await;
    apply(store, revoke(&[&revoked])).await;
    let expired = open(store, &sign_in("t", "bob")).await;
    let expire = "UPDATE sessions SET expires_us = 1 WHERE session_id = $1";
    query(&place, expire, &[expired.id.to_bytes()[..].into()]).await;

    assert_eq!(count(store, sign_out("t", &["ada"])).await, ended(3, &[]));
    // Again: nothing is left, whether or not a cutoff answers it.
    assert_eq!(count(store, sign_out("t", &["ada"])).await, ended(0, &[]));
    let kept = open(store, &sign_in("t", "ada")).await;
    open(store, &sign_in("t", "ada")).await;
    let others = sign_out_but("t", &["ada"], Some(kept.id));
    assert_eq!(count(store, others).await, ended(1, &[]));
    assert_eq!(
        count(store, sign_out("t", &["ada", "bob", "nobody", "stranger"])).await,
        ended(3, &["nobody", "stranger"])
    );
    assert_eq!(
        count(store, disable("t", "stranger")).await,
        ended(0, &["stranger"]),
        "a row that a sign-out made is no acquaintance"
    );
    apply(store, enable("t", "stranger")).await;
    open(store, &sign_in("t", "stranger")).await;
    assert_eq!(count(store, disable("t", "stranger")).await, ended(1, &[]));

    // Eve and Ivy are left.
    assert_eq!(count(store, sign_out_tenant("t")).await, ended(3, &[]));
    assert_eq!(count(store, sign_out_tenant("t")).await, ended(0, &[]));
    assert_eq!(
        count(store, sign_out_tenant("nowhere")).await,
        ended(0, &[])
    );
    assert_eq!(count(store, sign_out_tenant("other")).await, ended(1, &[]));
}

async fn only_entries_that_ask_count_and_a_batch_counts_before_it_ends_anything(engine: Engine) {
    let store = engine.place().await.store().await;
    let store = &*store;
    for _ in 0..2 {
        open(store, &sign_in("t", "ada")).await;
        open(store, &sign_in("t", "bob")).await;
    }
    let single = open(store, &sign_in("t", "ada")).await;
    let batch = [
        sign_out("t", &["ada"]),
        counting(sign_out("t", &["bob"])),
        counting(sign_out_tenant("t")),
        counting(revoke(&[&single])),
        counting(enable("t", "nobody")),
    ];
    let answers = counted(store, &batch).await;
    assert_eq!(
        answers,
        [
            None,
            Some(ended(2, &[])),
            Some(ended(5, &[])),
            Some(SignedOut::default()),
            None
        ]
    );
}

async fn an_erasure_counts_as_a_sign_out_of_its_user_does(engine: Engine) {
    let store = engine.place().await.store().await;
    let store = &*store;
    for _ in 0..2 {
        open(store, &sign_in("t", "ada")).await;
    }
    let erase = |id| {
        entry(Mutation::EraseUser {
            tenant: tenant("t"),
            user: user(id),
        })
    };
    assert_eq!(count(store, erase("ada")).await, ended(2, &[]));
    let stranger = count(store, erase("stranger")).await;
    assert_eq!(stranger, ended(0, &["stranger"]));
}

async fn a_repeated_entry_answers_what_it_counted(engine: Engine) {
    let store = engine.place().await.store().await;
    let store = &*store;
    for _ in 0..2 {
        open(store, &sign_in("t", "ada")).await;
    }
    let entries = [
        counting(sign_out("t", &["ada", "nobody"])),
        counting(sign_out_tenant("t")),
    ];
    let first = [
        counted(store, &entries[..1]).await,
        counted(store, &entries[1..]).await,
    ];
    assert_eq!(first[0], [Some(ended(2, &["nobody"]))]);
    open(store, &sign_in("t", "ada")).await;
    // Their answers were lost, and the log appends them again, together.
    let again = counted(store, &entries).await;
    assert_eq!(again, first.concat());

    let filter = AuditFilter {
        tenant_id: Some(tenant("t")),
        actor: None,
        user_id: None,
        action: Some("user.sign_out".into()),
        after: None,
        before: None,
    };
    let events = store
        .list_audit_events(&filter, None, 10)
        .await
        .expect("events");
    // Newest first: the number is in the first row of the entry.
    let said: Vec<_> = events
        .iter()
        .map(|event| event.details.get(SignedOut::DETAIL).map(String::as_str))
        .collect();
    assert_eq!(said, [None, Some("2")]);
}

async fn the_count_is_capped_and_so_is_what_is_read_for_it(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let users: Vec<_> = (0..21).map(|number| format!("u{number}")).collect();
    let opened = users.iter().flat_map(|user| {
        let store = &store;
        (0..48).map(move |_| async move { open(&**store, &sign_in("t", user)).await })
    });
    // 1,008 sessions, 8 more than are counted.
    let opened = join_all(opened).await;
    assert!(opened.len() > SignedOut::COUNTED_MAX as usize);
    let capped = SignedOut {
        sessions: SignedOut::COUNTED_MAX,
        is_capped: true,
        unknown: Vec::new(),
    };
    assert_eq!(count(&*store, sign_out_tenant("t")).await, capped);
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    assert_eq!(count(&*store, sign_out("t", &names)).await, ended(0, &[]));

    // As many ended sessions as are read: active ones may lie behind them.
    let ended_ones = i64::from(SignedOut::EXAMINED_MAX);
    add_ended_sessions(&place, ended_ones).await;
    let uncertain = SignedOut {
        is_capped: true,
        ..SignedOut::default()
    };
    assert_eq!(count(&*store, sign_out_tenant("t")).await, uncertain);
    assert_eq!(count(&*store, sign_out("t", &["u0"])).await, uncertain);
    assert_eq!(count(&*store, sign_out("t", &["u1"])).await, ended(0, &[]));
}

/// Adds ended sessions of the user `u0`, newer than all others, as copies of one row.
async fn add_ended_sessions(place: &Place, number: i64) {
    let id = if place.has_one_writer() {
        "CAST(x'fe' || randomblob(15) AS BLOB)"
    } else {
        "'\\xfe'::bytea || substring(decode(md5(n.i::text), 'hex') FROM 1 FOR 15)"
    };
    let sql = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {number}) \
         INSERT INTO sessions (tenant_id, session_id, serial, user_id, user_serial, tenant_serial, opened_revision, \
             created_us, expires_us, remember_me, auth_time_us, facts, acr, ip, user_agent, device_id, app_name, salt, \
             generation, end_event) \
         SELECT s.tenant_id, {id}, 1000000 + n.i, s.user_id, s.user_serial, s.tenant_serial, s.opened_revision, \
             s.created_us, s.expires_us, s.remember_me, s.auth_time_us, s.facts, s.acr, s.ip, s.user_agent, \
             s.device_id, s.app_name, s.salt, s.generation, s.session_id \
         FROM n, (SELECT * FROM sessions WHERE user_id = 'u0' LIMIT 1) s"
    );
    query(place, &sql, &[]).await;
}

crate::on_every_engine! {
    a_sign_out_counts_the_active_sessions_of_its_scope,
    only_entries_that_ask_count_and_a_batch_counts_before_it_ends_anything,
    an_erasure_counts_as_a_sign_out_of_its_user_does,
    a_repeated_entry_answers_what_it_counted,
    the_count_is_capped_and_so_is_what_is_read_for_it,
}
