//! Commit order is revision order, and what was acknowledged is seen.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use portcullis_authority::{
    domain::{Mutation, Session},
    store::Store,
};
use portcullis_contract::{
    delta::{self, Change},
    id::Serial,
    key::CredentialKind,
    position::Revision,
    view::{Subject, View},
};
use portcullis_tests::{
    calls::{append, apply, head, open},
    given::{entry, revoke, sign_in, sign_out},
    replay::{accepts, replay},
    wait::within,
};
use tokio::task::JoinSet;

use crate::Engine;

const WRITERS: u64 = 5;
const BATCHES: usize = 12;

/// What a writer was told: the sessions of each batch, and its revision.
type Acknowledged = Vec<(Revision, Vec<Subject>)>;

#[expect(clippy::print_stdout, reason = "a failure is repeated by its seed")]
async fn a_tail_reader_sees_every_acknowledged_revision_in_order(engine: Engine) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let place = engine.place().await;
    let done = Arc::new(AtomicBool::new(false));
    let readers =
        [0; 2].map(async |_| tokio::spawn(read_until(place.store().await, Arc::clone(&done))));
    let [one, two] = readers;
    let (one, two) = (one.await, two.await);

    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, faults) = place.faulty_store().await;
        faults.shuffle(seed.wrapping_add(writer));
        writers.spawn(write(store, place.store().await, writer));
    }
    let acknowledged: Acknowledged = within("all writers", writers.join_all()).await.concat();
    done.store(true, Ordering::SeqCst);

    let store = place.store().await;
    let view = replay(&*store).await;
    for reader in [one, two] {
        let read = within("a reader", reader)
            .await
            .expect("the reader did not panic");
        assert_eq!(read.position(), view.position());
        assert_says_exactly(&read, &acknowledged);
    }
    let revisions: BTreeSet<_> = acknowledged.iter().map(|(revision, _)| *revision).collect();
    assert_eq!(
        revisions.len(),
        acknowledged.len(),
        "each batch has a revision of its own"
    );
    assert_eq!(
        revisions.last(),
        Some(&view.position().revision),
        "and there are no others"
    );
    assert_eq!(revisions.len() as u64, view.position().revision.0);
}

/// Applies the tail, a few batches at a time, until `done` and the head is reached.
async fn read_until(store: Arc<dyn Store>, done: Arc<AtomicBool>) -> View {
    let mut view = View::empty(store.head().await.expect("a head").incarnation);
    loop {
        let last = done.load(Ordering::SeqCst);
        let batches = store
            .tail(view.position().revision, 3)
            .await
            .expect("a tail");
        for batch in &batches {
            view = view.apply(&batch.frame).expect("no gap and no step back");
            assert_eq!(view.position(), batch.position);
        }
        if last && batches.is_empty() {
            return view;
        }
        tokio::task::yield_now().await;
    }
}

/// Revokes session after session; each time another authority must see it at once.
async fn write(store: Arc<dyn Store>, witness: Arc<dyn Store>, writer: u64) -> Acknowledged {
    let mut acknowledged = Vec::new();
    let user = format!("u{writer}");
    for batch in 0..BATCHES {
        let sessions = [
            open(&*store, &sign_in("t", &user)).await,
            open(&*store, &sign_in("t", &user)).await,
        ];
        let some = &sessions[..=batch % 2];
        let entries: Vec<_> = some.iter().map(|session| revoke(&[session])).collect();
        let outcomes = append(&*store, &entries).await;
        let revision = outcomes[0].expect("applied").revision;
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.expect("applied").revision == revision)
        );
        assert!(
            head(&*witness).await >= revision,
            "the head is not behind an acknowledgement"
        );
        let batches = witness
            .tail(Revision(revision.0 - 1), 1)
            .await
            .expect("a tail");
        assert_eq!(batches[0].frame.revision, revision, "nor is the tail");
        let beat = witness.beat(&[1; 16]).await.expect("a beat");
        assert!(beat.head.revision >= revision, "nor is a beat");
        acknowledged.push((
            revision,
            some.iter().map(|session| session.subject).collect(),
        ));
    }
    acknowledged
}

fn assert_says_exactly(view: &View, acknowledged: &Acknowledged) {
    let revoked: Vec<_> = acknowledged
        .iter()
        .flat_map(|(_, subjects)| subjects)
        .collect();
    assert!(revoked.iter().all(|subject| !accepts(view, subject)));
    assert_eq!(view.revoked_count(), revoked.len() as u64);
}

async fn an_empty_log_has_a_head_and_no_tail(engine: Engine) {
    let store = engine.place().await.store().await;
    let position = store.head().await.expect("a head");
    assert_eq!(position.revision, Revision(0));
    assert_eq!(store.tail(Revision(0), 10).await.expect("a tail"), []);
    assert_eq!(
        store.chain(Revision(0)).await.expect("a chain"),
        Some(position.chain)
    );
    assert_eq!(store.chain(Revision(1)).await.expect("no chain"), None);
    assert_eq!(store.beat(&[1; 16]).await.expect("a beat").head, position);
    let first = store.beat(&[1; 16]).await.expect("another beat");
    let second = store.beat(&[1; 16]).await.expect("one more beat");
    assert_eq!((first.head, second.head), (position, position));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.expect("after 1970").as_micros()).expect("before 292,000 AD");
    assert!(first.time <= second.time && (second.time.0 - now).abs() < 60_000_000);
    assert!(!store.durability().await.expect("words").is_empty());
}

async fn a_tail_is_cut_at_its_limit(engine: Engine) {
    let store = engine.place().await.store().await;
    for user in ["a", "b", "c", "d"] {
        apply(&*store, sign_out("t", &[user])).await;
    }
    let batches = store.tail(Revision(1), 2).await.expect("a tail");
    let revisions: Vec<_> = batches.iter().map(|batch| batch.frame.revision.0).collect();
    assert_eq!(revisions, [2, 3]);
}

async fn a_session_knows_the_head_that_it_was_opened_at(engine: Engine) {
    let store = engine.place().await.store().await;
    let opened_at = async |session: Session| (session.subject.opened, head(&*store).await);
    let (opened, head_then) = opened_at(open(&*store, &sign_in("t", "new")).await).await;
    assert_eq!(opened, head_then);
    apply(&*store, sign_out("t", &["someone"])).await;
    for user in ["new", "other"] {
        let (opened, head_then) = opened_at(open(&*store, &sign_in("t", user)).await).await;
        assert_eq!((opened, head_then), (Revision(1), Revision(1)));
    }
}

async fn a_canary_is_a_batch_that_revokes_the_session_of_nobody(engine: Engine) {
    let store = engine.place().await.store().await;
    let before = head(&*store).await;
    for revision in [before.next(), before.next().next()] {
        let outcome = apply(&*store, entry(Mutation::Canary)).await;
        assert_eq!((outcome.revision, outcome.changed), (revision, 1));
    }
    let batches = store.tail(before, 10).await.expect("the log");
    for batch in &batches {
        let changes = delta::decode(&batch.frame.delta).expect("decodes");
        let [
            Change::Revoke {
                credential: CredentialKind::Session,
                serials,
            },
        ] = &changes[..]
        else {
            panic!("{changes:?}");
        };
        assert_eq!(serials, &[Serial(0)]);
    }
    assert_eq!(batches.len(), 2);
}

crate::on_every_engine! {
    a_tail_reader_sees_every_acknowledged_revision_in_order,
    an_empty_log_has_a_head_and_no_tail,
    a_tail_is_cut_at_its_limit,
    a_session_knows_the_head_that_it_was_opened_at,
    a_canary_is_a_batch_that_revokes_the_session_of_nobody,
}
