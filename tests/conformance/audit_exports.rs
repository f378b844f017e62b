//! Exports of the trail: who delivers one, how far it is, and what it has given up.

use std::time::Duration;

use portcullis_authority::{
    domain::{
        AuditEvent, DeadLetterAnswer, DeadLetterId, Entry, ExportPlace, ExportStatus, Mutation,
        TrailMark, TrailPosition,
    },
    store::{ExportClaim, Store},
};
use portcullis_contract::position::{Chain, Revision};
use portcullis_tests::{calls::apply, given::sign_out, place::Place, rows::query, wait::within};
use tokio::task::JoinSet;

use crate::Engine;

const EXPORT: &str = "siem";
const LEASE: Duration = Duration::from_secs(60);
const ONE: [u8; 16] = [1; 16];
const OTHER: [u8; 16] = [2; 16];

async fn claim(store: &dyn Store, authority: [u8; 16]) -> Option<ExportClaim> {
    let start = ExportPlace::beginning();
    let claimed = store.claim_export(EXPORT, &authority, &start, LEASE).await;
    claimed.expect("an answer")
}

async fn advance(store: &dyn Store, fence: u64, place: &ExportPlace) -> bool {
    let advanced = store.advance_export(EXPORT, fence, place).await;
    advanced.expect("an answer")
}

async fn renew(store: &dyn Store, fence: u64) -> bool {
    let renewed = store.renew_export(EXPORT, fence, LEASE).await;
    renewed.expect("an answer")
}

async fn status(store: &dyn Store) -> Option<ExportStatus> {
    let status = store.export_status(EXPORT, LEASE).await;
    status.expect("an answer")
}

/// The lease ends now, as when its holder died.
async fn end_lease(place: &Place) {
    query(place, "UPDATE audit_exports SET leased_until_us = 1", &[]).await;
}

fn place_at(revision: u64) -> ExportPlace {
    let mark = |number: u64| TrailMark {
        revision: Revision(number),
        chain: Chain([number as u8; 32]),
    };
    let position = TrailPosition::behind_revision(Revision(revision));
    ExportPlace::behind(mark(1)).advanced(position, mark(revision).chain)
}

/// The trail of some sign-outs.
async fn trail(store: &dyn Store, users: &[&str]) -> Vec<AuditEvent> {
    for user in users {
        apply(store, sign_out("t", &[user])).await;
    }
    let start = TrailPosition::behind_revision(Revision(0));
    let head = store.head().await.expect("a head").revision;
    let events = store.audit_events_behind(None, start, head, 100).await;
    events.expect("events")
}

async fn an_export_begins_at_its_start_and_goes_on_at_its_place(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    assert_eq!(status(&*store).await, None);
    let first = claim(&*store, ONE).await.expect("a claim");
    assert_eq!(first.fence, 1);
    assert_eq!(first.place, ExportPlace::beginning());

    assert!(advance(&*store, first.fence, &place_at(5)).await);
    store
        .release_export(EXPORT, first.fence)
        .await
        .expect("given back");
    let second = claim(&*store, OTHER).await.expect("a claim");
    assert_eq!(second.fence, 2);
    assert_eq!(second.place, place_at(5));
    // Another name is another export.
    let start = ExportPlace::beginning();
    let another = store.claim_export("archive", &ONE, &start, LEASE).await;
    let another = another.expect("an answer").expect("a claim");
    assert_eq!((another.fence, another.place), (1, start));
}

async fn a_claim_counts_until_its_lease_ends(engine: Engine) {
    let place = engine.place().await;
    let (one, other) = (place.store().await, place.store().await);
    let first = claim(&*one, ONE).await.expect("a claim");
    assert_eq!(claim(&*other, OTHER).await, None);
    assert_eq!(claim(&*one, ONE).await, None, "not even its own");
    assert!(!status(&*other).await.expect("known").is_free);

    end_lease(&place).await;
    assert!(status(&*other).await.expect("known").is_free);
    assert!(
        renew(&*one, first.fence).await,
        "nobody has claimed it since"
    );
    assert_eq!(claim(&*other, OTHER).await, None);

    end_lease(&place).await;
    let second = claim(&*other, OTHER).await.expect("a claim");
    assert!(second.fence > first.fence);
    // A claim of a clock that was ahead does not count until then.
    query(
        &place,
        "UPDATE audit_exports SET leased_until_us = leased_until_us + 3600000000",
        &[],
    )
    .await;
    assert!(claim(&*one, ONE).await.is_some());
}

async fn an_earlier_claim_changes_nothing(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let event = trail(&*store, &["ada"]).await.remove(0).position;
    let old = claim(&*store, ONE).await.expect("a claim").fence;
    assert!(advance(&*store, old, &place_at(5)).await);
    end_lease(&place).await;
    let new = claim(&*store, OTHER).await.expect("a claim");

    assert!(!advance(&*store, old, &place_at(9)).await);
    assert!(!renew(&*store, old).await);
    let buried = store.bury_event(EXPORT, old, event, "a problem").await;
    assert!(!buried.expect("an answer"));
    store.release_export(EXPORT, old).await.expect("nothing");
    store.stop_export(EXPORT, old).await.expect("nothing");
    assert_eq!(claim(&*store, ONE).await, None, "it was not given back");
    let status = status(&*store).await.expect("known");
    assert_eq!((status.stopped, status.dead_letters), (None, 0));

    assert!(advance(&*store, new.fence, &place_at(6)).await);
    end_lease(&place).await;
    let again = claim(&*store, ONE).await.expect("a claim");
    assert_eq!(again.place, place_at(6));
}

async fn of_many_that_claim_together_one_has_it(engine: Engine) {
    let place = engine.place().await;
    for round in 0..5 {
        let mut claims = JoinSet::new();
        for number in 0..8 {
            let store = place.store().await;
            claims.spawn(async move { claim(&*store, [number; 16]).await });
        }
        let claims = within("the claims", claims.join_all()).await;
        let won: Vec<_> = claims.into_iter().flatten().collect();
        assert_eq!(won.len(), 1, "{won:?}");
        assert_eq!(won[0].fence, round + 1);
        end_lease(&place).await;
    }
}

async fn an_export_that_stopped_is_claimed_by_nobody(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let claimed = claim(&*store, ONE).await.expect("a claim");
    store
        .stop_export(EXPORT, claimed.fence)
        .await
        .expect("stopped");
    let stopped = status(&*store).await.expect("known");
    assert!(!stopped.is_free && stopped.stopped.is_some());
    assert_eq!(claim(&*store, OTHER).await, None);
    assert!(!renew(&*store, claimed.fence).await);
    assert!(!advance(&*store, claimed.fence, &place_at(5)).await);

    query(&place, "UPDATE audit_exports SET stopped_us = NULL", &[]).await;
    assert!(claim(&*store, OTHER).await.is_some());
}

async fn a_status_says_how_far_an_export_is_behind(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let fence = claim(&*store, ONE).await.expect("a claim").fence;
    let first = status(&*store).await.expect("known");
    assert_eq!((first.behind_revisions, first.behind_us), (0, 0));

    trail(&*store, &["ada", "bob", "eve"]).await;
    query(
        &place,
        "UPDATE log_batches SET stamped_us = stamped_us - 60000000 WHERE revision = 2",
        &[],
    )
    .await;
    let behind = status(&*store).await.expect("known");
    assert_eq!(behind.behind_revisions, 3);
    assert!(behind.behind_us < 60_000_000, "{behind:?}");
    assert!(advance(&*store, fence, &place_at(1)).await);
    let behind = status(&*store).await.expect("known");
    assert_eq!(behind.behind_revisions, 2);
    // The first that is left counts, and not the last.
    assert!(behind.behind_us >= 60_000_000, "{behind:?}");
    assert!(advance(&*store, fence, &place_at(3)).await);
    let none = status(&*store).await.expect("known");
    assert_eq!((none.behind_revisions, none.behind_us), (0, 0));
    // After a failover that lost batches the place is ahead.
    assert!(advance(&*store, fence, &place_at(9)).await);
    assert_eq!(status(&*store).await.expect("known").behind_revisions, 0);
}

async fn a_dead_letter_leads_to_its_event_until_it_is_delivered(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let events = trail(&*store, &["ada", "bob", "eve"]).await;
    let fence = claim(&*store, ONE).await.expect("a claim").fence;
    // Twice, as after a crash before the place moved.
    for event in [&events[0], &events[2], &events[0]] {
        let buried = store.bury_event(EXPORT, fence, event.position, "answered 400");
        assert!(buried.await.expect("an answer"));
    }
    assert_eq!(status(&*store).await.expect("known").dead_letters, 2);
    let due = async |limit: u32| {
        let due = store.due_dead_letters(EXPORT, limit).await;
        due.expect("events")
    };
    assert!(due(9).await.is_empty(), "nobody has asked");

    query(&place, "UPDATE audit_dead_letters SET due = 1", &[]).await;
    assert_eq!(due(9).await, [events[0].clone(), events[2].clone()]);
    assert_eq!(due(1).await.len(), 1);
    let others = store.due_dead_letters("archive", 9).await;
    assert!(others.expect("events").is_empty());

    let removed = store.remove_dead_letter(EXPORT, events[0].position).await;
    removed.expect("removed");
    let buried = store.bury_event(EXPORT, fence, events[2].position, "answered 500");
    assert!(buried.await.expect("an answer"));
    assert!(due(9).await.is_empty(), "what failed again is not due");
    assert_eq!(status(&*store).await.expect("known").dead_letters, 1);
}

async fn dead_letters_are_listed_page_by_page_and_answered(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let events = trail(&*store, &["ada", "bob", "eve"]).await;
    let fence = claim(&*store, ONE).await.expect("a claim").fence;
    let mut ids = Vec::new();
    for event in &events {
        let buried = store.bury_event(EXPORT, fence, event.position, "answered 400");
        assert!(buried.await.expect("an answer"));
        ids.push(DeadLetterId {
            event: event.position.event,
            ordinal: event.position.ordinal,
        });
    }
    ids.sort_by_key(|id| (id.event.to_bytes(), id.ordinal));

    // One letter a page, of this export and of all.
    for export in [Some(EXPORT), None] {
        let mut listed = Vec::new();
        let mut after: Option<DeadLetterId> = None;
        loop {
            let position = after.map(|letter| (EXPORT, letter));
            let page = store.list_dead_letters(export, position, 1).await;
            let page = page.expect("a page");
            let Some(letter) = page.first() else { break };
            assert_eq!((page.len(), &*letter.export), (1, EXPORT));
            assert_eq!((&*letter.problem, letter.is_due), ("answered 400", false));
            assert!(!letter.is_event_gone);
            assert_eq!(letter.tenant_id, events[0].tenant_id);
            listed.push(letter.id);
            after = Some(letter.id);
        }
        assert_eq!(listed, ids);
    }
    let others = store.list_dead_letters(Some("archive"), None, 9).await;
    assert!(others.expect("a page").is_empty());

    let answer = async |letters: &[DeadLetterId], answer: DeadLetterAnswer| {
        let mutation = Mutation::AnswerDeadLetters {
            export: EXPORT.to_owned(),
            letters: letters.to_vec(),
            answer,
        };
        apply(&*store, Entry::internal(mutation)).await.changed
    };
    let count = async |only_idle: bool| {
        let counted = store.count_dead_letters(EXPORT, only_idle).await;
        counted.expect("a count")
    };
    assert_eq!(answer(&ids[..1], DeadLetterAnswer::Retry).await, 1);
    assert_eq!((count(false).await, count(true).await), (3, 2));
    let idle = store.next_dead_letters(EXPORT, true, 9).await;
    assert_eq!(idle.expect("letters"), ids[1..]);
    let due = store.due_dead_letters(EXPORT, 9).await.expect("events");
    assert_eq!(due.len(), 1);

    assert_eq!(answer(&ids[..2], DeadLetterAnswer::Drop).await, 2);
    assert_eq!(answer(&ids[..2], DeadLetterAnswer::Drop).await, 0);
    assert_eq!((count(false).await, count(true).await), (1, 1));
}

crate::on_every_engine! {
    a_claim_counts_until_its_lease_ends,
    a_dead_letter_leads_to_its_event_until_it_is_delivered,
    a_status_says_how_far_an_export_is_behind,
    dead_letters_are_listed_page_by_page_and_answered,
    an_earlier_claim_changes_nothing,
    an_export_begins_at_its_start_and_goes_on_at_its_place,
    an_export_that_stopped_is_claimed_by_nobody,
    of_many_that_claim_together_one_has_it,
}
