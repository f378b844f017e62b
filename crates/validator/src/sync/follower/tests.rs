//! The protocol without a network: what each message does to what checks see.

use std::time::Duration;

use portcullis_contract::{
    delta::{self, Change},
    id::{Serial, TenantSerial, UserSerial},
    key::CredentialKind,
    position::{Incarnation, sha256},
    token::Expected,
    view::Subject,
};

use super::*;
use crate::{
    cache::TokenCache,
    state::{Freshness, Mode},
};

const STALENESS: Duration = Duration::from_secs(5);

fn follower() -> Follower {
    let expected = Expected {
        issuer: "i".into(),
        audience: None,
    };
    let shared = Shared::new(
        expected,
        TokenCache::new(10),
        TokenCache::new(10),
        Mode::Strict,
        STALENESS,
        None,
        "gate".into(),
    );
    Follower::new(Arc::new(shared), 1 << 20)
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
    };
    (0..bytes.len()).step_by(16).map(chunk).collect()
}

impl Follower {
    fn take_snapshot(&mut self, view: &View) -> Result<(), ProtocolError> {
        snapshot(view)
            .into_iter()
            .try_for_each(|chunk| self.receive(Answer::SnapshotChunk(chunk)))
    }

    fn take_delta(&mut self, revision: u64, changes: &[Change]) -> Result<(), ProtocolError> {
        self.receive(Answer::Delta((&frame(revision, changes)).into()))
    }

    fn welcome(&mut self, fork: bool) {
        self.begin();
        let welcome = v1::WatchWelcome {
            incarnation: vec![].into(),
            fork,
        };
        self.receive(Answer::Welcome(welcome)).expect("a welcome");
    }

    fn answer(&mut self, nonce: u64, head: Position) -> Result<(), ProtocolError> {
        self.receive(Answer::Beat(v1::WatchBeat {
            nonce,
            head: Some(head.into()),
        }))
    }

    fn revision(&self) -> u64 {
        self.shared
            .state
            .load()
            .view
            .as_ref()
            .map_or(0, |view| view.position().revision.0)
    }

    /// Whether a check would find the serial revoked, in any history.
    fn refuses(&self, serial: u64) -> bool {
        let state = self.shared.state.load();
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
        self.shared.state.load().freshness(now, STALENESS)
    }
}

#[test]
fn a_snapshot_takes_effect_whole_and_deltas_continue_it() {
    let views = history(1, 0, 4);
    let mut follower = follower();
    follower.welcome(false);
    let chunks = snapshot(&views[2]);
    assert!(chunks.len() > 3);
    for chunk in &chunks[..chunks.len() - 1] {
        follower
            .receive(Answer::SnapshotChunk(chunk.clone()))
            .expect("a chunk");
        assert_eq!(follower.revision(), 0, "a part of a snapshot is in force");
    }
    follower
        .receive(Answer::SnapshotChunk(chunks[chunks.len() - 1].clone()))
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
        follower.welcome(false);
        follower.take_snapshot(&views[1]).expect("whole");
        let result = chunks
            .into_iter()
            .try_for_each(|chunk| follower.receive(Answer::SnapshotChunk(chunk)));
        assert!(result.is_err(), "case {index}");
        assert_eq!(follower.revision(), 1, "case {index}");
    }
}

#[test]
fn a_gap_a_repetition_and_a_step_back_are_refused() {
    let views = history(1, 0, 4);
    let mut follower = follower();
    follower.welcome(false);
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
    follower.welcome(false);
    assert!(
        follower.probe(Mark::at(100, 0)).is_none(),
        "there is no view to prove"
    );
    follower.take_snapshot(&views[2]).expect("whole");
    assert!(matches!(
        follower.freshness(&Mark::at(100, 0)),
        Freshness::Unready { .. }
    ));

    let probe = follower.probe(Mark::at(100, 0)).expect("a probe");
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

    let late = follower.probe(Mark::at(110, 0)).expect("a probe");
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
    follower.welcome(false);
    follower.take_snapshot(&views[2]).expect("whole");
    let probe = follower.probe(Mark::at(100, 0)).expect("a probe");
    follower
        .answer(probe.nonce + 1, views[2].position())
        .expect("ignored");
    follower.welcome(false);
    follower
        .answer(probe.nonce, views[2].position())
        .expect("of an earlier stream, ignored");
    assert!(matches!(
        follower.freshness(&Mark::at(100, 0)),
        Freshness::Unready { .. }
    ));
    let probe = follower.probe(Mark::at(101, 0)).expect("a probe");
    follower
        .answer(probe.nonce, views[2].position())
        .expect("a beat");
    follower
        .answer(probe.nonce, views[2].position())
        .expect("the same again, ignored");
    assert_eq!(
        follower.freshness(&Mark::at(101, 0)),
        Freshness::Fresh {
            age: Duration::ZERO
        }
    );
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
        follower.welcome(false);
        follower.take_snapshot(&views[1]).expect("whole");
        follower.take_delta(2, &revoke(2)).expect("the next delta");
        let probe = follower.probe(Mark::at(100, 0)).expect("a probe");
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
    follower.welcome(false);
    follower.take_snapshot(&old[3]).expect("whole");
    follower.welcome(true);
    follower.take_snapshot(&new[1]).expect("whole");
    assert_eq!(follower.shared.forks.load(Ordering::Relaxed), 1);
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

#[test]
fn a_fork_within_a_history_may_go_back() {
    let (old, new) = (history(1, 0, 3), history(1, 50, 1));
    let mut follower = follower();
    follower.welcome(false);
    follower.take_snapshot(&old[3]).expect("whole");
    follower.welcome(true);
    follower.take_snapshot(&new[1]).expect("whole");
    assert!(follower.refuses(3) && follower.refuses(51));
    assert_eq!(follower.revision(), 1);
}

#[test]
fn an_unknown_kind_of_entry_ends_readiness_until_a_view_is_understood() {
    let views = history(1, 0, 3);
    let mut follower = follower();
    follower.welcome(false);
    follower.take_snapshot(&views[1]).expect("whole");
    let probe = follower.probe(Mark::at(100, 0)).expect("a probe");
    follower
        .answer(probe.nonce, views[1].position())
        .expect("a beat");
    // An entry whose only field has the number 15.
    let unknown = v1::DeltaFrame {
        revision: 2,
        delta: vec![0x0a, 2, 0x7a, 0].into(),
        audit_digest: vec![3; 32].into(),
    };
    assert!(follower.receive(Answer::Delta(unknown)).is_err());
    assert!(follower.shared.state.load().usable_view().is_err());
    assert!(matches!(
        follower.freshness(&Mark::at(100, 0)),
        Freshness::Unready { .. }
    ));
}
