//! Two streams feed one view: the better proof wins, and neither can make the view what no log is.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const LINES: [Line; 2] = [FIRST, SECOND];

fn welcome_on(
    follower: &mut Follower,
    line: Line,
    incarnation: u8,
    fork: bool,
) -> Result<(), ProtocolError> {
    follower.begin(line);
    let welcome = v1::WatchWelcome {
        incarnation: vec![incarnation; 16].into(),
        fork,
        ..Default::default()
    };
    let welcome = welcome.sealed(&follower.stream_id(line));
    follower.receive(line, Answer::Welcome(welcome), Mark::at(0, 0))
}

fn snapshot_on(follower: &mut Follower, line: Line, view: &View) -> Result<(), ProtocolError> {
    for chunk in snapshot(view) {
        follower.receive(line, Answer::SnapshotChunk(chunk), Mark::at(0, 0))?;
    }
    Ok(())
}

fn delta_on(follower: &mut Follower, line: Line, frame: &Frame) -> Result<(), ProtocolError> {
    follower.receive(line, Answer::Delta(frame.into()), Mark::at(0, 0))
}

fn probe_on(follower: &mut Follower, line: Line, seconds: u64) -> Option<WatchProbe> {
    let probe = follower.probe(line, Mark::at(seconds, 0));
    probe.expect("the stream can be followed")
}

fn beat_on(
    follower: &mut Follower,
    line: Line,
    nonce: u64,
    head: Position,
) -> Result<(), ProtocolError> {
    let beat = v1::WatchBeat {
        nonce,
        head: Some(head.into()),
        database_time: Some(SystemTime::UNIX_EPOCH.into()),
        ..Default::default()
    };
    let beat = beat.sealed(&follower.stream_id(line));
    follower.receive(line, Answer::Beat(beat), Mark::at(0, 0))
}

/// Proves the view fresh as of `seconds` by a beat on this line.
fn prove_on(follower: &mut Follower, line: Line, seconds: u64) {
    let probe = probe_on(follower, line, seconds).expect("a probe");
    let here = follower.position().expect("a view");
    beat_on(follower, line, probe.nonce, here).expect("a beat");
}

/// A follower of both lines, at revision 2 of a history.
fn following(views: &[View]) -> Follower {
    let mut follower = follower();
    welcome_on(&mut follower, FIRST, 1, false).expect("a welcome");
    snapshot_on(&mut follower, FIRST, &views[2]).expect("whole");
    welcome_on(&mut follower, SECOND, 1, false).expect("a welcome");
    follower
}

fn age_at(follower: &Follower, seconds: u64) -> Option<u64> {
    match follower.freshness(&Mark::at(seconds, 0)) {
        Freshness::Fresh { age } | Freshness::Stale { age } => Some(age.as_secs()),
        Freshness::Unready { .. } => None,
    }
}

#[test]
fn a_batch_is_applied_from_the_stream_that_brings_it_first_and_once() {
    let views = history(1, 0, 6);
    let mut follower = following(&views);
    let batch = |revision: u64| frame(revision, &revoke(revision));
    for (line, revision) in [
        (FIRST, 3),
        (SECOND, 3),
        (SECOND, 4),
        (SECOND, 5),
        (FIRST, 4),
        (FIRST, 5),
        (FIRST, 6),
    ] {
        delta_on(&mut follower, line, &batch(revision)).expect("the next batch of the stream");
    }
    assert_eq!(follower.position(), Some(views[6].position()));
    // The second has not brought the sixth, and must not skip it.
    let gap = delta_on(&mut follower, SECOND, &batch(7));
    assert!(matches!(gap, Err(ProtocolError::Apply(_))), "{gap:?}");
    assert_eq!(follower.revision(), 6);
}

#[test]
fn a_probe_claims_what_its_own_stream_brought() {
    let views = history(1, 0, 4);
    let mut follower = following(&views);
    for revision in 3..=4 {
        delta_on(&mut follower, FIRST, &frame(revision, &revoke(revision))).expect("a batch");
    }
    let of_first = probe_on(&mut follower, FIRST, 1).expect("a probe");
    let of_second = probe_on(&mut follower, SECOND, 1).expect("a probe");
    assert_eq!(of_first.applied_revision, 4);
    assert_eq!(of_second.applied_revision, 2);
    assert!(of_second.is_intact(&follower.stream_id(SECOND)));
}

#[test]
fn the_newer_proof_counts_whichever_stream_it_is_of_and_survives_the_end_of_the_other() {
    let views = history(1, 0, 4);
    let mut follower = following(&views);
    prove_on(&mut follower, FIRST, 10);
    assert_eq!(age_at(&follower, 12), Some(2));
    prove_on(&mut follower, SECOND, 11);
    assert_eq!(age_at(&follower, 12), Some(1));
    // An older one takes nothing back.
    prove_on(&mut follower, FIRST, 9);
    assert_eq!(age_at(&follower, 12), Some(1));
    assert_eq!(follower.proved(SECOND), Some(Mark::at(11, 0)));

    follower.end(FIRST);
    prove_on(&mut follower, SECOND, 12);
    assert_eq!(age_at(&follower, 12), Some(0));
    follower.end(SECOND);
    assert_eq!(
        age_at(&follower, 13),
        Some(1),
        "a proof outlives its stream"
    );
}

#[test]
fn a_beat_of_one_stream_waits_for_a_batch_that_the_other_brings() {
    let views = history(1, 0, 4);
    let mut follower = following(&views);
    let probe = probe_on(&mut follower, SECOND, 10).expect("a probe");
    beat_on(&mut follower, SECOND, probe.nonce, views[3].position()).expect("a beat");
    assert_eq!(
        age_at(&follower, 10),
        None,
        "the view has not reached its head"
    );
    delta_on(&mut follower, FIRST, &frame(3, &revoke(3))).expect("a batch");
    assert_eq!(age_at(&follower, 10), Some(0));
}

#[test]
fn damage_on_one_stream_withdraws_its_own_proof_and_not_the_other() {
    let views = history(1, 0, 4);
    let mut follower = following(&views);
    prove_on(&mut follower, FIRST, 10);
    prove_on(&mut follower, SECOND, 11);
    let mut damaged = v1::DeltaFrame::from(&frame(3, &revoke(3)));
    damaged.revision ^= 8;
    let result = follower.receive(SECOND, Answer::Delta(damaged), Mark::at(0, 0));
    assert_eq!(result, Err(ProtocolError::Corrupted));
    assert_eq!(
        age_at(&follower, 12),
        Some(2),
        "the first one's proof is left"
    );
    follower.distrust(FIRST);
    assert_eq!(age_at(&follower, 12), None);
}

#[test]
fn a_foreign_batch_on_one_stream_ends_that_stream_alone_whether_it_comes_before_or_after() {
    let views = history(1, 0, 6);
    let mut follower = following(&views);
    prove_on(&mut follower, FIRST, 10);
    delta_on(&mut follower, FIRST, &frame(3, &revoke(3))).expect("a batch");
    let foreign = delta_on(&mut follower, SECOND, &frame(3, &revoke(50)));
    assert_eq!(foreign, Err(ProtocolError::Fork));
    assert!(!follower.refuses(50));
    assert_eq!(follower.position(), Some(views[3].position()));
    delta_on(&mut follower, FIRST, &frame(4, &revoke(4))).expect("goes on");

    // A foreign batch that comes first cannot be told from a genuine one. No beat proves it, and the streams part.
    welcome_on(&mut follower, SECOND, 1, false).expect("a welcome");
    delta_on(&mut follower, SECOND, &frame(5, &revoke(50))).expect("as far as can be told");
    let probe = probe_on(&mut follower, FIRST, 20).expect("a probe");
    let beat = beat_on(&mut follower, FIRST, probe.nonce, views[5].position());
    assert_eq!(beat, Err(ProtocolError::Fork));
    assert_eq!(age_at(&follower, 20), None);
}

#[test]
fn a_beat_of_another_history_fails_its_own_stream_also_when_the_other_brings_the_batch() {
    let (views, other) = (history(1, 0, 4), history(1, 50, 4));
    let mut follower = following(&views);
    prove_on(&mut follower, FIRST, 10);
    let probe = probe_on(&mut follower, SECOND, 11).expect("a probe");
    beat_on(&mut follower, SECOND, probe.nonce, other[3].position()).expect("it waits");
    delta_on(&mut follower, FIRST, &frame(3, &revoke(3))).expect("a batch");
    assert_eq!(
        age_at(&follower, 11),
        Some(1),
        "the first one's proof counts"
    );
    let failed = follower.probe(SECOND, Mark::at(12, 0));
    assert_eq!(failed, Err(ProtocolError::Fork));
    prove_on(&mut follower, FIRST, 13);
}

#[test]
fn another_history_is_refused_while_the_other_stream_follows_and_taken_when_it_does_not() {
    let (views, new) = (history(1, 0, 4), history(2, 50, 2));
    let mut follower = following(&views);
    prove_on(&mut follower, FIRST, 10);
    let refused = welcome_on(&mut follower, SECOND, 2, true);
    assert_eq!(refused, Err(ProtocolError::OtherHistory));
    assert_eq!(
        age_at(&follower, 10),
        Some(0),
        "nothing that was proved is doubtful"
    );

    // It is refused as well when the other stream begins to follow only while the snapshot is on its way.
    follower.end(FIRST);
    welcome_on(&mut follower, SECOND, 2, true).expect("nobody else follows");
    welcome_on(&mut follower, FIRST, 1, false).expect("a welcome");
    let refused = snapshot_on(&mut follower, SECOND, &new[1]);
    assert_eq!(refused, Err(ProtocolError::OtherHistory));
    assert_eq!(follower.engine.forks.load(Ordering::Relaxed), 0);

    follower.end(FIRST);
    welcome_on(&mut follower, SECOND, 2, true).expect("nobody else follows");
    snapshot_on(&mut follower, SECOND, &new[1]).expect("taken");
    assert!(
        follower.refuses(2) && follower.refuses(51),
        "both are enforced"
    );
    assert_eq!(
        age_at(&follower, 10),
        None,
        "proofs of the old history do not count"
    );
}

#[test]
fn a_stream_of_a_history_that_was_replaced_says_nothing_any_more() {
    let (views, new) = (history(1, 0, 4), history(1, 50, 3));
    let mut follower = following(&views);
    follower.end(SECOND);
    // The first has sent its hello, and its answer is on the way.
    follower.begin(FIRST);
    let late = v1::WatchWelcome {
        incarnation: vec![1; 16].into(),
        ..Default::default()
    };
    let late = late.sealed(&follower.stream_id(FIRST));
    welcome_on(&mut follower, SECOND, 1, true).expect("a welcome");
    snapshot_on(&mut follower, SECOND, &new[2]).expect("taken");
    let result = follower.receive(FIRST, Answer::Welcome(late), Mark::at(0, 0));
    assert_eq!(result, Err(ProtocolError::Replaced));
    let result = delta_on(&mut follower, FIRST, &frame(3, &revoke(3)));
    assert_eq!(result, Err(ProtocolError::Replaced));
    assert_eq!(
        follower.probe(FIRST, Mark::at(10, 0)),
        Err(ProtocolError::Replaced)
    );
    assert_eq!(follower.position(), Some(new[2].position()));
}

#[test]
fn only_one_stream_brings_a_snapshot_and_the_next_goes_on_where_it_broke() {
    let views = history(1, 0, 4);
    let chunks = snapshot(&views[3]);
    let mut follower = follower();
    welcome_on(&mut follower, FIRST, 1, false).expect("a welcome");
    welcome_on(&mut follower, SECOND, 1, false).expect("a welcome");
    let chunk = |index: usize| Answer::SnapshotChunk(chunks[index].clone());
    let now = Mark::at(0, 0);
    follower.receive(FIRST, chunk(0), now).expect("a chunk");
    assert_eq!(
        follower.receive(SECOND, chunk(0), now),
        Err(ProtocolError::SecondSnapshot)
    );
    assert!(follower.begin(SECOND).part.is_none(), "the first brings it");
    follower.receive(FIRST, chunk(1), now).expect("a chunk");
    follower.end(FIRST);
    let part = follower.begin(SECOND).part.expect("a part");
    assert_eq!(part.offset, 32);
}

#[test]
fn a_snapshot_that_nothing_compares_with_the_other_stream_is_refused_and_the_next_stream_goes_on() {
    let views = history(1, 0, 6);
    let mut follower = following(&views);
    prove_on(&mut follower, FIRST, 10);
    // A batch that the second authority's log may lack: it lost it in a failover, and does not know the gate's cursor yet.
    delta_on(&mut follower, FIRST, &frame(3, &revoke(60))).expect("a batch");
    // The second fell behind its log's beginning.
    assert_eq!(
        snapshot_on(&mut follower, SECOND, &views[5]),
        Err(ProtocolError::Overtaken)
    );
    assert_eq!(follower.revision(), 3);
    assert!(follower.refuses(60), "a revocation was forgotten");
    assert_eq!(age_at(&follower, 10), Some(0), "the first proof stays");
    // The next stream names the view, and its authority says whether it has that.
    let cursor = follower.begin(SECOND).cursor.expect("a view");
    assert_eq!(cursor.revision, 3);
}

/// One thing that happens between two authorities of one store and a gate.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A revocation is acknowledged.
    Revoke,
    Connect(Line),
    End(Line),
    /// A line brings its snapshot, when it owes one.
    Snapshot(Line),
    /// A line brings batches, as many as these at most.
    Deliver(Line, usize),
    Probe(Line),
    /// The authority reads the head of the store for the oldest probe.
    Beat(Line),
    /// The oldest beat arrives.
    Answer(Line),
    /// An operator restored a backup that lacks so many batches, and ran `recover`.
    Recover(usize),
    /// A line brings a batch that is in no log.
    Foreign(Line),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let line = prop_oneof![Just(FIRST), Just(SECOND)];
    let event = prop_oneof![
        4 => Just(Event::Revoke),
        3 => line.clone().prop_map(Event::Connect),
        1 => line.clone().prop_map(Event::End),
        3 => line.clone().prop_map(Event::Snapshot),
        6 => (line.clone(), 1_usize..4).prop_map(|(line, count)| Event::Deliver(line, count)),
        5 => line.clone().prop_map(Event::Probe),
        5 => line.clone().prop_map(Event::Beat),
        5 => line.clone().prop_map(Event::Answer),
        1 => (0_usize..3).prop_map(Event::Recover),
        1 => line.prop_map(Event::Foreign),
    ];
    prop::collection::vec(event, 1..120)
}

/// An authority's side of one line.
#[derive(Default)]
struct Sender {
    open: bool,
    /// The number of the history that it sends.
    history: u8,
    /// The revision that it has sent. None: it owes a snapshot.
    sent: Option<usize>,
    probes: VecDeque<u64>,
    beats: VecDeque<(u64, Position)>,
}

struct World {
    follower: Follower,
    /// The log of the store: the view at each revision, and the batch that made it.
    log: Vec<View>,
    batches: Vec<Frame>,
    history: u8,
    senders: [Sender; 2],
    /// The revocations that were acknowledged: when, and which.
    acknowledged: Vec<(u64, u64)>,
    now: u64,
    serial: u64,
    was_foreign: bool,
}

impl World {
    fn new() -> Self {
        Self {
            follower: follower(),
            log: vec![View::empty(Incarnation([1; 16]))],
            batches: Vec::new(),
            history: 1,
            senders: Default::default(),
            acknowledged: Vec::new(),
            now: 0,
            serial: 0,
            was_foreign: false,
        }
    }

    fn head(&self) -> &View {
        &self.log[self.log.len() - 1]
    }

    fn play(&mut self, event: Event) {
        self.now += 1;
        match event {
            Event::Revoke => {
                self.serial += 1;
                let batch = frame(self.log.len() as u64, &revoke(self.serial));
                self.log.push(self.head().apply(&batch).expect("applies"));
                self.batches.push(batch);
                self.acknowledged.push((self.now, self.serial));
            }
            Event::Connect(line) => self.connect(line),
            Event::End(line) => self.end(line),
            Event::Snapshot(line) => self.send_snapshot(line),
            Event::Deliver(line, count) => self.deliver(line, count),
            Event::Probe(line) => self.probe(line),
            Event::Beat(line) => {
                let head = self.head().position();
                let sender = &mut self.senders[line as usize];
                if let Some(nonce) = sender.probes.pop_front() {
                    sender.beats.push_back((nonce, head));
                }
            }
            Event::Answer(line) => {
                let sender = &mut self.senders[line as usize];
                if let (true, Some((nonce, head))) = (sender.open, sender.beats.pop_front()) {
                    let result = beat_on(&mut self.follower, line, nonce, head);
                    self.settle(line, result);
                }
            }
            Event::Recover(lost) => self.recover(lost),
            Event::Foreign(line) => self.send_foreign(line),
        }
    }

    fn settle(&mut self, line: Line, result: Result<(), ProtocolError>) {
        if result.is_err() {
            self.end(line);
        }
    }

    fn end(&mut self, line: Line) {
        self.senders[line as usize] = Sender::default();
        self.follower.end(line);
    }

    fn connect(&mut self, line: Line) {
        self.end(line);
        let cursor = self.follower.position();
        let known = |cursor: Position| self.log.iter().any(|view| view.position() == cursor);
        let fork = cursor.is_some_and(|cursor| !known(cursor));
        let sent = match cursor {
            Some(cursor) if !fork => usize::try_from(cursor.revision.0).ok(),
            _ => None,
        };
        let result = welcome_on(&mut self.follower, line, self.history, fork);
        self.senders[line as usize] = Sender {
            open: true,
            history: self.history,
            sent,
            ..Sender::default()
        };
        self.settle(line, result);
    }

    /// Whether the line is open and of the store's present history. An authority ends the streams of an earlier one.
    fn is_current(&mut self, line: Line) -> bool {
        let sender = &self.senders[line as usize];
        if sender.open && sender.history != self.history {
            self.end(line);
            return false;
        }
        sender.open
    }

    fn send_snapshot(&mut self, line: Line) {
        if !self.is_current(line) || self.senders[line as usize].sent.is_some() {
            return;
        }
        let head = self.head().clone();
        let result = snapshot_on(&mut self.follower, line, &head);
        self.senders[line as usize].sent = Some(self.log.len() - 1);
        self.settle(line, result);
    }

    fn deliver(&mut self, line: Line, count: usize) {
        for _ in 0..count {
            if !self.is_current(line) {
                return;
            }
            let sender = &mut self.senders[line as usize];
            let Some(sent) = sender.sent.filter(|sent| *sent + 1 < self.log.len()) else {
                return;
            };
            sender.sent = Some(sent + 1);
            let batch = self.batches[sent].clone();
            let result = delta_on(&mut self.follower, line, &batch);
            self.settle(line, result);
        }
    }

    fn probe(&mut self, line: Line) {
        match self.follower.probe(line, Mark::at(self.now, 0)) {
            Ok(Some(probe)) => {
                let sent = self.senders[line as usize].sent.expect("a view was sent");
                assert!(probe.applied_revision <= sent as u64, "claims too much");
                self.senders[line as usize].probes.push_back(probe.nonce);
            }
            Ok(None) => {}
            Err(_) => self.end(line),
        }
    }

    fn recover(&mut self, lost: usize) {
        let kept = self.log.len().saturating_sub(lost).max(1);
        self.log.truncate(kept);
        self.batches.truncate(kept - 1);
        self.history += 1;
        // The new history begins with the old one's revocations, under another name.
        for view in &mut self.log {
            let position = Position {
                incarnation: Incarnation([self.history; 16]),
                ..view.position()
            };
            *view = view.rebased(position);
        }
        // What the backup lacks is lost, and nobody can prove anything about it.
        let head = self.head().clone();
        self.acknowledged
            .retain(|(_, serial)| is_revoked(&head, *serial));
    }

    fn send_foreign(&mut self, line: Line) {
        if !self.is_current(line) {
            return;
        }
        let Some(sent) = self.senders[line as usize].sent else {
            return;
        };
        self.was_foreign = true;
        let batch = frame(sent as u64 + 1, &revoke(10_000 + self.now));
        let result = delta_on(&mut self.follower, line, &batch);
        self.senders[line as usize].sent = Some(sent + 1);
        self.settle(line, result);
        // Whatever else it would say is of no log either.
        self.senders[line as usize].open = false;
    }

    /// I2: what was acknowledged before the moment as of which the view is proved fresh is refused.
    fn check_bound(&self) {
        let Some(age) = age_at(&self.follower, self.now) else {
            return;
        };
        let fresh_as_of = self.now - age;
        for (acknowledged, serial) in &self.acknowledged {
            if *acknowledged < fresh_as_of {
                assert!(
                    self.follower.refuses(*serial),
                    "{serial} of {acknowledged} is accepted, fresh as of {fresh_as_of}"
                );
            }
        }
    }

    /// I3: what was applied is a prefix of the log, unless a stream lied.
    fn check_prefix(&self) {
        let Some(here) = self.follower.position() else {
            return;
        };
        if !self.was_foreign && here.incarnation == self.head().position().incarnation {
            let at = usize::try_from(here.revision.0).expect("small");
            assert_eq!(here, self.log[at].position());
        }
    }
}

fn is_revoked(view: &View, serial: u64) -> bool {
    let subject = Subject {
        serial: Serial(serial),
        user: UserSerial(1),
        tenant: TenantSerial(1),
        opened: Revision(u64::MAX),
    };
    view.is_revoked(CredentialKind::Session, &subject)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// I2 and I3 at a gate with two streams, whatever the order in which the two bring batches, beats, snapshots and
    /// other histories, and whatever one of them makes up.
    #[test]
    fn a_fresh_gate_with_two_streams_refuses_all_that_was_acknowledged_before(events in events()) {
        let mut world = World::new();
        for event in events {
            let before = world.follower.position();
            world.play(event);
            world.check_bound();
            world.check_prefix();
            // I3: no step back within a history.
            if let (Some(before), Some(after)) = (before, world.follower.position())
                && before.incarnation == after.incarnation
                && !world.was_foreign
            {
                prop_assert!(before.revision <= after.revision);
            }
        }
    }

    /// While one line is well, nothing on the other takes the proof away: no lease is lost.
    #[test]
    fn a_stream_that_is_well_keeps_the_gate_fresh_whatever_the_other_does(events in events()) {
        let mut world = World::new();
        world.play(Event::Revoke);
        for event in [Event::Connect(FIRST), Event::Snapshot(FIRST)] {
            world.play(event);
        }
        for event in events {
            let is_other = match event {
                Event::Connect(line) | Event::End(line) | Event::Snapshot(line)
                | Event::Deliver(line, _) | Event::Probe(line) | Event::Beat(line)
                | Event::Answer(line) => line == SECOND,
                // A batch of no log that comes first stops both: the view is no log's until a snapshot replaces it.
                Event::Foreign(_) | Event::Recover(_) => false,
                Event::Revoke => true,
            };
            if !is_other {
                continue;
            }
            world.play(event);
            for well in [
                Event::Deliver(FIRST, usize::MAX),
                Event::Probe(FIRST),
                Event::Beat(FIRST),
                Event::Answer(FIRST),
            ] {
                world.play(well);
            }
            let age = age_at(&world.follower, world.now);
            prop_assert!(age.is_some_and(|age| age <= 3), "{age:?} after {event:?}");
        }
        for line in LINES {
            world.end(line);
        }
    }
}
