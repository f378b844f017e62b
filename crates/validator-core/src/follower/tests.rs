//! The protocol without a network: what each message does to what checks see.

mod properties;
mod two_lines;

use std::time::Duration;

use portcullis_contract::{
    delta::{self, Change, Scope},
    id::{Serial, TenantSerial, UserSerial},
    key::{CredentialKind, KeyId},
    position::sha256,
    view::Subject,
    watch::StreamId,
};

use super::{histories::HISTORIES_MAX, *};
use crate::{settings::Settings, state::Freshness};

const FIRST: Line = Line::First;
const SECOND: Line = Line::Second;

const STALENESS: Duration = Duration::from_secs(5);

fn follower() -> Follower {
    let settings = Settings {
        cached_tokens_max: 10,
        cached_api_keys_max: 10,
        ..Settings::new("i", "a")
    };
    let (engine, _) = Engine::new(settings).expect("good settings");
    Follower::new(Arc::new(engine), 1 << 20, |_| {})
}

fn revoke(serial: u64) -> Vec<Change> {
    vec![Change::Revoke {
        credential: CredentialKind::Session,
        serials: vec![Serial(serial)],
    }]
}

fn frame(revision: u64, changes: &[Change]) -> Frame {
    Frame {
        revision: Revision(revision),
        delta: delta::encode(changes, vec![]),
        audit_digest: [3; 32],
    }
}

/// A history in which batch `n` revokes serial `base + n`.
fn history(incarnation: u8, base: u64, length: u64) -> Vec<View> {
    let mut views = vec![View::empty(Incarnation([incarnation; 16]))];
    for revision in 1..=length {
        let next = views[views.len() - 1].apply(&frame(revision, &revoke(base + revision)));
        views.push(next.expect("applies"));
    }
    views
}

fn snapshot(view: &View) -> Vec<v1::SnapshotChunk> {
    let bytes = view.encode();
    let digest = sha256(&bytes);
    let chunk = |offset: usize| v1::SnapshotChunk {
        total_bytes: bytes.len() as u64,
        sha256: digest.to_vec().into(),
        offset: offset as u64,
        data: bytes.slice(offset..bytes.len().min(offset + 16)),
        ..Default::default()
    };
    (0..bytes.len())
        .step_by(16)
        .map(|offset| chunk(offset).sealed(&AnyStream))
        .collect()
}

impl Follower {
    fn stream_id(&self, line: Line) -> StreamId {
        let stream = self.lines.get(line).stream.as_ref();
        stream.expect("a stream").id
    }

    fn hear(&mut self, answer: Answer) -> Result<(), ProtocolError> {
        self.receive(FIRST, answer, Mark::at(0, 0))
    }

    fn take_snapshot(&mut self, view: &View) -> Result<(), ProtocolError> {
        snapshot(view)
            .into_iter()
            .try_for_each(|chunk| self.hear(Answer::SnapshotChunk(chunk)))
    }

    fn take_delta(&mut self, revision: u64, changes: &[Change]) -> Result<(), ProtocolError> {
        self.hear(Answer::Delta((&frame(revision, changes)).into()))
    }

    fn greet(&mut self, incarnation: u8, fork: bool) -> Result<(), ProtocolError> {
        let welcome = v1::WatchWelcome {
            incarnation: vec![incarnation; 16].into(),
            fork,
            ..Default::default()
        };
        let welcome = welcome.sealed(&self.stream_id(FIRST));
        self.hear(Answer::Welcome(welcome))
    }

    /// Begins a stream that the authority serves from a history.
    fn welcome(&mut self, incarnation: u8, fork: bool) {
        self.begin(FIRST);
        self.greet(incarnation, fork).expect("a welcome");
    }

    fn answer(&mut self, nonce: u64, head: Position) -> Result<(), ProtocolError> {
        let beat = v1::WatchBeat {
            nonce,
            head: Some(head.into()),
            database_time: Some(SystemTime::UNIX_EPOCH.into()),
            ..Default::default()
        };
        let beat = beat.sealed(&self.stream_id(FIRST));
        self.hear(Answer::Beat(beat))
    }

    /// Proves the view fresh as of `seconds`.
    fn prove_at(&mut self, seconds: u64) -> Result<(), ProtocolError> {
        let probe = self
            .probe(FIRST, Mark::at(seconds, 0))
            .expect("a stream")
            .expect("a probe");
        let here = self.position().expect("a view");
        self.answer(probe.nonce, here)
    }

    fn revision(&self) -> u64 {
        self.engine
            .judge
            .state
            .load()
            .view
            .as_ref()
            .map_or(0, |view| view.position().revision.0)
    }

    /// Whether a check would find the serial revoked, in any history.
    fn refuses(&self, serial: u64) -> bool {
        let state = self.engine.judge.state.load();
        let subject = Subject {
            serial: Serial(serial),
            user: UserSerial(1),
            tenant: TenantSerial(1),
            opened: Revision(u64::MAX),
        };
        let mut views = state.view.iter().chain(&state.remembered);
        views.any(|view| view.is_revoked(CredentialKind::Session, &subject))
    }

    fn freshness(&self, now: &Mark) -> Freshness {
        self.engine.judge.state.load().freshness(now, STALENESS)
    }
}

#[test]
fn a_snapshot_takes_effect_whole_and_deltas_continue_it() {
    let views = history(1, 0, 4);
    let mut follower = follower();
    follower.welcome(1, false);
    let chunks = snapshot(&views[2]);
    assert!(chunks.len() > 3);
    for chunk in &chunks[..chunks.len() - 1] {
        follower
            .hear(Answer::SnapshotChunk(chunk.clone()))
            .expect("a chunk");
        assert_eq!(follower.revision(), 0, "a part of a snapshot is in force");
    }
    follower
        .hear(Answer::SnapshotChunk(chunks[chunks.len() - 1].clone()))
        .expect("the last chunk");
    follower.take_delta(3, &revoke(3)).expect("the next delta");
    assert_eq!(
        follower.state.view.as_ref().map(|view| view.position()),
        Some(views[3].position())
    );
    assert!(
        follower.refuses(1) && follower.refuses(2) && follower.refuses(3) && !follower.refuses(4)
    );
}

#[test]
fn a_gate_is_one_instance_in_all_its_streams() {
    let mut follower = follower();
    let first = follower.begin(FIRST);
    let second = follower.begin(SECOND);
    assert_eq!(first.instance.len(), 16);
    assert_eq!(first.instance, second.instance);
    assert_eq!(first.log_version, LOG_VERSION);
    assert_ne!(first.stream, second.stream);
}

#[test]
fn a_stream_is_asked_once_there_is_a_view_to_prove() {
    let views = history(1, 0, 2);
    let mut follower = follower();
    assert!(!follower.wants_first_probe(FIRST), "no stream");
    follower.welcome(1, false);
    assert!(!follower.wants_first_probe(FIRST), "no view");
    assert_eq!(follower.applied(FIRST), Ok(None));
    assert_eq!(follower.fresh_as_of(), None);

    follower.take_snapshot(&views[2]).expect("whole");
    assert!(follower.wants_first_probe(FIRST));
    let applied = follower.applied(FIRST).expect("a stream").expect("a view");
    assert_eq!(applied.applied_revision, 2);
    assert!(applied.is_intact(&follower.stream_id(FIRST)));

    follower.prove_at(3).expect("a beat");
    assert!(!follower.wants_first_probe(FIRST), "it was asked");
    assert_eq!(follower.fresh_as_of(), Some(Mark::at(3, 0)));
}

#[test]
fn a_snapshot_that_is_not_whole_changes_nothing() {
    let views = history(1, 0, 4);
    let chunks = snapshot(&views[3]);
    let last = chunks.len() - 1;
    let altered = |at: usize, change: fn(&mut v1::SnapshotChunk)| {
        let mut chunks = chunks.clone();
        change(&mut chunks[at]);
        chunks
    };
    let cases = [
        altered(1, |chunk| chunk.data = vec![0; 16].into()),
        altered(1, |chunk| chunk.offset += 1),
        altered(1, |chunk| chunk.sha256 = vec![0; 32].into()),
        altered(1, |chunk| chunk.total_bytes += 1),
        altered(1, |chunk| chunk.data = vec![].into()),
        altered(last, |chunk| {
            chunk.data = [&chunk.data[..], b"x"].concat().into();
        }),
        altered(0, |chunk| chunk.total_bytes = 1 << 30),
        chunks[1..].to_vec(),
    ];
    for (index, chunks) in cases.into_iter().enumerate() {
        let mut follower = follower();
        follower.welcome(1, false);
        follower.take_snapshot(&views[1]).expect("whole");
        let result = chunks
            .into_iter()
            .try_for_each(|chunk| follower.hear(Answer::SnapshotChunk(chunk.sealed(&AnyStream))));
        assert!(result.is_err(), "case {index}");
        assert_eq!(follower.revision(), 1, "case {index}");
    }
}

#[test]
fn each_of_several_probes_under_way_is_answered() {
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&history(1, 0, 1)[1]).expect("whole");
    let mut probe = |second: u64| {
        let probe = follower.probe(FIRST, Mark::at(second, 0));
        probe.expect("a stream").expect("a probe").nonce
    };
    let nonces = [probe(1), probe(2), probe(3)];
    let here = follower.position().expect("a view");
    for (nonce, second) in nonces.into_iter().zip(1..) {
        follower.answer(nonce, here).expect("a beat");
        assert_eq!(follower.fresh_as_of(), Some(Mark::at(second, 0)));
    }
}

#[test]
fn beats_wait_for_the_batches_that_they_name() {
    let views = history(1, 0, 3);
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&views[1]).expect("whole");
    for (second, head) in [(5, 2), (6, 3)] {
        let probe = follower.probe(FIRST, Mark::at(second, 0));
        let probe = probe.expect("a stream").expect("a probe");
        assert!(probe.send_time.is_some());
        let answered = follower.answer(probe.nonce, views[head].position());
        answered.expect("a beat that is ahead of the view");
    }
    assert_eq!(follower.fresh_as_of(), None);
    for (revision, second) in [(2, 5), (3, 6)] {
        let delta = follower.take_delta(revision, &revoke(revision));
        delta.expect("the next batch");
        assert_eq!(follower.fresh_as_of(), Some(Mark::at(second, 0)));
    }

    // The head that was proved goes to the next authority.
    let proven = follower.begin(FIRST).proven_head.expect("a head");
    assert_eq!(proven.head, Some(views[3].position().into()));
}

#[test]
fn a_beat_is_not_compared_with_the_batches_of_an_earlier_history() {
    let (old, new) = (history(1, 0, 3), history(2, 100, 3));
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&old[1]).expect("whole");
    for revision in [2, 3] {
        let delta = follower.take_delta(revision, &revoke(revision));
        delta.expect("the next batch");
    }
    follower.welcome(2, true);
    follower.take_snapshot(&new[3]).expect("another history");
    let probe = follower.probe(FIRST, Mark::at(5, 0));
    let probe = probe.expect("a stream").expect("a probe");
    let answered = follower.answer(probe.nonce, new[2].position());
    answered.expect("a head that the new history had");
}

#[test]
fn a_stream_that_the_other_one_overtook_did_nothing_wrong() {
    let untimely = [
        ProtocolError::OtherHistory,
        ProtocolError::Overtaken,
        ProtocolError::Replaced,
        ProtocolError::SecondSnapshot,
    ];
    assert!(untimely.iter().all(ProtocolError::is_untimely));
    let own = [
        ProtocolError::Fork,
        ProtocolError::Corrupted,
        ProtocolError::NoView,
    ];
    assert!(!own.iter().any(ProtocolError::is_untimely));
}

#[test]
fn a_snapshot_of_another_past_is_refused_at_the_same_revision() {
    let (views, others) = (history(1, 0, 2), history(1, 100, 2));
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&views[2]).expect("whole");
    assert_eq!(follower.take_snapshot(&views[2]), Ok(()));
    assert_eq!(follower.take_snapshot(&others[2]), Err(ProtocolError::Fork));
    assert_eq!(follower.revision(), 2);
}

#[test]
fn a_snapshot_may_be_as_large_as_the_bound_and_no_larger() {
    let first = snapshot(&history(1, 0, 1)[1]).swap_remove(0);
    for (total_bytes, expected) in [
        (1 << 20, Ok(())),
        ((1 << 20) + 1, Err(ProtocolError::SnapshotTooLarge)),
        (u64::MAX, Err(ProtocolError::SnapshotTooLarge)),
    ] {
        let chunk = v1::SnapshotChunk {
            total_bytes,
            ..first.clone()
        };
        let mut follower = follower();
        follower.welcome(1, false);
        let result = follower.hear(Answer::SnapshotChunk(chunk.sealed(&AnyStream)));
        assert_eq!(result, expected, "{total_bytes}");
    }
}

#[test]
fn what_a_gate_refuses_stays_refused_while_a_snapshot_arrives() {
    let views = history(1, 0, 4);
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&views[2]).expect("whole");
    follower.prove_at(100).expect("a beat");
    // A stream that fell behind what the log keeps gets a snapshot, and the view in force stays beside it.
    let chunks = snapshot(&views[4]);
    let (last, first) = chunks.split_last().expect("chunks");
    for chunk in first {
        follower
            .hear(Answer::SnapshotChunk(chunk.clone()))
            .expect("a chunk");
        assert!(follower.refuses(1) && follower.refuses(2));
        assert_eq!(follower.revision(), 2);
    }
    follower
        .hear(Answer::SnapshotChunk(last.clone()))
        .expect("the last chunk");
    assert!(follower.refuses(1) && follower.refuses(4));
}

#[test]
fn a_gap_a_repetition_and_a_step_back_are_refused() {
    let views = history(1, 0, 4);
    let mut follower = follower();
    follower.welcome(1, false);
    assert_eq!(
        follower.take_delta(1, &revoke(1)),
        Err(ProtocolError::NoView)
    );
    follower.take_snapshot(&views[2]).expect("whole");
    for revision in [2, 4, 0] {
        assert!(matches!(
            follower.take_delta(revision, &revoke(9)),
            Err(ProtocolError::Apply(_))
        ));
    }
    assert_eq!(
        follower.take_snapshot(&views[1]),
        Err(ProtocolError::Regress)
    );
    assert_eq!(follower.revision(), 2);
    assert!(!follower.refuses(9));
}

#[test]
fn fresh_is_as_of_the_probe_and_only_once_its_head_is_applied() {
    let views = history(1, 0, 4);
    let mut follower = follower();
    follower.welcome(1, false);
    assert!(
        follower.probe(FIRST, Mark::at(100, 0)) == Ok(None),
        "there is no view to prove"
    );
    follower.take_snapshot(&views[2]).expect("whole");
    assert!(matches!(
        follower.freshness(&Mark::at(100, 0)),
        Freshness::Unready { .. }
    ));

    let probe = follower
        .probe(FIRST, Mark::at(100, 0))
        .expect("a stream")
        .expect("a probe");
    assert_eq!(probe.applied_revision, 2);
    follower
        .answer(probe.nonce, views[3].position())
        .expect("a beat ahead of the view");
    assert!(matches!(
        follower.freshness(&Mark::at(101, 0)),
        Freshness::Unready { .. }
    ));
    follower.take_delta(3, &revoke(3)).expect("the next delta");
    let age = Duration::from_secs(1);
    assert_eq!(
        follower.freshness(&Mark::at(101, 0)),
        Freshness::Fresh { age }
    );
    assert_eq!(
        follower.freshness(&Mark::at(105, 0)),
        Freshness::Fresh {
            age: Duration::from_secs(5)
        }
    );
    let age = Duration::from_secs(6);
    assert_eq!(
        follower.freshness(&Mark::at(106, 0)),
        Freshness::Stale { age }
    );

    let late = follower
        .probe(FIRST, Mark::at(110, 0))
        .expect("a stream")
        .expect("a probe");
    follower.take_delta(4, &revoke(4)).expect("the next delta");
    follower
        .answer(late.nonce, views[3].position())
        .expect("a beat behind the view");
    assert_eq!(
        follower.freshness(&Mark::at(110, 0)),
        Freshness::Fresh {
            age: Duration::ZERO
        }
    );
}

#[test]
fn a_beat_that_answers_no_probe_of_this_stream_proves_nothing() {
    let views = history(1, 0, 2);
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&views[2]).expect("whole");
    let probe = follower
        .probe(FIRST, Mark::at(100, 0))
        .expect("a stream")
        .expect("a probe");
    let unasked = Err(ProtocolError::Unasked);
    assert_eq!(
        follower.answer(probe.nonce + 1, views[2].position()),
        unasked
    );
    follower.welcome(1, false);
    assert_eq!(
        follower.answer(probe.nonce, views[2].position()),
        unasked,
        "of an earlier stream"
    );
    assert!(matches!(
        follower.freshness(&Mark::at(100, 0)),
        Freshness::Unready { .. }
    ));
    let probe = follower
        .probe(FIRST, Mark::at(101, 0))
        .expect("a stream")
        .expect("a probe");
    follower
        .answer(probe.nonce, views[2].position())
        .expect("a beat");
    assert_eq!(
        follower.freshness(&Mark::at(101, 0)),
        Freshness::Fresh {
            age: Duration::ZERO
        }
    );
    assert_eq!(follower.answer(probe.nonce, views[2].position()), unasked);
    assert!(matches!(
        follower.freshness(&Mark::at(101, 0)),
        Freshness::Unready { .. }
    ));
}

#[test]
fn another_chain_or_history_at_the_head_is_a_fork_and_no_freshness() {
    let (views, other) = (history(1, 0, 3), history(1, 50, 3));
    for head in [
        other[2].position(),
        other[1].position(),
        history(2, 0, 3)[2].position(),
    ] {
        let mut follower = follower();
        follower.welcome(1, false);
        follower.take_snapshot(&views[1]).expect("whole");
        follower.take_delta(2, &revoke(2)).expect("the next delta");
        let probe = follower
            .probe(FIRST, Mark::at(100, 0))
            .expect("a stream")
            .expect("a probe");
        assert_eq!(
            follower.answer(probe.nonce, head),
            Err(ProtocolError::Fork),
            "{head:?}"
        );
        assert!(matches!(
            follower.freshness(&Mark::at(100, 0)),
            Freshness::Unready { .. }
        ));
    }
}

#[test]
fn two_histories_are_united_until_the_old_one_has_turned_twice() {
    let (old, new) = (history(1, 0, 3), history(2, 50, 2));
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&old[3]).expect("whole");
    follower.welcome(2, true);
    follower.take_snapshot(&new[1]).expect("whole");
    assert_eq!(follower.engine.statistics().forks, 1);
    assert!(
        follower.refuses(3) && follower.refuses(51),
        "both histories are enforced"
    );
    follower.take_delta(2, &[Change::Turn]).expect("a turn");
    assert!(follower.refuses(3));
    follower.take_delta(3, &[Change::Turn]).expect("a turn");
    assert!(
        !follower.refuses(3),
        "no token of the old history can be alive"
    );
}

/// A history that revokes API key 7, cuts off the keys of user 9, and distrusts a signing key.
fn history_with_api_keys(incarnation: u8, distrusted: &KeyId) -> View {
    let credential = CredentialKind::ApiKey;
    let changes = [
        Change::Revoke {
            credential,
            serials: vec![Serial(7)],
        },
        Change::Cut {
            credential,
            scope: Scope::User(UserSerial(9)),
            exempt: None,
        },
        Change::Distrust(distrusted.clone()),
    ];
    View::empty(Incarnation([incarnation; 16]))
        .apply(&frame(1, &changes))
        .expect("applies")
}

/// Whether a check of an API key of user `user` would refuse it, in any history.
fn refuses_api_key(follower: &Follower, serial: u64, user: u64) -> bool {
    let state = follower.engine.judge.state.load();
    let subject = Subject {
        serial: Serial(serial),
        user: UserSerial(user),
        tenant: TenantSerial(1),
        opened: Revision(0),
    };
    let mut views = state.view.iter().chain(&state.remembered);
    views.any(|view| {
        view.is_revoked(CredentialKind::ApiKey, &subject)
            || view.is_cut(CredentialKind::ApiKey, &subject)
    })
}

/// API keys outlive any number of turns, and so do signing keys that somebody stole.
#[test]
fn api_keys_and_signing_keys_that_an_earlier_history_revoked_stay_refused_after_two_turns() {
    let stolen = KeyId::parse("stolen").expect("an id");
    let mut follower = follower();
    follower.welcome(1, false);
    let old = history_with_api_keys(1, &stolen);
    follower.take_snapshot(&old).expect("whole");
    for (number, incarnation) in (2..).take(HISTORIES_MAX + 2).enumerate() {
        follower.welcome(incarnation, true);
        let new = &history(incarnation, 50, 1)[1];
        follower.take_snapshot(new).expect("whole");
        follower.take_delta(2, &[Change::Turn]).expect("a turn");
        follower.take_delta(3, &[Change::Turn]).expect("a turn");

        let forks = number + 1;
        assert!(refuses_api_key(&follower, 7, 1), "revoked, {forks} forks");
        assert!(refuses_api_key(&follower, 8, 9), "cut off, {forks} forks");
        assert!(!refuses_api_key(&follower, 8, 1));
        let state = follower.engine.judge.state.load();
        let distrusted = state.remembered.iter().any(|view| view.distrusts(&stolen));
        assert!(distrusted, "{forks} forks");
        assert_eq!(state.remembered.len(), 1, "sessions are forgotten");
        assert_eq!(state.unready, None);
    }
}

#[test]
fn a_fork_within_a_history_may_go_back() {
    let (old, new) = (history(1, 0, 3), history(1, 50, 1));
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&old[3]).expect("whole");
    follower.welcome(1, true);
    follower.take_snapshot(&new[1]).expect("whole");
    assert!(follower.refuses(3) && follower.refuses(51));
    assert_eq!(follower.revision(), 1);
}

#[test]
fn an_unknown_kind_of_entry_ends_readiness_until_a_view_is_understood() {
    let views = history(1, 0, 3);
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&views[1]).expect("whole");
    let probe = follower
        .probe(FIRST, Mark::at(100, 0))
        .expect("a stream")
        .expect("a probe");
    follower
        .answer(probe.nonce, views[1].position())
        .expect("a beat");
    // An entry whose only field has the number 15.
    let unknown = v1::DeltaFrame {
        revision: 2,
        delta: vec![0x0a, 2, 0x7a, 0].into(),
        audit_digest: vec![3; 32].into(),
        ..Default::default()
    };
    assert!(
        follower
            .hear(Answer::Delta(unknown.sealed(&AnyStream)))
            .is_err()
    );
    assert!(follower.engine.judge.state.load().usable_view().is_err());
    assert!(matches!(
        follower.freshness(&Mark::at(100, 0)),
        Freshness::Unready { .. }
    ));
}

/// A view at the revision that was understood last is an older truth.
#[test]
fn a_view_without_the_entry_that_was_not_understood_does_not_make_ready() {
    let views = history(1, 0, 3);
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&views[1]).expect("whole");
    let unknown = v1::DeltaFrame {
        revision: 2,
        delta: vec![0x0a, 2, 0x7a, 0].into(),
        audit_digest: vec![3; 32].into(),
        ..Default::default()
    };
    assert!(
        follower
            .hear(Answer::Delta(unknown.sealed(&AnyStream)))
            .is_err()
    );
    follower.welcome(1, false);
    follower.take_snapshot(&views[1]).expect("whole");
    follower.prove_at(100).expect("a beat");
    assert!(follower.engine.judge.state.load().usable_view().is_err());
    follower.take_snapshot(&views[2]).expect("whole");
    assert!(follower.engine.judge.state.load().usable_view().is_ok());
}

/// Follows forks until one view more has to be kept than there is room for.
fn forked_too_often() -> (Follower, Vec<Vec<View>>) {
    let histories: Vec<_> = (0..=HISTORIES_MAX + 1)
        .map(|number| history(number as u8 + 1, 100 * number as u64, 3))
        .collect();
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&histories[0][3]).expect("whole");
    for (number, views) in histories.iter().enumerate().skip(1) {
        follower.welcome(number as u8 + 1, true);
        follower.take_snapshot(&views[1]).expect("whole");
        follower.prove_at(100).expect("a beat");
    }
    (follower, histories)
}

#[test]
fn one_history_too_many_ends_readiness_and_no_stream_brings_it_back() {
    let (mut follower, histories) = forked_too_often();
    let last = histories.len() as u8;
    let unready = |follower: &Follower| matches!(follower.freshness(&Mark::at(100, 0)), Freshness::Unready { reason } if reason == HISTORIES_LOST);
    assert!(unready(&follower));
    for _ in 0..3 {
        follower.welcome(last, false);
        follower
            .take_snapshot(&histories[histories.len() - 1][2])
            .expect("whole");
        follower.prove_at(100).expect("a beat");
        assert!(unready(&follower), "a snapshot cleared it");
    }
    follower.take_delta(3, &[Change::Turn]).expect("a turn");
    follower.prove_at(100).expect("a beat");
    assert!(unready(&follower), "one turn cleared it");
    follower.take_delta(4, &[Change::Turn]).expect("a turn");
    follower.prove_at(100).expect("a beat");
    assert!(!unready(&follower), "two turns end it");
}

#[test]
fn the_operator_ends_the_wait_for_earlier_histories() {
    let (mut follower, _) = forked_too_often();
    assert!(follower.refuses(3));
    follower.engine.accept_history();
    follower.prove_at(100).expect("a beat");
    assert!(matches!(
        follower.freshness(&Mark::at(100, 0)),
        Freshness::Fresh { .. }
    ));
    assert!(!follower.refuses(3));
}

/// Turns of two histories are two counts: a second fork must not take the one for the other.
#[test]
fn a_second_fork_to_a_history_with_more_turns_forgets_nothing() {
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&history(1, 0, 3)[3]).expect("whole");
    follower.welcome(2, true);
    follower
        .take_snapshot(&history(2, 50, 1)[1])
        .expect("whole");
    let mut turned = history(3, 90, 1)[1].clone();
    for revision in 2..=6 {
        turned = turned
            .apply(&frame(revision, &[Change::Turn]))
            .expect("applies");
    }
    follower.welcome(3, true);
    follower.take_snapshot(&turned).expect("whole");
    assert!(follower.refuses(3) && follower.refuses(51));
}

#[test]
fn an_announced_fork_takes_no_delta_and_no_probe_before_its_snapshot() {
    let (old, new) = (history(1, 0, 3), history(2, 50, 4));
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&old[3]).expect("whole");
    follower.welcome(2, true);
    assert!(follower.probe(FIRST, Mark::at(100, 0)) == Ok(None));
    assert_eq!(
        follower.take_delta(4, &revoke(4)),
        Err(ProtocolError::Unasked)
    );
    follower.welcome(2, true);
    follower.take_snapshot(&new[1]).expect("whole");
    follower.take_delta(2, &revoke(52)).expect("the next delta");
    assert!(follower.refuses(3) && follower.refuses(52));
}

#[test]
fn a_welcome_that_answers_another_hello_is_refused() {
    let views = history(1, 0, 3);
    let mut follower = follower();
    follower.begin(FIRST);
    assert_eq!(
        follower.greet(1, true),
        Err(ProtocolError::Unasked),
        "there was no cursor"
    );
    follower.welcome(1, false);
    follower.take_snapshot(&views[3]).expect("whole");
    assert_eq!(
        follower.greet(1, false),
        Err(ProtocolError::Unasked),
        "a second one"
    );
    follower.begin(FIRST);
    assert_eq!(
        follower.greet(2, false),
        Err(ProtocolError::Unasked),
        "another history without a fork"
    );
    follower.begin(FIRST);
    assert_eq!(
        follower.take_snapshot(&views[3]),
        Err(ProtocolError::Unasked),
        "no welcome at all"
    );
    follower.welcome(1, true);
    assert_eq!(
        follower.take_snapshot(&history(2, 0, 3)[3]),
        Err(ProtocolError::Unasked),
        "a snapshot of a third history"
    );
}

#[test]
fn nothing_is_accepted_after_an_error_without_a_new_proof() {
    let views = history(1, 0, 3);
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&views[3]).expect("whole");
    follower.prove_at(100).expect("a beat");
    assert!(follower.take_delta(9, &revoke(9)).is_err());
    follower.welcome(1, false);
    let now = Mark::at(100, 0);
    assert!(matches!(
        follower.freshness(&now),
        Freshness::Unready {
            reason: PROTOCOL_BROKEN
        }
    ));
    follower.prove_at(100).expect("a beat");
    assert!(matches!(follower.freshness(&now), Freshness::Fresh { .. }));
}

#[test]
fn a_snapshot_goes_on_in_the_next_stream() {
    let views = history(1, 0, 4);
    let chunks = snapshot(&views[3]);
    let mut follower = follower();
    follower.welcome(1, false);
    for chunk in &chunks[..2] {
        follower
            .hear(Answer::SnapshotChunk(chunk.clone()))
            .expect("a chunk");
    }
    let part = follower.begin(FIRST).part.expect("a part");
    assert_eq!((part.offset, &part.sha256), (32, &chunks[0].sha256));
    follower.greet(1, false).expect("a welcome");
    for chunk in &chunks[2..] {
        follower
            .hear(Answer::SnapshotChunk(chunk.clone()))
            .expect("a chunk");
    }
    assert_eq!(follower.revision(), 3);
    assert!(follower.begin(FIRST).part.is_none());
}

/// Proves the view by a beat whose database says `told` when this machine's clocks say `boot` and `wall`.
fn prove_with_clock(follower: &mut Follower, boot: u64, wall: u64, told: u64) {
    let now = Mark::at(boot, wall);
    let probe = follower
        .probe(FIRST, now)
        .expect("a stream")
        .expect("a probe");
    let told = SystemTime::UNIX_EPOCH + Duration::from_secs(told);
    let beat = v1::WatchBeat {
        nonce: probe.nonce,
        head: follower.position().map(Into::into),
        database_time: Some(told.into()),
        ..Default::default()
    };
    let beat = Answer::Beat(beat.sealed(&follower.stream_id(FIRST)));
    follower.receive(FIRST, beat, now).expect("a beat");
}

#[test]
fn a_clock_that_is_wrong_makes_unready_until_it_is_right() {
    use portcullis_contract::rejection::Rejection;
    let views = history(1, 0, 3);
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&views[3]).expect("whole");
    let unavailable = |follower: &Follower, now: &Mark| {
        let state = follower.engine.judge.state.load();
        match state.freshness(now, STALENESS) {
            Freshness::Fresh { .. } => None,
            _ => Some(state.unavailable(now)),
        }
    };
    for wrong in [1_000_000 - 301, 1_000_000 + 301] {
        prove_with_clock(&mut follower, 100, wrong, 1_000_000);
        let now = Mark::at(100, wrong);
        assert_eq!(unavailable(&follower, &now), Some(Rejection::ClockSkew));
    }
    prove_with_clock(&mut follower, 101, 1_000_001, 1_000_001);
    assert_eq!(unavailable(&follower, &Mark::at(101, 1_000_001)), None);
    // A step shows before the next beat, in both directions.
    for stepped in [1_000_001 - 301, 1_000_001 + 301] {
        let now = Mark::at(101, stepped);
        assert_eq!(unavailable(&follower, &now), Some(Rejection::ClockSkew));
    }
}

#[test]
fn a_clock_is_reported_when_it_begins_or_ceases_to_be_wrong() {
    let reported = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut follower = follower();
    let seen = Arc::clone(&reported);
    follower.observe = Box::new(move |event| {
        let is_wrong = match event {
            Event::ClockDiffers { .. } => true,
            Event::ClockAgrees { .. } => false,
            _ => return,
        };
        seen.lock().expect("whole").push(is_wrong);
    });
    follower.welcome(1, false);
    follower.take_snapshot(&history(1, 0, 1)[1]).expect("whole");
    let (right, wrong) = (1_000_000, 2_000_000);
    let mut expected = Vec::new();
    for (second, told, report) in [
        (1, right, None),
        (2, wrong, Some(true)),
        (3, wrong, None),
        (4, right, Some(false)),
        (5, right, None),
    ] {
        prove_with_clock(&mut follower, second, 1_000_000 + second, told);
        expected.extend(report);
        assert_eq!(*reported.lock().expect("whole"), expected, "{second}");
    }
}

#[test]
fn a_beat_without_the_time_is_refused() {
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&history(1, 0, 3)[3]).expect("whole");
    let probe = follower
        .probe(FIRST, Mark::at(100, 0))
        .expect("a stream")
        .expect("a probe");
    let beat = v1::WatchBeat {
        nonce: probe.nonce,
        head: follower.position().map(Into::into),
        ..Default::default()
    };
    let beat = beat.sealed(&follower.stream_id(FIRST));
    assert_eq!(
        follower.hear(Answer::Beat(beat)),
        Err(ProtocolError::Malformed)
    );
}

/// A beat cannot be about a view that is on its way, and probes that wait for it would be given up.
#[test]
fn no_probe_is_sent_while_a_snapshot_waits_or_is_under_way() {
    let views = history(1, 0, 4);
    let mut follower = follower();
    follower.welcome(1, false);
    follower.take_snapshot(&views[1]).expect("whole");
    follower.prove_at(100).expect("a beat");
    assert!(follower.progressed(FIRST).is_some());
    follower.welcome(1, false);
    assert!(follower.progressed(FIRST).is_none());
    let queued = Answer::Queued(v1::WatchQueued::default());
    follower
        .receive(FIRST, queued, Mark::at(102, 0))
        .expect("taken");
    assert_eq!(follower.progressed(FIRST), Some(Mark::at(102, 0)));
    assert!(follower.probe(FIRST, Mark::at(102, 0)) == Ok(None));
    let chunks = snapshot(&views[3]);
    let first = Answer::SnapshotChunk(chunks[0].clone());
    follower
        .receive(FIRST, first, Mark::at(103, 0))
        .expect("taken");
    assert_eq!(follower.progressed(FIRST), Some(Mark::at(103, 0)));
    assert!(follower.probe(FIRST, Mark::at(103, 0)) == Ok(None));
    follower.take_snapshot(&views[3]).expect("whole");
    assert!(
        follower
            .probe(FIRST, Mark::at(104, 0))
            .expect("a stream")
            .is_some()
    );
}
