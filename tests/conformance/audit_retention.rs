//! Old audit rows, batches and cutoffs go, and what is left still verifies, whoever tampers with the record of it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use portcullis_authority::{
    domain::{AuditVerdict, Mutation, Resealed, SealedPlace},
    keys::{MasterKey, MasterKeys},
    store::{
        ArchivedBatch, AuditRemoved, AuditRules, Codes, Left, Store,
        sql::{Backend, Lane, ONLY},
    },
};
use portcullis_contract::position::{Chain, Revision};
use portcullis_tests::{
    api_keys,
    audit::{defer, everything, list, rows},
    calls::{append, apply, head, open},
    fault::Point,
    given::{disable, enable, entry, record, revoke, sign_in, sign_out, tenant, user},
    place::Place,
    replay::is_alive,
    rows::query,
};

use crate::Engine;

/// The codes of one installation.
pub(crate) struct Master(pub(crate) MasterKeys);

impl Codes for Master {
    fn make(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.authenticate(bytes)
    }

    fn is_authentic(&self, bytes: &[u8], code: &[u8]) -> bool {
        self.0.verify(bytes, code).is_ok()
    }
}

/// A log of seven batches with rows of the tenants `t` and `x`; the fourth has rows of both.
struct Trail {
    place: Place,
    store: Arc<dyn Store>,
    backend: Arc<dyn Backend>,
    codes: Master,
}

impl Trail {
    async fn new(engine: Engine) -> Self {
        let place = engine.place().await;
        let trail = Self {
            store: place.store().await,
            backend: place.engine().await,
            codes: Master(MasterKeys::from(MasterKey::generate())),
            place,
        };
        let store = &*trail.store;
        let session = open(store, &sign_in("t", "u")).await;
        apply(store, sign_out("t", &["a", "b"])).await;
        apply(store, sign_out("t", &["c"])).await;
        apply(store, sign_out("x", &["a"])).await;
        for user in ["u", "v"] {
            defer(&trail.backend, "t", user).await;
            defer(&trail.backend, "x", user).await;
        }
        append(
            store,
            &[revoke(&[&session]), sign_out("x", &["d", "e"]), record()],
        )
        .await;
        apply(store, disable("t", "c")).await;
        apply(store, enable("t", "c")).await;
        apply(store, sign_out("t", &["f"])).await;
        assert_eq!(head(store).await, Revision(7));
        trail.trim().await;
        trail
    }

    /// Trims every delta.
    async fn trim(&self) {
        let head = head(&*self.store).await;
        self.store
            .trim(head, Duration::ZERO)
            .await
            .expect("trimmed");
    }

    async fn step(&self, after: u64, through: u64, rules: &AuditRules) -> AuditRemoved {
        let removed = self
            .store
            .remove_old_audit(Revision(after), Revision(through), rules, &self.codes)
            .await;
        removed.expect("a step")
    }

    /// Removes from the beginning up to a revision.
    async fn remove(&self, through: u64, rules: &AuditRules) -> AuditRemoved {
        let removed = self.step(0, through, rules).await;
        assert_eq!(removed.fault, None);
        removed
    }

    async fn verify(&self, after: u64) -> AuditVerdict {
        self.store
            .verify_audit_trail(Revision(after), 1_000)
            .await
            .expect("an answer")
            .expect("a revision")
    }

    /// The verdict of an authority: with the codes of the records.
    async fn problem(&self) -> Option<String> {
        let verdict = self.verify(0).await;
        if let Some(fault) = verdict.fault {
            return Some(fault.problem.to_owned());
        }
        assert_eq!(verdict.through, verdict.head);
        let is_forged = verdict
            .records
            .iter()
            .any(|record| !self.codes.is_genuine(record));
        is_forged.then(|| "forged".to_owned())
    }

    async fn count(&self, tenant_id: &str) -> usize {
        list(&*self.store, &everything(tenant_id)).await.len()
    }
}

/// Everything is old, at once.
fn all() -> AuditRules {
    AuditRules {
        others: Some(Duration::ZERO),
        tenants: HashMap::new(),
    }
}

/// Everything is old but the rows of one tenant, which stay for good.
fn all_but(tenant_id: &str) -> AuditRules {
    AuditRules {
        tenants: HashMap::from([(tenant_id.to_owned(), None)]),
        ..all()
    }
}

async fn the_oldest_go_and_the_trail_verifies_from_where_it_begins(engine: Engine) {
    let trail = Trail::new(engine).await;
    let chain = trail.store.chain(Revision(3)).await.expect("an answer");
    let chain = chain.expect("a revision");
    let before = trail.count("t").await;

    let removed = trail.remove(3, &all()).await;
    assert_eq!((removed.rows, removed.batches), (4, 3));
    assert_eq!(removed.through, Revision(3));
    assert_eq!(trail.count("t").await, before - 3);

    let verdict = trail.verify(0).await;
    assert_eq!(verdict.fault, None);
    assert_eq!((verdict.verified, verdict.through), (4, Revision(7)));
    assert_eq!(verdict.begin.revision, Revision(3));
    assert_eq!(verdict.begin.chain, chain);
    assert_eq!((verdict.begin.batches, verdict.begin.rows), (3, 4));
    assert_eq!(trail.problem().await, None);
    // A verification that was under way goes on from there.
    assert_eq!(trail.verify(2).await.verified, 4);

    // The place of the last batch that is gone is still known, and those before it are not.
    let known = |revision| trail.store.chain(Revision(revision));
    assert_eq!(known(3).await.expect("an answer"), Some(chain));
    assert_eq!(known(2).await.expect("an answer"), None);
    assert_eq!(
        trail.store.gone_revision().await.expect("an answer"),
        Revision(3)
    );

    // The next step goes on, and the numbers add up. The log grows as before.
    let removed = trail.remove(6, &all()).await;
    assert_eq!(removed.batches, 3);
    apply(&*trail.store, sign_out("t", &["g"])).await;
    let verdict = trail.verify(0).await;
    assert_eq!(verdict.begin.batches, 6);
    assert_eq!((verdict.verified, verdict.through), (2, Revision(8)));
    assert_eq!(trail.problem().await, None);
}

async fn what_is_young_or_bounded_or_still_wanted_by_gates_stays(engine: Engine) {
    let trail = Trail::new(engine).await;
    let hour = AuditRules {
        others: Some(Duration::from_secs(3_600)),
        tenants: HashMap::new(),
    };
    let forever = AuditRules::default();
    for rules in [&hour, &forever] {
        let removed = trail.remove(7, rules).await;
        assert_eq!((removed.rows, removed.batches), (0, 0));
        assert!(removed.is_last);
    }
    assert_eq!(trail.remove(0, &all()).await.batches, 0);

    // A batch whose delta a gate may ask for.
    apply(&*trail.store, sign_out("t", &["g"])).await;
    let removed = trail.remove(8, &all()).await;
    assert_eq!((removed.batches, removed.is_last), (7, true));
    assert_eq!(trail.problem().await, None);
    assert_eq!(trail.verify(0).await.begin.revision, Revision(7));
}

async fn rows_of_a_tenant_that_keeps_them_stay_and_verify(engine: Engine) {
    let trail = Trail::new(engine).await;
    let (t, x) = (trail.count("t").await, trail.count("x").await);

    // The first batch of `x` is the third: the two before it go whole.
    let removed = trail.remove(7, &all_but("x")).await;
    assert_eq!(removed.batches, 2);
    assert_eq!(removed.rows, t as u64);
    assert_eq!((trail.count("t").await, trail.count("x").await), (0, x));
    let verdict = trail.verify(0).await;
    assert_eq!(verdict.begin.revision, Revision(2));
    assert_eq!(verdict.removed, t as u64 - verdict.begin.rows);
    assert_eq!(trail.problem().await, None);
    assert_eq!(rows(&trail.backend, 4).await.len(), 4);
    let again = trail.remove(7, &all_but("x")).await;
    assert_eq!((again.rows, again.batches), (0, 0));

    // When the tenant gives up its rows, everything goes, and the record of what went before with it.
    let removed = trail.remove(7, &all()).await;
    assert_eq!((removed.rows, removed.batches), (x as u64, 5));
    let verdict = trail.verify(0).await;
    assert_eq!(verdict.begin.rows, (t + x) as u64);
    assert_eq!(verdict.removed, 0);
    assert_eq!(trail.problem().await, None);
}

async fn nobody_moves_the_beginning_or_widens_a_gap_unnoticed(engine: Engine) {
    let tampering = [
        // The beginning, as somebody without the master key would write it.
        "UPDATE audit_begin SET rows_gone = rows_gone + 1",
        "UPDATE audit_begin SET batches = batches - 1",
        "UPDATE audit_begin SET revision = 3, chain = (SELECT chain FROM log_batches WHERE revision = 3); \
         DELETE FROM audit_events WHERE revision <= 3; DELETE FROM log_batches WHERE revision <= 3",
        "UPDATE audit_begin SET revision = 1",
        "UPDATE audit_begin SET revision = 0",
        "DELETE FROM audit_begin",
        // A row that stayed was changed.
        "UPDATE audit_events SET via = 'x' WHERE revision = 4",
        // More rows are gone than the record says, or fewer.
        "DELETE FROM audit_events WHERE revision = 3",
        "DELETE FROM audit_gaps WHERE revision = 4",
        "UPDATE audit_gaps SET code = (SELECT code FROM audit_begin)",
        "UPDATE audit_gaps SET revision = 3 WHERE revision = 4",
        // A batch behind the beginning, or before it.
        "DELETE FROM log_batches WHERE revision = 3",
        "UPDATE log_batches SET revision = 1 WHERE revision = 7",
    ];
    for sql in tampering {
        let trail = Trail::new(engine).await;
        trail.remove(7, &all_but("x")).await;
        assert_eq!(trail.problem().await, None);
        trail.place.disarm().await;
        trail.place.execute(sql).await.expect(sql);
        let problem = trail.problem().await;
        assert!(problem.is_some(), "{sql}");
    }
}

async fn what_was_changed_is_not_removed(engine: Engine) {
    let trail = Trail::new(engine).await;
    trail.remove(1, &all()).await;
    trail.place.disarm().await;
    let tampering = "UPDATE audit_events SET action = 'x' WHERE revision = 3";
    trail.place.execute(tampering).await.expect("changed");
    let before = trail.count("t").await;
    let removed = trail.step(0, 7, &all()).await;
    assert_eq!(removed.fault.expect("a fault").revision, Revision(3));
    assert_eq!((removed.rows, removed.batches), (0, 0));
    assert_eq!(trail.count("t").await, before);

    // Nor does the next record vouch for one that no authority has made.
    let trail = Trail::new(engine).await;
    trail.remove(1, &all()).await;
    let forged = "UPDATE audit_begin SET rows_gone = 0";
    trail.place.execute(forged).await.expect("changed");
    let removed = trail.step(0, 7, &all()).await;
    let problem = removed.fault.expect("a fault").problem;
    assert_eq!(problem, "no authority has made the record of a removal");
    assert_eq!(trail.problem().await.as_deref(), Some("forged"));
}

async fn a_row_goes_only_behind_the_record_of_it(engine: Engine) {
    let trail = Trail::new(engine).await;
    trail.remove(7, &all_but("x")).await;
    for revision in [3, 5] {
        let delete = format!("DELETE FROM audit_events WHERE revision = {revision}");
        let refused = trail.place.execute(&delete).await;
        // Of the fifth, all rows are gone already.
        assert_eq!(refused.is_err(), revision == 3, "{revision}");
    }
}

/// The erasure of the user `u` of `t`, whole.
async fn erase(store: &dyn Store) {
    let begin = entry(Mutation::EraseUser {
        tenant: tenant("t"),
        user: user("u"),
    });
    apply(store, begin).await;
    let erasure = store.erasure(&tenant("t"), Some(&user("u"))).await;
    let erasure = erasure.expect("an answer").expect("an erasure");
    while !store
        .erase_some(&erasure, 100)
        .await
        .expect("a step")
        .is_nothing()
    {}
    let finish = Mutation::FinishErasure {
        erasure: erasure.id,
        tenant: erasure.tenant_id.clone(),
        user: erasure.user_id.clone(),
    };
    apply(store, entry(finish)).await;
}

async fn erasures_are_counted_when_some_of_their_rows_are_gone(engine: Engine) {
    let trail = Trail::new(engine).await;
    erase(&*trail.store).await;
    trail.trim().await;
    let last = head(&*trail.store).await.0;
    // The rows that it erased go first, then the event that began it, and then the one that counts.
    for through in 1..last {
        trail.remove(through, &all()).await;
        assert_eq!(trail.problem().await, None, "through {through}");
    }

    // A part that somebody blanks is still one too many, and the record cannot be made to fit.
    let trail = Trail::new(engine).await;
    erase(&*trail.store).await;
    trail.trim().await;
    trail.remove(4, &all()).await;
    assert_eq!(trail.problem().await, None);
    let forged = "UPDATE audit_gone_erasures SET parts = parts + 1";
    trail.place.execute(forged).await.expect("changed");
    let problem = trail.problem().await.expect("noticed");
    assert!(problem.contains("other rows were erased"), "{problem}");
    let beside = "DELETE FROM audit_gone_erasures";
    trail.place.execute(beside).await.expect("changed");
    assert!(trail.problem().await.is_some());
}

async fn records_are_coded_anew_for_another_master_key(engine: Engine) {
    let mut trail = Trail::new(engine).await;
    erase(&*trail.store).await;
    trail.trim().await;
    // The beginning, gaps and a counted erasure.
    trail.remove(5, &all_but("x")).await;
    trail.remove(4, &all()).await;
    assert_eq!(trail.problem().await, None);

    let new = Master(MasterKeys::from(MasterKey::generate()));
    let id = new.0.current().0;
    let found = trail.store.sealed_by_others(&id, 100).await;
    let mut kinds = Vec::new();
    let mut values = Vec::new();
    for value in found.expect("values") {
        let SealedPlace::Removal(place) = value.place else {
            panic!("{:?} is sealed by no key here", value.place);
        };
        kinds.push(std::mem::discriminant(&place));
        let record = trail.store.removal_record(place).await;
        let record = record.expect("an answer").expect("a record");
        assert_eq!(record.code, value.sealed);
        assert!(trail.codes.is_genuine(&record), "{place:?}");
        values.push(Resealed {
            place: value.place,
            old: value.sealed,
            new: new.make(&record.bytes),
        });
    }
    kinds.dedup();
    assert_eq!(kinds.len(), 3, "the beginning, gaps and an erasure");
    let count = values.len();
    let outcome = apply(&*trail.store, entry(Mutation::Reseal(values))).await;
    assert_eq!(outcome.changed as usize, count);
    let left = trail.store.sealed_by_others(&id, 100).await;
    assert_eq!(left.expect("values"), []);

    // The old key is gone, and nothing is taken for forged.
    trail.codes = new;
    assert_eq!(trail.problem().await, None);
    trail.trim().await;
    assert!(trail.remove(7, &all()).await.rows > 0);
    assert_eq!(trail.problem().await, None);
}

async fn a_removal_that_fails_anywhere_has_removed_all_or_nothing(engine: Engine) {
    for point in Point::all() {
        let mut trail = Trail::new(engine).await;
        let (faulty, faults) = trail.place.faulty_store().await;
        let sound = std::mem::replace(&mut trail.store, faulty);
        faults.fail(Lane::Upkeep, point);
        let failed = trail
            .store
            .remove_old_audit(Revision(0), Revision(7), &all_but("x"), &trail.codes)
            .await;
        trail.store = sound;
        assert_eq!(trail.problem().await, None, "at {point:?}");
        if failed.is_ok() {
            return;
        }
        trail.remove(7, &all_but("x")).await;
        assert_eq!(trail.problem().await, None, "after {point:?}");
        assert_eq!(trail.count("t").await, 0);
    }
}

async fn two_authorities_remove_at_once_and_a_third_verifies(engine: Engine) {
    let trail = Trail::new(engine).await;
    for number in 0..60 {
        let users = [format!("n{number}")];
        apply(&*trail.store, sign_out("t", &[&users[0]])).await;
        apply(&*trail.store, sign_out("x", &[&users[0]])).await;
    }
    trail.trim().await;
    let other = trail.place.store().await;
    let last = head(&*trail.store).await.0;
    let remove = async |store: &dyn Store| {
        for through in 1..=last {
            for rules in [all_but("x"), all()] {
                // A conflict is repeated by the next step.
                let _removed = store
                    .remove_old_audit(Revision(0), Revision(through), &rules, &trail.codes)
                    .await;
            }
        }
    };
    let verify = async {
        for _ in 0..40 {
            assert_eq!(trail.problem().await, None);
        }
    };
    tokio::join!(remove(&*trail.store), remove(&*other), verify);
    trail.remove(last, &all()).await;
    let verdict = trail.verify(0).await;
    assert_eq!(verdict.begin.batches, last);
    assert_eq!(trail.problem().await, None);
}

async fn an_api_key_stays_ended_without_its_event(engine: Engine) {
    let place = engine.place().await;
    let (store, codes) = (
        place.store().await,
        Master(MasterKeys::from(MasterKey::generate())),
    );
    let revoked = api_keys::create(&*store, &api_keys::new("t", "u")).await;
    let cut = api_keys::create(&*store, &api_keys::new("t", "v")).await;
    apply(&*store, api_keys::revocation(&revoked)).await;
    apply(&*store, disable("t", "v")).await;
    let ended = async || {
        let mut ended = Vec::new();
        for key in [&revoked, &cut] {
            let found = store.api_key(&tenant("t"), key.id).await;
            ended.push(found.expect("an answer").expect("a key").0.ended);
        }
        ended
    };
    let before = ended().await;
    assert!(before.iter().all(Option::is_some), "{before:?}");

    let last = head(&*store).await;
    store.trim(last, Duration::ZERO).await.expect("trimmed");
    let removed = store
        .remove_old_audit(Revision(0), last, &all(), &codes)
        .await;
    assert_eq!(removed.expect("a step").batches, last.0);
    assert_eq!(ended().await, before);
}

/// A whole round over the sessions.
async fn left(store: &dyn Store) -> Left {
    let (mut left, mut after) = (Left::default(), None);
    loop {
        let step = store
            .remove_ended(after.as_ref(), Duration::from_secs(3_600), 2)
            .await
            .expect("a step");
        left.add(step.left);
        after = step.next;
        if after.is_none() {
            return left;
        }
    }
}

async fn cutoffs_go_when_every_session_was_opened_after_them(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    for name in ["a", "b", "c"] {
        apply(&*store, sign_out("t", &[name])).await;
    }
    let first = open(&*store, &sign_in("t", "a")).await;
    let cut = open(&*store, &sign_in("t", "b")).await;
    apply(&*store, sign_out("t", &["b"])).await;
    let last = open(&*store, &sign_in("t", "b")).await;
    let sessions = [&first, &cut, &last];
    let alive = async || {
        let mut alive = Vec::new();
        for session in sessions {
            alive.push(is_alive(&*store, session).await);
        }
        alive
    };
    assert_eq!(alive().await, [true, false, true]);

    let found = left(&*store).await;
    assert_eq!(found.opened, Some(Revision(3)), "what the first one read");
    assert_eq!(found.end, Some(Revision(4)), "the end of the second one");
    let through = found.opened.expect("a mark");
    let remove = async |keep, limit| {
        let removed = store.remove_old_cutoffs(through, keep, limit).await;
        removed.expect("removed")
    };
    assert_eq!(remove(Duration::from_secs(60), 10).await, 0, "young");
    assert_eq!(remove(Duration::ZERO, 2).await, 2, "a few at a time");
    assert_eq!(remove(Duration::ZERO, 2).await, 1);
    assert_eq!(remove(Duration::ZERO, 2).await, 0);
    let rest = query(&place, "SELECT revision FROM cutoffs", &[]).await;
    assert_eq!(rest.len(), 1, "the one that covers a session");
    assert_eq!(alive().await, [true, false, true]);
    let ended = store.session(&cut.tenant_id, cut.id).await;
    let (ended, _) = ended.expect("an answer").expect("a session");
    assert_eq!(ended.end.expect("an end").revision, Revision(4));
}

async fn the_record_of_an_authority_that_crashed_goes_after_a_day(engine: Engine) {
    let place = engine.place().await;
    if place.has_one_writer() {
        // There is one authority, and it records nothing.
        return;
    }
    let store = place.store().await;
    let now = store.keys().await.expect("an answer").1.0;
    for (authority, hours) in [(1, 25), (2, 23)] {
        let values = [
            [authority; 16][..].into(),
            (now - hours * 3_600_000_000).into(),
        ];
        let insert = "INSERT INTO authority_beat VALUES ($1, 1, $2)";
        query(&place, insert, &values).await;
    }
    store.remove_old_beats().await.expect("removed");
    let left = query(&place, "SELECT authority_id FROM authority_beat", &[]).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].array::<16>(ONLY).expect("an id"), [2; 16]);
}

async fn archived(store: &dyn Store) -> Vec<ArchivedBatch> {
    let mut batches: Vec<ArchivedBatch> = Vec::new();
    loop {
        let after = batches.last().map_or(0, |batch| batch.revision);
        let piece = store.batches_to_archive(Revision(after)).await;
        let piece = piece.expect("a piece");
        assert_eq!(piece.fault, None);
        if piece.batches.is_empty() {
            return batches;
        }
        batches.extend(piece.batches);
    }
}

/// Verifies batches as a reader of files does.
fn read_again(batches: &[ArchivedBatch]) -> Result<Chain, String> {
    let text = serde_json::to_string(batches).expect("JSON");
    let batches: Vec<ArchivedBatch> = serde_json::from_str(&text).expect("the same");
    let mut chain = Chain::default();
    for batch in &batches {
        chain = batch
            .verify(chain)
            .map_err(|problem| format!("{}: {problem}", batch.revision))?;
    }
    Ok(chain)
}

async fn an_archived_batch_verifies_without_the_store(engine: Engine) {
    let trail = Trail::new(engine).await;
    erase(&*trail.store).await;
    let whole = archived(&*trail.store).await;
    let last = head(&*trail.store).await;
    let chain = trail.store.chain(last).await.expect("an answer");
    assert_eq!(read_again(&whole).ok(), chain);
    assert!(whole.iter().any(|batch| batch.erased_rows() > 0));

    let changes: [fn(&mut ArchivedBatch); 8] = [
        |batch| batch.rows[0].action.push('x'),
        |batch| batch.rows[1].tenant_id.push('x'),
        |batch| batch.rows[0].at_us += 1,
        |batch| batch.rows[0].cause = Some(0),
        |batch| batch.rows[0].subject_proof[0] ^= 1,
        |batch| drop(batch.rows.pop()),
        |batch| batch.chain[0] ^= 1,
        |batch| batch.delta_digest[0] ^= 1,
    ];
    for change in changes {
        let mut changed = whole.clone();
        change(&mut changed[3]);
        let problem = read_again(&changed).expect_err("noticed");
        assert!(problem.starts_with("4: "), "{problem}");
    }

    // Of a batch that lost rows before, the others verify.
    trail.remove(7, &all_but("x")).await;
    let piece = trail.store.batches_to_archive(Revision(3)).await;
    let piece = piece.expect("a piece");
    let fourth = &piece.batches[0];
    assert_eq!(fourth.revision, 4);
    assert!(!fourth.removed.is_empty() && !fourth.rows.is_empty());
    let before = trail.store.chain(Revision(3)).await.expect("an answer");
    fourth.verify(before.expect("a revision")).expect("sound");
    assert!(
        piece
            .records
            .iter()
            .all(|record| trail.codes.is_genuine(record))
    );

    // What does not match the chain is not archived.
    trail.place.disarm().await;
    let tampering = "UPDATE audit_events SET action = 'x' WHERE revision = 4";
    trail.place.execute(tampering).await.expect("changed");
    let piece = trail.store.batches_to_archive(Revision(2)).await;
    let piece = piece.expect("a piece");
    assert_eq!(piece.fault.expect("a fault").revision, Revision(4));
    assert_eq!(piece.batches.len(), 1);
}

crate::on_every_engine! {
    the_oldest_go_and_the_trail_verifies_from_where_it_begins,
    what_is_young_or_bounded_or_still_wanted_by_gates_stays,
    rows_of_a_tenant_that_keeps_them_stay_and_verify,
    nobody_moves_the_beginning_or_widens_a_gap_unnoticed,
    what_was_changed_is_not_removed,
    a_row_goes_only_behind_the_record_of_it,
    erasures_are_counted_when_some_of_their_rows_are_gone,
    records_are_coded_anew_for_another_master_key,
    a_removal_that_fails_anywhere_has_removed_all_or_nothing,
    two_authorities_remove_at_once_and_a_third_verifies,
    an_api_key_stays_ended_without_its_event,
    cutoffs_go_when_every_session_was_opened_after_them,
    the_record_of_an_authority_that_crashed_goes_after_a_day,
    an_archived_batch_verifies_without_the_store,
}
