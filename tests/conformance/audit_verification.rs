//! A trail that somebody changed, who may change everything: the first place that does not fit is named.

use std::{sync::Arc, time::Duration};

use portcullis_authority::{
    domain::{AuditVerdict, Entry},
    store::{Recovered, Store, sql::Backend},
};
use portcullis_contract::{
    id::EventId,
    position::{Incarnation, Revision},
};
use portcullis_tests::{
    audit::{defer, rows},
    calls::{append, apply, head, open},
    given::{disable, enable, record, revoke, sign_in, sign_out},
    place::Place,
};

use crate::Engine;

async fn verify(store: &dyn Store, after: u64, limit: u64) -> AuditVerdict {
    store
        .verify_audit_trail(Revision(after), limit)
        .await
        .expect("an answer")
        .expect("a revision")
}

/// Where the trail does not fit: the batch, and the row if it is one.
async fn fault(store: &dyn Store) -> Option<(u64, Option<(EventId, u32)>)> {
    let verdict = verify(store, 0, 1000).await;
    if let Some(fault) = &verdict.fault {
        assert_eq!(
            verdict.verified, verdict.through.0,
            "before {fault:?} all fits"
        );
    }
    verdict.fault.map(|fault| (fault.revision.0, fault.row))
}

/// A log of six batches; the third has the most rows.
async fn log(engine: Engine) -> (Place, Arc<dyn Store>, Arc<dyn Backend>) {
    let place = engine.place().await;
    let (store, engine) = (place.store().await, place.engine().await);
    let sessions = [
        open(&*store, &sign_in("t", "u")).await,
        open(&*store, &sign_in("t", "v")).await,
    ];
    apply(&*store, sign_out("t", &["a", "b"])).await;
    apply(
        &*store,
        Entry {
            user_message: "goodbye".into(),
            ..disable("t", "c")
        },
    )
    .await;
    for user in ["u", "v", "w"] {
        defer(&engine, "t", user).await;
    }
    append(
        &*store,
        &[
            revoke(&[&sessions[0], &sessions[1]]),
            sign_out("t", &["d"]),
            record(),
        ],
    )
    .await;
    for each in [
        enable("t", "c"),
        sign_out("t", &["e"]),
        sign_out("t", &["f"]),
    ] {
        apply(&*store, each).await;
    }
    assert_eq!(head(&*store).await, Revision(6));
    (place, store, engine)
}

/// The log after somebody's statements, and the rows that its third batch had.
async fn tampered(engine: Engine, sql: &str) -> (Arc<dyn Store>, Vec<(EventId, u32)>) {
    let (place, store, engine) = log(engine).await;
    let before = rows(&engine, 3).await;
    assert_eq!(before.len(), 8);
    assert_eq!(fault(&*store).await, None);
    place.disarm().await;
    place
        .execute(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    (store, before)
}

/// The row of the third batch with this number, as a condition.
fn third(number: usize) -> String {
    format!(
        "(event_id, ordinal) IN (SELECT event_id, ordinal FROM \
         (SELECT event_id, ordinal FROM audit_events WHERE revision = 3 ORDER BY event_id, ordinal LIMIT 1 OFFSET {number}) r)"
    )
}

async fn a_changed_row_is_named_whatever_was_changed(engine: Engine) {
    let changes = [
        "at_us = at_us + 1",
        "tenant_id = 'other'",
        "action = 'session.revokf'",
        "target = target || ' '",
        "cause = COALESCE(cause, 0) + 1",
        "cause = 0",
        "actor = 'user:someone'",
        "via = 'x'",
        "actor_ip = '203.0.113.1'",
        "reason = 'another'",
        "user_message = 'another'",
        "changed = changed + 1",
        "user_id = user_id || 'x'",
        "user_id = '', details = ''",
        "details = '{}'",
        "reason = user_message, user_message = reason || 'x'",
    ];
    // One log for all: a change that was found is undone by restoring what there was.
    let (place, store, engine) = log(engine).await;
    let named = rows(&engine, 3).await;
    place.disarm().await;
    place
        .execute("CREATE TABLE kept AS SELECT * FROM audit_events")
        .await
        .expect("a copy");
    for change in changes {
        for number in [0, 2, 7] {
            let sql = format!("UPDATE audit_events SET {change} WHERE {}", third(number));
            place.execute(&sql).await.expect(change);
            assert_eq!(
                fault(&*store).await,
                Some((3, Some(named[number]))),
                "{change}"
            );
            place
                .execute("DELETE FROM audit_events; INSERT INTO audit_events SELECT * FROM kept")
                .await
                .expect("undone");
        }
    }
    assert_eq!(fault(&*store).await, None);
}

async fn verification_names_the_row_after_a_missing_one_or_the_batch(engine: Engine) {
    let (store, rows) = tampered(
        engine,
        &format!("DELETE FROM audit_events WHERE {}", third(2)),
    )
    .await;
    assert_eq!(fault(&*store).await, Some((3, Some(rows[3]))));
    let (store, _) = tampered(
        engine,
        &format!("DELETE FROM audit_events WHERE {}", third(7)),
    )
    .await;
    assert_eq!(fault(&*store).await, Some((3, None)));
    let (store, _) = tampered(engine, "DELETE FROM audit_events WHERE revision = 3").await;
    assert_eq!(fault(&*store).await, Some((3, None)));
    let (store, rows) = tampered(
        engine,
        &format!("UPDATE audit_events SET revision = 4 WHERE {}", third(0)),
    )
    .await;
    assert_eq!(
        fault(&*store).await,
        Some((3, Some(rows[1]))),
        "it was moved to another batch"
    );
}

/// A copy of a row, with some columns of its own.
fn copy(of: &str, revision: &str, ordinal: &str, digest: &str) -> String {
    format!(
        "INSERT INTO audit_events (event_id, ordinal, revision, at_us, tenant_id, action, target, cause, actor, via, \
         actor_ip, reason, user_message, changed, user_id, details, digest) \
         SELECT event_id, {ordinal}, {revision}, at_us, tenant_id, action, target, cause, actor, via, \
         actor_ip, reason, user_message, changed, user_id, details, {digest} FROM audit_events WHERE {of}"
    )
}

async fn an_added_row_is_named(engine: Engine) {
    for digest in ["digest", "NULL"] {
        let (store, rows) = tampered(engine, &copy(&third(1), "3", "77", digest)).await;
        let added = (rows[1].0, 77);
        let next = rows
            .iter()
            .copied()
            .find(|row| (row.0.to_bytes(), row.1) > (added.0.to_bytes(), 77));
        let expected = if digest == "NULL" { next } else { Some(added) };
        assert_eq!(fault(&*store).await, Some((3, expected)), "{digest}");
    }
    let beyond = [("99", 99), ("0", 0), ("-5", 0)];
    for (revision, named) in beyond {
        let (store, rows) = tampered(engine, &copy(&third(1), revision, "77", "digest")).await;
        assert_eq!(
            fault(&*store).await,
            Some((named, Some((rows[1].0, 77)))),
            "{revision}"
        );
    }
}

async fn verification_names_the_batch_when_row_digests_were_changed_too(engine: Engine) {
    let sql = "UPDATE audit_events SET digest = NULL WHERE revision = 3; \
         UPDATE audit_events SET reason = 'another' WHERE revision = 3";
    let (store, _) = tampered(engine, sql).await;
    assert_eq!(fault(&*store).await, Some((3, None)));
    let (store, rows) = tampered(
        engine,
        &format!(
            "UPDATE audit_events SET digest = event_id WHERE {}",
            third(4)
        ),
    )
    .await;
    assert_eq!(fault(&*store).await, Some((3, Some(rows[4]))));
    let (store, _) = tampered(engine, "UPDATE audit_events SET digest = NULL").await;
    assert_eq!(
        fault(&*store).await,
        None,
        "rows of before there were digests have none"
    );
}

async fn a_changed_or_missing_batch_is_named(engine: Engine) {
    let changes = [
        ("UPDATE log_batches SET delta = chain WHERE revision = 2", 2),
        (
            "UPDATE log_batches SET delta = NULL, delta_digest = chain WHERE revision = 2",
            2,
        ),
        (
            "UPDATE log_batches SET delta = NULL, delta_digest = NULL WHERE revision = 2",
            2,
        ),
        (
            "UPDATE log_batches SET delta_digest = chain WHERE revision = 2",
            2,
        ),
        (
            "UPDATE log_batches SET audit_digest = chain WHERE revision = 2",
            2,
        ),
        (
            "UPDATE log_batches SET chain = audit_digest WHERE revision = 2",
            2,
        ),
        (
            "UPDATE log_batches SET chain = audit_digest WHERE revision = 6",
            6,
        ),
        ("DELETE FROM log_batches WHERE revision = 4", 4),
        (
            "DELETE FROM log_batches WHERE revision = 4; DELETE FROM audit_events WHERE revision = 4",
            4,
        ),
        ("DELETE FROM log_batches WHERE revision IN (1, 2)", 1),
        (
            "DELETE FROM log_batches WHERE revision >= 5; DELETE FROM audit_events WHERE revision >= 5",
            5,
        ),
        (
            "UPDATE log_head SET chain = (SELECT chain FROM log_batches WHERE revision = 5)",
            6,
        ),
        (
            "UPDATE log_head SET revision = 5, chain = (SELECT chain FROM log_batches WHERE revision = 5)",
            6,
        ),
        (
            "DELETE FROM log_batches WHERE revision = 4; DELETE FROM audit_events WHERE revision = 4; \
             UPDATE audit_events SET revision = 4 WHERE revision = 5; \
             UPDATE log_batches SET revision = 4 WHERE revision = 5",
            4,
        ),
    ];
    for (sql, revision) in changes {
        let (store, _) = tampered(engine, sql).await;
        assert_eq!(fault(&*store).await, Some((revision, None)), "{sql}");
    }
}

async fn a_trimmed_log_is_verified_by_the_digests_of_its_deltas(engine: Engine) {
    let (place, store, _) = log(engine).await;
    assert_eq!(
        store
            .trim(Revision(5), Duration::ZERO)
            .await
            .expect("trimmed"),
        5
    );
    assert_eq!(fault(&*store).await, None);
    place
        .execute("UPDATE log_batches SET delta_digest = chain WHERE revision = 4")
        .await
        .expect("changed");
    assert_eq!(fault(&*store).await, Some((4, None)));
}

async fn a_recovered_log_has_a_gap_that_fits(engine: Engine) {
    let (_place, store, _) = log(engine).await;
    let checkpoint =
        |recovered: &Recovered| Ok((format!("{:?}", recovered.head).into(), vec![1].into()));
    let recovered = store
        .recover(Incarnation([9; 16]), true, &checkpoint)
        .await
        .expect("a new history");
    apply(&*store, sign_out("t", &["u"])).await;
    let verdict = verify(&*store, 0, 1000).await;
    assert_eq!(
        (verdict.verified, verdict.through, verdict.fault),
        (8, recovered.head.revision.next(), None)
    );
}

async fn a_trail_is_verified_in_parts(engine: Engine) {
    let (place, store, _) = log(engine).await;
    let whole = verify(&*store, 0, 1000).await;
    assert_eq!(
        (whole.verified, whole.through, whole.head, whole.fault),
        (6, Revision(6), Revision(6), None)
    );
    let part = verify(&*store, 2, 3).await;
    assert_eq!(
        (part.verified, part.through, part.head, part.fault),
        (3, Revision(5), Revision(6), None)
    );
    let end = verify(&*store, 6, 3).await;
    assert_eq!(
        (end.verified, end.through, end.fault),
        (0, Revision(6), None)
    );
    for nowhere in [7, u64::MAX] {
        assert!(
            store
                .verify_audit_trail(Revision(nowhere), 1)
                .await
                .expect("an answer")
                .is_none()
        );
    }
    place.disarm().await;
    place
        .execute("UPDATE audit_events SET reason = 'x' WHERE revision = 2")
        .await
        .expect("changed");
    assert_eq!(
        verify(&*store, 2, 1000).await.fault,
        None,
        "what comes after it fits"
    );
    assert_eq!(
        verify(&*store, 0, 1).await.fault,
        None,
        "what comes before it fits"
    );
    let found = verify(&*store, 1, 1000).await;
    assert_eq!(
        (
            found.verified,
            found.through,
            found.fault.map(|fault| fault.revision.0)
        ),
        (0, Revision(1), Some(2))
    );
}

async fn an_empty_trail_and_a_large_one_fit(engine: Engine) {
    let place = engine.place().await;
    let (store, engine) = (place.store().await, place.engine().await);
    assert_eq!(verify(&*store, 0, 1).await.fault, None);
    let names: Vec<_> = (0..2_100).map(|number| format!("n{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    // Most of their rows wait, and are the largest batches of the trail.
    append(&*store, &[sign_out("t", &names), sign_out("t", &names)]).await;
    while store.has_pending_events().await.expect("an answer") {
        apply(&*store, record()).await;
    }
    let recorded = head(&*store).await.0;
    for number in 0..70 {
        apply(&*store, sign_out("t", &[&format!("m{number}")])).await;
    }
    let verdict = verify(&*store, 0, 1000).await;
    assert_eq!((verdict.verified, verdict.fault), (recorded + 70, None));
    let last = *rows(&engine, recorded).await.last().expect("a row");
    place.disarm().await;
    place
        .execute(&format!(
            "UPDATE audit_events SET reason = '' WHERE revision = {recorded} AND ordinal = {}",
            last.1
        ))
        .await
        .expect("changed");
    let found = verify(&*store, 0, 1000).await.fault.expect("a fault");
    assert_eq!(found.row.map(|(_, ordinal)| ordinal), Some(2_099));
}

crate::on_every_engine! {
    a_changed_row_is_named_whatever_was_changed,
    verification_names_the_row_after_a_missing_one_or_the_batch,
    an_added_row_is_named,
    verification_names_the_batch_when_row_digests_were_changed_too,
    a_changed_or_missing_batch_is_named,
    a_trimmed_log_is_verified_by_the_digests_of_its_deltas,
    a_recovered_log_has_a_gap_that_fits,
    a_trail_is_verified_in_parts,
    an_empty_trail_and_a_large_one_fit,
}
